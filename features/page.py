"""The catalog as a page for people: `docs/features.md` and `vigia features list`."""

from collections.abc import Iterator
from typing import NamedTuple

from features.catalog import FAMILIES, FEATURES, FEATURES_VERSION
from features.state import COUNTERPARTY_CAP, RECENT_CAP
from features.windows import WINDOWS

_HEAD = f"""# Features

Made by `vigia features list --markdown > docs/features.md`; a test holds it to the catalog. {{count}}
features in the order of the vector, `features_version` `{FEATURES_VERSION}`. What each family is worth:
[ablation](ablation.md).

A vector holds what was known before its payment: the payment itself is in none of its windows. A window of
length W at event time t is the sum of the tiles with index in (floor((t − W) / g), floor(t / g)], with g of
1 minute for 5m, 5 minutes to 2h, 1 hour to 3d and since midnight and 20 h, 1 day (UTC) beyond. *Delayed*
spans end 7 days before the payment, by when a fraud of theirs would be reported. NaN is unknown:
a field that the sender left out, or an entity that was never seen. Lists saturate:
{COUNTERPARTY_CAP} counterparties, {RECENT_CAP} latest payments of a day.

| entity | is |
|---|---|
| transaction | the payment itself: its fields and its local time (São Paulo, UTC−3) |
| payer, payee | an account by ISPB and number, on the side that pays or is paid |
| pair | payer→payee |
| inflow, outflow | the other side of the same accounts: what the payer receives, what the payee sends |
| device, payee_key | the sender's device, the payee's Pix key |

"""


class Row(NamedTuple):
    """What is said of one feature."""

    name: str
    meaning: str
    unit: str
    entity: str
    window: str
    family: str


FIELDS = Row._fields


def rows() -> Iterator[Row]:
    """In the order of the vector."""
    family = {name: family for family, names in FAMILIES.items() for name in names}
    for x in FEATURES:
        window = x.window if x.window in WINDOWS else ""
        yield Row(x.name, x.meaning, x.unit, x.entity, window, family[x.name])


def page() -> str:
    """The whole of docs/features.md."""
    lines = [_HEAD.replace("{count}", str(len(FEATURES)))]
    for family, names in FAMILIES.items():
        lines += [
            f"## {family}",
            "",
            "| feature | meaning | unit | entity | window |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| `{row.name}` | {row.meaning} | {row.unit} | {row.entity} | {row.window or '–'} |"
            for row in rows()
            if row.name in names
        ]
        lines.append("")
    return "\n".join(lines)
