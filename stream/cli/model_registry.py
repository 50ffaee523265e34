"""`vigia models register|list|fetch|promote|rollback|watch`: options in, one answer out."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from features.errors import VigiaError
from models.extras import train_extra
from models.model_cache import Address, Look, ModelCache
from models.registry import require_product
from stream.cli.common import console, emit_json
from stream.cli.model_options import Json
from stream.settings import load_settings

if TYPE_CHECKING:
    from models.mlflow_registry import Registry

Product = Annotated[str, typer.Option("--product", help="Whose versions.")]


def register(models: typer.Typer) -> None:
    """Add the commands to the group `models`."""
    models.command("register")(register_command)
    models.command("list")(list_command)
    models.command("fetch")(fetch_command)
    models.command("promote")(promote_command)
    models.command("rollback")(rollback_command)
    models.command("watch")(watch_command)


def register_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Model folder of `vigia models train`.")],
    evaluation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of `vigia models evaluate`: the gates read it.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="HTML of `vigia models report`, kept with it.")
    ] = None,
    challenger: Annotated[
        bool, typer.Option("--challenger/--no-challenger", help="Have it scored in the shadow.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Put a model into the registry; the same folder again is the same version.

    The registry is SQLite in .vigia, or the server of MLFLOW_TRACKING_URI. A new version becomes the
    challenger; the champion is chosen by `vigia models promote`.
    """
    with train_extra():
        from models.promotion import register
        from models.registry import read_manifest
    registry = _registry(read_manifest(folder).product)
    with console.status("registering"):
        answer = register(registry, folder, evaluation, report, challenger)
    _tell(answer, as_json)


def list_command(product: Product = "pix-fraud", as_json: Json = False) -> None:
    """The versions in the registry, newest first, and which of them serve."""
    versions = [version.as_dict() for version in _registry(product).versions()]
    if as_json:
        emit_json({"product": product, "versions": versions})
        return
    table = Table("version", "model", "aliases", "registered")
    for each in versions:
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(each["registered_at"] / 1000))
        table.add_row(str(each["version"]), each["model_id"], ", ".join(each["aliases"]), f"{when} UTC")
    console.print(table if versions else f"{product} has no versions: `vigia models register DIR`")


def fetch_command(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A version's number, or @champion, @challenger.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write, as it was registered.")],
    product: Product = "pix-fraud",
    as_json: Json = False,
) -> None:
    """Write a version's model folder, e.g. the champion's to evaluate a challenger against."""
    with train_extra():
        from models.promotion import fetch, named
    registry = _registry(product)
    found = named(registry, version)
    fetch(registry, found, out)
    _tell({"version": found.as_dict(), "out": str(out)}, as_json)


def promote_command(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A version's number, or @challenger.")],
    features: Annotated[
        Path, typer.Option(metavar="FILE", help="Real vectors (`vigia features build`), 100,000 or more.")
    ],
    gates: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Other bounds than models/gates.toml's.")
    ] = None,
    product: Product = "pix-fraud",
    as_json: Json = False,
) -> None:
    """Make a version the champion if it passes every gate; workers serve it within seconds.

    Exit 1 when a gate refuses, with its name and the figures; then nothing has changed.
    """
    with train_extra():
        from models.gate_bounds import load_gates
        from models.gates import GateRefused
        from models.promotion import named, promote
    bounds = load_gates(gates)
    registry = _registry(product)
    try:
        with console.status("at the gates"):
            answer = promote(registry, named(registry, version), bounds, features)
    except GateRefused as refused:
        _tell({"gates": [finding.as_dict() for finding in refused.findings], "changed": False}, as_json)
        raise
    _tell(answer, as_json)


def rollback_command(product: Product = "pix-fraud", as_json: Json = False) -> None:
    """Make the champion before this one the champion again. One step, without gates: it has served."""
    with train_extra():
        from models.promotion import rollback
    _tell(rollback(_registry(product)), as_json)


def watch_command(
    address: Annotated[str, typer.Argument(help="registry:NAME@ALIAS")],
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where models go; default VIGIA_MODEL_CACHE.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Bring the model that an alias names into the cache, and again whenever that changes, until it is ended.

    `vigia worker` starts one by itself. Start it by hand where workers have no extra `train`: they need no
    more than the cache. Of several for one address, one watches and the others wait for it to end.
    """
    if with_parent:
        Thread(target=_end_with_parent, daemon=True).start()
    place = ModelCache(cache or load_settings().model_cache, Address.parse(address))
    with place.watching():
        try:
            with train_extra():
                from models.model_watch import Watcher
            watcher = Watcher(_registry(place.address.name), place)
            told = None
            while True:
                try:
                    look = watcher.look()
                except OSError as error:  # a full disk, say: to import all of it again mends nothing
                    look = Look(time.time(), f"VIGIA_MODEL_CACHE: {error}")
                if (now := (look.error, look.refused)) != told and any(now) and not with_parent:
                    console.print(look.error or look.refused, highlight=False, soft_wrap=True)
                told = now
                time.sleep(every)
        except VigiaError as error:
            place.tell(Look(time.time(), str(error)))
            raise


def _end_with_parent() -> None:
    """A worker holds the other end of standard input, and writes nothing to it.

    Read without Python's buffer: its lock, held here at the end of the process, would make that an abort.
    """
    while os.read(0, 1024):
        pass
    os._exit(0)


def _registry(product: str) -> "Registry":
    require_product(product)
    with train_extra():
        from models.mlflow_registry import Registry
    return Registry(product)


def _tell(answer: Mapping[str, Any], as_json: bool) -> None:
    """The JSON object on standard output, or a few lines for people on standard error."""
    if as_json:
        emit_json(answer)
        return
    lines = [f"{f['result']:8} {f['gate']}: {f['told']}" for f in answer.get("gates", ())]
    lines += [f"{name}: {_described(value)}" for name, value in answer.items() if name != "gates"]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _described(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return f"version {value['version']}, {value['model_id']} ({', '.join(value['aliases']) or 'no alias'})"
