"""The bench's traffic by way of files: the same records, in the same order, as the simulator's own."""

from collections import Counter
from pathlib import Path

import orjson
import pytest

from features.transaction import Transaction
from stream.bench import sources
from stream.bench.crowd import Crowd
from stream.bench.sources import Part, Source, crowd_source, main_source
from stream.pipeline import decode
from stream.record import Record
from stream.simulate import SimulationConfig, simulate
from stream.simulate.files import write

NOW = 4_000_000_000_000


def test_a_stream_is_what_the_simulator_would_publish(tmp_path: Path) -> None:
    made = simulate(SimulationConfig(days=12, accounts=200, transactions_per_day=200.0, fraud_rate=0.05))
    source = Source("s", Part(tmp_path, None), Part(*write(made, tmp_path)))
    messages = source.messages(len(made))
    simulated = list(made.messages())[: len(messages)]
    assert [(m.topic, m.key) for m in messages] == [(m.topic, m.key) for m in simulated]
    assert {topic for topic, _, _ in messages} == {"transactions", "fraud-reports"}
    for mine, theirs in zip(messages, simulated, strict=True):
        assert decoded(mine.topic, mine.value) == decoded(theirs.topic, theirs.value)


def decoded(topic: str, value: bytes) -> object:
    return decode(Record(topic, 0, 0, NOW, b"k", value))


def test_a_stream_ends_with_its_last_wanted_payment(tmp_path: Path) -> None:
    source = crowd_source(tmp_path, Crowd(20, 2), 100)
    messages = source.messages(7)
    assert Counter(m.topic for m in messages) == {"transactions": 7}
    first = decode(Record("transactions", 0, 0, NOW, b"k", messages[0].value))
    assert isinstance(first, Transaction)
    assert first.occurred_at == Crowd(20, 2).cut
    assert first.device_id
    assert first.payee_key
    again = crowd_source(tmp_path, Crowd(20, 2), 100)
    assert again.messages(7) == messages


def test_without_the_handbook_traffic_of_its_density_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SimulationConfig(days=40.0, accounts=200, transactions_per_day=100.0)
    monkeypatch.setenv("VIGIA_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr(sources, "DENSITY", small)
    monkeypatch.setattr(sources, "_STREAM_DAYS", {small: 10})
    source = main_source(tmp_path)
    assert source.name == "simulated-200-100-40d"
    assert source.payments_a_day() == pytest.approx(100, rel=0.2)
    assert source.train is not None
    first = orjson.loads(source.messages(1)[0].value)
    assert first["occurred_at"][:10] == "2026-08-31"
    assert (source.train.last.isoformat(), source.train.first.isoformat()) == ("2026-08-22", "2026-08-16")
