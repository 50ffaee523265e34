"""The one list of features. To add one, add a line; slots, the Lua plan and the vector follow from it.

`NAMES` and their order are what the model sees; `FEATURES_VERSION` is their hash, kept in the model
and in every decision. Change `REVISION` when a formula changes under an old name (a test notices).
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features import aggregates as f
from features import fields as e
from features.aggregates import Feature, Frame, Slot
from features.transaction import INITIATIONS, KEY_TYPES, PERSON_TYPES, Transaction
from features.windows import WINDOWS

REVISION = 1

ENTITIES = ("payer", "payee", "pair", "device")
"""In the order of the state's answer. A pair is payer→payee."""

ALL = tuple(WINDOWS)
LONG = ("7d", "14d", "30d", "60d")

AMOUNT, VELOCITY, NEW_PAYEE, FAN_IN = "AMOUNT_UNUSUAL", "PAYER_VELOCITY", "NEW_PAYEE", "PAYEE_FAN_IN"
PAYEE_RISK, PAYER_RISK, PROFILE = "PAYEE_REPORTED", "PAYER_REPORTED", "PAYEE_PROFILE"
DEVICE, TIME, CHANNEL = "DEVICE_UNUSUAL", "TIME_UNUSUAL", "CHANNEL_UNUSUAL"

FEATURES: tuple[Feature, ...] = (
    e.field("transaction_amount", "amount of this payment", "BRL", AMOUNT, lambda frame: frame.amount),
    e.field("local_hour", "hour of the day in São Paulo, 0-23", "hour", TIME, e.local_hour),
    e.field("local_weekday", "weekday in São Paulo, 0 is Monday", "day", TIME, e.local_weekday),
    e.field("is_night", "1 from 20 h to 6 h in São Paulo", "flag", TIME, e.is_night),
    e.category("initiation", INITIATIONS, CHANNEL),
    e.category("payee_key_type", KEY_TYPES, CHANNEL),
    e.category("payer_person_type", PERSON_TYPES, CHANNEL),
    e.category("payee_person_type", PERSON_TYPES, PROFILE),
    e.field("same_institution", "1 if payer and payee share the ISPB", "flag", CHANNEL, e.same_institution),
    e.field("device_registered", "1 if the device is registered", "flag", DEVICE, e.device_registered),
    # the payer's own history
    *(f.count("payer", window, VELOCITY) for window in ALL),
    *(f.total("payer", window, VELOCITY) for window in ALL),
    *(f.mean("payer", window, AMOUNT) for window in ("24h", *LONG)),
    *(f.largest("payer", window, AMOUNT) for window in ("24h", "30d")),
    *(f.deviation("payer", window, AMOUNT) for window in ("7d", "30d", "60d")),
    *(f.amount_ratio("payer", window, AMOUNT) for window in ("24h", "7d", "30d", "60d")),
    *(f.amount_z("payer", window, AMOUNT) for window in ("7d", "30d", "60d")),
    f.since_last("payer", VELOCITY),
    f.age("payer", VELOCITY),
    *(f.distinct("payer", "payee", window, VELOCITY) for window in ("1h", "24h", "7d")),
    # what the payee receives
    *(f.count("payee", window, FAN_IN) for window in ALL),
    *(f.total("payee", window, FAN_IN) for window in ALL),
    *(f.mean("payee", window, PROFILE) for window in ("24h", *LONG)),
    *(f.largest("payee", window, PROFILE) for window in ("24h", "30d")),
    f.deviation("payee", "30d", PROFILE),
    *(f.amount_ratio("payee", window, PROFILE) for window in ("24h", "30d")),
    f.amount_z("payee", "30d", PROFILE),
    f.since_last("payee", PROFILE),
    f.age("payee", PROFILE),
    *(f.distinct("payee", "payer", window, FAN_IN) for window in ("1h", "24h", "7d")),
    # payer and payee together
    *(f.count("pair", window, NEW_PAYEE) for window in ("24h", "30d", "60d")),
    *(f.total("pair", window, NEW_PAYEE) for window in ("24h", "30d")),
    f.amount_ratio("pair", "60d", AMOUNT),
    f.since_last("pair", NEW_PAYEE),
    f.novelty("pair", 60, NEW_PAYEE),
    # the device
    *(f.count("device", window, DEVICE) for window in ("1h", "24h", "30d")),
    *(f.total("device", window, DEVICE) for window in ("24h", "30d")),
    f.since_last("device", DEVICE),
    f.age("device", DEVICE),
    f.novelty("device", 60, DEVICE),
    f.distinct("device", "payer", "7d", DEVICE),
    # reported frauds
    *(f.reports("payee", "confirmed", window, PAYEE_RISK) for window in LONG),
    *(f.reports("payee", "open", window, PAYEE_RISK) for window in ("7d", "30d")),
    *(f.reported_share("payee", window, PAYEE_RISK) for window in LONG),
    *(f.reports("payer", "confirmed", window, PAYER_RISK) for window in LONG),
    *(f.reports("payer", "open", window, PAYER_RISK) for window in ("7d", "30d")),
    f.reported_share("payer", "30d", PAYER_RISK),
)

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)

FEATURES_VERSION: str = hashlib.sha256(
    repr((REVISION, [(x.name, x.unit, x.needs) for x in FEATURES])).encode()
).hexdigest()[:16]


def _slots() -> tuple[Slot, ...]:
    needed = dict.fromkeys(slot for feature in FEATURES for slot in feature.needs)
    return tuple(slot for entity in ENTITIES for slot in needed if slot.entity == entity)


SLOTS: tuple[Slot, ...] = _slots()
"""Every number that the state answers for a transaction, grouped by entity in the order of ENTITIES."""

_INDEX = {slot: i for i, slot in enumerate(SLOTS)}


def _reason_groups() -> dict[str, tuple[int, ...]]:
    codes = dict.fromkeys(feature.reason for feature in FEATURES)
    return {code: tuple(i for i, x in enumerate(FEATURES) if x.reason == code) for code in codes}


REASON_GROUPS: Mapping[str, tuple[int, ...]] = _reason_groups()
"""Reason code → columns of the vector that speak for it; every column belongs to one."""


def vectors(slots: NDArray[np.float64], transactions: Sequence[Transaction]) -> NDArray[np.float32]:
    """The (n, features) matrix, C-contiguous little-endian float32 with one canonical NaN.

    `slots` is (n, SLOTS) as the state answered it, one row a transaction.
    """
    frame = Frame(slots, transactions, _INDEX)
    matrix = np.empty((len(transactions), len(FEATURES)), dtype="<f4")
    for column, feature in enumerate(FEATURES):
        matrix[:, column] = feature.read(frame)
    matrix[np.isnan(matrix)] = np.float32(np.nan)
    return matrix
