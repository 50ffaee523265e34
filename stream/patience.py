"""Waiting for Redis and Kafka: the one place where `away` becomes `ask again`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from features.state import StateAway
from stream.health import Health
from stream.kafka_client import KafkaAway

T = TypeVar("T")

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_SLOW_SECONDS = 2.0
"""What takes longer is away for whoever waits for a decision: a frozen Redis refuses no connection."""


class Patience:
    """Makes calls until what they ask answers. Waiting is said in health and metrics."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def __call__(self, dependency: str, call: Callable[[], Awaitable[T]]) -> T:
        """The call's answer; it is made again, as it was, while `dependency` is away."""
        attempt = 0
        while True:
            try:
                with self.slow(dependency):
                    answer = await call()
            except (StateAway, KafkaAway) as away:
                self._health.waiting(dependency, str(away))
                await asyncio.sleep(_SECONDS[min(attempt, len(_SECONDS) - 1)])
                attempt += 1
            else:
                self._health.answered(dependency)
                return answer

    @contextmanager
    def slow(self, dependency: str) -> Iterator[None]:
        """Says that `dependency` is away if this takes long; whoever uses it says when it answered."""
        late = asyncio.get_running_loop().call_later(
            _SLOW_SECONDS, self._health.waiting, dependency, f"no answer for {_SLOW_SECONDS:.0f} s"
        )
        try:
            yield
        finally:
            late.cancel()

    async def blocking(self, dependency: str, call: Callable[..., T], *args: object) -> T:
        """The same for a call that blocks: it is made in a thread."""
        return await self(dependency, lambda: in_thread(call, *args))


async def in_thread(call: Callable[..., T], *args: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, call, *args)
