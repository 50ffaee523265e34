"""The pieces that the report's page is made of: sections, tables, figures, and how a number is written."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from models.report_words import reais, signed, signed_reais

Found = Mapping[str, Any]

_NAMES = {
    "average_precision": "average precision",
    "roc_auc": "ROC AUC",
    "payer_precision_at_100": "precision at the top 100 payers a day",
    "recall_at_alert_rate": "recall at {rate} % of payments alerted",
    "money_saved": "money saved",
    "customers_disturbed": "customers disturbed",
}


def section(place: str, title: str, lead: str, body: str) -> str:
    """A titled part of the page with a place to link to; all arguments are HTML."""
    lead = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{place}"><h2>{title}</h2>{lead}{body}</section>'


def figures(wanted: Sequence[tuple[str, str]], drawn: Mapping[str, str]) -> str:
    """Plots by (name, caption); two stand side by side."""
    inside = "".join(
        f'<figure role="img" aria-label="{escape(words)}">{drawn[name]}'
        f"<figcaption>{escape(words)}</figcaption></figure>"
        for name, words in wanted
    )
    return f'<div class="two">{inside}</div>' if len(wanted) == 2 else inside


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    classes: Sequence[str] = (),
    text: Sequence[int] = (0,),
    wide: bool = False,
) -> str:
    """Cells are HTML already. `wide`: of so many columns that they must be narrow to be seen at once."""

    def cell(tag: str, at: int, content: str) -> str:
        return f'<{tag} class="text">{content}</{tag}>' if at in text else f"<{tag}>{content}</{tag}>"

    top = "".join(cell("th", at, word) for at, word in enumerate(head))
    lines = [
        f'<tr class="{classes[number] if classes else ""}">'
        + "".join(cell("td", at, content) for at, content in enumerate(row)) + "</tr>"
        for number, row in enumerate(rows)
    ]  # fmt: skip
    kind = ' class="wide"' if wide else ""
    return f'<div class="scroll"><table{kind}><tr>{top}</tr>{"".join(lines)}</table></div>'


def listing(lines: Iterable[tuple[str, str]]) -> str:
    """Terms and what they are; HTML already."""
    return "<dl>" + "".join(f"<dt>{term}</dt><dd>{words}</dd>" for term, words in lines) + "</dl>"


def headline(found: Found, name: str) -> str:
    """What a headline is called."""
    return _NAMES[name].format(rate=f"{100 * found['alert_rate']:g}")


def value_of(name: str, value: float | None) -> str:
    """A headline's value as it is written; – where there is none."""
    if value is None:
        return "–"
    if name == "money_saved":
        return reais(value)
    return f"{value:,.0f}" if name == "customers_disturbed" else f"{value:.3f}"


def difference_of(name: str, value: float) -> str:
    """A headline's difference, with its sign."""
    if name == "money_saved":
        return signed_reais(value)
    return signed(value, 0 if name == "customers_disturbed" else 3)


def tone(name: str, gap: Mapping[str, float]) -> str:
    """Only a difference whose interval leaves zero is good or bad."""
    up, down = gap["low"] > 0, gap["high"] < 0
    good, bad = (down, up) if name == "customers_disturbed" else (up, down)
    return "good" if good else "bad" if bad else ""


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def shares(low: float | None, high: float | None) -> str:
    """An interval of shares as percentages."""
    return "–" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"


def plain(value: float | None) -> str:
    """A number with three decimals."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def interval(bounds: Sequence[float] | None) -> str:
    """Two of them."""
    return "–" if bounds is None else f"{plain(bounds[0])} to {plain(bounds[1])}"
