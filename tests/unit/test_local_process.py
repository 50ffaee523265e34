"""A process is ended only if it is still the one that was started."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import process
from deploy.local.process import Process

WAITS = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


def start(code: str, log: Path) -> Process:
    child = process.spawn([sys.executable, "-c", code], log)
    assert process.wait_until(lambda: "ready" in log.read_text(), 20)
    return child


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Process]:
    child = start(WAITS, tmp_path / "log")
    yield child
    process.kill(child)


def test_spawned_process_is_alive_and_leads_its_own_session(waiting: Process) -> None:
    assert process.alive(waiting)
    assert os.getsid(waiting.pid) == waiting.pid


def test_end_stops_it_and_leaves_no_zombie(waiting: Process) -> None:
    process.end(waiting)
    assert not process.alive(waiting)
    with pytest.raises(ProcessLookupError):
        os.kill(waiting.pid, 0)


def test_a_pid_that_was_given_to_another_process_is_not_ours(waiting: Process) -> None:
    stranger = Process(waiting.pid, "an earlier boot/1")
    assert not process.alive(stranger)
    process.end(stranger, grace=0.1)
    process.kill(stranger)
    assert process.alive(waiting)


def test_a_record_without_a_birth_is_nobodys() -> None:
    assert not process.alive(Process(os.getpid(), ""))


def test_one_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    child = start(STUBBORN, tmp_path / "log")
    process.end(child, grace=0.2)
    assert not process.alive(child)


def test_a_process_that_was_killed_from_outside_is_not_alive(waiting: Process) -> None:
    os.kill(waiting.pid, signal.SIGKILL)
    assert process.wait_until(lambda: not process.alive(waiting), 20)


def test_ending_twice_is_no_error(waiting: Process) -> None:
    process.end(waiting)
    process.end(waiting)
    assert not process.alive(waiting)


def test_output_is_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    process.kill(start(WAITS, log))
    assert log.read_text() == "before\nready\n"


def test_a_program_that_is_not_there_raises(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        process.spawn([str(tmp_path / "absent")], tmp_path / "log")


def test_wait_until_gives_up_at_its_deadline() -> None:
    assert not process.wait_until(lambda: False, 0.01, every=0.001)
    assert process.wait_until(lambda: True, 0)
