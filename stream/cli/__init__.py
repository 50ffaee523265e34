"""The command `vigia`: each module registers its commands; errors that a person can mend are one line."""

import sys

import typer

from deploy.local import ServiceError
from features.errors import VigiaError
from stream.cli import dead_letters, demo, features, models, publish, schemas, services, simulate, worker

app = typer.Typer(
    help="Vigia scores Pix payments for fraud while they happen: Kafka in, decisions out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (demo, services, worker, simulate, publish, dead_letters, schemas, features, models):
    module.register(app)


def main() -> None:
    """Exit 0 done, 1 failed, 2 bad usage or bad input, with one line that says what to do."""
    try:
        app()
    except (VigiaError, ServiceError) as error:
        print(f"vigia: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))
