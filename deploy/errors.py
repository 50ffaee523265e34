"""What a person sees when a service of this machine cannot be had."""


class ServiceError(Exception):
    """A local service cannot be had or ended; ``str(error)`` is one line that says what to do."""
