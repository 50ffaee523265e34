"""What is changed of Faust's consumer thread, beside its commits (tests/integration, tests/e2e)."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from types import SimpleNamespace

import pytest
from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaConnectionError

from stream import commits
from stream.commits import _FencedThread, send_or_close


async def fails() -> None:
    raise RuntimeError("not expected")


async def ends_cancelled() -> None:
    raise asyncio.CancelledError


async def looked_at(client: SimpleNamespace, looks: int) -> None:
    """The thread's task, so many times, on what it reaches of aiokafka."""

    async def timer(*_: object, **__: object) -> AsyncIterator[float]:
        for _look in range(looks):
            yield 1.0
            await asyncio.sleep(0)

    thread = SimpleNamespace(itertimer=timer, _ensure_consumer=lambda: SimpleNamespace(_client=client))
    await _FencedThread._keep_refreshing.fun(thread)


@pytest.mark.parametrize(("work", "why"), [(fails, "not expected"), (ends_cancelled, "cancelled")])
def test_metadata_that_are_no_longer_refreshed_are_refreshed_again(
    work: Callable[[], Coroutine[None, None, None]], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    refreshed = []

    async def refresh() -> None:
        refreshed.append(True)

    async def watch() -> None:
        dead = asyncio.create_task(work())
        await asyncio.wait({dead})
        client = SimpleNamespace(_sync_task=dead, _md_synchronizer=refresh)
        await looked_at(client, 2)
        assert client._sync_task is not dead
        await client._sync_task

    with caplog.at_level(logging.WARNING):
        asyncio.run(watch())
    assert refreshed
    assert why in caplog.text


def test_metadata_that_are_refreshed_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def watch() -> None:
        alive = asyncio.create_task(asyncio.sleep(60))
        client = SimpleNamespace(_sync_task=alive, _md_synchronizer=fails)
        await looked_at(client, 1)
        assert client._sync_task is alive
        alive.cancel()

    asyncio.run(watch())
    assert not caplog.text


def test_a_connection_that_uvloop_says_is_closed_is_a_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    reasons: list[object] = []
    connection = SimpleNamespace(close=lambda *, reason: reasons.append(reason))
    monkeypatch.setattr(commits, "_send", closed)
    with pytest.raises(KafkaConnectionError, match="the handler is closed"):
        send_or_close(connection, object())
    assert reasons == [CloseReason.CONNECTION_BROKEN]
