"""A transaction as it mostly comes, decoded by hand at half the cost of the models of `messages`.

It takes nothing that they refuse, and gives what they give; whatever is not plainly right is theirs to judge
(`tests/property/test_plain_decoding.py` holds both).
"""

import re
from collections.abc import Collection
from typing import Any

import orjson
from pydantic_core import PydanticCustomError

from features.transaction import (
    DICT_SPANS,
    DICT_STATISTICS,
    DIRECTIONS,
    INITIATIONS,
    ISPB,
    KEY_TYPES,
    LONGEST_ID,
    LONGEST_KEY,
    LONGEST_NAME,
    MAX_COUNT,
    PERSON_TYPES,
    Transaction,
)
from stream.fields import amount_of, instant_of, money_of, time_of

_ISPB = re.compile(ISPB)
_MONEY = re.compile(rb'"(?:amount|balance)"\s*:\s*([^\s,}\]]+)')
_ESCAPED_LETTER = re.compile(rb"\\u00(?:6[1-9A-Fa-f]|7[0-9Aa])")
_CENTAVOS = re.compile(rb"-?[0-9]{1,12}(?:\.[0-9]{1,2})?|\"[^\"]*\"|null")
_DIRECTIONS, _INITIATIONS = frozenset(DIRECTIONS), frozenset(INITIATIONS)
_KEY_TYPES, _PERSON_TYPES = frozenset(KEY_TYPES), frozenset(PERSON_TYPES)
_LONGEST, _BRACKETS = 4096, 150
"""What is longer or has more of them is the models' to judge: some of it they refuse, though it be in what is
ignored (numbers of more than 4,300 digits, what is nested deeper than about 200)."""


class _NotPlain(Exception):
    """Some field is not what most messages have."""


def plain_transaction(value: bytes) -> Transaction | None:
    """None: the models say what is wrong with it, if anything is."""
    if len(value) > _LONGEST or value.count(b"{") + value.count(b"[") > _BRACKETS:
        return None
    try:
        message = orjson.loads(value)
        if type(message["amount"]) is float or type(message["payer"].get("balance")) is float:
            _refuse_rounded(value)
        return _read(message)
    except (_NotPlain, PydanticCustomError, orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return None


def _refuse_rounded(value: bytes) -> None:
    """Each amount and balance must be written as a float tells it: of 150.0999999999999999 it tells 150.1.

    None is missed where no letter of a name is escaped.
    """
    if _ESCAPED_LETTER.search(value) or not all(map(_CENTAVOS.fullmatch, _MONEY.findall(value))):
        raise _NotPlain


def _read(message: Any) -> Transaction:
    payer, payee, device = message["payer"], message["payee"], message.get("device")
    statistics = message.get("dict")
    return Transaction(
        _text(message["event_id"], LONGEST_ID),
        time_of(message["occurred_at"]),
        amount_of(message["amount"]),
        _text(payer["account"], LONGEST_NAME),
        _text(payee["account"], LONGEST_NAME),
        *_party(payer),
        None if (balance := payer.get("balance")) is None else money_of(balance),
        *_party(payee),
        None if (key := payee.get("key")) is None else _text(key, LONGEST_KEY),
        _one_of(_KEY_TYPES, payee.get("key_type")),
        _one_of(_INITIATIONS, message.get("initiation")),
        None if device is None else _text(device["id"], LONGEST_NAME),
        None if device is None else _flag(device.get("registered")),
        _one_of(_DIRECTIONS, message.get("direction")),
        *(() if statistics is None else _statistics(statistics)),
    )


def _party(party: Any) -> tuple[str | None, str | None, str | None, int | None]:
    """ISPB, person type, holder, opening."""
    get = party.get
    ispb, holder, opened = get("ispb"), get("holder"), get("opened_at")
    if ispb is not None and not _ISPB.fullmatch(ispb):
        raise _NotPlain
    return (
        ispb,
        _one_of(_PERSON_TYPES, get("person_type")),
        None if holder is None else _text(holder, LONGEST_NAME),
        None if opened is None else instant_of(opened),
    )


def _text(value: Any, longest: int) -> str:
    if type(value) is str and 0 < len(value) <= longest:
        return value
    raise _NotPlain


def _one_of(values: Collection[str], value: Any) -> str | None:
    if value is None or value in values:
        return value  # type: ignore[no-any-return]
    raise _NotPlain


def _flag(value: Any) -> bool | None:
    if value is None or value is True or value is False:
        return value
    raise _NotPlain


def _statistics(told: Any) -> tuple[int | None, ...]:
    """In the order of Transaction's last ten fields."""
    updated = told.get("updated_at")
    counts = [
        _count(of.get(span)) if (of := told.get(name)) is not None else None
        for name in DICT_STATISTICS
        for span in DICT_SPANS
    ]
    return (None if updated is None else instant_of(updated), *counts)


def _count(value: Any) -> int | None:
    if value is None or (type(value) is int and 0 <= value <= MAX_COUNT):
        return value
    raise _NotPlain
