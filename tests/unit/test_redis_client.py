"""Errors of the Redis client, and of the event loop below it, in our words."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from features.redis_client import aioredis, answer, dial
from features.state import StateAway


async def write_to_a_broken_connection() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
        writer.writelines([b"PING"])


def test_a_connection_that_uvloop_says_is_closed_is_redis_away() -> None:
    """As one of a cluster did whose primary was killed while a worker dialled: the worker left."""
    with pytest.raises(RuntimeError, match="the handler is closed"):
        uvloop.run(write_to_a_broken_connection())
    with pytest.raises(StateAway, match="the handler is closed"):
        uvloop.run(answer(write_to_a_broken_connection()))


def test_another_error_of_ours_is_not() -> None:
    async def wrong() -> None:
        raise RuntimeError("dictionary changed size during iteration")

    with pytest.raises(RuntimeError, match="changed size"):
        asyncio.run(answer(wrong()))


def dialled(monkeypatch: pytest.MonkeyPatch, info: Any) -> list[str]:
    """A client whose first call is `info`; what becomes of it."""
    told: list[str] = []

    async def aclose() -> None:
        told.append("closed")

    client = SimpleNamespace(info=lambda _section: info(), aclose=aclose)
    monkeypatch.setattr(aioredis, "from_url", lambda *_, **__: client)
    return told


def test_so_it_is_while_dialling(monkeypatch: pytest.MonkeyPatch) -> None:
    told = dialled(monkeypatch, write_to_a_broken_connection)
    with pytest.raises(StateAway, match="the handler is closed"):
        uvloop.run(dial("redis://127.0.0.1:1/0"))
    assert told == ["closed"]


def test_and_another_error_of_ours_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wrong() -> None:
        raise RuntimeError("dictionary changed size during iteration")

    told = dialled(monkeypatch, wrong)
    with pytest.raises(RuntimeError, match="changed size"):
        uvloop.run(dial("redis://127.0.0.1:1/0"))
    assert told == ["closed"]
