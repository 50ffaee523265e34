"""`vigia publish FILE`: what is wrong is named before anything is sent; what is right becomes messages."""

from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import BadInput
from stream.simulate import SimulationConfig, simulate
from stream.simulate.files import write
from stream.transactions_file import open_transactions

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
        (["57.16", "3"], ["57.16", "3.00"]),
        ([57, 3], ["57.00", "3.00"]),
        ([Decimal("57.160"), Decimal("3.000")], ["57.16", "3.00"]),
        (pa.array([1.5, 2.25], pa.float32()), ["1.50", "2.25"]),
        ([1_000_000_000.0, 0.01], ["1000000000.00", "0.01"]),
    ],
)
def test_amounts_come_in_many_types(tmp_path, amounts, expected):
    assert [x["amount"] for x in contents(saved(tmp_path, amount=amounts))] == expected


@pytest.mark.parametrize(
    "amount",
    [57.165, float("nan"), float("inf"), 0.0, -1.0, 1e9 + 1, None, "1.234", "ten", "", "1e400", "NaN"],
)
def test_a_wrong_amount_is_named_with_its_row(tmp_path, amount):
    good = "5.00" if isinstance(amount, str) else 5.0
    message = refused(saved(tmp_path, amount=[good, amount]))
    assert "column `amount`, row 2" in message


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
        ({"event_id": ["e-1", None]}, "column `event_id`, row 2: null"),
        ({"event_id": ["", "e-2"]}, "column `event_id`, row 1: ''"),
        ({"event_id": ["e-1", "e" * 65]}, "column `event_id`, row 2"),
        ({"payee_account": ["b-1", "b" * 129]}, "column `payee_account`, row 2"),
        ({"initiation": ["DICT", "PIX"]}, "column `initiation`, row 2: 'PIX', expected one of MANU, DICT"),
        ({"occurred_at": pa.array([0, 0], pa.timestamp("ms", "UTC"))}, "column `occurred_at`, row 1: '1970"),
        ({"occurred_at": pa.nulls(2)}, "column `occurred_at`, row 1: null"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, columns, expected):
    assert expected in refused(saved(tmp_path, **columns))


def test_the_row_is_counted_over_the_whole_file(tmp_path):
    rows = 20_000
    path = tmp_path / "long.parquet"
    table = {
        "event_id": [f"e-{i}" for i in range(rows)],
        "occurred_at": pa.array([AT] * rows, pa.timestamp("ms", "UTC")),
        "amount": [1.0] * (rows - 1) + [-1.0],
        "payer_account": ["a"] * rows,
        "payee_account": ["b"] * rows,
    }
    pq.write_table(pa.table(table), path)
    assert f"row {rows}:" in refused(path)


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
