"""The report's sections below its first screen, each from the content and the plots to HTML."""

from collections.abc import Mapping
from html import escape

from models.report_cells import (
    Found,
    difference_of,
    figures,
    headline,
    interval,
    listing,
    percent,
    plain,
    section,
    shares,
    table,
    tone,
    value_of,
)
from models.report_words import reais, signed


def against_champion(found: Found, drawn: Mapping[str, str]) -> str:
    """Each headline of both, its difference, and the decisions that differ."""
    rows = [
        [
            headline(found, name),
            value_of(name, found[name]),
            value_of(name, gap["champion"]),
            f'<span class="{tone(name, gap)}">{difference_of(name, gap["difference"])}</span>',
            f"{difference_of(name, gap['low'])} to {difference_of(name, gap['high'])}",
            "–" if gap["low"] == gap["high"] else f"{100 * gap['share_above']:.0f} %",
        ]
        for name, gap in found["against_champion"].items()
    ]
    head = ["", "this model", "champion", "difference", "90 % interval", "draws above 0"]
    flips = [cell for cell in found["agreement"] if cell["n"] and cell["model"] != cell["champion"]]
    turned = [[f"{x['champion']} → {x['model']}", f"{x['n']:,}", f"{x['frauds']:,}"] for x in flips]
    same = sum(cell["n"] for cell in found["agreement"]) - sum(cell["n"] for cell in flips)
    draws = found["bootstrap"]["replicates"]
    return section(
        "champion", f'Against the champion <span class="id">{escape(found["champion"])}</span>',
        f"Both on the same payments; the interval is of {draws:,} draws of the customers, the same for both.",
        figures([("against", "Green or red where the interval leaves zero.")], drawn)
        + table(head, rows)
        + f"<h3>Decisions that differ ({same:,} of {found['n']:,} are alike)</h3>"
        + table(["champion → this model", "payments", "of them fraud"], turned),
    )  # fmt: skip


def ranking(drawn: Mapping[str, str]) -> str:
    """The two curves."""
    return section(
        "ranking", "Ranking",
        "How well frauds come before honest payments, whatever the threshold. With rare fraud the right-hand "
        "plot tells more: it does not reward what is easy.",
        figures([
            ("roc", "ROC: red marks are the model's thresholds."),
            ("precision_recall", "Precision over recall; its area is the average precision. "
             "The grey line is chance."),
        ], drawn),
    )  # fmt: skip


def decisions(found: Found) -> str:
    """Confusion matrices, shares and money at the thresholds."""
    thresholds = found["about"]["thresholds"]
    both = [("review", "REVIEW or DENY"), ("deny", "DENY")]
    matrices = "".join(
        f"<div><h3>{word}: {_bounds(thresholds, name)}</h3>{_matrix(found['confusion'][name])}</div>"
        for name, word in both
    )
    rows = [
        [word, *(value_of(key, found[name][key]) for key in ("precision", "recall", "f1")),
         reais(found[name]["amount_flagged"]), reais(found[name]["fraud_amount_caught"])]
        for name, word in both
    ]  # fmt: skip
    head = ["", "precision", "recall", "F1", "amount stopped", "of it fraud"]
    return section(
        "decisions", "Decisions at the model's thresholds",
        f"Fraud on these days: {reais(found['review']['fraud_amount'])}. By the stated costs, approving "
        f"everything loses {reais(found['fraud_loss'])}; deciding by the model saves "
        f"{reais(found['money_saved'])} of it.",
        f'<div class="two">{matrices}</div>' + table(head, rows),
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


def calibration(found: Found, drawn: Mapping[str, str]) -> str:
    """Reliability, the distribution of scores, and the line in logit."""
    told = found["calibration"]
    rows = [
        [f"top {100 * x['share']:g} %", f"{x['n']:,}", percent(x["expected"]), percent(x["observed"]),
         shares(x["low"], x["high"]), "off" if x["off"] else "within chance"]
        for x in told["top"]
    ]  # fmt: skip
    lines = [
        ("log loss", f"{told['log_loss']:.5f}; giving everyone the base rate {percent(told['base_rate'])} "
         f"would score {told['base_log_loss']:.5f}"),
        ("slope in logit", f"{plain(told['slope'])} ({interval(told['slope_interval'])}); 1 is right, "
         "below 1 the scores are too bold"),
        ("intercept in logit", f"{plain(told['intercept'])} ({interval(told['intercept_interval'])}); "
         "0 is right; it is the line's height at a score of 0.5"),
        ("mean score", f"{percent(told['mean_score'], 2)} told, {percent(told['base_rate'], 2)} observed: "
         f"{signed(told['in_the_large'] or 0.0, 2)} in every logit would mend it"),
    ]  # fmt: skip
    return section(
        "calibration", "Calibration",
        "A score is to be read as a chance: of payments scored 0.1, one in ten should be fraud.",
        figures([
            ("reliability", "Bins of equal width in the logarithm, for fraud is rare. Triangles: no fraud "
             "was seen; the upper end of the interval."),
            ("distributions", "How the scores of each class lie; dotted lines are the thresholds."),
        ], drawn)
        + listing(lines)
        + table(["highest scores", "payments", "expected", "observed", "90 % interval", ""], rows),
    )  # fmt: skip


def served(found: Found, drawn: Mapping[str, str]) -> str:
    """The groups."""
    champion = bool(found.get("against_champion"))
    head = ["group", "", "payments", "frauds", "average precision", "frauds stopped", "90 % interval",
            "honest stopped", *(["champion stops"] if champion else [])]  # fmt: skip
    rows, classes = [], []
    for x in found["groups"]:
        interval = shares(x["recall_low"], x["recall_high"])
        rows.append([
            escape(x["group"]), escape(x["value"]), f"{x['n']:,}", f"{x['frauds']:,}",
            plain(x["average_precision"]), percent(x["recall"]), interval, percent(x["honest_stopped"], 2),
            *([percent(x["champion_recall"])] if champion else []),
        ])  # fmt: skip
        classes.append("warn" if x["warning"] else "small" if x["note"] else "")
    notes = "".join(f'<p class="lead">{escape(note)}</p>' for note in found["notes"])
    return section(
        "groups", "Whom it serves, and whom less",
        "Shaded: served much worse than the rest. Grey: under 20 frauds, too small for a verdict on recall. "
        "A typology's payments are its frauds.",
        figures(
            [("groups", "Frauds held or denied; the dashed line is all, grey ticks the champion.")], drawn
        )
        + table(head, rows, classes, text=(0, 1)) + notes,
    )  # fmt: skip


def leans_on(drawn: Mapping[str, str]) -> str:
    """Importance of families and features."""
    return section(
        "importance", "What it leans on",
        "Average precision that is lost when columns are shuffled between payments. Features that say the "
        "same stand in for each other, so a family tells more than its members.",
        figures([
            ("families", "Families of features, with the spread of three shuffles."),
            ("features", "Single features, shuffled once."),
        ], drawn),
    )  # fmt: skip


def over_time(found: Found, drawn: Mapping[str, str]) -> str:
    """Stability by week or day."""
    steady = found["stability"]
    watched = list(steady["parts"][0]["psi"]) if steady["parts"] else []
    rows = [
        [x["from"] if x["from"] == x["to"] else f"{x['from']} to {x['to']}", f"{x['n']:,}",
         plain(x["average_precision"]), *(f"{value:.3f}" for value in (x["psi_score"], *x["psi"].values()))]
        for x in steady["parts"]
    ]  # fmt: skip
    head = [
        "",
        "payments",
        "average precision",
        "PSI of score",
        *(escape(name).replace("_", "_<wbr>") for name in watched),
    ]
    return section(
        "time", "Over time",
        f"Population stability index (PSI) against {steady['reference']}: below 0.1 nothing moved, above "
        "0.25 much did.",
        figures([
            ("stability", "Average precision; the dashed line is that of all days."),
            ("drift", "How far the score and what matters most have moved."),
        ], drawn)
        + table(head, rows, wide=True),
    )  # fmt: skip


def about(found: Found) -> str:
    """Where the model and the test came from."""
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
    return section("about", "About this model and this test", "", listing(lines))
