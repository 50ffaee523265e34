"""The state made anew: from the topics, as healing makes it, or from a history in files."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import VigiaError
from features.redis_state import RedisState
from features.state import LogId
from models.extras import train_extra
from stream.audit.inputs import Inputs
from stream.audit.replay import Read, Replay, read
from stream.audit.store import Count, erase, is_empty, refuse_another

if TYPE_CHECKING:
    from features.files import History

_BATCH = 4096

Progress = Callable[[int, int], None]


async def make_room(state: RedisState, group: str, flush: bool, on_count: Count = lambda _: None) -> int:
    """Leave the state empty and the group's; how many keys were deleted. Raises VigiaError unless it may.

    Another group's state stays as it is. The claim comes first and outlives the deletion, so that no other
    group can take the state meanwhile.
    """
    refuse_another(await state.owner(), group)
    if not flush and not await is_empty(state):
        raise VigiaError("the state is not empty: give --flush to delete it first (no other key is touched)")
    refuse_another(await state.claim(group), group)
    return await erase(state, on_count) if flush else 0


async def from_topics(inputs: Inputs, state: RedisState, on_progress: Progress = lambda *_: None) -> int:
    """Apply all that is committed, in record time; how many records that was.

    One batch is read and decoded while Redis applies the one before it. Raises StateAway, KafkaAway: begin
    again then, with --flush.
    """
    stands = inputs.stands()
    start = {place: stand.start for place, stand in stands.items()}
    stop = {place: stand.committed for place, stand in stands.items()}
    size = sum(stop.values()) - sum(start.values())
    records, replay, done = inputs.records(start, stop), Replay(state, inputs.logs, start), 0

    def next_batch() -> list[Read]:
        return read(islice(records, _BATCH))

    ahead = asyncio.create_task(asyncio.to_thread(next_batch))
    while batch := await ahead:
        ahead = asyncio.create_task(asyncio.to_thread(next_batch))
        await replay.apply(batch)
        done += len(batch)
        on_progress(done, size)
    await replay.reach(stop)
    return done


@dataclass(frozen=True)
class Files:
    """A history, read and checked whole."""

    payments: "History"
    labels: "History | None"
    log: LogId


def read_files(transactions: Path, reports: Path | None) -> Files:
    """Before anything is deleted for it. Raises BadInput, and VigiaError without the extra `train`."""
    with train_extra():
        from features.files import read_reports, read_transactions
        from features.replay import history_log

    labels = read_reports(reports) if reports else None
    # Its own log, so that `features build --redis` won't count it again.
    return Files(read_transactions(transactions), labels, history_log(transactions))


async def from_files(files: Files, state: RedisState, on_progress: Progress = lambda *_: None) -> int:
    """Apply a history in event time; how many events that was. Raises StateAway."""
    from features.replay import answers, merged

    size, done = len(files.payments) + (len(files.labels) if files.labels else 0), 0
    async for entries, _ in answers(state, merged(files.payments, files.labels), files.log):
        done += len(entries)
        on_progress(done, size)
    return done
