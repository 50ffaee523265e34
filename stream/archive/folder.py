"""An archive's folder, open for writing: parts first, then `archive.json`, each on the disk before the next.

So offsets and files count together or not at all, whenever the process is killed. (Kafka Connect's HDFS sink
does the same with offsets in file names and a write-ahead log; here one small file is the log.)
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import BadInput
from features.lock import only_one
from features.vector_file import sync
from models.archive_files import KINDS, MARK, Contents, Stretch, read_contents, stretch_of

_PASSING = ".part"
"""How a file ends that is being written."""


class Part(NamedTuple):
    """Rows of one UTC day."""

    day: str
    table: pa.Table


class Folder:
    """`next_offset` and `keep`; made by `open_folder`, which holds the lock."""

    def __init__(self, root: Path, contents: Contents) -> None:
        self.root, self._contents = root, contents

    def next_offset(self, kind: str, topic_id: str, partition: int) -> int | None:
        """None: nothing of that partition was archived yet."""
        return self._contents.offsets.get(kind, {}).get(topic_id, {}).get(partition)

    def keep(self, kind: str, stretch: Stretch, parts: Sequence[Part]) -> None:
        """Archive what a stretch came to: all of it once this returns, nothing before."""
        days: dict[Path, int] = {}
        for part in parts:
            day = self.root / kind / part.day
            self._write(day / stretch.file_name(days.setdefault(day, 0)), part.table)
            days[day] += 1
        for day in days:
            sync(day)
        if days:
            sync(self.root / kind)
        self._commit(kind, stretch)

    def _write(self, file: Path, table: pa.Table) -> None:
        if not file.parent.exists():
            file.parent.mkdir(parents=True)
        beside = file.with_name(f"_{file.name}{_PASSING}")
        pq.write_table(table, beside, compression="zstd")
        sync(beside)
        beside.replace(file)

    def _commit(self, kind: str, stretch: Stretch) -> None:
        offsets = deepcopy(self._contents.offsets)
        offsets.setdefault(kind, {}).setdefault(stretch.topic_id, {})[stretch.partition] = stretch.stop
        contents = replace(self._contents, offsets=offsets)
        _write_contents(self.root, contents)
        self._contents = contents

    def clear(self) -> int:
        """Delete what does not count: how many files a killed run left."""
        left = [
            file for kind in KINDS for file in (self.root / kind).glob("*/*") if self._is_left(kind, file)
        ]
        for file in left:
            file.unlink()
        return len(left)

    def _is_left(self, kind: str, file: Path) -> bool:
        if file.name.endswith(_PASSING):
            return True
        stretch = stretch_of(file)
        return stretch is not None and not stretch.counts(self._contents.offsets.get(kind, {}))


def _write_contents(root: Path, contents: Contents) -> None:
    beside = root / f"_{MARK}{_PASSING}"
    beside.write_text(contents.text(), encoding="utf-8")
    sync(beside)
    beside.replace(root / MARK)
    sync(root)


@contextmanager
def open_folder(root: Path, prefix: str, group: str) -> Iterator[Folder]:
    """The archive at `root`, begun if there is none; what a killed run left is deleted.

    Raises BadInput if it can't be made or is of other topics, VigiaError if another process writes it.
    """
    with ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            taken = f"another process archives to {root}: wait for it, or end it"
            stack.enter_context(only_one(root / ".lock", taken))
        except OSError as error:
            raise BadInput(
                f"--out: {root} should be a folder that can be written ({error.strerror})"
            ) from None
        folder = Folder(root, _contents(root, prefix, group))
        folder.clear()
        yield folder


def _contents(root: Path, prefix: str, group: str) -> Contents:
    if not (root / MARK).exists():
        if any(file.name[0] not in "._" for file in root.iterdir()):
            raise BadInput(f"--out: {root} holds files and is no archive; name an empty or a new folder")
        _write_contents(root, Contents(prefix, group, {}))
    found = read_contents(root)
    if (found.prefix, found.group) != (prefix, group):
        raise BadInput(
            f"--out: {root} is of topics {found.prefix}* and group {found.group}, not {prefix}* and {group}: "
            "set VIGIA_TOPIC_PREFIX and VIGIA_GROUP_ID, or name another folder"
        )
    return found
