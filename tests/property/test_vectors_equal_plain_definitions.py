"""Vectors are computed many columns at a time; here each feature once more, alone, in Python's own floats."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.algebra import UNKNOWN, Feature, Slot
from features.catalog import FEATURES, SLOTS, vectors
from features.transaction import (
    EARLIEST,
    INITIATIONS,
    KEY_TYPES,
    LATEST,
    MAX_AMOUNT,
    PERSON_TYPES,
    Transaction,
)
from features.windows import DAY

NAN = math.nan
ENUMS = {
    "initiation": INITIATIONS,
    "payee_key_type": KEY_TYPES,
    "payer_person_type": PERSON_TYPES,
    "payee_person_type": PERSON_TYPES,
}


class Plain:
    """One transaction and the answers of the state to it."""

    def __init__(self, answers: list[float], event: Transaction) -> None:
        self.answers, self.event = answers, event
        self.amount, self.time = event.amount / 100, float(event.occurred_at)
        self.local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=event.occurred_at, hours=-3)

    def raw(self, entity: str, stat: str, window: str = "", **more: bool) -> float:
        return self.answers[SLOTS.index(Slot(entity, stat, window, **more))]

    def ask(self, *slot: str, **more: bool) -> float:
        return known(self.raw(*slot, **more))

    def field(self, name: str) -> float:
        value = getattr(self.event, name)
        return NAN if value is None else float(value)

    def mean(self, entity: str, window: str) -> float:
        return ratio(self.raw(entity, "sum", window), self.raw(entity, "count", window)) / 100

    def spread(self, entity: str, window: str) -> float:
        mean, squares = self.mean(entity, window), self.raw(entity, "squares", window)
        return math.sqrt(most(ratio(squares, self.raw(entity, "count", window)) - mean * mean, 0.0))

    def before_the_week(self, entity: str, stat: str) -> float:
        return max(self.raw(entity, stat, "60d") - self.raw(entity, stat, "7d"), 0.0)

    def usual_mean(self, entity: str) -> float:
        return ratio(self.before_the_week(entity, "sum"), self.before_the_week(entity, "count")) / 100

    def usual_spread(self, entity: str) -> float:
        count, squares = (self.before_the_week(entity, stat) for stat in ("count", "squares"))
        mean = self.usual_mean(entity)
        return math.sqrt(most(ratio(squares, count) - mean * mean, 0.0))

    def is_night(self) -> float:
        return float(self.local.hour >= 20 or self.local.hour < 6)

    def days_since(self, name: str) -> float:
        return most(self.time - self.field(name), 0.0) / DAY

    def new(self, entity: str, days: str) -> float:
        absent = {"device": self.event.device_id, "payee_key": self.event.payee_key}.get(entity, "") is None
        last = self.raw(entity, "last")
        return NAN if absent else float(last == UNKNOWN or self.time - last > int(days) * DAY)

    def same_institution(self) -> float:
        both = self.event.payer_ispb, self.event.payee_ispb
        return NAN if None in both else float(both[0] == both[1])


def known(answer: float) -> float:
    return NAN if answer == UNKNOWN else answer


def ratio(above: float, below: float) -> float:
    return above / below if below > 0 else NAN


def most(a: float, b: float) -> float:
    return NAN if math.isnan(a) or math.isnan(b) else max(a, b)


def least(a: float, b: float) -> float:
    return NAN if math.isnan(a) or math.isnan(b) else min(a, b)


def code(values: tuple[str, ...], value: Any) -> float:
    return NAN if value is None else float(values.index(value))


DEFINITIONS: dict[str, Callable[..., float]] = {
    r"transaction_amount": lambda p: p.amount,
    r"(initiation|pay.._key_type|pay.._person_type)": lambda p, n: code(ENUMS[n], getattr(p.event, n)),
    r"same_institution": Plain.same_institution,
    r"local_hour": lambda p: float(p.local.hour),
    r"local_weekday": lambda p: float(p.local.weekday()),
    r"is_night": Plain.is_night,
    r"(device_registered|dict_.*_(?:d90|m12|m60))": Plain.field,
    r"dict_age_days": lambda p: p.days_since("dict_updated_at"),
    r"(pay..)_account_age_days": lambda p, e: p.days_since(f"{e}_opened_at"),
    r"amount_to_(pay..)_usual": lambda p, e: ratio(p.amount, p.usual_mean(e)),
    r"amount_z_(pay..)_usual": lambda p, e: (p.amount - p.usual_mean(e)) / most(p.usual_spread(e), 1.0),
    r"(pay..)_mean_7d_to_usual": lambda p, e: ratio(p.mean(e, "7d"), p.usual_mean(e)),
    r"(pay..)_max_30d_to_usual": lambda p, e: ratio(p.raw(e, "max", "30d") / 100, p.usual_mean(e)),
    r"(pay..)_mean_(\w+)": Plain.mean,
    r"(pay..)_std_(\w+)": Plain.spread,
    r"amount_to_(pay..|pair)_mean_(\w+)": lambda p, e, w: ratio(p.amount, p.mean(e, w)),
    r"amount_to_(pay..)_max_(\w+)": lambda p, e, w: ratio(p.amount, p.raw(e, "max", w) / 100),
    r"amount_z_(pay..)_(\w+)": lambda p, e, w: (p.amount - p.mean(e, w)) / most(p.spread(e, w), 1.0),
    r"amount_share_of_balance": lambda p: least(
        p.amount / most(most(p.field("payer_balance") / 100, 0.0), 0.01), 1000.0
    ),
    r"(\w+)_night_share_(\w+)": lambda p, e, w: ratio(p.raw(e, "count", w, night=True), p.raw(e, "count", w)),
    r"(pair|device|payee_key)_new_(\d+)d": Plain.new,
    r"(\w+)_seconds_since_last": lambda p, e: most(p.time - p.ask(e, "last"), 0.0) / 1000,
    r"(\w+)_age_seconds": lambda p, e: most(p.time - p.ask(e, "first"), 0.0) / 1000,
    r"payer_drained_share_(\w+)": lambda p, w: ratio(
        p.raw("payer", "sum", w) / 100 + p.amount, p.raw("inflow", "sum", w) / 100
    ),
    r"payee_passed_on_share_(\w+)": lambda p, w: ratio(p.raw("outflow", "sum", w), p.raw("payee", "sum", w)),
    r"night_limit_share": lambda p: p.is_night() * ((p.ask("payer", "sum", "20h") / 100 + p.amount) / 1000),
    r"unregistered_device_limit_share": lambda p: (1 - p.field("device_registered")) * (p.amount / 200),
    r"unregistered_device_day_share": lambda p: (
        (1 - p.field("device_registered")) * ((p.ask("device", "sum", "midnight") / 100 + p.amount) / 1000)
    ),
    r"(\w+)_reported_share_(\w+)": lambda p, e, w: (
        p.ask(e, "confirmed", w) / most(p.raw(e, "count", w, delayed=True), 1.0)
    ),
}


def defined(feature: Feature) -> Callable[[Plain], float]:
    for pattern, definition in DEFINITIONS.items():
        if match := re.fullmatch(pattern, feature.name):
            return lambda plain: definition(plain, *match.groups())
    (slot,) = feature.needs  # all else is an answer as it is
    scale = 100.0 if feature.unit == "BRL" else 1.0
    return lambda plain: plain.ask(*slot[:3], delayed=slot.delayed, night=slot.night) / scale


PLAIN = [defined(feature) for feature in FEATURES]

optional_times = st.none() | st.integers(-(10**12), LATEST)
counts = st.none() | st.integers(0, 2**31 - 1)
transactions = st.builds(
    Transaction,
    event_id=st.just("e"),
    occurred_at=st.integers(EARLIEST, LATEST - 1),
    amount=st.integers(1, MAX_AMOUNT),
    payer_account=st.just("a"),
    payee_account=st.just("b"),
    payer_ispb=st.sampled_from((None, "00000001", "00000002")),
    payee_ispb=st.sampled_from((None, "00000001", "00000002")),
    payer_person_type=st.sampled_from((None, *PERSON_TYPES)),
    payee_person_type=st.sampled_from((None, *PERSON_TYPES)),
    payer_opened_at=optional_times,
    payee_opened_at=optional_times,
    payer_balance=st.none() | st.integers(-(10**14), 10**14),
    payee_key=st.none() | st.just("k"),
    payee_key_type=st.sampled_from((None, *KEY_TYPES)),
    initiation=st.sampled_from((None, *INITIATIONS)),
    device_id=st.none() | st.just("d"),
    device_registered=st.none() | st.booleans(),
    dict_updated_at=optional_times,
    **{name: counts for name in Transaction._fields if re.fullmatch(r"dict_\w+_[dm]\d\d", name)},
)
answers = (
    st.sampled_from((UNKNOWN, 0.0, 1.0, 2.0**32 - 1, 2.0**53))
    | st.integers(0, 10**6).map(float)
    | st.integers(EARLIEST, LATEST).map(float)
)


@st.composite
def batches(draw: st.DrawFn) -> tuple[np.ndarray, list[Transaction]]:
    """Each row's answers are few drawn ones, strewn over all slots."""
    events = draw(st.lists(transactions, max_size=9))
    drawn = [draw(st.lists(answers, min_size=1, max_size=12)) for _ in events]
    strewn = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = [strewn.choice(values, size=len(SLOTS)) for values in drawn]
    return np.array(rows).reshape(-1, len(SLOTS)), events


@given(batches())
def test_vectors_are_the_plain_definitions_bit_for_bit(batch: tuple[np.ndarray, list[Transaction]]) -> None:
    slots, events = batch
    found = vectors(slots, events)
    for row, event, vector in zip(slots.tolist(), events, found, strict=True):
        plain = Plain(row, event)
        expected = np.array([np.float32(define(plain)) for define in PLAIN], dtype="<f4")
        wrong = np.flatnonzero(expected.view("<u4") != vector.view("<u4"))
        assert not len(wrong), [(FEATURES[i].name, expected[i], vector[i]) for i in wrong]
    assert found.shape == (len(events), len(FEATURES))
    assert found.dtype == np.dtype("<f4")
    assert found.flags.c_contiguous
