"""The watcher: brings the model that an alias names into a cache, and says what the registry told.

A process of its own, for MLflow takes 270 MB and seconds to load. A model is brought whole and vetted, as a
worker would load it, before it is named; one that is refused leaves what was named before.
"""

import re
import time
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from models.mlflow_connection import RegistryAway
from models.mlflow_registry import Registry, Version
from models.model_cache import Look, ModelCache, stamp
from models.registry import ModelRefused
from models.scorer import Scorer

_AGAIN_SECONDS = 30.0
"""A model that was refused is brought again after so long: its files may have been mended."""

_MODEL_ID = re.compile(r"[A-Za-z0-9_.-]+@[0-9a-f]{12}")


class Watcher:
    """Looks at one alias."""

    def __init__(self, registry: Registry, cache: ModelCache) -> None:
        self._registry, self._cache = registry, cache
        self._draft = f".bring-{cache.address.name}@{cache.address.alias}-"
        for left in cache.folder.glob(f"{self._draft}*"):  # by one that was killed: this one holds the lock
            rmtree(left, ignore_errors=True)
        self._vetted: tuple[object, ...] = ()
        self._refused = ("", "", 0.0)
        """The run of a version: of another registry's file the same number may be another model."""

    def look(self) -> Look:
        """Have the cache say what the registry says; the model is there before it is named."""
        look = self._look()
        self._cache.tell(look)
        return look

    def _look(self) -> Look:
        address, now = self._cache.address, time.time()
        try:
            version = self._registry.serving(address.alias)
            if version is None:
                return Look(now, f"{address.name} has no {address.alias} in the registry", named=False)
            self._bring(version)
        except RegistryAway as away:
            told = self._cache.told()
            return Look(now, str(away), named=told.named if told else True)
        except ModelRefused as refused:
            return Look(now, refused=str(refused))
        self._cache.serve(version.model_id)
        return Look(now)

    def _bring(self, version: Version) -> None:
        """Return when the version's folder is in the cache, whole. Raises ModelRefused, RegistryAway."""
        run_id, why, at = self._refused
        if run_id == version.run_id and time.monotonic() < at + _AGAIN_SECONDS:
            raise ModelRefused(why)
        try:
            self._bring_now(version)
        except ModelRefused as refused:
            self._refused = version.run_id, str(refused), time.monotonic()
            raise

    def _bring_now(self, version: Version) -> None:
        if not _MODEL_ID.fullmatch(version.model_id):
            raise ModelRefused(f"version {version.version}: its tag model_id is {version.model_id!r}")
        folder = self._cache.model_folder(version.model_id)
        if self._vetted == stamp(folder) != ():
            return
        if not _is_whole(folder, version):
            self._fetch(version, folder)
        self._vetted = stamp(folder)

    def _fetch(self, version: Version, folder: Path) -> None:
        draft = Path(mkdtemp(prefix=self._draft, dir=self._cache.folder))
        try:
            fetched = self._registry.fetch(version, draft)
            _vet(fetched, version)
            rmtree(folder, ignore_errors=True)
            fetched.rename(folder)
        finally:
            rmtree(draft, ignore_errors=True)


def _is_whole(folder: Path, version: Version) -> bool:
    try:
        _vet(folder, version)
    except ModelRefused:
        return False
    return True


def _vet(folder: Path, version: Version) -> None:
    """Raises ModelRefused, without the path of a draft that is gone when it is read."""
    try:
        found = Scorer.load(folder).model_id
    except ModelRefused as refused:
        told = str(refused).replace(f"{folder}: ", "")
        raise ModelRefused(f"version {version.version} ({version.model_id}): {told}") from None
    if found != version.model_id:
        raise ModelRefused(f"version {version.version} is {version.model_id}, its folder {found}")
