"""A topic that is gone is waited for; one that comes back as another makes the worker begin anew."""

import asyncio

import pytest

from stream.fence import Fence
from stream.health import Health

IDS = {"transactions": "t", "fraud-reports": "r"}


class Left(Exception):
    pass


def leave() -> None:
    raise Left


def started() -> Health:
    health = Health()
    health.start()
    return health


def test_the_same_topics_pass() -> None:
    fence = Fence(IDS, started(), leave)
    fence.look(IDS)
    fence.obey()
    asyncio.run(fence.passed())
    assert not fence.closed


def test_a_missing_topic_is_waited_for() -> None:
    async def scene() -> None:
        health = started()
        fence = Fence(IDS, health, leave)
        fence.look({**IDS, "transactions": None})
        assert fence.closed
        assert not health.ready
        fence.obey()  # nothing is known to be another
        waiting = asyncio.create_task(fence.passed())
        await asyncio.sleep(0)
        assert not waiting.done()
        fence.look(IDS)
        await waiting
        assert health.ready

    asyncio.run(scene())


def test_another_id_begins_anew_only_where_it_is_asked() -> None:
    async def scene() -> None:
        fence = Fence(IDS, started(), leave)
        fence.look({**IDS, "fraud-reports": None})
        waiting = asyncio.create_task(fence.passed())
        await asyncio.sleep(0)
        fence.look({**IDS, "fraud-reports": "another"})
        assert fence.closed
        with pytest.raises(Left):
            await waiting
        fence.look(IDS)  # whatever is said later
        assert fence.closed
        with pytest.raises(Left):
            fence.obey()

    asyncio.run(scene())
