"""A simulation as the two Parquet files of DESIGN 4. Needs pyarrow (the extra `train`), named here alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stream.simulate.dict_statistics import SPANS, STATISTICS, DictStatistics
from stream.simulate.identifiers import device_name
from stream.simulate.messages import direction
from stream.simulate.population import Population
from stream.simulate.simulation import Simulation
from stream.simulate.vocabulary import INITIATIONS, KEY_TYPES, PERSON_TYPES, REPORT_TYPES, STATUSES

INSTANT = pa.timestamp("ms", tz="UTC")
MONEY = pa.decimal128(18, 2)


def write(simulation: Simulation, folder: Path) -> tuple[Path, Path]:
    """Write `transactions.parquet` and `reports.parquet` into `folder` (made if missing); their paths.

    The files hold what a payment system would tell, not the simulator's truth.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "transactions.parquet", folder / "reports.parquet"
    pq.write_table(transactions(simulation), paths[0])
    pq.write_table(reports(simulation), paths[1])
    return paths


def transactions(simulation: Simulation) -> pa.Table:
    """One row a transaction, in event time; null where unknown."""
    payments, population = simulation.payments, simulation.population
    payer, payee = payments.payer, payments.payee
    known = payments.device >= 0
    return pa.table(
        {
            "event_id": _text(simulation.event_ids),
            "occurred_at": pa.array(payments.at_ms, INSTANT),
            "amount": _money(payments.centavos),
            "payer_account": _words(population.names, payer),
            "payer_ispb": _text(population.ispb[payer]),
            "payer_person_type": _words(PERSON_TYPES, population.legal[payer].astype(np.int8)),
            "payer_opened_at": pa.array(population.opened_ms[payer], INSTANT),
            "payer_balance": _money(payments.balance, ~population.tells_balance[payer]),
            "payee_account": _words(population.names, payee),
            "payee_ispb": _text(population.ispb[payee]),
            "payee_person_type": _words(PERSON_TYPES, population.legal[payee].astype(np.int8)),
            "payee_opened_at": pa.array(population.opened_ms[payee], INSTANT),
            "payee_key": _keys(population, payments.key_owner, payments.key_type),
            "payee_key_type": _words(KEY_TYPES, payments.key_type),
            "initiation": _words(INITIATIONS, payments.initiation),
            "device_id": _devices(payments.device),
            "device_registered": pa.array(payments.registered, mask=~known),
            "direction": pa.array(
                map(direction, population.ispb[payer].tolist(), population.ispb[payee].tolist())
            ),
            **_statistics(simulation.statistics),
        }
    )


def _statistics(told: DictStatistics) -> dict[str, pa.Array]:
    """DICT's ten columns; null where it was not asked."""
    unknown = told.updated_ms < 0
    columns = {"dict_updated_at": pa.array(told.updated_ms, INSTANT, mask=unknown)}
    for name in STATISTICS:
        counts = getattr(told, name)
        for place, span in enumerate(SPANS):
            columns[f"dict_{name}_{span}"] = pa.array(counts[:, place], pa.int32(), mask=unknown)
    return columns


def reports(simulation: Simulation) -> pa.Table:
    """One row a report message, by time; null where unknown."""
    told, population = simulation.reports, simulation.population
    return pa.table(
        {
            "report_id": _text(told.report_id),
            "transaction_event_id": _text(told.transaction_event_id),
            "payer_account": _words(population.names, told.payer),
            "payer_ispb": _text(population.ispb[told.payer]),
            "payee_account": _words(population.names, told.payee),
            "payee_ispb": _text(population.ispb[told.payee]),
            "device_id": _devices(told.device),
            "payee_key": _keys(population, told.key_owner, told.key_type),
            "reported_at": pa.array(told.reported_ms, INSTANT),
            "status": _words(STATUSES, told.status),
            "type": _words(REPORT_TYPES, told.type),
        }
    )


def _text(names: NDArray[np.bytes_]) -> pa.Array:
    return pa.array(np.char.decode(names, "ascii").tolist(), pa.string())


def _words(words: Sequence[str], codes: NDArray[np.integer]) -> pa.Array:
    """The word of each code; null for -1."""
    indices = pa.array(codes.astype(np.int64), mask=codes < 0)
    return pa.array(words, pa.string()).take(indices)


def _money(centavos: NDArray[np.int64], unknown: NDArray[np.bool_] | None = None) -> pa.Array:
    """Exact: centavos become the decimal's own 128-bit integers, low and high half."""
    halves = np.stack([centavos, centavos >> 63], axis=1).astype("<i8")
    array = pa.Array.from_buffers(MONEY, len(centavos), [None, pa.py_buffer(halves.tobytes())])
    if unknown is None:
        return array
    return pc.if_else(pa.array(unknown), pa.scalar(None, MONEY), array)


def _devices(numbers: NDArray[np.int64]) -> pa.Array:
    distinct, place = np.unique(numbers, return_inverse=True)
    names = [device_name(number) if number >= 0 else None for number in distinct.tolist()]
    return pa.array(names, pa.string()).take(pa.array(place))


def _keys(population: Population, account: NDArray[np.int32], key_type: NDArray[np.int8]) -> pa.Array:
    pairs = zip(account.tolist(), key_type.tolist(), strict=True)
    return pa.array([population.key(*pair) if pair[1] >= 0 else None for pair in pairs], pa.string())
