"""The first screen in plain words: better or not, by how much, and what it does for customers and money."""

from collections.abc import Mapping
from typing import Any

BETTER, WORSE, UNCLEAR, ALONE = "better", "worse", "unclear", "alone"

METRIC = "average_precision"


def verdict(found: Mapping[str, Any]) -> dict[str, Any]:
    """`kind` (better, worse, unclear, alone), `title` and `sentences` of a report's content."""
    gap = found.get("against_champion", {}).get(METRIC)
    kind = ALONE if gap is None else _kind(gap)
    return {"kind": kind, "title": _title(kind), "sentences": [*_compared(found, gap), *_does(found)]}


def _kind(gap: Mapping[str, float]) -> str:
    if gap["low"] > 0:
        return BETTER
    return WORSE if gap["high"] < 0 else UNCLEAR


def _title(kind: str) -> str:
    return {
        BETTER: "Better than the champion",
        WORSE: "Worse than the champion",
        UNCLEAR: "Not shown to be better than the champion",
        ALONE: "Measured alone: no champion was given to compare with",
    }[kind]


def _compared(found: Mapping[str, Any], gap: Mapping[str, float] | None) -> list[str]:
    if gap is None:
        return []
    said = [
        f"Average precision is {found[METRIC]:.3f} against {gap['champion']:.3f} of {found['champion']}: "
        f"{signed(gap['difference'])}, with a 90 % interval of {signed(gap['low'])} to {signed(gap['high'])}."
    ]
    if gap["low"] <= 0 <= gap["high"]:
        said.append("The interval holds zero: on other customers of the same kind the order could turn.")
    money = found["against_champion"].get("money_saved")
    if money is not None:
        more = "more" if money["difference"] >= 0 else "less"
        said.append(
            f"On these days it saves {reais(abs(money['difference']))} {more} than the champion "
            f"({signed_reais(money['low'])} to {signed_reais(money['high'])})."
        )
    return said


def _does(found: Mapping[str, Any]) -> list[str]:
    if not found["frauds"]:
        return ["No payment of these days is known as a fraud, so most figures do not exist."]
    stopped, lost = found["review"], found["fraud_loss"]
    disturbed = found["customers_disturbed"]
    return [
        f"Of {found['frauds']:,} frauds it holds or denies {100 * stopped['recall']:.0f} % "
        f"({reais(stopped['fraud_amount_caught'])} of {reais(stopped['fraud_amount'])}); of its alerts "
        f"{100 * (stopped['precision'] or 0):.0f} % are frauds.",
        f"By the stated costs that saves {reais(found['money_saved'])} of the {reais(lost)} that approving "
        f"everything would lose.",
        f"An honest payment of {disturbed:,.0f} of {found['payers']:,} customers "
        f"({100 * disturbed / found['payers']:.1f} %) is held or denied.",
    ]


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign; 0 has none."""
    text = f"{value:+,.{digits}f}"
    return text[1:] if not float(text.replace(",", "")) else text.replace("-", "−")


def reais(value: float) -> str:
    """BRL without centavos."""
    return f"−R$ {-value:,.0f}" if value <= -0.5 else f"R$ {abs(value):,.0f}"


def signed_reais(value: float) -> str:
    """The same with its sign, for differences."""
    return f"+{reais(value)}" if value > 0.5 else reais(value)
