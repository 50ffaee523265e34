"""The report as one HTML page that needs nothing else: no script, no network."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from models.metrics import HEADLINES
from models.report_plots import plots
from models.report_style import CSS
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


def page(found: Found) -> str:
    """The whole page of a `report.report`."""
    drawn = plots(found)
    sections = [
        _first_screen(found),
        *([_champion(found, drawn)] if found.get("against_champion") else []),
        _ranking(drawn),
        _decisions(found),
        _calibration(found, drawn),
        _served(found, drawn),
        _leans_on(drawn),
        _time(found, drawn),
        _about(found),
    ]
    title = f"{found['model']}: {found['from']} to {found['to']}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>'
        f"<body><main>{_header(found)}{''.join(sections)}"
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
    more = [f"{_figure(name, own['low'])} to {_figure(name, own['high'])}"] if own else []
    spread = found["spread"][name]
    if spread and spread["std"] is not None:
        more.append(f"folds {_figure(name, spread['mean'])} ± {_figure(name, spread['std'])}")
    if gap:
        more.append(
            f'<span class="{_tone(name, gap)}">{_signed(name, gap["difference"])} against the champion</span>'
        )
    return (
        f'<div class="card"><div class="name">{_name(found, name)}</div>'
        f'<div class="value">{_figure(name, found[name])}</div>'
        f'<div class="more">{"<br>".join(more)}</div></div>'
    )


def _champion(found: Found, drawn: Mapping[str, str]) -> str:
    rows = [
        [
            _name(found, name),
            _figure(name, found[name]),
            _figure(name, gap["champion"]),
            f'<span class="{_tone(name, gap)}">{_signed(name, gap["difference"])}</span>',
            f"{_signed(name, gap['low'])} to {_signed(name, gap['high'])}",
            "–" if gap["low"] == gap["high"] else f"{100 * gap['share_above']:.0f} %",
        ]
        for name, gap in found["against_champion"].items()
    ]
    head = ["", "this model", "champion", "difference", "90 % interval", "draws above 0"]
    flips = [cell for cell in found["agreement"] if cell["n"] and cell["model"] != cell["champion"]]
    turned = [[f"{x['champion']} → {x['model']}", f"{x['n']:,}", f"{x['frauds']:,}"] for x in flips]
    same = sum(cell["n"] for cell in found["agreement"]) - sum(cell["n"] for cell in flips)
    draws = found["bootstrap"]["replicates"]
    return _section(
        "champion", f'Against the champion <span class="id">{escape(found["champion"])}</span>',
        f"Both on the same payments; the interval is of {draws:,} draws of the customers, the same for both.",
        _figures([("against", "Green or red where the interval leaves zero.")], drawn)
        + _table(head, rows)
        + f"<h3>Decisions that differ ({same:,} of {found['n']:,} are alike)</h3>"
        + _table(["champion → this model", "payments", "of them fraud"], turned),
    )  # fmt: skip


def _ranking(drawn: Mapping[str, str]) -> str:
    return _section(
        "ranking", "Ranking",
        "How well frauds come before honest payments, whatever the threshold. With rare fraud the right-hand "
        "plot tells more: it does not reward what is easy.",
        _figures([
            ("roc", "ROC: red marks are the model's thresholds."),
            ("precision_recall", "Precision over recall; its area is the average precision. "
             "The grey line is chance."),
        ], drawn),
    )  # fmt: skip


def _decisions(found: Found) -> str:
    thresholds = found["about"]["thresholds"]
    both = [("review", "REVIEW or DENY"), ("deny", "DENY")]
    matrices = "".join(
        f"<div><h3>{word}: {_bounds(thresholds, name)}</h3>{_matrix(found['confusion'][name])}</div>"
        for name, word in both
    )
    rows = [
        [word, *(_figure(key, found[name][key]) for key in ("precision", "recall", "f1")),
         reais(found[name]["amount_flagged"]), reais(found[name]["fraud_amount_caught"])]
        for name, word in both
    ]  # fmt: skip
    head = ["", "precision", "recall", "F1", "amount stopped", "of it fraud"]
    return _section(
        "decisions", "Decisions at the model's thresholds",
        f"Fraud on these days: {reais(found['review']['fraud_amount'])}. By the stated costs, approving "
        f"everything loses {reais(found['fraud_loss'])}; deciding by the model saves "
        f"{reais(found['money_saved'])} of it.",
        f'<div class="two">{matrices}</div>' + _table(head, rows),
    )  # fmt: skip


def _bounds(thresholds: Mapping[str, float], name: str) -> str:
    """A threshold in words; where it also asks for an expected loss, that too."""
    loss = thresholds.get(f"{name}_loss", 0.0)
    return f"score ≥ {thresholds[name]:.4g}" + (f" and score × amount ≥ {reais(loss)}" if loss else "")


def _matrix(cell: Mapping[str, float]) -> str:
    def row(word: str, kind: str, right: str) -> str:
        whole = cell[f"{kind}_stopped"] + cell[f"{kind}_passed"]
        cells = "".join(
            f'<td class="{"right" if what == right else "wrong"}">{cell[f"{kind}_{what}"]:,.0f}'
            f"<small>{100 * cell[f'{kind}_{what}'] / max(whole, 1e-12):.2f} %</small></td>"
            for what in ("stopped", "passed")
        )
        return f"<tr><td>{word}</td>{cells}</tr>"

    head = "<tr><th></th><th>stopped</th><th>passed</th></tr>"
    rows = row("fraud", "frauds", "stopped") + row("honest", "honest", "passed")
    return f'<table class="matrix">{head}{rows}</table>'


def _calibration(found: Found, drawn: Mapping[str, str]) -> str:
    told = found["calibration"]
    rows = [
        [f"top {100 * x['share']:g} %", f"{x['n']:,}", _percent(x["expected"]), _percent(x["observed"]),
         _shares(x["low"], x["high"]), "off" if x["off"] else "within chance"]
        for x in told["top"]
    ]  # fmt: skip
    lines = [
        ("log loss", f"{told['log_loss']:.5f}; giving everyone the base rate {_percent(told['base_rate'])} "
         f"would score {told['base_log_loss']:.5f}"),
        ("slope in logit", f"{_plain(told['slope'])} ({_interval(told['slope_interval'])}); 1 is right, "
         "below 1 the scores are too bold"),
        ("intercept in logit", f"{_plain(told['intercept'])} ({_interval(told['intercept_interval'])}); "
         "0 is right; it is the line's height at a score of 0.5"),
        ("mean score", f"{_percent(told['mean_score'], 2)} told, {_percent(told['base_rate'], 2)} observed: "
         f"{signed(told['in_the_large'] or 0.0, 2)} in every logit would mend it"),
    ]  # fmt: skip
    return _section(
        "calibration", "Calibration",
        "A score is to be read as a chance: of payments scored 0.1, one in ten should be fraud.",
        _figures([
            ("reliability", "Bins of equal width in the logarithm, for fraud is rare. Triangles: no fraud "
             "was seen; the upper end of the interval."),
            ("distributions", "How the scores of each class lie; dotted lines are the thresholds."),
        ], drawn)
        + _list(lines)
        + _table(["highest scores", "payments", "expected", "observed", "90 % interval", ""], rows),
    )  # fmt: skip


def _served(found: Found, drawn: Mapping[str, str]) -> str:
    champion = bool(found.get("against_champion"))
    head = ["group", "", "payments", "frauds", "average precision", "frauds stopped", "90 % interval",
            "honest stopped", *(["champion stops"] if champion else [])]  # fmt: skip
    rows, classes = [], []
    for x in found["groups"]:
        interval = _shares(x["recall_low"], x["recall_high"])
        rows.append([
            escape(x["group"]), escape(x["value"]), f"{x['n']:,}", f"{x['frauds']:,}",
            _plain(x["average_precision"]), _percent(x["recall"]), interval, _percent(x["honest_stopped"], 2),
            *([_percent(x["champion_recall"])] if champion else []),
        ])  # fmt: skip
        classes.append("warn" if x["warning"] else "small" if x["note"] else "")
    notes = "".join(f'<p class="lead">{escape(note)}</p>' for note in found["notes"])
    return _section(
        "groups", "Whom it serves, and whom less",
        "Shaded: served much worse than the rest. Grey: under 20 frauds, too small for a verdict. "
        "A typology's payments are its frauds.",
        _figures(
            [("groups", "Frauds held or denied; the dashed line is all, grey ticks the champion.")], drawn
        )
        + _table(head, rows, classes, text=(0, 1)) + notes,
    )  # fmt: skip


def _leans_on(drawn: Mapping[str, str]) -> str:
    return _section(
        "importance", "What it leans on",
        "Average precision that is lost when columns are shuffled between payments. Features that say the "
        "same stand in for each other, so a family tells more than its members.",
        _figures([
            ("families", "Families of features, with the spread of three shuffles."),
            ("features", "Single features, shuffled once."),
        ], drawn),
    )  # fmt: skip


def _time(found: Found, drawn: Mapping[str, str]) -> str:
    steady = found["stability"]
    watched = list(steady["parts"][0]["psi"]) if steady["parts"] else []
    rows = [
        [x["from"] if x["from"] == x["to"] else f"{x['from']} to {x['to']}", f"{x['n']:,}",
         _plain(x["average_precision"]), *(f"{value:.3f}" for value in (x["psi_score"], *x["psi"].values()))]
        for x in steady["parts"]
    ]  # fmt: skip
    head = [
        "",
        "payments",
        "average precision",
        "PSI of score",
        *(escape(name).replace("_", "_<wbr>") for name in watched),
    ]
    return _section(
        "time", "Over time",
        f"Population stability index (PSI) against {steady['reference']}: below 0.1 nothing moved, above "
        "0.25 much did.",
        _figures([
            ("stability", "Average precision; the dashed line is that of all days."),
            ("drift", "How far the score and what matters most have moved."),
        ], drawn)
        + _table(head, rows),
    )  # fmt: skip


def _about(found: Found) -> str:
    about, costs = found["about"], found["about"]["costs"]
    lines = [
        ("trained on", f"{about['train_from']} to {about['train_to']}, {about['n']:,} payments, "
         f"{about['n_frauds']:,} frauds known before {about['as_of']}"),
        ("features", f"{about['features']} ({escape(about['features_version'])})"),
        ("left out of the test", f"{found['excluded_known']:,} payments of payers known as defrauded, "
         f"{found['excluded_immature']:,} whose labels were not mature"),
        ("costs", escape(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in costs.items()))),
        ("intervals", "90 %: of figures by drawing customers again, of shares by Wilson"),
    ]  # fmt: skip
    return _section("about", "About this model and this test", "", _list(lines))


def _section(place: str, title: str, lead: str, body: str) -> str:
    lead = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{place}"><h2>{title}</h2>{lead}{body}</section>'


def _figures(wanted: Sequence[tuple[str, str]], drawn: Mapping[str, str]) -> str:
    inside = "".join(
        f'<figure role="img" aria-label="{escape(words)}">{drawn[name]}'
        f"<figcaption>{escape(words)}</figcaption></figure>"
        for name, words in wanted
    )
    return f'<div class="two">{inside}</div>' if len(wanted) == 2 else inside


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    classes: Sequence[str] = (),
    text: Sequence[int] = (0,),
) -> str:
    """Cells are HTML already."""

    def cell(tag: str, at: int, content: str) -> str:
        return f'<{tag} class="text">{content}</{tag}>' if at in text else f"<{tag}>{content}</{tag}>"

    top = "".join(cell("th", at, word) for at, word in enumerate(head))
    lines = [
        f'<tr class="{classes[number] if classes else ""}">'
        + "".join(cell("td", at, content) for at, content in enumerate(row)) + "</tr>"
        for number, row in enumerate(rows)
    ]  # fmt: skip
    return f'<div class="scroll"><table><tr>{top}</tr>{"".join(lines)}</table></div>'


def _list(lines: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{term}</dt><dd>{words}</dd>" for term, words in lines) + "</dl>"


def _name(found: Found, name: str) -> str:
    return _NAMES[name].format(rate=f"{100 * found['alert_rate']:g}")


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name == "money_saved":
        return reais(value)
    return f"{value:,.0f}" if name == "customers_disturbed" else f"{value:.3f}"


def _signed(name: str, value: float) -> str:
    if name == "money_saved":
        return signed_reais(value)
    return signed(value, 0 if name == "customers_disturbed" else 3)


def _tone(name: str, gap: Mapping[str, float]) -> str:
    """Only a difference whose interval leaves zero is good or bad."""
    up, down = gap["low"] > 0, gap["high"] < 0
    good, bad = (down, up) if name == "customers_disturbed" else (up, down)
    return "good" if good else "bad" if bad else ""


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _shares(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def _interval(bounds: Sequence[float] | None) -> str:
    return "–" if bounds is None else f"{_plain(bounds[0])} to {_plain(bounds[1])}"
