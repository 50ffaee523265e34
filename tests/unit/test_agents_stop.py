"""A stop that Faust does not finish."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace

import pytest

from stream import agents
from stream.health import Health
from stream.settings import Settings

LEAVING = "from time import sleep; from stream.leaving import leave_after; leave_after(0.05); sleep(30)"

APART = "import atexit, os; atexit.register(os.abort); from stream.leaving import leave; leave(3)"


def test_who_leaves_takes_nothing_apart() -> None:
    assert subprocess.run([sys.executable, "-c", APART], timeout=25).returncode == 3


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_who_leaves_needs_nobody_to_tell(closed: str) -> None:
    command = f'exec "$0" -c "$1" {closed}'
    assert subprocess.run(["sh", "-c", command, sys.executable, APART], timeout=25).returncode == 3


def test_a_process_that_does_not_stop_leaves() -> None:
    done = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, text=True, timeout=25)
    assert done.returncode == 1
    assert "Faust did not stop within 0.05 s" in done.stderr


def test_one_that_stops_in_time_is_left_alone() -> None:
    in_time = LEAVING.replace("0.05", "30").replace("sleep(30)", "sleep(0)")
    assert subprocess.run([sys.executable, "-c", in_time], timeout=25).returncode == 0


def test_it_is_left_alone_for_so_long_once_its_deliveries_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[object] = []

    async def delivered(_seconds: float) -> bool:
        order.append("delivered")
        return True

    settings = Settings(_env_file=None)
    worker = SimpleNamespace(fence=SimpleNamespace(ids={}), delivered=delivered)
    monkeypatch.setattr(agents, "leave_after", order.append)

    async def stop() -> None:
        app = agents.make_app(settings)
        agents.add_agent(app, settings, worker, Health())  # type: ignore[arg-type]
        await app.on_before_shutdown.send()

    asyncio.run(stop())
    assert order == ["delivered", agents._STOP_SECONDS]
