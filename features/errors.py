"""The errors that a person sees as one line.

::

    VigiaError          exit 1: it could not be done; the message says what to do
    └── BadInput        exit 2: what was given is wrong (an option, a file, a setting)
"""


class VigiaError(Exception):
    """Something could not be done; ``str(error)`` is one line that says what to do."""

    exit_code = 1


class BadInput(VigiaError):
    """An option, a file or a setting is wrong; the message names it and what it should be."""

    exit_code = 2
