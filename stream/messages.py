"""What comes in is decoded and validated here, what goes out is encoded here; the models are `contract`'s.

Decoding gives a frozen value of `features.transaction` or raises `Rejected` with a code of its own
for each kind of bad input.
"""

import json
from binascii import b2a_base64
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from features.state import Numbers
from features.transaction import FraudReport, Transaction
from stream.contract import FraudReportMessage, TransactionMessage
from stream.dead_letter import Rejected
from stream.fields import amount_of, money_of, reais, rfc3339
from stream.plain import plain_transaction

M = TypeVar("M", bound=BaseModel)

SCHEMA_VERSION = b"1"
MAX_BYTES = 64 * 1024
AHEAD_MS = 10 * 60 * 1000
"""`occurred_at` may be this far ahead of the record's Kafka timestamp."""


def decode_transaction(value: bytes | None, recorded_at: int) -> Transaction:
    """`recorded_at`: the record's Kafka timestamp in ms, the clock of validation. Raises Rejected."""
    transaction = (value and plain_transaction(value)) or _transaction(value)
    _refuse_ahead(transaction.occurred_at, recorded_at, transaction.event_id)
    return transaction


def _transaction(value: bytes | None) -> Transaction:
    """By the models, which are given floats for numbers: what those may have rounded is asked for again."""
    message, written = _validate(TransactionMessage, value)
    try:
        amount_of(written["amount"])
        if (balance := written["payer"].get("balance")) is not None:
            money_of(balance)
    except PydanticCustomError as error:
        raise Rejected(error.type, f"amount or balance: {error.message()}", message.event_id) from None
    return message.value()


def decode_report(value: bytes | None, recorded_at: int) -> FraudReport:
    """As decode_transaction, for a fraud report."""
    report, _ = _validate(FraudReportMessage, value)
    message = report.value()
    _refuse_ahead(message.reported_at, recorded_at, message.report_id)
    return message


def _refuse_ahead(time: int, recorded_at: int, event_id: str) -> None:
    if time > recorded_at + AHEAD_MS:
        seconds = (time - recorded_at) // 1000
        raise Rejected("TIME_AHEAD", f"the time is {seconds} s ahead of the record's own", event_id)


def _validate(model: type[M], value: bytes | None) -> tuple[M, Any]:
    """The message, and its JSON with every number as it is written."""
    if not value:
        raise Rejected("EMPTY", "the record has no value")
    if len(value) > MAX_BYTES:
        raise Rejected("MESSAGE_TOO_LARGE", f"{len(value)} bytes; at most {MAX_BYTES}", event_id_of(value))
    try:
        message = model.model_validate_json(value)
    except ValidationError as error:
        raise _rejected(error, value) from None
    try:
        return message, json.loads(value, parse_float=Decimal, parse_constant=_no_constant)
    except ValueError as error:
        raise Rejected("NOT_JSON", str(error)) from None


def _no_constant(name: str) -> Any:
    """Pydantic takes them in what is ignored."""
    raise ValueError(f"{name} is not JSON")


_CODES = {
    "missing": "FIELD_MISSING",
    "string_too_short": "FIELD_LENGTH",
    "string_too_long": "FIELD_LENGTH",
    "string_pattern_mismatch": "FIELD_FORMAT",
    "literal_error": "ENUM_UNKNOWN",
    "model_type": "NOT_AN_OBJECT",
    "model_attributes_type": "NOT_AN_OBJECT",
}


def _rejected(error: ValidationError, value: bytes) -> Rejected:
    first = error.errors(include_url=False, include_input=False)[0]
    kind, where = first["type"], ".".join(str(part) for part in first["loc"])
    if kind == "json_invalid":
        return _not_json(first["msg"], value)
    code = kind if kind.isupper() else _CODES.get(kind, "FIELD_TYPE")
    return Rejected(code, f"{where or 'the message'}: {first['msg']}", event_id_of(value))


def _not_json(message: str, value: bytes) -> Rejected:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return Rejected("NOT_UTF8", f"byte {error.start} is not UTF-8")
    if "recursion" in message:
        return Rejected("NESTED_TOO_DEEP", message)
    return Rejected("NOT_JSON", message)


def event_id_of(value: bytes) -> str | None:
    """The id of a bad message, where it can be read."""
    try:
        message = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    found = message.get("event_id", message.get("report_id")) if isinstance(message, dict) else None
    return found[:128] if isinstance(found, str) and found else None


def encode_feature_log(
    transaction: Transaction,
    features_version: str,
    sequence: Numbers,
    vector: NDArray[np.float32],
    decision: str | None,
    propensity: float | None,
) -> bytes:
    return orjson.dumps(
        {
            "event_id": transaction.event_id,
            "occurred_at": rfc3339(transaction.occurred_at),
            "payer_account": transaction.payer_account,
            "payee_account": transaction.payee_account,
            "amount": reais(transaction.amount),
            "features_version": features_version,
            "sequence": sequence,
            "decision": decision,
            "propensity": propensity,
            "vector": b2a_base64(vector.tobytes(), newline=False).decode(),
        }
    )


def encode_applied_report(report: FraudReport, features_version: str, sequence: Numbers) -> bytes:
    return orjson.dumps(
        {
            "report_id": report.report_id,
            "transaction_event_id": report.transaction_event_id,
            "payer_account": report.payer_account,
            "payee_account": report.payee_account,
            "reported_at": rfc3339(report.reported_at),
            "status": report.status,
            "features_version": features_version,
            "sequence": sequence,
        }
    )
