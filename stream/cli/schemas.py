"""`vigia schemas`: the JSON Schemas of the topics."""

from typing import Annotated

import typer

from features.errors import VigiaError
from stream.cli.common import console, emit_json


def register(app: typer.Typer) -> None:
    app.command("schemas")(schemas_command)


def schemas_command(
    write: Annotated[bool, typer.Option("--write", help="Write stream/schemas/*.json anew.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if a file is not current.")] = False,
) -> None:
    """Print the JSON Schema of every message as one JSON object, by name."""
    from stream.schemas import SCHEMAS, outdated, schema
    from stream.schemas import write as write_files

    if write:
        for path in write_files():
            console.print(path, highlight=False, soft_wrap=True)
    if check and (old := outdated()):
        raise VigiaError(f"not current: {', '.join(old)}; run `vigia schemas --write`")
    if not (write or check):
        emit_json({name: schema(name) for name in SCHEMAS})
