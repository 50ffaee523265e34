"""`vigia publish FILE`: a wrong column is named before anything is sent; every row becomes a message."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import BadInput
from features.files import read_transactions
from stream.dead_letter import Rejected
from stream.messages import decode_transaction
from stream.simulate import SimulationConfig, simulate
from stream.simulate.files import write
from stream.transactions_file import open_transactions

NOW = 4_200_000_000_000
"""A record's timestamp that no time is ahead of."""
AT = datetime(2018, 8, 14, 1, 2, 3, 456_000, tzinfo=UTC)
GOOD = {
    "event_id": ["e-1", "e-2"],
    "occurred_at": pa.array([AT, AT], pa.timestamp("us", "UTC")),
    "amount": [57.16, 0.1],
    "payer_account": ["a-1", "a-2"],
    "payee_account": ["b-1", "b-2"],
}


def saved(tmp_path, **columns):
    """A file of GOOD with these columns in place of its own; None drops one."""
    chosen = {name: column for name, column in (GOOD | columns).items() if column is not None}
    path = tmp_path / "transactions.parquet"
    pq.write_table(pa.table(chosen), path)
    return path


def contents(path):
    return [orjson.loads(value) for _, value in open_transactions(path).messages()]


def codes(path):
    """How many of its messages the worker would keep as dead letters, by code."""
    found = Counter()
    for _, value in open_transactions(path).messages():
        try:
            decode_transaction(value, NOW)
        except Rejected as rejected:
            found[rejected.code] += 1
    return found


def build_codes(path):
    return read_transactions(path).rejected


def refused(path):
    with pytest.raises(BadInput) as caught:
        open_transactions(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_required_columns_are_enough(tmp_path):
    file = open_transactions(saved(tmp_path))
    assert file.rows == 2
    key, value = next(file.messages())
    assert key == b"a-1"
    assert orjson.loads(value) == {
        "event_id": "e-1",
        "occurred_at": "2018-08-14T01:02:03.456Z",
        "amount": "57.16",
        "payer": {"account": "a-1"},
        "payee": {"account": "b-1"},
    }


def test_optional_columns_become_nested_and_null_is_absent(tmp_path):
    path = saved(
        tmp_path,
        payee_key=["x@example.com", None],
        payee_key_type=["EMAIL", None],
        device_id=["d-1", None],
        device_registered=[False, None],
        payer_balance=[Decimal("10.50"), None],
        payee_opened_at=pa.array([AT, None], pa.timestamp("ns")),
        initiation=pa.array(["DICT", None]).dictionary_encode(),
        direction=pa.nulls(2),
    )
    first, second = contents(path)
    assert first["payee"] == {
        "account": "b-1",
        "key": "x@example.com",
        "key_type": "EMAIL",
        "opened_at": "2018-08-14T01:02:03.456Z",
    }
    assert first["device"] == {"id": "d-1", "registered": False}
    assert first["payer"] == {"account": "a-1", "balance": "10.50"}
    assert first["initiation"] == "DICT"
    assert set(second) == {"event_id", "occurred_at", "amount", "payer", "payee"}


def test_statistics_are_nested_and_no_object_is_empty(tmp_path):
    path = saved(
        tmp_path,
        dict_updated_at=pa.array([AT, None], pa.timestamp("ms", "UTC")),
        dict_settlements_d90=pa.array([12, None], pa.int32()),
        dict_settlements_m60=pa.array([90, None], pa.uint64()).dictionary_encode(),
        dict_open_reports_m12=pa.nulls(2),
    )
    first, second = contents(path)
    assert first["dict"] == {
        "updated_at": "2018-08-14T01:02:03.456Z",
        "settlements": {"d90": 12, "m60": 90},
    }
    assert "dict" not in second
    read = list(read_transactions(path).events())
    assert (read[0].dict_settlements_d90, read[0].dict_settlements_m60) == (12, 90)
    assert read == [decode_transaction(value, NOW) for _, value in open_transactions(path).messages()]


def test_a_simulation_reads_back_as_its_own_messages(tmp_path):
    config = SimulationConfig(days=1.0, accounts=300, transactions_per_day=900)
    simulation = simulate(config)
    transactions, reports = write(simulation, tmp_path / "new" / "folder")
    sent = [m for m in simulation.messages() if m.topic == "transactions"]
    read = list(open_transactions(transactions).messages())
    assert [key for key, _ in read] == [m.key for m in sent]
    assert [orjson.loads(value) for _, value in read] == [orjson.loads(m.value) for m in sent]
    again = write(simulate(config), tmp_path / "again")
    assert pq.read_table(again[0]).equals(pq.read_table(transactions))
    assert pq.read_table(again[1]).equals(pq.read_table(reports))
    assert pq.read_table(reports).num_rows == len(simulation.reports)


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ([57.16, 1.1 + 2.2], ["57.16", "3.30"]),
        (["57.16", "3"], ["57.16", "3"]),
        ([57, 3], ["57.00", "3.00"]),
        ([Decimal("57.160"), Decimal("3.000")], ["57.16", "3.00"]),
        (pa.array([1.5, 2.25], pa.float32()), ["1.50", "2.25"]),
        ([1_000_000_000.0, 0.01], ["1000000000.00", "0.01"]),
    ],
)
def test_amounts_come_in_many_types(tmp_path, amounts, expected):
    assert [x["amount"] for x in contents(saved(tmp_path, amount=amounts))] == expected


SENT_AS_IT_IS = [
    (57.165, "57.165", "AMOUNT_PRECISION"),
    (float("nan"), "nan", "AMOUNT_NOT_A_NUMBER"),
    (float("inf"), "inf", "AMOUNT_TOO_LARGE"),
    (0.0, "0.00", "AMOUNT_NOT_POSITIVE"),
    (-1.0, "-1.00", "AMOUNT_NOT_POSITIVE"),
    (1e9 + 1, "1000000001.00", "AMOUNT_TOO_LARGE"),
    (1e300, "1e+300", "AMOUNT_TOO_LARGE"),
    (None, None, "FIELD_MISSING"),
    ("1.234", "1.234", "AMOUNT_PRECISION"),
    ("ten", "ten", "AMOUNT_NOT_A_NUMBER"),
    ("", "", "AMOUNT_NOT_A_NUMBER"),
    ("NaN", "NaN", "AMOUNT_NOT_A_NUMBER"),
    ("9999999999999", "9999999999999", "AMOUNT_TOO_LARGE"),
    (Decimal("5.001"), "5.001", "AMOUNT_PRECISION"),
    (2**63 - 1, "9223372036854775807", "AMOUNT_TOO_LARGE"),
]


@pytest.mark.parametrize(("amount", "sent", "code"), SENT_AS_IT_IS)
def test_a_wrong_amount_is_sent_as_it_is(tmp_path, amount, sent, code):
    good = type(amount)(5) if amount is not None else 5.0
    path = saved(tmp_path, amount=[good, amount])
    first, second = contents(path)
    assert Decimal(first["amount"]) == 5
    assert second.get("amount") == sent
    assert codes(path) == build_codes(path) == {code: 1}


def test_a_float_that_is_nearly_a_centavo_is_one(tmp_path):
    amounts = pa.array([1108.8500000000001, 999999999.99])
    assert [x["amount"] for x in contents(saved(tmp_path, amount=amounts))] == ["1108.85", "999999999.99"]
    short = pa.array([1108.85, 0.01], pa.float32())
    assert [x["amount"] for x in contents(saved(tmp_path, amount=short))] == ["1108.85", "0.01"]


def test_a_time_without_a_zone_is_utc(tmp_path):
    naive = pa.array([AT.replace(tzinfo=None)] * 2, pa.timestamp("ns"))
    assert contents(saved(tmp_path, occurred_at=naive))[0]["occurred_at"] == "2018-08-14T01:02:03.456Z"


def test_another_zone_is_the_same_instant(tmp_path):
    local = pa.array([AT] * 2, pa.timestamp("ms", "America/Sao_Paulo"))
    assert contents(saved(tmp_path, occurred_at=local))[0]["occurred_at"] == "2018-08-14T01:02:03.456Z"


def test_integer_ids_are_taken_as_text(tmp_path):
    assert contents(saved(tmp_path, event_id=[7, 8], payer_account=[1, 2]))[1]["payer"] == {"account": "2"}


def test_a_missing_column_is_named_with_what_it_might_be(tmp_path):
    message = refused(saved(tmp_path, amount=None, TX_AMOUNT=[1.0, 2.0]))
    assert "required column `amount` is missing" in message
    assert "`TX_AMOUNT` is not in the contract (did you mean `amount`?)" in message


def test_a_misspelt_optional_column_is_refused(tmp_path):
    message = refused(saved(tmp_path, payee_key_typ=["CPF", "CPF"]))
    assert "`payee_key_typ` is not in the contract (did you mean `payee_key_type`?)" in message


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"occurred_at": ["2018-08-14T01:02:03Z"] * 2}, "column `occurred_at` is of type string"),
        ({"amount": [True, False]}, "column `amount` is of type bool"),
        ({"payer_account": [1.0, 2.0]}, "column `payer_account` is of type double"),
        ({"device_registered": ["yes", "no"]}, "column `device_registered` is of type string"),
        ({"dict_settlements_m12": [1.0, 2.0]}, "column `dict_settlements_m12` is of type double"),
        ({"dict_open_reports_d90": ["1", "2"]}, "expected an integer"),
        ({"dict_updated_at": [1, 2]}, "column `dict_updated_at` is of type int64"),
    ],
)
def test_a_column_of_a_wrong_type_is_named(tmp_path, columns, expected):
    assert expected in refused(saved(tmp_path, **columns))


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"event_id": ["e-1", None]}, "FIELD_MISSING"),
        ({"event_id": ["", "e-2"]}, "FIELD_LENGTH"),
        ({"event_id": ["e-1", "e" * 65]}, "FIELD_LENGTH"),
        ({"payer_account": [None, "a-2"]}, "FIELD_MISSING"),
        ({"payee_account": ["b-1", "b" * 129]}, "FIELD_LENGTH"),
        ({"payee_account": ["b-1", "é" * 128]}, None),
        ({"payee_key": ["", "k"]}, "FIELD_LENGTH"),
        ({"device_id": ["d", "d" * 129]}, "FIELD_LENGTH"),
        ({"payer_ispb": ["0000000a", None]}, "FIELD_FORMAT"),
        ({"payer_ispb": ["00000000\n", None]}, "FIELD_FORMAT"),
        ({"initiation": ["DICT", "PIX"]}, "ENUM_UNKNOWN"),
        ({"payer_balance": ["10.00", "ten"]}, "AMOUNT_NOT_A_NUMBER"),
        ({"payer_balance": [-5.0, 2e9]}, None),
        ({"dict_settlements_m12": [0, 2**31 - 1]}, None),
        ({"dict_settlements_m12": [-1, None]}, "FIELD_TYPE"),
        ({"dict_fraud_markers_d90": [5, 2**31]}, "FIELD_TYPE"),
        ({"dict_open_reports_m60": pa.array([5, 2**64 - 1], pa.uint64())}, "FIELD_TYPE"),
        ({"dict_updated_at": pa.array([0, None], pa.timestamp("ms", "UTC"))}, None),
        ({"payer_opened_at": pa.array([0, None], pa.timestamp("ms", "UTC"))}, None),
        ({"occurred_at": pa.array([AT, datetime(1999, 12, 31, tzinfo=UTC)])}, "TIME_OUT_OF_RANGE"),
        ({"occurred_at": pa.array([AT, datetime(2100, 1, 1, tzinfo=UTC)])}, "TIME_OUT_OF_RANGE"),
        ({"occurred_at": pa.array([AT, None], pa.timestamp("ms", "UTC"))}, "FIELD_MISSING"),
    ],
)
def test_a_wrong_value_is_sent_and_the_worker_and_the_build_agree_on_it(tmp_path, columns, code):
    path = saved(tmp_path, **columns)
    expected = {code: 1} if code else {}
    assert len(contents(path)) == 2
    assert codes(path) == build_codes(path) == expected


def test_whether_an_unknown_device_is_registered_is_not_told(tmp_path):
    path = saved(tmp_path, device_id=["d-1", None], device_registered=[True, True])
    assert [x.get("device") for x in contents(path)] == [{"id": "d-1", "registered": True}, None]
    assert [e.device_registered for e in read_transactions(path).events()] == [True, None]
    alone = saved(tmp_path, device_registered=[True, True])
    assert [x.get("device") for x in contents(alone)] == [None, None]
    assert [e.device_registered for e in read_transactions(alone).events()] == [None, None]


def test_what_is_published_decodes_to_what_the_build_reads(tmp_path):
    simulation = simulate(SimulationConfig(days=1.0, accounts=300, transactions_per_day=900))
    path, _ = write(simulation, tmp_path)
    sent = [decode_transaction(value, NOW) for _, value in open_transactions(path).messages()]
    assert sent == list(read_transactions(path).events())


def test_no_file_and_no_parquet(tmp_path):
    assert "no such file" in refused(tmp_path / "none.parquet")
    text = tmp_path / "some.csv"
    text.write_text("event_id,amount\n")
    assert "not a Parquet file" in refused(text)


def test_an_empty_file_has_no_messages(tmp_path):
    schema = pa.table(GOOD).schema
    path = tmp_path / "empty.parquet"
    pq.write_table(schema.empty_table(), path)
    file = open_transactions(path)
    assert file.rows == 0
    assert list(file.messages()) == []
