"""A folder, a Kafka and a Redis of the demo's own, and the promise that nothing of them stays running."""

import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.local import start_kafka, start_redis
from deploy.local.ports import free_port
from stream.demo.steps import Step
from stream.demo.worker import WorkerProcess
from stream.settings import Settings

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ground:
    """What runs for the demo. Each start registers its end with `stack`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.settings = Settings.model_construct()
        self.registry = f"sqlite:///{folder / '.vigia' / 'mlflow.db'}"
        """As MLFLOW_TRACKING_URI: not the user's."""
        self._stack = stack

    def start_services(self, step: Step) -> None:
        """Kafka and Redis on free ports; `settings` are theirs alone, whatever the environment says."""
        kafka = start_kafka(self.folder / "kafka", say=step.now)
        self._stack.callback(kafka.kill)  # its data go with the folder: no need to end in order
        redis = start_redis(self.folder / "redis")
        self._stack.callback(redis.kill)
        # model_construct: the defaults of Settings without the user's VIGIA_* and .env
        self.settings = Settings.model_construct(
            kafka_bootstrap=kafka.address,
            redis_url=redis.address,
            model=self.folder / "model",
            http_port=free_port(),
        )

    def serve_champion(self) -> None:
        """From now on the model of `settings` is the registry's."""
        self.settings = self.settings.model_copy(update={"model": Path("registry:pix-fraud@champion")})

    def start_worker(self) -> WorkerProcess:
        """A worker process that is ready to decide."""
        worker = WorkerProcess(self.folder, self.settings, self.registry)
        self._stack.callback(worker.stop)
        worker.wait_ready()
        return worker


@contextmanager
def ground() -> Iterator[Ground]:
    """A new temporary folder; at the end (also by Ctrl-C or SIGTERM) all that was started is ended.

    The folder stays: see `remove`.
    """
    folder = Path(tempfile.mkdtemp(prefix="vigia-demo-"))
    with _unwound_by_signals() as deaf, ExitStack() as stack:
        try:
            yield Ground(folder, stack)
        finally:
            deaf()  # a second Ctrl-C does not cut short what ends the processes


def remove(folder: Path) -> None:
    """Delete the demo's folder."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _unwound_by_signals() -> Iterator[Callable[[], None]]:
    """SIGTERM and SIGHUP unwind as Ctrl-C does. The value makes this process deaf to all three."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # only the main thread hears signals
        return
    before = {number: signal.getsignal(number) for number in _ENDS}

    def deaf() -> None:
        for number in _ENDS:
            signal.signal(number, signal.SIG_IGN)

    def unwind(*_: object) -> None:
        deaf()
        raise KeyboardInterrupt

    for number in _ENDS:
        signal.signal(number, unwind)
    try:
        yield deaf
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
