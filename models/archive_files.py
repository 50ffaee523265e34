"""The folder of `vigia features archive`, as its writer and its readers know it.

    archive.json                               what counts: next offset of each log, by topic id and partition
    features|decisions|reports/DAY/PART.parquet

A part is named for the offsets [start, stop) that it was made from. It counts once `archive.json`, which is
replaced last, has come to its `stop`; what lies beyond was left by a run that was killed.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from features.errors import BadInput

MARK = "archive.json"
FORMAT = 1
FEATURES, DECISIONS, REPORTS = KINDS = ("features", "decisions", "reports")

Offsets = dict[str, dict[int, int]]
"""Topic id → partition → next offset."""

_NAME = re.compile(r"(\d{5})-(\d{15})-(\d{15})-(.+?)(?:\.\d+)?\.parquet")


class Stretch(NamedTuple):
    """Offsets [start, stop) of one partition of a topic that has this id."""

    topic_id: str
    partition: int
    start: int
    stop: int

    def file_name(self, number: int = 0) -> str:
        """`number` tells files of one stretch and day apart."""
        more = f".{number}" if number else ""
        return f"{self.partition:05d}-{self.start:015d}-{self.stop:015d}-{self.topic_id}{more}.parquet"

    def counts(self, offsets: Offsets) -> bool:
        """Whether what was archived comes to its stop."""
        return self.stop <= offsets.get(self.topic_id, {}).get(self.partition, -1)


def stretch_of(file: Path) -> Stretch | None:
    """What a part was made from; None for a file that is no part."""
    found = _NAME.fullmatch(file.name)
    return Stretch(found[4], int(found[1]), int(found[2]), int(found[3])) if found else None


@dataclass(frozen=True)
class Contents:
    """`archive.json`: whose topics these are, and the next offsets by kind."""

    prefix: str
    group: str
    offsets: dict[str, Offsets]

    def text(self) -> str:
        return json.dumps(
            {"format": FORMAT, "prefix": self.prefix, "group": self.group, "next": self.offsets}, indent=1
        )


def read_contents(folder: Path) -> Contents:
    """Raises BadInput for a folder whose `archive.json` can't be read."""
    try:
        found: dict[str, Any] = json.loads((folder / MARK).read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise BadInput(f"{folder} is an archive of format {found['format']}, this version reads {FORMAT}")
        offsets = {
            kind: {topic_id: {int(p): at for p, at in logs.items()} for topic_id, logs in topics.items()}
            for kind, topics in found["next"].items()
        }
        return Contents(found["prefix"], found["group"], offsets)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{folder / MARK} can't be read ({error!r}): restore it, or archive anew") from None


def archived_files(path: Path, kind: str) -> list[Path] | None:
    """The parts that count, by day and name, of an archive or of its folder `kind`; None: it is neither."""
    root = path if (path / MARK).exists() else path.parent
    if not (root / MARK).exists() or path not in (root, root / kind):
        return None
    offsets = read_contents(root).offsets.get(kind, {})
    parts = [(file, stretch_of(file)) for file in sorted((root / kind).glob("*/*.parquet"))]
    return [file for file, stretch in parts if stretch and stretch.counts(offsets)]
