"""What the producer is given."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from stream.batch import Decided, Outcomes
from stream.health import Health
from stream.outputs import Outputs
from stream.record import Record
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
