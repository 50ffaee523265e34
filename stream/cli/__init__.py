"""The command `vigia`: each module registers its commands; errors that a person can mend are one line."""

import sys
from importlib import import_module
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from deploy.errors import ServiceError
from features.errors import VigiaError

MODULES = {
    "demo": ("demo",),
    "services": ("up", "down", "status"),
    "worker": ("topics", "worker"),
    "serve": ("serve",),
    "simulate": ("simulate",),
    "publish": ("publish",),
    "dead_letters": ("dead-letters",),
    "state": ("state",),
    "schemas": ("schemas",),
    "reasons": ("reasons",),
    "features": ("features",),
    "models": ("models",),
    "retrain": ("retrain",),
    "shadow": ("shadow",),
    "bench": ("bench",),
}
"""Module → the commands that it registers. `--help` tells plain ones first, groups after them."""


def make_app(command: str | None = None) -> typer.Typer:
    """All commands, or only this one's modules: to import all of them takes longer than most commands."""
    app = typer.Typer(
        help="Vigia scores Pix payments for fraud while they happen: Kafka in, decisions out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_group)
    wanted = [name for name, commands in MODULES.items() if command in commands] or MODULES
    for name in wanted:
        import_module(f"stream.cli.{name}").register(app)
    return app


def _group() -> None:
    """Without it typer takes an app of one command for that command."""


def main() -> None:
    """Exit 0 done, 1 failed, 2 bad usage or bad input, with one line that says what to do."""
    try:
        app = make_app(sys.argv[1] if len(sys.argv) > 1 else None)
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
