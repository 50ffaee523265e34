"""Features of what the state keeps: counts, sums, moments, novelty, counterparties, limits, reports.

Each function builds one of a kind (`usual` four); a feature's name derives from its definition.
"""

from collections.abc import Callable
from functools import cache

import numpy as np

from features.algebra import Columns, Feature, Field, Formula, Frame, Slot, known, ratio
from features.windows import DAY, SECOND


def last(window: str) -> str:
    """The window in words."""
    return {"midnight": "since midnight", "20h": "since 20 h"}.get(window, f"in the last {window}")


def _suffix(window: str, delayed: bool) -> str:
    return f"{window}_delayed" if delayed else window


def _answered(_: Frame, answer: Columns) -> Columns:
    return known(answer)


def _answered_centavos(_: Frame, answer: Columns) -> Columns:
    return known(answer) / 100.0


def _answer(slot: Slot, name: str, meaning: str, unit: str, reason: str) -> Feature:
    """The state's answer as it is; centavos become BRL."""
    formula = _answered_centavos if unit == "BRL" else _answered
    return Feature(f"{slot.entity}_{name}", meaning, unit, reason, formula, (slot,))


def count(entity: str, window: str, reason: str, *, delayed: bool = False) -> Feature:
    when = ", one report delay earlier" if delayed else ""
    meaning = f"payments of this {entity} in the last {window}{when}"
    slot = Slot(entity, "count", window, delayed)
    return _answer(slot, f"count_{_suffix(window, delayed)}", meaning, "payments", reason)


def total(entity: str, window: str, reason: str, words: str = "") -> Feature:
    words = words or {"payer": "this payer sent", "payee": "this payee received"}.get(
        entity, f"was paid by way of this {entity}"
    )
    meaning = f"amount that {words} {last(window)}"
    return _answer(Slot(entity, "sum", window), f"sum_{window}", meaning, "BRL", reason)


def largest(entity: str, window: str, reason: str) -> Feature:
    meaning = f"largest payment of this {entity} in the last {window}"
    return _answer(Slot(entity, "max", window), f"max_{window}", meaning, "BRL", reason)


def _moments(entity: str, window: str) -> tuple[Slot, Slot, Slot]:
    """What mean and deviation are made of; the mean needs no squares."""
    count, total, squares = (Slot(entity, stat, window) for stat in ("count", "sum", "squares"))
    return count, total, squares


def _mean(_: Frame, count: Columns, total: Columns) -> Columns:
    """In BRL."""
    return ratio(total, count) / 100.0


def _spread(mean: Columns, count: Columns, squares: Columns) -> Columns:
    """Population standard deviation in BRL; squares are of whole reais, so it is good to about R$ 0.30."""
    return np.sqrt(np.maximum(ratio(squares, count) - mean * mean, 0.0))


def _deviation(frame: Frame, count: Columns, total: Columns, squares: Columns) -> Columns:
    return _spread(_mean(frame, count, total), count, squares)


def _amount_ratio(frame: Frame, count: Columns, total: Columns) -> Columns:
    return ratio(frame.amount, _mean(frame, count, total))


def _amount_z(frame: Frame, count: Columns, total: Columns, squares: Columns) -> Columns:
    mean = _mean(frame, count, total)
    # A floor of R$ 1 keeps an entity that always pays the same from answering infinity.
    return (frame.amount - mean) / np.maximum(_spread(mean, count, squares), 1.0)


def _usual(entity: str) -> tuple[Slot, ...]:
    """What an entity's payments between 60 and 7 days before are made of: the first week of a taken account
    is not in them."""
    return (*_moments(entity, "60d"), *_moments(entity, "7d"))


def _less(long: Columns, short: Columns) -> Columns:
    """A moment of the 60 days less that of the 7, which is smaller, but for what saturated."""
    return np.maximum(long - short, 0.0)


def _usual_mean(frame: Frame, *moments: Columns) -> Columns:
    count, total, _, count_7d, total_7d, _ = moments
    return _mean(frame, _less(count, count_7d), _less(total, total_7d))


def _amount_to_usual(frame: Frame, *moments: Columns) -> Columns:
    return ratio(frame.amount, _usual_mean(frame, *moments))


def _amount_z_usual(frame: Frame, *moments: Columns) -> Columns:
    return _amount_z(frame, *map(_less, moments[:3], moments[3:]))


def _mean_to_usual(frame: Frame, *moments: Columns) -> Columns:
    _, _, _, count_7d, total_7d, _ = moments
    return ratio(_mean(frame, count_7d, total_7d), _usual_mean(frame, *moments))


def _largest_to_usual(frame: Frame, *needs: Columns) -> Columns:
    *moments, largest = needs
    return ratio(largest / 100.0, _usual_mean(frame, *moments))


def usual(entity: str, reason: str) -> tuple[Feature, ...]:
    """This payment, the last week and the largest of a month against what the entity did before that week."""
    words = f"the mean of this {entity}'s payments between 60 and 7 days before"
    moments, largest = _usual(entity), Slot(entity, "max", "30d")
    return (
        Feature(f"amount_to_{entity}_usual", f"this amount divided by {words}", "ratio", reason,
                _amount_to_usual, moments),
        Feature(f"amount_z_{entity}_usual", f"standard deviations between this amount and {words}",
                "standard deviations", reason, _amount_z_usual, moments),
        Feature(f"{entity}_mean_7d_to_usual", f"mean amount of the last 7d divided by {words}", "ratio",
                reason, _mean_to_usual, moments),
        Feature(f"{entity}_max_30d_to_usual", f"largest payment of the last 30d divided by {words}", "ratio",
                reason, _largest_to_usual, (*moments, largest)),
    )  # fmt: skip


def mean(entity: str, window: str, reason: str) -> Feature:
    return Feature(
        f"{entity}_mean_{window}",
        f"mean amount of this {entity}'s payments in the last {window}",
        "BRL",
        reason,
        _mean,
        _moments(entity, window)[:2],
    )


def deviation(entity: str, window: str, reason: str) -> Feature:
    return Feature(
        f"{entity}_std_{window}",
        f"standard deviation of this {entity}'s amounts in the last {window}",
        "BRL",
        reason,
        _deviation,
        _moments(entity, window),
    )


def amount_ratio(entity: str, window: str, reason: str) -> Feature:
    return Feature(
        f"amount_to_{entity}_mean_{window}",
        f"this amount divided by the mean of this {entity}'s last {window}",
        "ratio",
        reason,
        _amount_ratio,
        _moments(entity, window)[:2],
    )


def amount_z(entity: str, window: str, reason: str) -> Feature:
    return Feature(
        f"amount_z_{entity}_{window}",
        f"standard deviations between this amount and the mean of this {entity}'s last {window}",
        "standard deviations",
        reason,
        _amount_z,
        _moments(entity, window),
    )


def _seconds_since(frame: Frame, time: Columns) -> Columns:
    return np.maximum(frame.time - known(time), 0.0) / SECOND


def since_last(entity: str, reason: str, words: str = "") -> Feature:
    return Feature(
        f"{entity}_seconds_since_last",
        f"time since {words or f'the last payment of this {entity}'}; unknown if there is none",
        "seconds",
        reason,
        _seconds_since,
        (Slot(entity, "last"),),
    )


def age(entity: str, reason: str) -> Feature:
    return Feature(
        f"{entity}_age_seconds",
        f"time since the first payment of this {entity}; unknown if there is none",
        "seconds",
        reason,
        _seconds_since,
        (Slot(entity, "first"),),
    )


def _named(value: object) -> float:
    return np.nan if value is None else 1.0


_NAMED = {
    "pair": Field("payee_account", _named),
    "device": Field("device_id", _named),
    "payee_key": Field("payee_key", _named),
}


@cache
def _novelty(days: int) -> Formula:
    def formula(frame: Frame, last: Columns, named: Columns) -> Columns:
        # UNKNOWN is before any time. An entity that the event does not name (no device) is unknown, not new.
        return (frame.time - last > days * DAY) * named

    return formula


def novelty(entity: str, days: int, reason: str) -> Feature:
    return Feature(
        f"{entity}_new_{days}d",
        f"1 if this {entity} was not seen for {days} days",
        "flag",
        reason,
        _novelty(days),
        (Slot(entity, "last"),),
        (_NAMED[entity],),
    )


def distinct(entity: str, counterparty: str, window: str, reason: str) -> Feature:
    meaning = f"different {counterparty}s of this {entity} in the last {window}; the list saturates at 64"
    slot = Slot(entity, "distinct", window)
    return _answer(slot, f"distinct_{counterparty}s_{window}", meaning, f"{counterparty}s", reason)


def newcomers(entity: str, counterparty: str, window: str, reason: str) -> Feature:
    meaning = (
        f"{counterparty}s of this {entity} in the last {window} that were not among those of the 3 days "
        "before, counted in 64 bins"
    )
    slot = Slot(entity, "newcomers", window)
    return _answer(slot, f"new_{counterparty}s_{window}", meaning, f"{counterparty}s", reason)


def account_changed(entity: str, reason: str) -> Feature:
    meaning = f"1 if the latest payment by this {entity} went to another account"
    return _answer(Slot(entity, "changed"), "changed_account", meaning, "flag", reason)


def same_amounts(entity: str, window: str, reason: str) -> Feature:
    meaning = f"payments of this {entity} in the last {window} of exactly this amount; saturates at 32"
    return _answer(Slot(entity, "same", window), f"same_amount_{window}", meaning, "payments", reason)


def under_limit(entity: str, window: str, reason: str) -> Feature:
    meaning = (
        f"payments of this {entity} in the last {window} at most a tenth below R$ 200 or R$ 1,000; "
        "saturates at 32"
    )
    return _answer(Slot(entity, "under", window), f"just_under_limit_{window}", meaning, "payments", reason)


def _ratio(_: Frame, above: Columns, below: Columns) -> Columns:
    return ratio(above, below)


def night_share(entity: str, window: str, reason: str) -> Feature:
    return Feature(
        f"{entity}_night_share_{window}",
        f"share of this {entity}'s payments in the last {window} made from 20 h to 6 h local",
        "ratio",
        reason,
        _ratio,
        (Slot(entity, "count", window, night=True), Slot(entity, "count", window)),
    )


def _amount_to_largest(frame: Frame, largest: Columns) -> Columns:
    return ratio(frame.amount, largest / 100.0)


def amount_to_largest(entity: str, window: str, reason: str) -> Feature:
    return Feature(
        f"amount_to_{entity}_max_{window}",
        f"this amount divided by the largest payment of this {entity} in the last {window}",
        "ratio",
        reason,
        _amount_to_largest,
        (Slot(entity, "max", window),),
    )


def limit_share(
    name: str,
    meaning: str,
    slot: Slot,
    limit: float,
    applies: Callable[..., Columns],
    reason: str,
    fields: tuple[Field, ...] = (),
) -> Feature:
    """(what the slot sums + this amount) over `limit` BRL, times `applies` of (frame, fields): 1, 0, or NaN
    where unknown."""

    def formula(frame: Frame, total: Columns, *fields: Columns) -> Columns:
        return applies(frame, *fields) * ((known(total) / 100.0 + frame.amount) / limit)

    return Feature(name, meaning, "ratio", reason, formula, (slot,), fields)


def _drained(frame: Frame, received: Columns, sent: Columns) -> Columns:
    return ratio(sent / 100.0 + frame.amount, received / 100.0)


def drained(window: str, reason: str) -> Feature:
    """A mule's sign: what came in leaves again (MED's graph follows two hours)."""
    return Feature(
        f"payer_drained_share_{window}",
        f"what the payer sent in the last {window}, this payment with it, over what it received then",
        "ratio",
        reason,
        _drained,
        (Slot("inflow", "sum", window), Slot("payer", "sum", window)),
    )


def passed_on(window: str, reason: str) -> Feature:
    return Feature(
        f"payee_passed_on_share_{window}",
        f"what the payee's account itself sent in the last {window} over what it received then",
        "ratio",
        reason,
        _ratio,
        (Slot("outflow", "sum", window), Slot("payee", "sum", window)),
    )


def reports(entity: str, status: str, window: str, reason: str) -> Feature:
    meaning = (
        f"fraud reports of this {entity} that became {status.upper()} in the last {window} and still stand"
    )
    return _answer(Slot(entity, status, window), f"reports_{status}_{window}", meaning, "reports", reason)


def _reported_share(_: Frame, confirmed: Columns, payments: Columns) -> Columns:
    return known(confirmed) / np.maximum(payments, 1.0)


def reported_share(entity: str, window: str, reason: str) -> Feature:
    return Feature(
        f"{entity}_reported_share_{window}",
        f"confirmed reports of this {entity} in the last {window} for each payment of the same span one "
        "report delay earlier",
        "ratio",
        reason,
        _reported_share,
        (Slot(entity, "confirmed", window), Slot(entity, "count", window, delayed=True)),
    )


def reported_run(entity: str, reason: str) -> Feature:
    """A share tells how much of a span was reported; this, whether it went on to its end, and since when."""
    meaning = (
        f"days, up to one report delay ago, in which this {entity}'s payments were reported: half of each "
        "day's or more; 0 if the last one's were not"
    )
    return _answer(Slot(entity, "run"), "reported_run_days", meaning, "days", reason)
