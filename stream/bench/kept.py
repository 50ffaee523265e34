"""What is slow to make and the same every time: a Redis that holds a history, and a model.

Kept below `.vigia/bench/<source>/`; a new layout of the state, a new catalog or another default
recipe makes them anew.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deploy.local import save_dump, start_redis
from features.catalog import FEATURES_VERSION, NAMES
from features.files import read_reports, read_transactions
from features.redis_plan import LAYOUT_VERSION
from features.redis_state import RedisState
from features.replay import answers, build, merged
from models import params
from models.dataset import read_rows, start_of
from models.labels import label, read_verdicts
from models.params import Recipe
from models.registry import FORMAT, save
from models.train import Task, train
from stream.bench import sorted_sets
from stream.bench.sources import Source

Say = Callable[[str], None]

_SEED = 7


@dataclass(frozen=True)
class Kept:
    """The folder of one source."""

    source: Source
    folder: Path
    say: Say
    recipe: Recipe | None = None
    """Of the model; None: as `vigia models train`."""

    @property
    def model(self) -> Path:
        """Where the model lies that belongs to this catalog, format and recipe, once `state` has made it."""
        recipe = hashlib.sha256(Path(params.__file__).read_bytes()).hexdigest()[:8]
        return self.folder / f"model-{FORMAT}-{FEATURES_VERSION}-{recipe}"

    def state(self) -> Path:
        """A dump of Vigia's state after the source's history."""
        dump = self.folder / f"state-{LAYOUT_VERSION}.rdb"
        lacking = self.source.train is not None and not (self.model / "model.json").exists()
        if lacking:
            self._make(dump, self._build_and_train)
        elif not dump.exists():
            self._make(dump, self._load)
        return dump

    def baseline_state(self) -> Path:
        """A dump of the baseline's sorted sets after the source's history."""
        dump = self.folder / "sorted-sets.rdb"
        if not dump.exists():
            self._make(dump, lambda url: sorted_sets.fill(url, self._payments(), self._told))
        return dump

    def forget(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _payments(self) -> Iterator[sorted_sets.Payment]:
        """Those that a window of the stream can still see."""
        history = read_transactions(self.source.history.transactions)
        oldest = history.times[-1] - sorted_sets.LONGEST
        for it in history.events():
            if it.occurred_at > oldest:
                yield it.event_id, it.occurred_at, it.amount, (it.payer_account, it.payee_account)

    def _make(self, dump: Path, fill: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        with _filling(dump) as url:
            asyncio.run(fill(url))
            save_dump(url)

    async def _load(self, url: str) -> None:
        history = self.source.history
        payments = read_transactions(history.transactions)
        labels = read_reports(history.reports) if history.reports else None
        of, done = len(payments) + (len(labels) if labels else 0), 0
        state = await RedisState.connect(url)
        async for entries, _ in answers(state, merged(payments, labels)):
            done += len(entries)
            self._told(done, of)
        await state.close()

    async def _build_and_train(self, url: str) -> None:
        """Through `features build` itself, for the vectors are what the model is trained on."""
        history, out = self.source.history, self.folder / "features.parquet"
        state = await RedisState.connect(url)
        await build(history.transactions, history.reports, out, state, self._told)
        await state.close()
        self._train(out)
        out.unlink()

    def _train(self, features: Path) -> None:
        span, reports = self.source.train, self.source.history.reports
        assert span is not None
        assert reports is not None
        as_of = span.last + timedelta(days=8)
        rows = read_rows(features, span, NAMES, FEATURES_VERSION)
        self.say(f"training on {len(rows):,} payments")
        y = label(rows, read_verdicts(reports), start_of(as_of))
        task = Task("pix-fraud", span, as_of, NAMES, FEATURES_VERSION, seed=_SEED, recipe=self.recipe)
        save(self.model, train(task, rows, y, self.say))

    def _told(self, done: int, of: int) -> None:
        self.say(f"{done:,} of {of:,} events of the history")


@contextmanager
def _filling(dump: Path) -> Iterator[str]:
    """The URL of an empty Redis; what it saved is at `dump` afterwards, whole."""
    with TemporaryDirectory(prefix="vigia-bench-") as name:
        folder = Path(name)
        service = start_redis(folder, persistent=False, dump=folder / "dump.rdb")
        try:
            yield service.address
        finally:
            service.kill()
        part = dump.with_name(dump.name + ".part")
        shutil.copyfile(folder / "dump.rdb", part)
        part.replace(dump)
