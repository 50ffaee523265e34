"""What is decoded by hand is what the models of the contract decode, and nothing that they refuse."""

import json
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from features.transaction import DIRECTIONS, INITIATIONS, KEY_TYPES, MAX_COUNT, PERSON_TYPES, Transaction
from stream.contract import TransactionMessage
from stream.dead_letter import Rejected
from stream.messages import _transaction
from stream.plain import plain_transaction

NAMES = st.text(min_size=1, max_size=12)
TIMES = st.sampled_from(
    ["2026-11-21T15:30:00.123Z", "2000-01-01t00:00:00-12:00", "2099-12-31 23:59:59.9999z"]
)
MONEY = st.sampled_from(["150.00", "0.01", "1000000000", 1, 0.1, 1_000_000_000, 1108.85, 7.0])
COUNTS = st.none() | st.sampled_from([0, 12, MAX_COUNT])
SPANS = st.none() | st.fixed_dictionaries({}, optional=dict.fromkeys(("d90", "m12", "m60"), COUNTS))
PARTY = {
    "ispb": st.sampled_from([None, "90400888", "A0000Z00"]), "person_type": st.sampled_from(PERSON_TYPES),
    "holder": st.none() | NAMES, "opened_at": st.none() | TIMES,
}  # fmt: skip
PAYER = st.fixed_dictionaries({"account": NAMES}, optional={**PARTY, "balance": st.none() | MONEY})
PAYEE = st.fixed_dictionaries(
    {"account": NAMES},
    optional={**PARTY, "key": st.none() | NAMES, "key_type": st.sampled_from([None, *KEY_TYPES])},
)
GOOD = st.fixed_dictionaries(
    {"event_id": NAMES, "occurred_at": TIMES, "amount": MONEY, "payer": PAYER, "payee": PAYEE},
    optional={
        "initiation": st.sampled_from([None, *INITIATIONS]),
        "device": st.none()
        | st.fixed_dictionaries({"id": NAMES}, optional={"registered": st.none() | st.booleans()}),
        "direction": st.sampled_from([None, *DIRECTIONS]),
        "dict": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "updated_at": st.none() | TIMES, "settlements": SPANS, "fraud_markers": SPANS,
                "open_reports": SPANS,
            },
        ),
        "later": st.none() | st.lists(st.integers(), max_size=2),
    },
)  # fmt: skip

NEARLY = st.one_of(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    st.integers() | st.sampled_from([MAX_COUNT + 1, 2**63, 2**64, 10**30, -1, 0]),
    st.text(min_size=62, max_size=66) | st.text(min_size=126, max_size=142),
    st.from_regex(r"[0-9A-Za-z]{7,9}\n?", fullmatch=True),
    st.from_regex(r"[-+ ]?[0-9]{1,14}([.,][0-9]{0,4})?([eE][0-9])?", fullmatch=True),
    st.datetimes().map(lambda time: f"{time.isoformat()}Z"),
    st.from_regex(
        r"(1999|2026|2100)-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,9})?"
        r"(Z|z|[+-][0-9]{2}:[0-9]0)?",
        fullmatch=True,
    ),
    st.lists(st.integers(), max_size=1) | st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)
PATHS = [
    *(
        (name,)
        for name in (
            "event_id", "occurred_at", "amount", "payer", "payee", "initiation", "device", "direction", "dict"
        )
    ),
    *(("payer", name) for name in ("account", "balance", *PARTY)),
    *(("payee", name) for name in ("account", "key", "key_type", *PARTY)),
    ("device", "id"),
    ("device", "registered"),
    *(("dict", name) for name in ("updated_at", "settlements", "fraud_markers", "open_reports")),
    *(("dict", "settlements", span) for span in ("d90", "m12", "m60")),
]  # fmt: skip

PLAIN = {
    "event_id": "e-1", "occurred_at": "2026-11-21T15:30:00.123Z", "amount": "150.00",
    "payer": {"account": "a-1", "ispb": "90400888"}, "payee": {"account": "b-9"},
}  # fmt: skip


WHOLE = {
    "event_id": "e-1", "occurred_at": "2026-11-21T15:30:00.123Z", "amount": "150.00",
    "payer": {"account": "a-1", "ispb": "90400888", "person_type": "NATURAL_PERSON", "holder": "h",
              "opened_at": "1987-03-01T00:00:00-03:00", "balance": -20.5},
    "payee": {"account": "b-9", "ispb": "60701190", "person_type": "LEGAL_PERSON", "holder": "i",
              "opened_at": "1990-03-01T00:00:00Z", "key": "11999990000", "key_type": "PHONE"},
    "initiation": "DICT", "device": {"id": "d-7", "registered": True}, "direction": "INBOUND",
    "dict": {"updated_at": "2026-11-21T00:00:00Z", "settlements": {"d90": 1, "m12": 2, "m60": 3},
             "fraud_markers": {"d90": 4, "m12": 5, "m60": 6}, "open_reports": {"d90": 7, "m12": 8, "m60": 9}},
}  # fmt: skip


def written(message: Any) -> bytes:
    """As JSON, or nearly: numbers may be beyond 64 bits, and NaN and infinities stand as such."""
    return json.dumps(message).encode()


def by_the_models(value: bytes) -> Transaction | None:
    try:
        return _transaction(value)
    except Rejected:
        return None


@given(message=GOOD)
def test_a_plain_message_is_taken_and_as_the_models_take_it(message: Any) -> None:
    found = plain_transaction(written(message))
    assert found is not None
    assert found == by_the_models(written(message))


@given(message=GOOD, path=st.sampled_from(PATHS), value=NEARLY)
def test_with_a_field_that_may_be_wrong_it_is_taken_so_or_left_to_them(
    message: Any, path: tuple[str, ...], value: object
) -> None:
    *outer, name = path
    inner = message
    for step in outer:
        inner[step] = inner = dict(inner.get(step) or {})
    inner[name] = value
    found = plain_transaction(written(message))
    assert found is None or found == by_the_models(written(message))


@given(message=GOOD, path=st.sampled_from([path for path in PATHS if len(path) == 1]))
def test_without_a_field_likewise(message: Any, path: tuple[str]) -> None:
    message.pop(path[0], None)
    found = plain_transaction(written(message))
    assert found == by_the_models(written(message))


@given(value=st.binary(max_size=200))
def test_of_bytes_that_are_no_message_nothing_is_taken(value: bytes) -> None:
    assert plain_transaction(value) is None or by_the_models(value) is not None


@given(first=GOOD, second=GOOD)
def test_of_fields_that_are_there_twice_both_take_the_same(first: Any, second: Any) -> None:
    value = written(first)[:-1] + b"," + written(second)[1:]
    assert plain_transaction(value) == by_the_models(value)


def test_what_is_nested_as_deep_as_the_models_refuse_is_left_to_them() -> None:
    for deep in range(140, 260):
        value = written({**PLAIN, "later": "@"}).replace(b'"@"', b"[" * deep + b"]" * deep)
        assert plain_transaction(value) is None or by_the_models(value) is not None, deep
    assert plain_transaction(value) is None


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """Its fields by the name that a message has for them, those of the models in it likewise."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        found[field.alias or name] = fields_of(inner[0]) if inner else None
    return found


def shape(value: Any) -> Any:
    return {name: shape(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def test_every_field_of_the_contract_is_read() -> None:
    assert shape(WHOLE) == fields_of(TransactionMessage)
    assert {name for path in PATHS for name in path} >= shape(WHOLE).keys()
    found = plain_transaction(written(WHOLE))
    assert found is not None
    assert None not in found
    assert found == by_the_models(written(WHOLE))


def test_a_number_of_more_digits_than_the_models_read_is_left_to_them() -> None:
    value = written({**PLAIN, "later": "@"}).replace(b'"@"', b"1" + b"0" * 4_400 + b"e-4400")
    assert plain_transaction(value) is None
