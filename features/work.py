"""The work folder of a build, `<out>.work`: what a build that was killed goes on from.

It holds the vectors so far in parts, a dump of the Redis that they were made with, and `checkpoint.json`,
which says how far both go and what they belong to. A checkpoint counts once that file is replaced, which
comes last; what lies in the folder beyond it is of no account.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from features.catalog import FEATURES_VERSION
from features.errors import BadInput
from features.lock import only_one
from features.redis_plan import LAYOUT_VERSION, SCRIPT
from features.vector_file import check_out, sync

GOOD_FOR = 30 * 86_400
"""Seconds: Redis forgets what is in an old dump, since expiry goes by the clock of the wall."""

_CHECKPOINT, _LOCK, _DUMP = "checkpoint.json", "lock", "state.rdb"


def fingerprint(file: Path) -> str:
    """32 hexadecimal digits of the whole content (a gigabyte takes a second or two). Raises BadInput."""
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except FileNotFoundError:
        raise BadInput(f"{file}: there is no such file") from None
    except OSError as error:
        raise BadInput(f"{file}: can't be read: {error.strerror}") from None


def belongings(transactions: Path, reports: Path | None) -> dict[str, str]:
    """What vectors depend on: the content of the inputs, the catalog, the script and its layout."""
    return {
        "transactions": fingerprint(transactions),
        "reports": fingerprint(reports) if reports else "",
        "features_version": FEATURES_VERSION,
        "layout_version": LAYOUT_VERSION,
        "script": hashlib.blake2b(SCRIPT.encode(), digest_size=8).hexdigest(),
    }


@dataclass(frozen=True)
class Checkpoint:
    """How far a build is: the first `events` of `of` (rejected rows are in neither)."""

    events: int
    of: int
    parts: int = 0
    vectors: int = 0
    repeats: int = 0
    saved_at: float = 0.0
    """Seconds since 1970."""


class Work:
    """An open work folder. `dump` is the file that Redis is to load, if it is there, and to save to."""

    def __init__(self, folder: Path, belongs: dict[str, str], clock: Callable[[], float]) -> None:
        self.folder, self.dump = folder, folder / _DUMP
        self._belongs, self._clock = belongs, clock
        self.checkpoint = self._read()
        self.began_anew = self.checkpoint is None and (folder / _CHECKPOINT).exists()
        """The folder held a checkpoint of something else, or one that can't be used any more."""
        self.done = False
        self._prepare()

    def part(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.parquet"

    def parts(self) -> list[Path]:
        return [self.part(i) for i in range(self.checkpoint.parts if self.checkpoint else 0)]

    def keep(self, checkpoint: Checkpoint) -> None:
        """Go on from here henceforth. The parts are synced, and the dump is saved at `self.dump`."""
        old = self.checkpoint
        self.dump.replace(self._saved(checkpoint))
        self.checkpoint = replace(checkpoint, saved_at=self._clock())
        beside = self.folder / (_CHECKPOINT + ".part")
        beside.write_text(json.dumps({"belongs": self._belongs, **asdict(self.checkpoint)}))
        sync(beside)
        sync(self.folder)
        beside.replace(self.folder / _CHECKPOINT)
        sync(self.folder)
        if old and old.events != checkpoint.events:
            self._saved(old).unlink(missing_ok=True)

    def _saved(self, checkpoint: Checkpoint) -> Path:
        return self.folder / f"state-{checkpoint.events}.rdb"

    def _read(self) -> Checkpoint | None:
        """None if there is none, or none that can be gone on from."""
        try:
            found = json.loads((self.folder / _CHECKPOINT).read_text())
            if found.pop("belongs") != self._belongs:
                return None
            checkpoint = Checkpoint(**found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        needed = [self._saved(checkpoint), *map(self.part, range(checkpoint.parts))]
        fresh = 0 <= self._clock() - checkpoint.saved_at < GOOD_FOR
        return checkpoint if fresh and all(file.exists() for file in needed) else None

    def _prepare(self) -> None:
        """Only what the checkpoint counts stays, with the dump where Redis looks for it."""
        self.dump.unlink(missing_ok=True)
        if self.checkpoint:
            _linked(self._saved(self.checkpoint), self.dump)
            return
        (self.folder / _CHECKPOINT).unlink(missing_ok=True)
        for file in (*self.folder.glob("part-*.parquet"), *self.folder.glob("*.rdb")):
            file.unlink()


@contextmanager
def open_work(out: Path, belongs: dict[str, str], clock: Callable[[], float] = time.time) -> Iterator[Work]:
    """The work folder of `out`, made if absent; only one process has it open.

    It stays if the block ends early behind a checkpoint, and is gone if `done` was set or there is none.
    Raises BadInput if it can't be made, VigiaError if another build has it.
    """
    check_out(out)
    folder = out.with_name(out.name + ".work")
    with ExitStack() as stack:
        try:
            folder.mkdir(exist_ok=True)
            taken = f"{out} is being built by another process: wait for it, or end it"
            stack.enter_context(only_one(folder / _LOCK, taken))
        except OSError as error:
            raise BadInput(f"--out: the work folder {folder} can't be made: {error.strerror}") from None
        work = Work(folder.resolve(), belongs, clock)
        try:
            yield work
        finally:
            if work.done or work.checkpoint is None:
                shutil.rmtree(folder, ignore_errors=True)


def _linked(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
