"""The live part: a publisher and a reader in threads, while the view is drawn here."""

import threading
import time
from collections.abc import Iterator

from features.errors import VigiaError
from stream.demo.tally import Tally
from stream.demo.traffic import Plan, Planned
from stream.demo.view import View
from stream.demo.watch import Watch
from stream.demo.worker import WorkerProcess
from stream.kafka_log import KafkaLog
from stream.publish import Outgoing, publish
from stream.settings import Settings
from stream.worker import INPUTS

_EVERY_SECONDS = 0.25
_FIRST_SECONDS = 30.0
_SETTLE_SECONDS = 60.0
"""Without any new output for so long, what is missing counts as lost."""


class Publisher(threading.Thread):
    """Publishes the plan on schedule; tells the tally when each message is handed over.

    The first payment goes out alone: the worker reads where its partitions stand when something comes, once.
    """

    def __init__(self, plan: Plan, settings: Settings, rate: float, tally: Tally) -> None:
        super().__init__(name="publisher", daemon=True)
        self._messages, self._settings, self._rate, self._tally = plan.messages, settings, rate, tally
        self._stop_asked = threading.Event()
        self.sent = self.failed = 0
        self.began = 0.0
        """When the schedule began, seconds of the tally's clock."""
        self.error: BaseException | None = None

    def run(self) -> None:
        alone = next((i for i, message in enumerate(self._messages) if message.role == "payment"), -1) + 1
        try:
            self._publish(self._messages[:alone])
            self._await_first_decision()
            self.began = self._tally.clock()
            self._publish(self._messages[alone:])
        except BaseException as error:  # told by `check`, in the thread that asks
            self.error = error

    def check(self) -> None:
        """Raises VigiaError when publishing failed."""
        if self.error is not None:
            raise VigiaError(f"publishing failed: {self.error}") from self.error

    def stop(self) -> None:
        """Publish no more."""
        self._stop_asked.set()
        self.join()

    def _await_first_decision(self) -> None:
        deadline = time.monotonic() + _FIRST_SECONDS
        while not self._tally.decided and time.monotonic() < deadline and not self._stop_asked.wait(0.005):
            pass

    def _publish(self, messages: list[Planned]) -> None:
        def sending(index: int) -> None:
            self.sent += 1
            if event_id := messages[index].event_id:
                self._tally.sending(event_id)

        config = self._settings.kafka_client_config()
        report = publish(self._outgoing(messages), config=config, rate=self._rate, on_send=sending)
        self.failed += report.failed

    def _outgoing(self, messages: list[Planned]) -> Iterator[Outgoing]:
        for message in messages:
            if self._stop_asked.is_set():
                return
            yield Outgoing(self._settings.topic(message.topic), message.key, message.value)


def run_live(publisher: Publisher, watch: Watch, worker: WorkerProcess, kafka: KafkaLog, view: View) -> None:
    """Return when all was published, decided, and read back; or when nothing moves any more."""
    publisher.start()
    try:
        with view:
            while publisher.is_alive():
                _tick(publisher, worker, view)
            publisher.check()
            _settle(publisher, watch, worker, kafka, view)
    finally:
        publisher.stop()


def _tick(publisher: Publisher, worker: WorkerProcess, view: View) -> None:
    worker.check()
    view.show(publisher.sent)
    time.sleep(_EVERY_SECONDS)


def _settle(publisher: Publisher, watch: Watch, worker: WorkerProcess, kafka: KafkaLog, view: View) -> None:
    """Wait until the worker committed every input, for then its outputs are acknowledged, and were read."""
    places = [(topic, partition) for topic in INPUTS for partition in range(watch.partitions)]
    last, moved = -1, time.monotonic()
    while time.monotonic() - moved < _SETTLE_SECONDS:
        standing = kafka.stands(dict.fromkeys(places)).values()
        if all(stand.committed >= stand.end for stand in standing) and watch.has_read_all():
            break
        if watch.count != last:
            last, moved = watch.count, time.monotonic()
        _tick(publisher, worker, view)
    view.show(publisher.sent)
