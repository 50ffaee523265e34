"""The JSON Schemas of the topics: current, and in agreement with the decoder and with what is sent."""

import asyncio
from pathlib import Path

import orjson
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from features.memory_state import MemoryState
from features.state import LogId
from models.scorer import Scorer
from stream import schemas
from stream.batch import Assignment
from stream.cli import make_app
from stream.dead_letter import CODES, DeadLetter, Rejected
from stream.judge import Judge
from stream.messages import SCHEMA_VERSION, decode_report, decode_transaction
from stream.outputs import dead_headers
from stream.pipeline import Pipeline
from stream.policy import Policy
from stream.record import Record
from stream.topics import TOPICS

AT = 1_795_275_000_123
EXAMPLE = orjson.loads(
    """
    {"event_id": "E9040088820261121153000123456789",
     "occurred_at": "2026-11-21T15:30:00.123Z", "amount": "150.00",
     "payer": {"account": "a-1", "ispb": "90400888", "person_type": "NATURAL_PERSON"},
     "payee": {"account": "b-9", "ispb": "60701190", "person_type": "LEGAL_PERSON", "key": "11999990000",
               "key_type": "PHONE"},
     "initiation": "DICT", "device": {"id": "d-7", "registered": true}}
    """
)
REPORT = {
    "report_id": "r-1",
    "transaction_event_id": "e-1",
    "payer_account": "a-1",
    "payee_account": "b-1",
    "reported_at": "2026-11-21T12:30:00-03:00",
    "status": "OPEN",
    "type": "SCAM",
}
MISSING = object()


def changed(message: dict, path: str, value: object) -> dict:
    """The message with another value at a dotted path; MISSING takes it away."""
    copy = orjson.loads(orjson.dumps(message))
    *parents, last = path.split(".")
    inner = copy
    for name in parents:
        inner = inner.setdefault(name, {})
    if value is MISSING:
        del inner[last]
    else:
        inner[last] = value
    return copy


def validates(name: str, message: object) -> bool:
    return Draft202012Validator(schemas.schema(name)).is_valid(message)


def test_there_is_a_current_schema_for_every_topic() -> None:
    assert schemas.outdated() == []
    assert {f"{name}s" for name in schemas.SCHEMAS if name != "feature-log"} | {"feature-log"} == set(TOPICS)
    for name in schemas.SCHEMAS:
        schema = orjson.loads(schemas.folder().joinpath(f"{name}.json").read_bytes())
        Draft202012Validator.check_schema(schema)
        assert schema["title"] == name
        assert schema["$id"].endswith(f":{name}:1")
        assert schema["description"]


def test_the_command_tells_what_is_outdated_and_mends_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(schemas, "folder", lambda: tmp_path)
    (tmp_path / "decision.json").write_text("{}")
    (tmp_path / "old.json").write_text("{}")
    checked = CliRunner().invoke(make_app(), ["schemas", "--check"])
    assert checked.exit_code == 1
    assert "alert.json, dead-letter.json, decision.json" in str(checked.exception)
    assert "old.json" in str(checked.exception)
    assert CliRunner().invoke(make_app(), ["schemas", "--write", "--check"]).exit_code == 0
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(schemas.SCHEMAS)
    printed = CliRunner().invoke(make_app(), ["schemas"])
    assert orjson.loads(printed.stdout).keys() == schemas.SCHEMAS.keys()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_id", "e"),
        ("amount", 150),
        ("amount", 0.01),
        ("amount", "1000000000.00"),
        ("amount", "000000000150.0"),
        ("occurred_at", "2026-11-21T12:30:00-03:00"),
        ("occurred_at", "2026-11-21 15:30:00.123456789z"),
        ("payer.ispb", None),
        ("payer.opened_at", "1987-03-01T00:00:00Z"),
        ("payer.balance", "-20.50"),
        ("payer.balance", 5_000_000_000),
        ("payee.key", MISSING),
        ("device", None),
        ("device.registered", None),
        ("direction", "INTERNAL"),
        ("dict", {"anything": [1, 2]}),
        ("dict", None),
        ("dict", {"updated_at": "2026-11-21T00:00:00Z", "settlements": {"d90": 0, "m60": 2**31 - 1}}),
        ("dict.fraud_markers", None),
        ("dict.open_reports", {"d90": None, "later": "?"}),
        ("unknown", "ignored"),
    ],
)
def test_what_the_decoder_accepts_validates(path: str, value: object) -> None:
    message = changed(EXAMPLE, path, value)
    decode_transaction(orjson.dumps(message), AT)
    assert validates("transaction", message)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_id", MISSING),
        ("event_id", ""),
        ("event_id", "e" * 65),
        ("event_id", 7),
        ("amount", MISSING),
        ("amount", 0),
        ("amount", "0.00"),
        ("amount", "-1.00"),
        ("amount", "1.234"),
        ("amount", "1e2"),
        ("amount", " 1.00"),
        ("amount", True),
        ("amount", 1_000_000_000.01),
        ("occurred_at", "2026-11-21T15:30:00"),
        ("occurred_at", 1_795_275_000),
        ("payer", MISSING),
        ("payer", []),
        ("payer.account", MISSING),
        ("payee.account", "b" * 129),
        ("payee.ispb", "6070119"),
        ("payee.ispb", "6070119a"),
        ("initiation", "PIX"),
        ("dict", 12),
        ("dict.updated_at", "2026-11-21"),
        ("dict.settlements", 12),
        ("dict.settlements", {"d90": -1}),
        ("dict.settlements", {"m12": 2**31}),
        ("dict.settlements", {"m60": "12"}),
        ("device.id", MISSING),
        ("device.registered", "true"),
    ],
)
def test_what_the_decoder_rejects_does_not_validate(path: str, value: object) -> None:
    message = changed(EXAMPLE, path, value)
    with pytest.raises(Rejected):
        decode_transaction(orjson.dumps(message), AT)
    assert not validates("transaction", message)


def test_a_report_validates_as_it_decodes() -> None:
    assert validates("fraud-report", REPORT)
    decode_report(orjson.dumps(REPORT), AT)
    for path, value in (("status", "CLOSED"), ("type", MISSING), ("reported_at", "2026-11-21")):
        wrong = changed(REPORT, path, value)
        assert not validates("fraud-report", wrong)
        with pytest.raises(Rejected):
            decode_report(orjson.dumps(wrong), AT)


def test_what_the_pipeline_sends_validates(model_folder: Path) -> None:
    scorer = Scorer.load(model_folder)
    pipeline = Pipeline(MemoryState(), Judge(scorer, Policy(scorer.thresholds)))
    pipeline.assignments = {("transactions", 0): Assignment(LogId("g", "transactions", "t", 0), 0, 0)}
    values = [orjson.dumps(EXAMPLE), orjson.dumps({**EXAMPLE, "event_id": "e-2", "amount": 1e6})]
    batch = [Record("transactions", 0, i, AT, b"a-1", value) for i, value in enumerate(values)]
    small, large = asyncio.run(pipeline.process(batch)).decided
    assert large.alert is not None
    for name, value in (
        ("decision", small.decision),
        ("decision", large.decision),
        ("alert", large.alert),
        ("feature-log", small.feature_log),
    ):
        Draft202012Validator(schemas.schema(name)).validate(orjson.loads(value))
    assert not validates("alert", orjson.loads(large.decision))


@pytest.mark.parametrize("event_id", [None, "e-1"])
def test_the_headers_of_every_dead_letter_validate(event_id: str | None) -> None:
    for code, text in CODES.items():
        letter = DeadLetter(b"\xff", b"k", code, text, event_id, "transactions", 3, 14)
        headers = {name: value.decode() for name, value in dead_headers(letter, b"vigia", b"1795275000123")}
        Draft202012Validator(schemas.schema("dead-letter")).validate(headers)
        assert headers["schema_version"] == SCHEMA_VERSION.decode()
