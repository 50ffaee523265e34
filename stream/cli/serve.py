"""`vigia serve`: the HTTP API."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from features.errors import VigiaError
from stream.settings import load_settings

_LIBRARIES = frozenset({"fastapi", "httptools", "starlette", "uvicorn"})

Host = Annotated[str | None, typer.Option(help="Address to listen on (default: VIGIA_API_HOST).")]
Port = Annotated[int | None, typer.Option(help="Port (default: VIGIA_API_PORT); 0: any.")]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(serve)


def serve(host: Host = None, port: Port = None) -> None:
    """Answer POST /v1/pix/decisions with the decision of a worker, until SIGTERM.

    It needs `vigia worker` running beside it. Start as many as you like: they keep nothing but what they read
    from the log. See docs/api.md.
    """
    with _api_extra():
        from stream.http.server import run_door
    run_door(load_settings(api_host=host, api_port=port))


@contextmanager
def _api_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _LIBRARIES:
            raise
        raise VigiaError(
            f"{error.name} is not installed (extra `api`): run `make setup` in the project's folder"
        ) from None
