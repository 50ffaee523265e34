"""Workers that are killed, told to stop, frozen, or joined by others."""

import signal

from ..fault import Fault
from ..stage import WORKERS, Stage


def kill_and_restart(stage: Stage) -> None:
    with stage.fault():
        stage.kill(stage.workers[0])
    stage.start(stage.workers[0])


def kill(stage: Stage) -> None:
    """Its partitions go to the other one when its session ends."""
    with stage.fault():
        stage.kill(stage.workers[0])


def rolling_restart(stage: Stage) -> None:
    with stage.fault():
        for worker in list(stage.workers):
            stage.stop(worker)
            stage.start(worker)
            stage.wait_ready(worker)


def freeze(stage: Stage) -> None:
    """Past its session: another takes over, and what it still holds when it wakes is a zombie's."""
    process = stage.workers[0].process
    with stage.fault():
        process.send_signal(signal.SIGSTOP)
        stage.pause(20)
        process.send_signal(signal.SIGCONT)


def restart_one(stage: Stage) -> None:
    with stage.fault():
        stage.stop(stage.workers[0])
        stage.start(stage.workers[0])
        stage.wait_ready(stage.workers[0])


def rebalances(stage: Stage) -> None:
    with stage.fault():
        for _ in range(3):
            if len(stage.workers) == WORKERS:
                stage.add_worker()
            else:
                stage.start(stage.workers[WORKERS])
            third = stage.workers[WORKERS]
            stage.wait_ready(third)
            stage.pause(2)
            stage.stop(third)


FAULTS = [
    Fault("worker-kill", "kill -9 of a worker; started again at once with its instance id", kill_and_restart,
          bar=10),
    Fault("worker-kill-stays-down", "kill -9 of a worker; the other takes over", kill, bar=10),
    Fault("worker-kill-dynamic", "kill -9 of a worker without instance id; started again at once",
          kill_and_restart, static=False, bar=10),
    Fault("worker-term", "SIGTERM, one worker after the other, each started again", rolling_restart,
          seconds=35),
    Fault("worker-term-dynamic", "the same without instance ids", rolling_restart, seconds=35, static=False),
    Fault("worker-freeze", "SIGSTOP of a worker for 20 s, then SIGCONT", freeze, seconds=42),
    Fault("rebalances", "a third worker joins and leaves three times", rebalances, seconds=45, static=False),
]  # fmt: skip

TERM_ONE = Fault("worker-term-one", "SIGTERM of one worker, started again", restart_one)
"""Of the soak alone."""
