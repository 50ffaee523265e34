"""The messages of DESIGN 4, as bytes. Unknown is absent, never zero."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from stream.simulate.dict_statistics import DictStatistics
from stream.simulate.identifiers import device_name
from stream.simulate.payments import Payments
from stream.simulate.population import Population
from stream.simulate.reports import Reports
from stream.simulate.vocabulary import INITIATIONS, KEY_TYPES, PERSON_TYPES, REPORT_TYPES, STATUSES

Topic = Literal["transactions", "fraud-reports"]


class Message(NamedTuple):
    """One record for the log; the topic is without its prefix."""

    topic: Topic
    key: bytes
    """The payer's account."""
    value: bytes
    event_time_ms: int


def instants(at_ms: NDArray[np.int64]) -> list[str]:
    """RFC 3339 in UTC, with milliseconds."""
    text: list[str] = np.datetime_as_string(
        at_ms.astype("datetime64[ms]"), unit="ms", timezone="UTC"
    ).tolist()
    return text


def money(centavos: int) -> str:
    """BRL with two decimals."""
    return f"{centavos // 100}.{centavos % 100:02d}"


def transaction_messages(
    population: Population, payments: Payments, statistics: DictStatistics, event_ids: NDArray[np.bytes_]
) -> Iterator[Message]:
    """One message a payment, in the order given."""
    parties = _parties(population)
    rows = zip(
        event_ids.tolist(),
        instants(payments.at_ms),
        payments.at_ms.tolist(),
        payments.payer.tolist(),
        payments.payee.tolist(),
        payments.centavos.tolist(),
        payments.initiation.tolist(),
        payments.key_type.tolist(),
        payments.key_owner.tolist(),
        payments.device.tolist(),
        payments.registered.tolist(),
        payments.balance.tolist(),
        statistics.fragments(instants(statistics.updated_ms)),
        strict=True,
    )
    for (
        event_id,
        occurred_at,
        at_ms,
        payer,
        payee,
        amount,
        initiation,
        key_type,
        key_owner,
        device,
        registered,
        balance,
        told,
    ) in rows:
        paying, paid = parties[payer], parties[payee]
        if population.tells_balance[payer]:
            paying = {**paying, "balance": money(balance)}
        if key_type >= 0:
            paid = {**paid, "key": population.key(key_owner, key_type), "key_type": KEY_TYPES[key_type]}
        content: dict[str, Any] = {
            "event_id": event_id.decode(),
            "occurred_at": occurred_at,
            "amount": money(amount),
            "payer": paying,
            "payee": paid,
            "initiation": INITIATIONS[initiation],
            "direction": direction(paying["ispb"], paid["ispb"]),
        }
        if device >= 0:
            content["device"] = {"id": device_name(device), "registered": registered}
        if told is not None:
            content["dict"] = told
        yield Message("transactions", paying["account"].encode(), orjson.dumps(content), at_ms)


def direction(payer_ispb: str, payee_ispb: str) -> str:
    """As the payer's institution sees it."""
    return "INTERNAL" if payer_ispb == payee_ispb else "OUTBOUND"


def report_messages(population: Population, reports: Reports) -> Iterator[Message]:
    """One message a report row, in the order given."""
    instants_ = instants(reports.reported_ms)
    ispb = [name.decode() for name in population.ispb.tolist()]
    for row in range(len(reports)):
        content = report_fields(population, reports, row, ispb)
        content["reported_at"] = instants_[row]
        value = orjson.dumps({name: field for name, field in content.items() if field is not None})
        yield Message(
            "fraud-reports", content["payer_account"].encode(), value, int(reports.reported_ms[row])
        )


def report_fields(population: Population, reports: Reports, row: int, ispb: list[str]) -> dict[str, Any]:
    """All fields of one report but its time; None where unknown."""
    payer, payee = int(reports.payer[row]), int(reports.payee[row])
    device, key_type = int(reports.device[row]), int(reports.key_type[row])
    return {
        "report_id": bytes(reports.report_id[row]).decode(),
        "transaction_event_id": bytes(reports.transaction_event_id[row]).decode(),
        "payer_account": population.names[payer],
        "payer_ispb": ispb[payer],
        "payee_account": population.names[payee],
        "payee_ispb": ispb[payee],
        "device_id": device_name(device) if device >= 0 else None,
        "payee_key": population.key(int(reports.key_owner[row]), key_type) if key_type >= 0 else None,
        "status": STATUSES[reports.status[row]],
        "type": REPORT_TYPES[reports.type[row]],
    }


def _parties(population: Population) -> list[dict[str, str]]:
    """What is always told of an account, whichever side it is on."""
    opened = instants(population.opened_ms)
    return [
        {
            "account": population.names[index],
            "ispb": population.ispb[index].decode(),
            "person_type": PERSON_TYPES[int(population.legal[index])],
            "opened_at": opened[index],
        }
        for index in range(population.size)
    ]
