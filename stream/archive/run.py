"""One run of the archive: from where the last one ended to where the topics ended when this one began."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from confluent_kafka import Message

from features.errors import VigiaError
from models.archive_files import Stretch
from stream.archive.folder import Folder
from stream.archive.tables import ARCHIVED, Kind, Row, Skipped
from stream.kafka_log import KafkaLog

ROWS = 32_768
"""Records read, written and committed at a time: what is in memory, and what a kill costs at most."""

Progress = Callable[[int, int], None]


@dataclass
class Summary:
    """What a run did; `archived` by kind."""

    archived: Counter[str] = field(default_factory=Counter)
    parts: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Records that are not archived, by why."""
    lost: Counter[str] = field(default_factory=Counter)
    """Records of a topic that the broker had deleted before this run came to them."""


class _Left(NamedTuple):
    """What is left of one partition: [start, end)."""

    kind: Kind
    topic_id: str
    partition: int
    start: int
    end: int


def archive(
    log: KafkaLog, folder: Folder, group: str, on_progress: Progress = lambda *_: None, rows: int = ROWS
) -> Summary:
    """Archive all that the three topics hold now. Killed at any time, the next run goes on exactly there.

    `on_progress(done, of)` counts records. Raises KafkaAway, TopicsMissing, and VigiaError if a topic ends
    before what was archived of it.
    """
    summary = Summary()
    ids, _ = log.describe(tuple(kind.topic for kind in ARCHIVED))
    left = [part for kind in ARCHIVED for part in _left(kind, ids, log, folder, summary)]
    done, size = 0, sum(part.end - part.start for part in left)
    on_progress(0, size)
    for part in left:
        for stretch, messages in _stretches(log, part, rows):
            found = list(_rows(part.kind, messages, group.encode(), summary))
            tables = list(part.kind.parts(found))
            folder.keep(part.kind.name, stretch, tables)
            summary.archived[part.kind.name] += len(found)
            summary.parts += len(tables)
            done += stretch.stop - stretch.start
            on_progress(done, size)
    return summary


def _left(
    kind: Kind, ids: Mapping[str, str], log: KafkaLog, folder: Folder, summary: Summary
) -> Iterator[_Left]:
    topic_id = _in_names(ids[kind.topic])
    for partition, (first, end) in sorted(log.extents(kind.topic).items()):
        known = folder.next_offset(kind.name, topic_id, partition)
        start = first if known is None else max(first, known)
        if known is not None and known > end:
            raise VigiaError(
                f"{kind.topic}[{partition}] ends at {end}, and {known} were archived: Kafka lost records. "
                "Archive to a new folder; this one holds what is gone"
            )
        if known is None:  # noted, so that what is deleted before the next run is noticed
            folder.keep(kind.name, Stretch(topic_id, partition, start, start), [])
        elif first > known:
            summary.lost[kind.topic] += first - known
        yield _Left(kind, topic_id, partition, start, end)


def _in_names(topic_id: str) -> str:
    """As Kafka writes it, base64 for URLs; librdkafka tells it in the base64 that has slashes."""
    return topic_id.replace("/", "_").replace("+", "-")


def _stretches(log: KafkaLog, left: _Left, rows: int) -> Iterator[tuple[Stretch, list[Message]]]:
    """Stretches of at most so many records that follow one another to the end."""
    start = left.start
    with closing(log.messages(left.kind.topic, left.partition, start, left.end)) as messages:
        while start < left.end:
            read = list(islice(messages, rows))
            stop = (read[-1].offset() or 0) + 1 if len(read) == rows else left.end
            yield Stretch(left.topic_id, left.partition, start, stop), read
            start = stop


def _rows(kind: Kind, messages: list[Message], group: bytes, summary: Summary) -> Iterator[Row]:
    for message in messages:
        try:
            yield kind.row(message, group)
        except Skipped as skipped:
            summary.skipped[str(skipped)] += 1
        except (ValueError, KeyError, TypeError):  # another program's: ours are as the contract says
            summary.skipped["unreadable"] += 1
