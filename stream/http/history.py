"""What lies on the log already: the outcomes of the last 15 minutes, and single records."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from features.transaction import Transaction
from stream.dead_letter import Rejected
from stream.http.outcome import OUTCOMES, Ours, Outcome, Place, Source
from stream.http.tail import read_outcome
from stream.kafka_log import KafkaLog
from stream.messages import decode_transaction
from stream.record import TRANSACTIONS
from stream.settings import Settings
from stream.stands import Place as Partition

T = TypeVar("T")

_AT_A_TIME = 1000
_WAIT_MS = 5


class History:
    """Reads with a consumer of its own, one read at a time, in a thread of its own."""

    def __init__(self, settings: Settings, ours: Ours) -> None:
        self._log, self._ours = KafkaLog(settings, _WAIT_MS), ours
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="history")
        self.topic_id: str | None = None
        """Of `transactions`, as last seen: what lies on another topic of that name can't be read."""

    async def look_up_leaders(self) -> None:
        """Hear of partitions that came. Raises KafkaAway, TopicsMissing."""
        await self._in_thread(self._look_up_leaders)

    def _look_up_leaders(self) -> None:
        for topic in (TRANSACTIONS, *OUTCOMES):
            self._log.extents(topic)

    async def load(self, since: int, take: Callable[[list[Outcome]], None]) -> dict[Partition, int]:
        """Hand over all outcomes that were recorded at `since` (ms) or later; where they end.

        Raises KafkaAway, TopicsMissing.
        """
        loop = asyncio.get_running_loop()
        return await self._in_thread(lambda: self._load(since, lambda o: loop.call_soon_threadsafe(take, o)))

    def _load(self, since: int, take: Callable[[list[Outcome]], object]) -> dict[Partition, int]:
        ends = {}
        self._log.extents(
            TRANSACTIONS
        )  # its leaders are known then: the first look-up does not wait for them
        for topic in OUTCOMES:
            for partition, (start, end) in self._log.extents(topic, since).items():
                ends[topic, partition] = end
                for outcomes in self._outcomes(topic, partition, start, end):
                    take(outcomes)
        return ends

    def _outcomes(self, topic: str, partition: int, start: int, end: int) -> Iterator[list[Outcome]]:
        found: list[Outcome] = []
        for message in self._log.messages(topic, partition, start, end):
            if outcome := read_outcome(self._ours, topic, message):
                found.append(outcome)
            if len(found) == _AT_A_TIME:
                yield found
                found = []
        yield found

    async def outcome(self, place: Place) -> Outcome | None:
        """Raises KafkaAway."""
        return await self._in_thread(lambda: self._outcome(place))

    def _outcome(self, place: Place) -> Outcome | None:
        topic, partition, offset = place
        with closing(self._log.messages(topic, partition, offset, offset + 1)) as messages:
            return next((read_outcome(self._ours, topic, message) for message in messages), None)

    async def order(self, source: Source) -> Transaction | None:
        """Raises KafkaAway."""
        if source.topic_id is not None and source.topic_id != self.topic_id:
            return None
        return await self._in_thread(lambda: self._order(source))

    def _order(self, source: Source) -> Transaction | None:
        at = source.offset
        for record in self._log.records(TRANSACTIONS, source.partition, at, at + 1, 1):
            try:
                return decode_transaction(record.value, record.timestamp)
            except Rejected:
                return None
        return None

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
