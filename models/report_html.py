"""The report as one HTML page that needs nothing else: no script, no network."""

from html import escape

from models import report_sections as sections
from models.metrics import HEADLINES
from models.report_cells import Found, difference_of, headline, tone, value_of
from models.report_plots import plots
from models.report_style import CSS


def page(found: Found) -> str:
    """The whole page of a `report.report`."""
    drawn = plots(found)
    parts = [
        _first_screen(found),
        *([sections.against_champion(found, drawn)] if found.get("against_champion") else []),
        sections.ranking(drawn),
        sections.decisions(found),
        sections.calibration(found, drawn),
        sections.served(found, drawn),
        sections.leans_on(drawn),
        sections.over_time(found, drawn),
        sections.about(found),
    ]
    title = f"{found['model']}: {found['from']} to {found['to']}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>'
        f"<body><main>{_header(found)}{''.join(parts)}"
        "<footer>Made by <code>vigia models report</code>. The same figures are in the JSON beside this "
        "file; docs/evaluation.md says how each is taken.</footer></main></body></html>\n"
    )


def _header(found: Found) -> str:
    links = {"ranking": "Ranking", "decisions": "Decisions", "calibration": "Calibration", "groups": "Groups",
             "importance": "Importance", "time": "Over time", "about": "About"}  # fmt: skip
    if found.get("against_champion"):
        links = {"champion": "Champion", **links}
    nav = "".join(f'<a href="#{place}">{word}</a>' for place, word in links.items())
    return (
        f'<header><h1>Model report <span class="id">{escape(found["model"])}</span></h1>'
        f"<p>Tested on {found['from']} to {found['to']}: {found['n']:,} payments of {found['payers']:,} "
        f"customers, {found['frauds']:,} of them fraud.</p><nav>{nav}</nav></header>"
    )


def _first_screen(found: Found) -> str:
    said = found["verdict"]
    sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in said["sentences"])
    cards = "".join(_card(found, name) for name in HEADLINES)
    warnings = "".join(f"<li>{escape(text)}</li>" for text in found["warnings"])
    none = '<li class="none">No warning: labels, calibration and groups are within their bounds.</li>'
    return (
        f'<section class="verdict {said["kind"]}"><h2>{escape(said["title"])}</h2>{sentences}'
        f'<div class="cards">{cards}</div><ul class="warnings">{warnings or none}</ul></section>'
    )


def _card(found: Found, name: str) -> str:
    own, gap = found.get("intervals", {}).get(name), found.get("against_champion", {}).get(name)
    more = [f"{value_of(name, own['low'])} to {value_of(name, own['high'])}"] if own else []
    spread = found["spread"][name]
    if spread and spread["std"] is not None:
        more.append(f"folds {value_of(name, spread['mean'])} ± {value_of(name, spread['std'])}")
    if gap:
        apart = difference_of(name, gap["difference"])
        more.append(f'<span class="{tone(name, gap)}">{apart} against the champion</span>')
    return (
        f'<div class="card"><div class="name">{headline(found, name)}</div>'
        f'<div class="value">{value_of(name, found[name])}</div>'
        f'<div class="more">{"<br>".join(more)}</div></div>'
    )
