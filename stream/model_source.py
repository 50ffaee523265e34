"""Where the served model comes from: a folder, or an alias in a registry by way of a cache.

Whatever changes there is loaded and warmed beside the batches, in a thread, and taken between two of them;
what can't be loaded is refused, and what served before goes on. A registry is watched by a child process
(`vigia models watch`) that brings models into the cache; this process sees the cache alone, so a registry
that is away, or slow, or broken never reaches a decision.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from features.transaction import Transaction
from models.model_cache import SCHEME, Address, Look, ModelCache, stamp
from models.registry import ModelRefused
from models.scorer import Scorer
from stream import metrics
from stream.health import Health
from stream.judge import Judge

log = logging.getLogger("vigia.model")

T = TypeVar("T")

_START_SECONDS = 0.2
_CHILD_SECONDS, _CHILD_MOST_SECONDS = 5.0, 300.0
_SILENT_SECONDS = 30.0
_WARM_SIZES = (1, 64, 512)
_LOOK_YOURSELF = "`vigia models watch` shows why"


class PlainFolder:
    """One folder; whatever is put into it serves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder(self) -> Path:
        """The folder."""
        return self._folder


class Followed:
    """An alias in a registry, as the watcher last told of it."""

    def __init__(self, address: Address, cache: Path) -> None:
        self._address = address
        self._cache = ModelCache(cache, address)
        self._child = WatcherProcess(address, cache)
        self._began = time.time()
        """What an earlier process left behind is older, and no answer."""
        self._refused: str | None = None
        self._answers: bool | None = None

    def folder(self) -> Path | None:
        """The folder that is to serve now; None: there is none yet."""
        self._child.keep()
        told = self._cache.told()
        self._observe(told)
        return self._cache.current()

    def reason(self) -> str:
        """Why there is none, or no good one."""
        told = self._cache.told()
        if told is None or told.at < self._began:
            return f"{self._address}: the registry has not answered yet; {_LOOK_YOURSELF}"
        if (silent := time.time() - told.at) > _SILENT_SECONDS:
            return f"{self._address}: nothing was heard of it for {silent:.0f} s; {_LOOK_YOURSELF}"
        return told.error or told.refused or f"{self._address}: what the registry names can't be loaded"

    def is_named(self) -> bool:
        """Whether the alias names a model, as far as is known."""
        told = self._cache.told()
        return told is None or told.named

    def is_hopeless(self) -> bool:
        """Whether this process was told that there is no model to wait for."""
        told = self._cache.told()
        fresh = told is not None and told.at >= self._began
        return bool(fresh and told and (told.error or told.refused or not told.named))

    def _observe(self, told: Look | None) -> None:
        since = max(self._began, time.time() - _SILENT_SECONDS)
        answers = told is not None and told.error is None and told.at >= since
        metrics.REGISTRY_ANSWERS.set(answers)
        if answers != self._answers:
            if answers:
                log.info("the registry answers: %s", self._address)
            else:
                log.warning("the registry gives no model, the last one goes on: %s", self.reason())
        refused = told.refused if told else None
        if refused and refused != self._refused:
            metrics.MODEL_REFUSED.inc()
            log.error("a model is refused, what served goes on: %s", refused)
        self._answers, self._refused = answers, refused


class WatcherProcess:
    """`vigia models watch` as a child that ends with this process, however that ends, and is begun again."""

    def __init__(self, address: Address, cache: Path) -> None:
        # What is written to its standard input is nothing: it ends when the pipe does.
        self._command = [
            *(sys.executable, "-m", "stream.cli", "models", "watch", str(address)),
            *("--cache", str(cache), "--with-parent"),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._begun, self._failures = -_CHILD_SECONDS, 0
        """`_failures`: how often it ended soon, one after the other."""

    def keep(self) -> None:
        """Begin it if it is not there: after five seconds, and twice as long each time that it ends soon,
        for to begin costs seconds of a core."""
        now = time.monotonic()
        gone = self._process is None or self._process.poll() is not None
        if gone and now >= self._begun + min(_CHILD_SECONDS * 2**self._failures, _CHILD_MOST_SECONDS):
            self._failures = self._failures + 1 if 0 <= now - self._begun < _CHILD_MOST_SECONDS else 0
            self.end()
            self._begun = now
            try:
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
                )
            except OSError as error:  # no memory for it, say: a model less, not a worker less
                log.error("the watcher of the registry can't be started: %s", error)

    def end(self) -> None:
        """Close the pipe: it ends by itself."""
        if self._process and self._process.stdin:
            self._process.stdin.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None


class ModelSource(Generic[T]):
    """Loads what a place has, each time that it changes."""

    def __init__(self, place: PlainFolder | Followed, make: Callable[[Scorer], T]) -> None:
        """`make` gives what serves, warmed; it runs in a thread. Whatever it raises refuses the model."""
        self._place, self._make = place, make
        self._seen: tuple[object, ...] = ()
        """The files of the latest one that was tried."""
        self._found: tuple[object, ...] = ()
        self.model_id = ""
        """Of what was loaded last."""

    def look(self) -> T | None:
        """What is to serve from now on; None: as before. What is refused is counted and told in the log."""
        folder = self._place.folder()
        found, self._found = self._found, stamp(folder) if folder else ()
        if not folder or self._found in ((), self._seen) or found != self._found:
            return None  # nothing new, or files that were still changing a moment ago
        self._seen = self._found
        try:
            scorer = Scorer.load(folder)
            return None if scorer.model_id == self.model_id else self._loaded(scorer)
        except Exception as error:  # ONNX Runtime and numpy raise many types of their own
            metrics.MODEL_REFUSED.inc()
            log.error("a model is refused, what served goes on: %s", error)
            return None

    def first(self, health: Health) -> T:
        """What serves first. Of a folder: raises ModelRefused. Of a registry: waits, and says so."""
        if isinstance(self._place, PlainFolder):
            folder = self._place.folder()
            self._seen = stamp(folder)
            return self._loaded(Scorer.load(folder))
        while (made := self.look()) is None:
            health.waiting("model", self._place.reason())
            time.sleep(_START_SECONDS)
        health.answered("model")
        return made

    def _loaded(self, scorer: Scorer) -> T:
        made = self._make(scorer)
        if self.model_id:
            metrics.MODEL_INFO.remove(self.model_id)
        self.model_id = scorer.model_id
        metrics.MODEL_INFO.labels(scorer.model_id).set(1)
        log.info("a model is loaded", extra={"fields": {"model": scorer.model_id}})
        return made


def place_of(model: Path, cache: Path) -> PlainFolder | Followed:
    """Of VIGIA_MODEL and VIGIA_MODEL_CACHE."""
    text = os.fspath(model)
    return Followed(Address.parse(text), cache) if text.startswith(SCHEME) else PlainFolder(model)


def warmed(judge: Judge, scorer: Scorer) -> Judge:
    """The same, after batches of several sizes with reasons. Raises ModelRefused if they can't be judged."""
    payment = Transaction("warm", 0, 1, "payer", "payee")
    for size in _WARM_SIZES:
        matrix = np.zeros((size, scorer.n_features), np.float32)
        matrix[1::2] = np.nan
        # As if sent again, for such are never approved: each gets its reasons.
        if None in judge.judge([payment] * size, matrix, [True] * size):
            raise ModelRefused(f"{scorer.model_id}: a plain payment can't be judged by it")
    return judge
