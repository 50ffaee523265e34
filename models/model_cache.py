"""Models of a registry on this machine: what a watcher brings, workers read. Core dependencies only.

A cache is a folder of model folders, named by their model ids, and for each address two small files:

* `NAME@ALIAS.json`: the folder that is to serve; written only when that changes
* `NAME@ALIAS.watch.json`: what the registry last said; written at every look

Both are replaced in one step, so a reader sees a whole one. A model folder is there before it is named.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from features.errors import BadInput
from models.registry import require_product

SCHEME = "registry:"
_ADDRESS = re.compile(r"registry:([A-Za-z0-9_.-]{1,100})@([a-z][a-z0-9_-]{0,50})")


@dataclass(frozen=True, slots=True)
class Address:
    """`registry:NAME@ALIAS`."""

    name: str
    alias: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Raises BadInput, also for a product that no version of this code will ever register."""
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise BadInput(f"{text!r} is no address of a registry; e.g. registry:pix-fraud@champion")
        require_product(found.group(1))
        return cls(*found.groups())

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}@{self.alias}"


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the registry found."""

    at: float
    """Seconds since 1970."""
    error: str | None = None
    """Why the registry gives no model, if it gives none."""
    refused: str | None = None
    """Why the model that it names is not brought here, if it is not."""
    named: bool = True
    """Whether the alias names a model; as before, while the registry does not answer."""


class ModelCache:
    """One address's part of a cache folder."""

    def __init__(self, folder: Path, address: Address) -> None:
        self.folder, self.address = folder, address
        key = f"{address.name}@{address.alias}"
        self._current, self._look = folder / f"{key}.json", folder / f"{key}.watch.json"
        self._lock = folder / f"{key}.lock"

    def model_folder(self, model_id: str) -> Path:
        """Where a model lies, or is to lie."""
        return self.folder / model_id

    def current(self) -> Path | None:
        """The folder that is to serve: what the alias named last. None: it never named one."""
        model_id = _read(self._current).get("model_id")
        return self.model_folder(model_id) if isinstance(model_id, str) else None

    def serve(self, model_id: str) -> None:
        """This model is to serve from now on; its folder is there."""
        if _read(self._current) != {"model_id": model_id}:
            _write(self._current, {"model_id": model_id})

    def told(self) -> Look | None:
        """The last look at the registry; None: there was none."""
        found = _read(self._look)
        try:
            return Look(**found)
        except TypeError:
            return None

    def tell(self, look: Look) -> None:
        """A look was had just now."""
        _write(self._look, asdict(look))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """One watcher of an address at a time: wait until nobody else is. It ends with the process.

        Raises BadInput when the cache can't be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = self._lock.open("w")
        except OSError as error:
            raise BadInput(f"VIGIA_MODEL_CACHE: {self.folder} can't be written ({error.strerror})") from None
        with lock as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def stamp(folder: Path) -> tuple[object, ...]:
    """Changes when a file of the folder does; empty while it can't be read."""
    try:
        files = sorted((file.name, file.stat()) for file in folder.iterdir())
    except OSError:
        return ()
    return (str(folder), *((name, found.st_mtime_ns, found.st_size, found.st_ino) for name, found in files))


def _read(path: Path) -> dict[str, Any]:
    """Empty for what can't be read: a reader asks again."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, value: dict[str, Any]) -> None:
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(orjson.dumps(value))
    draft.replace(path)
