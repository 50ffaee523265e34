"""A dependency that keeps silent is away, like one that refuses."""

import asyncio

import pytest

from features.state import StateAway
from stream import patience
from stream.health import Health
from stream.patience import Patience


@pytest.fixture
def health(monkeypatch: pytest.MonkeyPatch) -> Health:
    monkeypatch.setattr(patience, "_SLOW_SECONDS", 0.01)
    health = Health()
    health.start()
    return health


def test_silence_is_said_while_it_lasts(health: Health) -> None:
    async def frozen() -> str:
        assert health.ready, "not before it was waited for"
        await asyncio.sleep(0.05)
        assert not health.ready
        assert set(health.waits) == {"redis"}
        return "answer"

    assert asyncio.run(Patience(health)("redis", frozen)) == "answer"
    assert health.ready


def test_what_answers_at_once_was_never_away(health: Health) -> None:
    async def calls() -> None:
        async def answer() -> None:
            assert health.ready

        for _ in range(3):
            await Patience(health)("redis", answer)
        await asyncio.sleep(0.03)

    asyncio.run(calls())
    assert health.ready


def test_away_is_asked_again(health: Health) -> None:
    answers = iter([StateAway("away"), StateAway("away"), "answer"])

    async def call() -> str:
        answer = next(answers)
        if isinstance(answer, StateAway):
            raise answer
        assert not health.ready
        return answer

    assert asyncio.run(Patience(health)("redis", call)) == "answer"
    assert health.ready


def test_an_error_leaves_nothing_behind(health: Health) -> None:
    async def calls() -> None:
        async def wrong() -> None:
            raise ValueError("wrong")

        with pytest.raises(ValueError, match="wrong"):
            await Patience(health)("redis", wrong)
        await asyncio.sleep(0.03)

    asyncio.run(calls())
    assert health.ready
