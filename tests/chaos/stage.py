"""Where a fault happens: real processes that it may kill, and the times that it tells.

Workers that leave by themselves are started again after a second, as a supervisor would; each is counted.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, RLock, Thread

import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from deploy.local import start_kafka, start_redis
from deploy.local.process import wait_until
from stream.kafka_client import making_client

from ..world import WorkerProcess, World
from .watch import Watch

WORKERS = 2
_AGAIN_SECONDS = 1.0
_READY_SECONDS = 60


@dataclass
class Left:
    """A worker that nobody told to go, and how."""

    worker: int
    status: int


@dataclass
class Stage:
    """A world, its workers, what is seen of them, and when the fault was."""

    world: World
    static: bool = True
    """Whether workers have instance ids (static membership), as a deployment gives them."""
    environment: dict[str, str] = field(default_factory=dict)
    """Of all workers."""
    left: list[Left] = field(default_factory=list)
    told: dict[str, object] = field(default_factory=dict)
    """What a fault found out on its way, for the result."""
    marks: dict[int, int] = field(default_factory=dict)
    """Where each partition of `transactions` ended right before the fault."""
    began: float = 0.0
    ended: float = 0.0

    def __post_init__(self) -> None:
        self.watch = Watch(self.world)
        self._down: set[int] = set()
        """Workers that are to be down; and whoever starts or ends one holds the lock."""
        self._lock, self._over = RLock(), Event()
        self._supervisor = Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    @property
    def folder(self) -> Path:
        return self.world.folder

    @property
    def workers(self) -> list[WorkerProcess]:
        return self.world.workers

    @contextmanager
    def fault(self) -> Iterator[None]:
        """It lasts as long as this context."""
        self.marks = self.watch.ends()
        self.began = time.monotonic()
        yield
        self.ended = time.monotonic()

    # Workers

    def add_worker(self, **environment: str) -> WorkerProcess:
        number = len(self.workers)
        if self.static:
            environment["VIGIA_INSTANCE_ID"] = f"chaos-{number}"
        with self._lock:
            worker = self.world.worker(**self.environment, **environment)
        self.watch.probe(number, lambda: worker.get("/readyz", 1.0)[0])
        return worker

    def wait_ready(self, *workers: WorkerProcess) -> None:
        for worker in workers:
            ready = wait_until(worker.ready, _READY_SECONDS, every=0.1)
            assert ready, f"not ready within {_READY_SECONDS} s\n{self.world.logs()}"

    def kill(self, worker: WorkerProcess) -> None:
        self._take_down(worker, worker.kill)

    def stop(self, worker: WorkerProcess) -> None:
        """SIGTERM; it ends in order."""

        def stop() -> None:
            assert worker.stop() == 0, "a worker that was told to stop did not end in order"

        self._take_down(worker, stop)

    def start(self, worker: WorkerProcess, **environment: str) -> None:
        with self._lock:
            worker.start(**environment)
            self._down.discard(self.workers.index(worker))

    def _take_down(self, worker: WorkerProcess, end: Callable[[], None]) -> None:
        with self._lock:
            self._down.add(self.workers.index(worker))
        end()

    def _supervise(self) -> None:
        while not self._over.wait(0.1):
            with self._lock:
                up = [i for i in range(len(self.workers)) if i not in self._down]
                gone = [i for i in up if self.workers[i].process.poll() is not None]
            for i in gone:
                self.left.append(Left(i, self.workers[i].process.returncode))
                self._over.wait(_AGAIN_SECONDS)
                with self._lock:
                    self.workers[i].start()

    # Services

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.world.redis.address, socket_timeout=5)

    def signal_redis(self, number: signal.Signals) -> None:
        os.kill(self.world.redis.process.pid, number)

    def start_redis(self) -> None:
        self.world.redis = start_redis(self.world.redis.folder, port=self.world.redis.port)

    def start_kafka(self) -> None:
        kafka = self.world.kafka
        self.world.kafka = start_kafka(kafka.folder, kafka.port, lasting=self.world.lasting)

    def admin(self) -> AdminClient:
        with making_client():
            return AdminClient(self.world.settings.kafka_client_config())

    def publish(self, topic: str, key: bytes, value: bytes) -> None:
        """One record beside the load."""
        with making_client():
            producer = Producer(self.world.settings.kafka_client_config())
        producer.produce(self.world.prefix + topic, value, key)
        assert producer.flush(20) == 0, "not published"

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def end(self) -> None:
        self._over.set()
        self._supervisor.join()
        self.watch.end()
