"""Every kind of bad input that the contract names, and the code that its dead letter must carry."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

Content = dict[str, Any]
Make = Callable[[Content, datetime], bytes]
"""A good message's content and the time at which it is sent → the bytes of a bad one."""


class Kind(NamedTuple):
    """One way of being wrong."""

    name: str
    code: str
    make: Make


def _changed(**fields: Any) -> Make:
    return lambda good, _: orjson.dumps({**good, **fields})


def _raw(field: str, token: bytes) -> Make:
    """The field as bytes that orjson would not write."""
    return lambda good, _: orjson.dumps({**good, field: "?"}).replace(b'"?"', token)


def _without(field: str) -> Make:
    return lambda good, _: orjson.dumps({name: value for name, value in good.items() if name != field})


def _without_offset(good: Content, _: datetime) -> bytes:
    return orjson.dumps({**good, "occurred_at": good["occurred_at"].removesuffix("Z")})


def _hour_ahead(good: Content, now: datetime) -> bytes:
    ahead = (now.astimezone(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return orjson.dumps({**good, "occurred_at": ahead})


KINDS = (
    Kind("not JSON", "NOT_JSON", lambda good, _: orjson.dumps(good)[:-1]),
    Kind("not UTF-8", "NOT_UTF8", _raw("note", b'"\xff"')),
    Kind("not an object", "NOT_AN_OBJECT", lambda good, _: orjson.dumps([good])),
    Kind("a required field missing", "FIELD_MISSING", _without("payee")),
    Kind("an amount of 0", "AMOUNT_NOT_POSITIVE", _changed(amount="0.00")),
    Kind("a negative amount", "AMOUNT_NOT_POSITIVE", _changed(amount="-1.00")),
    Kind("an amount with 3 decimals", "AMOUNT_PRECISION", _changed(amount="10.001")),
    Kind("an amount of NaN", "AMOUNT_NOT_A_NUMBER", _raw("amount", b"NaN")),
    Kind("an amount of 1e400", "AMOUNT_TOO_LARGE", _raw("amount", b"1e400")),
    Kind("an id of 0 characters", "FIELD_LENGTH", _changed(event_id="")),
    Kind("an id of 65 characters", "FIELD_LENGTH", _changed(event_id="x" * 65)),
    Kind("a time without an offset", "TIME_WITHOUT_OFFSET", _without_offset),
    Kind("a time an hour ahead", "TIME_AHEAD", _hour_ahead),
    Kind("a string of 1 MB", "MESSAGE_TOO_LARGE", _changed(note="x" * 1_000_000)),
    Kind("nesting 10,000 deep", "NESTED_TOO_DEEP", _raw("dict", b"[" * 10_000 + b"]" * 10_000)),
    Kind("an unknown enum", "ENUM_UNKNOWN", _changed(initiation="CARRIER_PIGEON")),
)
