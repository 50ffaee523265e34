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
from features.algebra import Feature, Slot
from features.grouped import Grouped
from features.transaction import DICT_SPANS, INITIATIONS, KEY_TYPES, PERSON_TYPES, Transaction
from features.windows import WINDOWS

REVISION = 2

ENTITIES = ("payer", "pair", "inflow", "payee", "outflow", "device", "payee_key")
"""Whose numbers the state answers, in the order of its answer. A pair is payer→payee. `inflow` is what the
payer's account receives, `outflow` what the payee's account sends: the other side of the same account."""

ALL = tuple(window for window in WINDOWS.values() if window.since is None)
SHORT = ("1h", "24h", "30d")
LONG = ("7d", "14d", "30d", "60d")
REPORTED = ("24h", "7d", "30d", "60d")

AMOUNT, VELOCITY, NEW_PAYEE, FAN_IN = "AMOUNT_UNUSUAL", "PAYER_VELOCITY", "NEW_PAYEE", "PAYEE_FAN_IN"
PAYEE_RISK, PAYER_RISK, PROFILE = "PAYEE_REPORTED", "PAYER_REPORTED", "PAYEE_PROFILE"
DEVICE, TIME, CHANNEL = "DEVICE_UNUSUAL", "TIME_UNUSUAL", "CHANNEL_UNUSUAL"
MULE, LIMIT, KEY, DICT = "MULE_PATTERN", "LIMIT_PATTERN", "KEY_UNUSUAL", "DICT_RISK"

_BY_FAMILY: dict[str, tuple[Feature, ...]] = {
    "event": (
        e.field("transaction_amount", "amount of this payment", "BRL", AMOUNT, lambda frame: frame.amount),
        e.category("initiation", INITIATIONS, CHANNEL),
        e.category("payee_key_type", KEY_TYPES, CHANNEL),
        e.category("payer_person_type", PERSON_TYPES, CHANNEL),
        e.category("payee_person_type", PERSON_TYPES, PROFILE),
        e.field("same_institution", "1 if payer and payee share the ISPB", "flag", CHANNEL,
                e.same_institution),
        e.number("device_registered", "1 if the device is registered", "flag", DEVICE),
    ),
    "clock": (
        e.field("local_hour", "hour of the day in São Paulo, 0-23", "hour", TIME, e.local_hour),
        e.field("local_weekday", "weekday in São Paulo, 0 is Monday", "day", TIME, e.local_weekday),
        e.field("is_night", "1 from 20 h to 6 h in São Paulo", "flag", TIME, e.is_night),
    ),
    "dict": (
        *(
            e.number(f"dict_{what}_{span}", f"{words} of the payee's key over {span}, as DICT told the "
                     "sender", unit, DICT)
            for what, words, unit in e.DICT_COUNTS for span in DICT_SPANS
        ),
        e.days_since("dict_age_days", "days since DICT's statistics were made", DICT, "dict_updated_at"),
    ),
    "payer_velocity": (
        *(f.count("payer", window.name, VELOCITY) for window in ALL),
        *(f.total("payer", window.name, VELOCITY) for window in ALL),
    ),
    "payee_velocity": (
        *(f.count("payee", window.name, FAN_IN) for window in ALL),
        *(f.total("payee", window.name, FAN_IN) for window in ALL),
    ),
    "pair_velocity": (
        *(f.count("pair", window, NEW_PAYEE) for window in SHORT),
        *(f.total("pair", window, NEW_PAYEE) for window in SHORT),
    ),
    "device_velocity": (
        *(f.count("device", window, DEVICE) for window in SHORT),
        *(f.total("device", window, DEVICE) for window in SHORT),
    ),
    "payee_key_velocity": (
        *(f.count("payee_key", window, KEY) for window in SHORT),
        *(f.total("payee_key", window, KEY) for window in SHORT),
    ),
    "payer_amounts": (
        *(f.mean("payer", window, AMOUNT) for window in ("24h", "30d", "60d")),
        *(f.largest("payer", window, AMOUNT) for window in ("24h", "30d")),
        *(f.deviation("payer", window, AMOUNT) for window in ("30d", "60d")),
        *(f.amount_ratio("payer", window, AMOUNT) for window in ("24h", "30d")),
        *(f.amount_z("payer", window, AMOUNT) for window in ("30d", "60d")),
        *(f.amount_to_largest("payer", window, AMOUNT) for window in ("24h", "30d")),
        *f.usual("payer", AMOUNT),
        e.field("amount_share_of_balance", "this amount over the payer's balance before it, at most 1,000",
                "ratio", AMOUNT, e.share_of_balance, (e.BALANCE,)),
    ),
    "payee_amounts": (
        *(f.mean("payee", window, PROFILE) for window in ("24h", "7d", "30d")),
        *(f.largest("payee", window, PROFILE) for window in ("24h", "30d")),
        f.deviation("payee", "30d", PROFILE),
        *(f.amount_ratio("payee", window, PROFILE) for window in ("24h", "30d")),
        f.amount_z("payee", "30d", PROFILE),
        f.amount_ratio("pair", "30d", AMOUNT),
    ),
    "habit": (
        f.night_share("payer", "60d", TIME),
    ),
    "novelty": (
        f.novelty("pair", 60, NEW_PAYEE),
        f.novelty("device", 60, DEVICE),
        f.novelty("payee_key", 60, KEY),
        f.account_changed("payee_key", KEY),
        f.since_last("payer", VELOCITY),
        f.since_last("payee", PROFILE),
        f.since_last("pair", NEW_PAYEE),
        f.since_last("device", DEVICE),
        f.since_last("payee_key", KEY),
        f.age("payer", VELOCITY),
        f.age("payee", PROFILE),
        f.age("device", DEVICE),
        f.age("payee_key", KEY),
        e.days_since("payer_account_age_days", "days since the payer's account was opened", VELOCITY,
                     "payer_opened_at"),
        e.days_since("payee_account_age_days", "days since the payee's account was opened", PROFILE,
                     "payee_opened_at"),
    ),
    "fan": (
        *(f.distinct("payer", "payee", window, VELOCITY) for window in ("1h", "24h", "7d")),
        *(f.distinct("payee", "payer", window, FAN_IN) for window in ("1h", "24h", "7d")),
        f.newcomers("payee", "payer", "1h", FAN_IN),
        f.distinct("device", "payer", "7d", DEVICE),
    ),
    "mule": (
        f.total("inflow", "2h", MULE, "the payer's account received"),
        f.drained("2h", MULE),
        f.since_last("inflow", MULE, "the payer's account last received a payment"),
        *(f.total("outflow", window, MULE, "the payee's account sent") for window in ("2h", "24h")),
        f.passed_on("2h", MULE),
    ),
    "limits": (
        f.limit_share("night_limit_share", "what the payer sent since 20 h local, this payment with it, over "
                      "the night limit of R$ 1,000; 0 by day", Slot("payer", "sum", "20h"), e.NIGHT_LIMIT,
                      e.is_night, LIMIT),
        e.field("unregistered_device_limit_share", "this amount over the R$ 200 of an unregistered device; 0 "
                "for a registered one", "ratio", LIMIT, e.unregistered_share, (e.REGISTERED,)),
        f.limit_share("unregistered_device_day_share", "what this device sent since local midnight, this "
                      "payment with it, over the R$ 1,000 of an unregistered one; 0 for a registered one",
                      Slot("device", "sum", "midnight"), e.DEVICE_DAY_LIMIT, e.device_unregistered, LIMIT,
                      (e.REGISTERED,)),
        f.total("payer", "midnight", LIMIT),
        f.same_amounts("payer", "24h", LIMIT),
        f.under_limit("payer", "24h", LIMIT),
    ),
    "payee_reports": (
        *(f.reports("payee", status, w, PAYEE_RISK) for status in ("open", "confirmed") for w in REPORTED),
        *(f.reported_share("payee", window, PAYEE_RISK) for window in LONG),
        f.reported_run("payee", PAYEE_RISK),
    ),
    "payer_reports": (
        *(f.reports("payer", status, w, PAYER_RISK) for status in ("open", "confirmed") for w in REPORTED),
        f.reported_share("payer", "30d", PAYER_RISK),
    ),
    "device_reports": (
        *(f.reports("device", status, w, DEVICE) for status in ("open", "confirmed") for w in REPORTED),
    ),
    "payee_key_reports": (
        *(f.reports("payee_key", status, w, KEY) for status in ("open", "confirmed") for w in REPORTED),
    ),
}  # fmt: skip

FEATURES: tuple[Feature, ...] = tuple(x for family in _BY_FAMILY.values() for x in family)

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)

FAMILIES: Mapping[str, tuple[str, ...]] = {
    family: tuple(feature.name for feature in features) for family, features in _BY_FAMILY.items()
}
"""Family → names; docs/ablation.md says what each is worth."""

FEATURES_VERSION: str = hashlib.sha256(
    repr((REVISION, [(x.name, x.unit, x.needs) for x in FEATURES])).encode()
).hexdigest()[:16]


def _slots() -> tuple[Slot, ...]:
    needed = dict.fromkeys(slot for feature in FEATURES for slot in feature.needs)
    return tuple(slot for entity in ENTITIES for slot in needed if slot.entity == entity)


SLOTS: tuple[Slot, ...] = _slots()
"""Every number that the state answers for a transaction, grouped by entity in the order of ENTITIES."""

_GROUPED = Grouped(FEATURES, SLOTS)
_NAN = np.array(np.nan, dtype="<f4")


def _reason_groups() -> dict[str, tuple[int, ...]]:
    codes = dict.fromkeys(feature.reason for feature in FEATURES)
    return {code: tuple(i for i, x in enumerate(FEATURES) if x.reason == code) for code in codes}


REASON_GROUPS: Mapping[str, tuple[int, ...]] = _reason_groups()
"""Reason code → columns of the vector that speak for it; every column belongs to one."""


def vectors(slots: NDArray[np.float64], transactions: Sequence[Transaction]) -> NDArray[np.float32]:
    """The (n, features) matrix, C-contiguous little-endian float32 with one canonical NaN.

    `slots` is (n, SLOTS) as the state answered it, one row a transaction.
    """
    matrix = _GROUPED.columns(slots, transactions)
    other = np.isnan(matrix) & (matrix.view("<u4") != _NAN.view("<u4"))
    if other.any():
        matrix[other] = _NAN
    return matrix
