"""A topic deleted and made anew under its old name: noticed by its id, and nothing of it is skipped.

Offsets begin again in the new topic, but Kafka's consumers and their commits go by names. The group's
coordinator forgets what was committed when a topic is deleted (KAFKA-2000), which a worker of the old topic
undoes when it commits a moment later. So three things stand against that:

- every commit carries the topic's id as its metadata; one of another id means nothing (`KafkaLog.stands`);
- while the fence is closed nothing is acknowledged or committed;
- a worker that finds other ids begins anew, as a new process: nothing of the old topic stays in memory.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from stream.health import Health

log = logging.getLogger("vigia.fence")


class Fence:
    """Closed while the input topics are not those that this worker began with."""

    def __init__(self, ids: Mapping[str, str], health: Health, begin_anew: Callable[[], None]) -> None:
        """`ids`: topic ids by short name. `begin_anew` does not return (in tests it may)."""
        self.ids = dict(ids)
        self._health, self._begin_anew = health, begin_anew
        self._why = ""
        self.others: frozenset[str] = frozenset()
        """Topics that another one has the name of now: nothing of theirs can be read again."""
        self._open, self._settled = True, asyncio.Event()
        self._settled.set()

    @property
    def closed(self) -> bool:
        """May be asked from any thread."""
        return not self._open

    def look(self, found: Mapping[str, str | None]) -> None:
        """What the brokers know now. Once a topic has another id, the fence stays closed."""
        others = [name for name, topic_id in found.items() if topic_id not in (None, self.ids[name])]
        missing = [name for name, topic_id in found.items() if topic_id is None]
        if others:
            self.others |= frozenset(others)
            self.close(f"{', '.join(others)} was deleted and made anew")
        elif missing and not self._why:
            self._open = False
            self._settled.clear()
            self._health.waiting("topics", f"{', '.join(missing)} is not there: run `vigia topics`")
        elif not self._why:
            self._open = True
            self._settled.set()
            self._health.answered("topics")

    def close(self, why: str) -> None:
        """For good: this process is to begin anew at the next `obey`."""
        self._open, self._why = False, why
        self._settled.set()

    def obey(self) -> None:
        """Begin anew if need be. To be called where nothing that the state took is still to be delivered: a
        new topic's reader would take it for a repeat of what was decided."""
        if self._why:
            log.critical("beginning anew: %s", self._why)
            self._begin_anew()

    async def passed(self) -> None:
        """Return when the topics are there as they were; begin anew when they come back as others."""
        await self._settled.wait()
        self.obey()
