"""The reasons as a page for people: `docs/reasons.md` and `vigia reasons`."""

from collections.abc import Iterator
from typing import NamedTuple

from features.catalog import NAMES, REASON_GROUPS
from models.explain import MAX_REASONS
from stream.reasons import REASONS, RIGHTS, UNSAID

_HEAD = f"""# Reasons

Made by `vigia reasons --markdown > docs/reasons.md`; a test holds it to the code.

A decision that is not APPROVE carries at most {MAX_REASONS} reasons, the weightiest first (`REPLAYED` before
all): the families of features whose exact SHAP values, by the model that decided, raise the score in sum
([ADR 0014](adr/0014-reasons.md)). A reason says what was weighed, not that anything is proven; the alert's
`evidence` has the values. Codes are stable: texts may be reworded, a code keeps its meaning.

`reasons[].text` of the decision and of the alert is the analyst's text. The customer's is on no topic: a
front end takes it from here by the code (`vigia reasons --json`, or `stream.reasons.for_customer`), shows
each sentence once, never the code or the analyst's text, and always adds:

> {RIGHTS}

For a code that it does not know, or a decision without reasons: *{UNSAID}*

| code | analyst | customer |
|---|---|---|
"""


class Row(NamedTuple):
    """What is said of one reason."""

    code: str
    analyst: str
    customer: str
    features: tuple[str, ...]


def rows() -> Iterator[Row]:
    """In the order of the code's list."""
    for code, reason in REASONS.items():
        names = tuple(NAMES[column] for column in REASON_GROUPS.get(code, ()))
        yield Row(code, reason.analyst, reason.customer, names)


def page() -> str:
    """The whole of docs/reasons.md."""
    table = [f"| `{row.code}` | {row.analyst} | {row.customer} |" for row in rows()]
    families = [
        f"- `{row.code}`: " + (", ".join(f"`{name}`" for name in row.features) or "no feature")
        for row in rows()
    ]
    return _HEAD + "\n".join([*table, "", "## Features of each family", "", *families]) + "\n"
