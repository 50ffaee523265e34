"""Processes that outlive the command that started them, ended by an id that is checked to be still theirs."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Process:
    """One process, not merely one number: a pid that was given to another process is not equal to it."""

    pid: int
    born: str


def spawn(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Process:
    """Start ``command`` in a session of its own, with its output appended to ``log``.

    It survives this process and its terminal. Raises OSError if the program cannot be run.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(  # not Popen: its finalizer complains about a child that is meant to live on
        command[0],
        list(command),
        {**os.environ, **(env or {})},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return Process(pid, birth(pid) or "")


def alive(process: Process) -> bool:
    """True while this very process runs: False once it ended, or once its pid belongs to another."""
    _reap(process.pid)
    return bool(process.born) and birth(process.pid) == process.born


def end(process: Process, grace: float = 30.0) -> None:
    """SIGTERM, wait ``grace`` seconds, then SIGKILL. Does nothing to a pid that is no longer ours."""
    _signal(process, signal.SIGTERM)
    if not wait_until(lambda: not alive(process), grace):
        kill(process)


def kill(process: Process) -> None:
    """SIGKILL, then wait until it is gone. Does nothing to a pid that is no longer ours."""
    _signal(process, signal.SIGKILL)
    wait_until(lambda: not alive(process), 10.0)


def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.02) -> bool:
    """Ask until ``condition`` holds or ``seconds`` have passed; the last answer."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True


def birth(pid: int) -> str | None:
    """When the process ``pid`` began, in words that no later process can share; None if there is none."""
    if not _BOOT_ID.exists():
        return _birth_by_ps(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    state, threads, ticks_since_boot = fields[0], int(fields[17]), fields[19]
    # a killed JVM's first thread is a zombie at once, while its others still hold the port
    ended = state in "ZX" and threads <= 1
    return None if ended else f"{_BOOT_ID.read_text().strip()}/{ticks_since_boot}"


def _birth_by_ps(pid: int) -> str | None:  # macOS has no /proc
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    state, _, started = answer.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def _signal(process: Process, number: signal.Signals) -> None:
    if alive(process):
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return  # it ended in between, which is what was wanted


def _reap(pid: int) -> None:
    """Collect a child that ended, so that it does not stay behind as a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # another process's child
