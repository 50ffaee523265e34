"""What the producer is given."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.health import Health
from stream.outputs import Outputs, Undeliverable
from stream.pipeline import Decided, Outcomes, Record
from stream.settings import Settings

RECORD = Record("transactions", 0, 7, 0, b"k", b"{}")


class Sink:
    """A producer that reports all as delivered when it is asked."""

    def __init__(self) -> None:
        self.sent: dict[str, dict[str, bytes]] = {}
        self._reports: list[Callable[[Any, Any], None]] = []

    def produce(self, topic: str, *given: Any, headers: Any) -> None:
        self.sent[topic] = dict(headers)
        self._reports.append(given[-1])

    def poll(self, _: float) -> None:
        while self._reports:
            self._reports.pop()(None, None)


@pytest.mark.parametrize("reapplied", [True, False])
def test_a_vector_that_did_not_decide_is_marked(reapplied: bool) -> None:
    outputs, sink = Outputs(Settings(kafka_bootstrap="127.0.0.1:1"), "w", Health()), Sink()
    outputs._producer = sink  # type: ignore[assignment]
    decided = Decided(RECORD, "DENY", b"{}", b"{}", b"{}", fresh=False, reapplied=reapplied)
    asyncio.run(outputs.deliver(Outcomes([decided])))
    assert set(sink.sent) == {"pix.alerts", "pix.feature-log"}
    assert ("reapplied" in sink.sent["pix.feature-log"]) == reapplied
    assert "reapplied" not in sink.sent["pix.alerts"]


class OnceUnknown(Sink):
    """A producer that does not know a partition until it has asked for the topics."""

    def __init__(self, asked: Exception | None = None) -> None:
        super().__init__()
        self._known, self._asked = False, asked

    def produce(self, topic: str, *given: Any, headers: Any) -> None:
        if not self._known:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        super().produce(topic, *given, headers=headers)

    def list_topics(self, *_: Any, **__: Any) -> None:
        if self._asked:
            raise self._asked
        self._known = True


DECIDED = Outcomes([Decided(RECORD, "APPROVE", b"{}", None, b"{}")])


def test_a_partition_that_was_added_is_asked_for_and_written_to() -> None:
    outputs, sink = Outputs(Settings(kafka_bootstrap="127.0.0.1:1"), "w", Health()), OnceUnknown()
    outputs._producer = sink  # type: ignore[assignment]
    asyncio.run(outputs.deliver(DECIDED))
    assert set(sink.sent) == {"pix.decisions", "pix.feature-log"}


def test_if_nobody_answers_what_partitions_there_are_nothing_is_acknowledged() -> None:
    outputs = Outputs(Settings(kafka_bootstrap="127.0.0.1:1"), "w", Health())
    away = KafkaException(KafkaError(KafkaError._TRANSPORT))
    outputs._producer = OnceUnknown(away)  # type: ignore[assignment]
    with pytest.raises(Undeliverable):
        asyncio.run(outputs.deliver(DECIDED))
