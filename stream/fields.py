"""The fields of messages: money and time as they are written, and as we keep them (centavos, ms).

Each kind of bad value is an error type of its own, which becomes the code of a dead letter.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from features.transaction import (
    EARLIEST,
    ISPB,
    LATEST,
    LONGEST_ID,
    LONGEST_KEY,
    LONGEST_NAME,
    MAX_AMOUNT,
    MAX_COUNT,
)

_PLAIN = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,2}))?")
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?P<offset>[Zz]|[+-]\d{2}:\d{2})?", re.ASCII
)
_CENTAVO = Decimal("0.01")
_NO_MONEY = 10**12
"""BRL; what is not below it is refused before it is computed with."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE = _EPOCH.replace(tzinfo=None)  # writes itself three times as fast
_MS = timedelta(milliseconds=1)


def money_of(value: object) -> int:
    """BRL as string or number → centavos, exactly."""
    if isinstance(value, str) and (match := _PLAIN.fullmatch(value)):
        centavos = int(match[2]) * 100 + int((match[3] or "").ljust(2, "0"))
        return -centavos if match[1] else centavos
    number = _decimal(value)
    if number.copy_abs() >= _NO_MONEY:
        code = "AMOUNT_TOO_LARGE" if number > 0 else "AMOUNT_NOT_POSITIVE"
        raise PydanticCustomError(code, "is more than any account holds")
    rounded = number.quantize(_CENTAVO)
    if number != rounded:
        raise PydanticCustomError("AMOUNT_PRECISION", "should have at most 2 decimals")
    if isinstance(value, str):
        # A number by Decimal's lights only (exponent, 3 decimals, blanks): not what the contract sends.
        code = "AMOUNT_PRECISION" if "." in value else "AMOUNT_NOT_A_NUMBER"
        raise PydanticCustomError(code, "should be digits with at most 2 decimals, e.g. 150.00")
    return int(rounded * 100)


def _decimal(value: object) -> Decimal:
    """Raises AMOUNT_NOT_A_NUMBER. A float's repr is the shortest text that reads back as it; whether that was
    written, who read it must see (`messages`, `plain`)."""
    number = Decimal("NaN")
    if isinstance(value, str | int | float | Decimal) and not isinstance(value, bool):
        with suppress(InvalidOperation):
            number = Decimal(repr(value) if isinstance(value, float) else value)
    if number.is_nan():
        raise PydanticCustomError("AMOUNT_NOT_A_NUMBER", "should be a number or a numeric string")
    return number


def amount_of(value: object) -> int:
    centavos = money_of(value)
    if centavos <= 0:
        raise PydanticCustomError("AMOUNT_NOT_POSITIVE", "should be more than 0")
    if centavos > MAX_AMOUNT:
        raise PydanticCustomError("AMOUNT_TOO_LARGE", "should be at most 1000000000.00")
    return centavos


def instant_of(value: object) -> int:
    """RFC 3339 with offset → ms since 1970, UTC; finer digits are cut off."""
    if not isinstance(value, str) or not (match := _RFC3339.fullmatch(value)):
        raise PydanticCustomError("TIME_INVALID", "should be RFC 3339, e.g. 2026-11-21T15:30:00.123Z")
    if match["offset"] is None:
        raise PydanticCustomError("TIME_WITHOUT_OFFSET", "should end in Z or an offset such as -03:00")
    try:
        return (datetime.fromisoformat(value.upper()) - _EPOCH) // _MS
    except (ValueError, OverflowError):
        raise PydanticCustomError("TIME_INVALID", "should be a time that exists") from None


def time_of(value: object) -> int:
    """When something happened by Pix. (An account may be older: `opened_at` is any instant.)"""
    time = instant_of(value)
    if not EARLIEST <= time < LATEST:
        raise PydanticCustomError("TIME_OUT_OF_RANGE", "should be between 2000 and 2099")
    return time


_DIGITS = "[0-9]{1,12}([.][0-9]{1,2})?$"
_AMOUNT_SCHEMA = {
    "description": "BRL, more than 0, at most 1000000000.00 and 2 decimals, string or number",
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_AMOUNT // 100},
        {"type": "string", "pattern": f"^(?=.*[1-9]){_DIGITS}"},
    ],
}
_BALANCE_SCHEMA = {
    "description": "BRL, at most 2 decimals, string or number",
    "anyOf": [
        {"type": "number", "exclusiveMinimum": -_NO_MONEY, "exclusiveMaximum": _NO_MONEY},
        {"type": "string", "pattern": f"^-?{_DIGITS}"},
    ],
}
_TIME_SCHEMA = {
    "type": "string",
    "format": "date-time",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
    "description": "RFC 3339 with an offset",
}

Instant = Annotated[int, BeforeValidator(instant_of), WithJsonSchema(_TIME_SCHEMA)]
Time = Annotated[int, BeforeValidator(time_of), WithJsonSchema(_TIME_SCHEMA)]
Amount = Annotated[int, BeforeValidator(amount_of), WithJsonSchema(_AMOUNT_SCHEMA)]
Balance = Annotated[int, BeforeValidator(money_of), WithJsonSchema(_BALANCE_SCHEMA)]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Key = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY)]
Ispb = Annotated[str, Field(pattern=f"^{ISPB}$")]
PersonType = Literal["NATURAL_PERSON", "LEGAL_PERSON"]
KeyType = Literal["CPF", "CNPJ", "PHONE", "EMAIL", "EVP"]
Initiation = Literal["MANU", "DICT", "QRDN", "QRES", "INIC", "APDN", "APES", "AUTO"]
ReportType = Literal["SCAM", "ACCOUNT_TAKEOVER", "COERCION", "FRAUDULENT_ACCESS", "OTHER", "UNKNOWN"]


@lru_cache(maxsize=4096)  # a decision and its feature log tell the same time
def rfc3339(time: int) -> str:
    """ms since 1970 → `2026-11-21T15:30:00.123Z`."""
    minutes, ms = divmod(time, 60_000)
    return f"{_minute(minutes)}:{ms // 1000:02d}.{ms % 1000:03d}Z"


@lru_cache(maxsize=4096)
def _minute(minutes: int) -> str:
    return (_NAIVE + timedelta(minutes=minutes)).isoformat(timespec="minutes")


def reais(centavos: int) -> str:
    return f"{centavos // 100}.{centavos % 100:02d}"
