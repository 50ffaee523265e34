"""The command `vigia`: each module registers its commands; errors that a person can mend are one line."""

import sys
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from deploy.local import ServiceError
from features.errors import VigiaError
from stream.cli import (
    bench,
    dead_letters,
    demo,
    features,
    model_registry,
    models,
    publish,
    reasons,
    retrain,
    schemas,
    serve,
    services,
    shadow,
    simulate,
    state,
    worker,
)

app = typer.Typer(
    help="Vigia scores Pix payments for fraud while they happen: Kafka in, decisions out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (
    demo,
    services,
    worker,
    serve,
    simulate,
    publish,
    dead_letters,
    state,
    schemas,
    reasons,
    features,
    models,
    model_registry,
    retrain,
    shadow,
    bench,
):
    module.register(app)


def main() -> None:
    """Exit 0 done, 1 failed, 2 bad usage or bad input, with one line that says what to do."""
    try:
        code = app(prog_name="vigia", standalone_mode=False)
    except (VigiaError, ServiceError) as error:
        _leave(str(error), getattr(error, "exit_code", 1))
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
            sys.exit(2)
        command = getattr(getattr(error, "ctx", None), "command_path", "vigia")
        _leave(f"{error.format_message()} (see `{command} --help`)", 2)
    except OSError as error:  # a disk that is full, a folder that cannot be written
        _leave(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        _leave("interrupted", 130)
    sys.exit(code or 0)


def _leave(message: str, code: int) -> NoReturn:
    print(f"vigia: {message}", file=sys.stderr)
    sys.exit(code)
