"""What comes in is decoded or rejected under a code of its own; nothing else is ever raised."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.transaction import (
    EARLIEST,
    INITIATIONS,
    KEY_TYPES,
    LATEST,
    MAX_AMOUNT,
    PERSON_TYPES,
    REPORT_TYPES,
    FraudReport,
    Transaction,
)
from stream.dead_letter import CODES, DeadLetter, Rejected
from stream.fields import Initiation, KeyType, PersonType, ReportType, reais, rfc3339, time_of
from stream.messages import AHEAD_MS, MAX_BYTES, decode_report, decode_transaction

NOW = 1_795_275_000_123
"""2026-11-21T15:30:00.123Z"""
PAYMENT = {
    "event_id": "e-1",
    "occurred_at": "2026-11-21T15:30:00.123Z",
    "amount": "150.00",
    "payer": {"account": "a-1", "ispb": "90400888"},
    "payee": {"account": "b-9", "key": "11999990000", "key_type": "PHONE"},
}
REPORT = {
    "report_id": "r-1",
    "transaction_event_id": "e-1",
    "payer_account": "a-1",
    "payee_account": "b-9",
    "reported_at": "2026-11-21T15:30:00.123Z",
    "status": "CONFIRMED",
    "type": "SCAM",
}
FROM_THE_PIPELINE = {
    "EVENT_ID_REUSED": "only the state knows what an id was used for: tests/unit/test_pipeline.py",
    "SCORING_ERROR": "only the scorer can fail so: tests/unit/test_pipeline.py",
    "OUTPUT_TOO_LARGE": "only a broker refuses so: tests/integration/test_outputs.py",
}


def payment(**changes: object) -> bytes:
    return orjson.dumps({**PAYMENT, **changes})


def numbered(amount: str, name: str = "amount") -> bytes:
    """A payment whose amount is this number, as it is written."""
    return payment(amount="?").replace(b'"amount":"?"', f'"{name}":{amount}'.encode())


def without(message: dict, name: str) -> bytes:
    return orjson.dumps({key: value for key, value in message.items() if key != name})


def raw(name: str, literal: bytes) -> bytes:
    """The payment with a literal of JSON in place of a field's value."""
    return payment(**{name: "@"}).replace(b'"@"', literal)


def statistics(name: str, count: object) -> bytes:
    return payment(dict={name: {"m12": count}})


def at(time: int) -> str:
    return rfc3339(time)


DEEP = b'{"payer":' * 10_000 + b"1" + b"}" * 10_000
BAD = [
    ("no value", None, "EMPTY"),
    ("no bytes", b"", "EMPTY"),
    ("not JSON", b"amount=1", "NOT_JSON"),
    ("cut off", payment()[:-1], "NOT_JSON"),
    ("two messages", payment() + payment(), "NOT_JSON"),
    ("blanks only", b"   ", "NOT_JSON"),
    ("a byte order mark", b"\xef\xbb\xbf" + payment(), "NOT_JSON"),
    ("a lone surrogate", raw("event_id", rb'"\ud800"'), "NOT_JSON"),
    ("a lone surrogate in what is ignored", raw("x", rb'"\udfff"'), "NOT_JSON"),
    ("UTF-16", payment().decode().encode("utf-16"), "NOT_UTF8"),
    ("Latin-1", payment(event_id="é").decode().encode("latin-1"), "NOT_UTF8"),
    ("Latin-1 in what is ignored", payment(x="é").decode().encode("latin-1"), "NOT_UTF8"),
    ("surrogates as bytes", raw("event_id", b'"\xed\xa0\x80"'), "NOT_UTF8"),
    ("objects 10,000 deep", DEEP, "MESSAGE_TOO_LARGE"),
    ("lists 10,000 deep", b"[" * 10_000 + b"]" * 10_000, "NESTED_TOO_DEEP"),
    ("lists 10,000 deep in what is ignored", raw("x", b"[" * 10_000 + b"]" * 10_000), "NESTED_TOO_DEEP"),
    ("lists 10,000 deep, never closed", b"[" * 10_000, "NESTED_TOO_DEEP"),
    ("a string of 1 MB", payment(event_id="e" * 1_000_000), "MESSAGE_TOO_LARGE"),
    ("a string of 1 MB in what is ignored", payment(x="e" * 1_000_000), "MESSAGE_TOO_LARGE"),
    ("one byte too many", payment().ljust(MAX_BYTES + 1), "MESSAGE_TOO_LARGE"),
    ("a list", b"[]", "NOT_AN_OBJECT"),
    ("null", b"null", "NOT_AN_OBJECT"),
    ("a number", b"1", "NOT_AN_OBJECT"),
    ("a string", b'"{}"', "NOT_AN_OBJECT"),
    ("a payer that is a string", payment(payer="a-1"), "NOT_AN_OBJECT"),
    ("a payer that is null", payment(payer=None), "NOT_AN_OBJECT"),
    ("a device that is a list", payment(device=[]), "NOT_AN_OBJECT"),
    *((f"no {name}", without(PAYMENT, name), "FIELD_MISSING") for name in PAYMENT),
    ("nothing in it", b"{}", "FIELD_MISSING"),
    ("no payer.account", payment(payer={}), "FIELD_MISSING"),
    ("no payee.account", payment(payee={"key": "k"}), "FIELD_MISSING"),
    ("a device without id", payment(device={"registered": True}), "FIELD_MISSING"),
    ("an id of 0 characters", payment(event_id=""), "FIELD_LENGTH"),
    ("an id of 65 characters", payment(event_id="e" * 65), "FIELD_LENGTH"),
    ("an account of 0 characters", payment(payer={"account": ""}), "FIELD_LENGTH"),
    ("an account of 129 characters", payment(payee={"account": "b" * 129}), "FIELD_LENGTH"),
    ("an id that is a number", payment(event_id=1), "FIELD_TYPE"),
    ("an id that is null", payment(event_id=None), "FIELD_TYPE"),
    ("an id that is a list", payment(event_id=["e"]), "FIELD_TYPE"),
    ("an account that is a number", payment(payer={"account": 1}), "FIELD_TYPE"),
    ("registered by name", payment(device={"id": "d", "registered": "yes"}), "FIELD_TYPE"),
    ("registered by number", payment(device={"id": "d", "registered": 1}), "FIELD_TYPE"),
    ("statistics that are a list", payment(dict=[]), "NOT_AN_OBJECT"),
    ("statistics that are true", payment(dict=True), "NOT_AN_OBJECT"),
    ("settlements that are a number", payment(dict={"settlements": 12}), "NOT_AN_OBJECT"),
    ("-1 settlements", statistics("settlements", -1), "FIELD_TYPE"),
    ("2^31 settlements", statistics("settlements", 2**31), "FIELD_TYPE"),
    ("settlements of 999 digits", statistics("settlements", 10).replace(b"10", b"9" * 999), "FIELD_TYPE"),
    ("12.0 fraud markers", statistics("fraud_markers", 12.0), "FIELD_TYPE"),
    ("half an open report", statistics("open_reports", 0.5), "FIELD_TYPE"),
    ("settlements as text", statistics("settlements", "12"), "FIELD_TYPE"),
    ("settlements by a flag", statistics("settlements", True), "FIELD_TYPE"),
    ("statistics of no time", payment(dict={"updated_at": NOW}), "TIME_INVALID"),
    ("statistics of no zone", payment(dict={"updated_at": "2026-11-21T00:00:00"}), "TIME_WITHOUT_OFFSET"),
    ("an ISPB of 7", payment(payer={"account": "a", "ispb": "9040088"}), "FIELD_FORMAT"),
    ("an ISPB and a line", payment(payer={"account": "a", "ispb": "90400888\n"}), "FIELD_FORMAT"),
    ("a small ISPB", payment(payer={"account": "a", "ispb": "9040088a"}), "FIELD_FORMAT"),
    ("an unknown initiation", payment(initiation="TED"), "ENUM_UNKNOWN"),
    ("an initiation in small letters", payment(initiation="dict"), "ENUM_UNKNOWN"),
    ("an initiation that is a number", payment(initiation=1), "ENUM_UNKNOWN"),
    ("an unknown key type", payment(payee={"account": "b", "key_type": "IBAN"}), "ENUM_UNKNOWN"),
    ("an unknown person type", payment(payer={"account": "b", "person_type": ""}), "ENUM_UNKNOWN"),
    ("an unknown direction", payment(direction="UP"), "ENUM_UNKNOWN"),
    ("an amount of 0", payment(amount=0), "AMOUNT_NOT_POSITIVE"),
    ("an amount of 0.00", payment(amount="0.00"), "AMOUNT_NOT_POSITIVE"),
    ("an amount of -0.0", raw("amount", b"-0.0"), "AMOUNT_NOT_POSITIVE"),
    ("a negative amount", payment(amount=-1), "AMOUNT_NOT_POSITIVE"),
    ("a negative amount as text", payment(amount="-0.01"), "AMOUNT_NOT_POSITIVE"),
    ("minus infinity", raw("amount", b"-1e400"), "AMOUNT_NOT_POSITIVE"),
    ("3 decimals", payment(amount=1.005), "AMOUNT_PRECISION"),
    ("more than a float has", numbered("1.10000000000000000000001"), "AMOUNT_PRECISION"),
    ("a float rounds it up", numbered("150.0999999999999999999"), "AMOUNT_PRECISION"),
    ("rounded, it is the most", numbered("999999999.9999999999"), "AMOUNT_PRECISION"),
    ("more digits than a Decimal computes with", numbered("150." + "0" * 40 + "1"), "AMOUNT_PRECISION"),
    ("under an escaped name", numbered("150.0999999999999999999", name="am\\u006funt"), "AMOUNT_PRECISION"),
    ("the balance too", payment(payer={"account": "a-1", "balance": "?"}).replace(
        b'"?"', b"20.0999999999999999999"), "AMOUNT_PRECISION"),
    ("NaN in what is ignored", payment(later="?").replace(b'"?"', b"NaN"), "NOT_JSON"),
    ("infinity in what is ignored", payment(later="?").replace(b'"?"', b"[-Infinity]"), "NOT_JSON"),
    ("3 decimals as text", payment(amount="1.005"), "AMOUNT_PRECISION"),
    ("3 decimals as text, the last 0", payment(amount="1.000"), "AMOUNT_PRECISION"),
    ("less than a centavo", raw("amount", b"1e-300"), "AMOUNT_PRECISION"),
    ("1e400", raw("amount", b"1e400"), "AMOUNT_TOO_LARGE"),
    ("1e400 as text", payment(amount="1e400"), "AMOUNT_TOO_LARGE"),
    ("an exponent beyond decimals", payment(amount="1e9999999"), "AMOUNT_TOO_LARGE"),
    ("an exponent beyond every decimal", payment(amount="1e" + "9" * 40), "AMOUNT_NOT_A_NUMBER"),
    ("a centavo too much", payment(amount="1000000000.01"), "AMOUNT_TOO_LARGE"),
    ("a real too much", payment(amount=1_000_000_001), "AMOUNT_TOO_LARGE"),
    ("1000 digits", raw("amount", b"9" * 1_000), "AMOUNT_TOO_LARGE"),
    ("4000 digits as text", payment(amount="9" * 4_000), "AMOUNT_TOO_LARGE"),
    ("infinity by name", payment(amount="Infinity"), "AMOUNT_TOO_LARGE"),
    ("infinity", raw("amount", b"Infinity"), "AMOUNT_TOO_LARGE"),
    ("NaN", raw("amount", b"NaN"), "AMOUNT_NOT_A_NUMBER"),
    ("NaN as text", payment(amount="NaN"), "AMOUNT_NOT_A_NUMBER"),
    ("a signalling NaN", payment(amount="sNaN"), "AMOUNT_NOT_A_NUMBER"),
    ("true", payment(amount=True), "AMOUNT_NOT_A_NUMBER"),
    ("null amount", payment(amount=None), "AMOUNT_NOT_A_NUMBER"),
    ("a list of amounts", payment(amount=[1]), "AMOUNT_NOT_A_NUMBER"),
    ("no digits", payment(amount=""), "AMOUNT_NOT_A_NUMBER"),
    ("a word", payment(amount="ten"), "AMOUNT_NOT_A_NUMBER"),
    ("an exponent", payment(amount="1e2"), "AMOUNT_NOT_A_NUMBER"),
    ("blanks before", payment(amount=" 1"), "AMOUNT_NOT_A_NUMBER"),
    ("a line after", payment(amount="1\n"), "AMOUNT_NOT_A_NUMBER"),
    ("a plus", payment(amount="+1"), "AMOUNT_NOT_A_NUMBER"),
    ("a decimal comma", payment(amount="1,50"), "AMOUNT_NOT_A_NUMBER"),
    ("grouped thousands", payment(amount="1_000"), "AMOUNT_NOT_A_NUMBER"),
    ("digits of another script", payment(amount="١٢"), "AMOUNT_NOT_A_NUMBER"),
    ("hexadecimal", payment(amount="0x10"), "AMOUNT_NOT_A_NUMBER"),
    ("a balance of 3 decimals", payment(payer={"account": "a", "balance": "1.005"}), "AMOUNT_PRECISION"),
    ("no offset", payment(occurred_at="2026-11-21T15:30:00"), "TIME_WITHOUT_OFFSET"),
    ("a day", payment(occurred_at="2026-11-21"), "TIME_INVALID"),
    ("a number", payment(occurred_at=NOW), "TIME_INVALID"),
    ("null time", payment(occurred_at=None), "TIME_INVALID"),
    ("February 30th", payment(occurred_at="2026-02-30T00:00:00Z"), "TIME_INVALID"),
    ("hour 25", payment(occurred_at="2026-11-21T25:00:00Z"), "TIME_INVALID"),
    ("an offset of 99 hours", payment(occurred_at="2026-11-21T15:30:00+99:00"), "TIME_INVALID"),
    ("an offset without minutes", payment(occurred_at="2026-11-21T15:30:00-03"), "TIME_INVALID"),
    ("a time and a line", payment(occurred_at="2026-11-21T15:30:00Z\n"), "TIME_INVALID"),
    ("an opening that is no time", payment(payer={"account": "a", "opened_at": "1987"}), "TIME_INVALID"),
    ("the year 0", payment(occurred_at="0000-01-01T00:00:00Z"), "TIME_INVALID"),
    ("1999", payment(occurred_at=at(EARLIEST - 1)), "TIME_OUT_OF_RANGE"),
    ("2100", payment(occurred_at=at(LATEST)), "TIME_OUT_OF_RANGE"),
    ("an hour ahead", payment(occurred_at=at(NOW + 3_600_000)), "TIME_AHEAD"),
    ("a millisecond more than 10 minutes ahead", payment(occurred_at=at(NOW + AHEAD_MS + 1)), "TIME_AHEAD"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "code"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_each_kind_of_bad_input_has_its_code(value: bytes | None, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        decode_transaction(value, NOW)
    assert caught.value.code == code
    assert caught.value.text
    assert len(caught.value.text) < 300
    assert "\n" not in caught.value.text


def test_every_code_is_reached() -> None:
    assert {code for *_, code in BAD} | FROM_THE_PIPELINE.keys() == CODES.keys()


BAD_REPORTS = [
    (None, "EMPTY"),
    (b"{", "NOT_JSON"),
    *((without(REPORT, name), "FIELD_MISSING") for name in REPORT),
    (orjson.dumps({**REPORT, "status": "CLOSED"}), "ENUM_UNKNOWN"),
    (orjson.dumps({**REPORT, "status": None}), "ENUM_UNKNOWN"),
    (orjson.dumps({**REPORT, "type": "THEFT"}), "ENUM_UNKNOWN"),
    (orjson.dumps({**REPORT, "report_id": ""}), "FIELD_LENGTH"),
    (orjson.dumps({**REPORT, "transaction_event_id": "e" * 65}), "FIELD_LENGTH"),
    (orjson.dumps({**REPORT, "payee_ispb": "1"}), "FIELD_FORMAT"),
    (orjson.dumps({**REPORT, "device_id": 7}), "FIELD_TYPE"),
    (orjson.dumps({**REPORT, "reported_at": "2026-11-21T15:30:00"}), "TIME_WITHOUT_OFFSET"),
    (orjson.dumps({**REPORT, "reported_at": at(NOW + AHEAD_MS + 1)}), "TIME_AHEAD"),
]


@pytest.mark.parametrize(("value", "code"), BAD_REPORTS)
def test_bad_reports_likewise(value: bytes | None, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        decode_report(value, NOW)
    assert caught.value.code == code
    if value is not None and b"r-1" in value:
        assert caught.value.event_id == "r-1"


def test_the_example_of_the_contract() -> None:
    value = b"""
    {"event_id": "E9040088820261121153000123456789",
     "occurred_at": "2026-11-21T15:30:00.123Z", "amount": "150.00",
     "payer": {"account": "a-1", "ispb": "90400888", "person_type": "NATURAL_PERSON", "holder": "h",
               "opened_at": "1987-03-01T00:00:00-03:00", "balance": -20.5},
     "payee": {"account": "b-9", "ispb": "60701190", "person_type": "LEGAL_PERSON", "key": "11999990000",
               "key_type": "PHONE"},
     "initiation": "DICT", "device": {"id": "d-7", "registered": true}, "later": [{}],
     "dict": {"updated_at": "2026-11-21T00:00:00Z", "settlements": {"d90": 12, "m12": 40, "m60": 90},
              "fraud_markers": {"d90": 0, "m12": 1, "later": "?"}, "open_reports": {}, "later": []}}"""
    assert decode_transaction(value, NOW) == Transaction(
        event_id="E9040088820261121153000123456789",
        occurred_at=NOW,
        amount=15_000,
        payer_account="a-1",
        payee_account="b-9",
        payer_ispb="90400888",
        payer_person_type="NATURAL_PERSON",
        payer_holder="h",
        payer_opened_at=int(datetime(1987, 3, 1, 3, tzinfo=UTC).timestamp() * 1000),
        payer_balance=-2_050,
        payee_ispb="60701190",
        payee_person_type="LEGAL_PERSON",
        payee_key="11999990000",
        payee_key_type="PHONE",
        initiation="DICT",
        device_id="d-7",
        device_registered=True,
        dict_updated_at=int(datetime(2026, 11, 21, tzinfo=UTC).timestamp() * 1000),
        dict_settlements_d90=12,
        dict_settlements_m12=40,
        dict_settlements_m60=90,
        dict_fraud_markers_d90=0,
        dict_fraud_markers_m12=1,
    )


def test_absent_and_null_are_unknown() -> None:
    nulls = payment(
        device=None, initiation=None, payer={**PAYMENT["payer"], "balance": None, "opened_at": None}
    )
    assert decode_transaction(nulls, NOW) == decode_transaction(payment(), NOW)


@pytest.mark.parametrize(
    "unknown",
    [
        None,
        {},
        {"later": 1},
        {"updated_at": None, "settlements": None},
        {"settlements": {}, "fraud_markers": {"d90": None}},
    ],
)
def test_statistics_that_tell_nothing_are_as_absent(unknown: object) -> None:
    assert decode_transaction(payment(dict=unknown), NOW) == decode_transaction(payment(), NOW)


def test_each_statistic_has_its_own_place() -> None:
    spans, numbers = ("d90", "m12", "m60"), iter((0, 1, 2, 3, 4, 5, 6, 7, 2**31 - 1))
    sent = {
        name: {span: next(numbers) for span in spans}
        for name in ("settlements", "fraud_markers", "open_reports")
    }
    decoded = decode_transaction(payment(dict=sent), NOW)._asdict()
    for name, counts in sent.items():
        assert counts == {span: decoded[f"dict_{name}_{span}"] for span in spans}


def test_a_report_decodes() -> None:
    whole = {**REPORT, "payer_ispb": "90400888", "device_id": "d", "payee_key": "k", "unknown": 1}
    assert decode_report(orjson.dumps(whole), NOW) == FraudReport(
        "r-1", "e-1", "a-1", "b-9", NOW, "CONFIRMED", "SCAM", "90400888", None, "d", "k"
    )


def test_the_largest_message_is_taken() -> None:
    assert decode_transaction(payment().ljust(MAX_BYTES), NOW) == decode_transaction(payment(), NOW)


def test_exactly_ten_minutes_ahead_is_taken() -> None:
    assert decode_transaction(payment(occurred_at=at(NOW + AHEAD_MS)), NOW).occurred_at == NOW + AHEAD_MS


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-21T12:30:00.123-03:00", NOW),
        ("2026-11-21t15:30:00.123z", NOW),
        ("2026-11-21 15:30:00.1239999999999", None),
        ("2026-11-21T15:30:00.123999999Z", NOW),
        ("2026-11-21T15:30:00.123456789012345678901234567890Z", NOW),
        ("2026-11-21T15:30:00Z", NOW - 123),
        ("2026-11-21T15:30:00.1Z", NOW - 23),
    ],
)
def test_times_are_cut_to_milliseconds(text: str, time: int | None) -> None:
    if time is None:
        with pytest.raises(Rejected):
            decode_transaction(payment(occurred_at=text), NOW)
    else:
        assert decode_transaction(payment(occurred_at=text), NOW).occurred_at == time


@pytest.mark.parametrize("limits", [(1, 1), (64, 128)])
def test_the_longest_and_shortest_names_are_taken(limits: tuple[int, int]) -> None:
    event_id, account = "é" * limits[0], "\N{PILE OF POO}" * limits[1]
    message = payment(event_id=event_id, payer={"account": account}, payee={"account": account})
    decoded = decode_transaction(message, NOW)
    assert (decoded.event_id, decoded.payer_account, decoded.payee_account) == (event_id, account, account)


def test_an_id_is_kept_where_it_can_be_read() -> None:
    for value, event_id in (
        (payment(amount=0), "e-1"),
        (payment(event_id="e" * 65), "e" * 65),
        (payment(event_id="e" * 70_000), "e" * 128),
        (payment(event_id=7), None),
        (b"{", None),
    ):
        with pytest.raises(Rejected) as caught:
            decode_transaction(value, NOW)
        assert caught.value.event_id == event_id


def test_a_reason_tells_nothing_of_the_person() -> None:
    cpf = "52998224725"
    for value in (
        payment(payer={"account": cpf, "ispb": cpf}),
        payment(payer=cpf),
        payment(amount=cpf + "x"),
        payment(occurred_at=cpf),
        payment(initiation=cpf),
        payment(event_id=[cpf]),
    ):
        with pytest.raises(Rejected) as caught:
            decode_transaction(value, NOW)
        assert cpf not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def dumped(value: object) -> bytes:
    """JSON as Python writes it: NaN, infinities and lone surrogates too."""
    return json.dumps(value).encode()


def outcome(decode, value: bytes) -> Transaction | FraudReport | Rejected:
    """What decoding comes to; anything but Rejected that is raised fails the test."""
    try:
        return decode(value, NOW)
    except Rejected as rejected:
        return rejected


def rejected_or_decoded(value: bytes) -> bool:
    """Whether each decoder gives a value, or a known code and headers that Kafka takes."""
    for decode in (decode_transaction, decode_report):
        found = outcome(decode, value)
        if isinstance(found, Rejected):
            letter = DeadLetter(value, None, found.code, found.text, found.event_id, "t", 0, 0)
            if found.code not in CODES or not all(
                isinstance(header, bytes) for _, header in letter.headers()
            ):
                return False
    return True


@given(value=st.binary(max_size=300))
def test_arbitrary_bytes_are_rejected_by_code(value: bytes) -> None:
    assert rejected_or_decoded(value)


@given(value=JSON)
def test_arbitrary_json_is_rejected_by_code(value: object) -> None:
    assert rejected_or_decoded(dumped(value))


@given(
    name=st.sampled_from([*PAYMENT, "device", "initiation", "dict", "payer.balance", "payee.opened_at"]),
    value=JSON,
)
def test_an_arbitrary_field_is_rejected_by_code(name: str, value: object) -> None:
    message = orjson.loads(payment())
    outer, _, inner = name.rpartition(".")
    (message[outer] if outer else message)[inner] = value
    assert rejected_or_decoded(dumped(message))


@given(name=st.sampled_from(list(REPORT)), value=JSON)
def test_an_arbitrary_field_of_a_report_is_rejected_by_code(name: str, value: object) -> None:
    assert rejected_or_decoded(dumped({**REPORT, name: value}))


@given(text=st.from_regex(r"\A[-+ ]?[0-9]{0,14}[.,]?[0-9]{0,4}([eE][-+]?[0-9]{1,9})?\Z"))
def test_anything_like_an_amount_is_taken_exactly_or_rejected(text: str) -> None:
    found = outcome(decode_transaction, payment(amount=text))
    if isinstance(found, Rejected):
        assert found.code.startswith("AMOUNT_")
    else:
        assert re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,2})?", text)
        assert Decimal(found.amount) == Decimal(text) * 100


@given(centavos=st.integers(1, MAX_AMOUNT))
def test_amounts_round_trip_as_text_and_as_number(centavos: int) -> None:
    text = reais(centavos)
    assert decode_transaction(payment(amount=text), NOW).amount == centavos
    assert decode_transaction(raw("amount", text.encode()), NOW).amount == centavos
    assert decode_transaction(payment(amount=centavos / 100), NOW).amount == centavos


@given(time=st.integers(EARLIEST, LATEST - 1))
def test_times_round_trip(time: int) -> None:
    text = rfc3339(time)
    assert time_of(text) == time
    assert datetime.fromisoformat(text).tzinfo is not None


@pytest.mark.parametrize(
    ("literal", "values"),
    [
        (PersonType, PERSON_TYPES),
        (KeyType, KEY_TYPES),
        (Initiation, INITIATIONS),
        (ReportType, REPORT_TYPES),
    ],
)
def test_the_decoder_and_the_features_know_the_same_codes(literal: object, values: tuple[str, ...]) -> None:
    assert get_args(literal) == values


@pytest.mark.parametrize("amount", ["150.1", "150.10", "150.100", "1501e-1", "1.501E2", "150.1" + "0" * 60])
def test_a_number_is_what_is_written(amount: str) -> None:
    assert decode_transaction(numbered(amount), NOW).amount == 15_010
