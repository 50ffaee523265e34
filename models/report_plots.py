"""The report's plots: from its content to inline SVG. No display and no global state of matplotlib."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from models.drift import MOVED, MOVED_MUCH

BLUE, GREY, RED, GREEN, AMBER = "#1d5fa8", "#8b939c", "#b8382b", "#3c8a5f", "#c98a1b"
_COLOURS = {"model": BLUE, "champion": GREY}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: smaller, and it can be found and copied
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#c3c9cf",
    "axes.labelcolor": "#4a525a",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#edf0f2",
    "xtick.color": "#4a525a",
    "ytick.color": "#4a525a",
    "lines.linewidth": 1.6,
    "legend.frameon": False,
}

Found = Mapping[str, Any]
_PERCENT = FuncFormatter(lambda value, _: f"{100 * value:g} %")


def plots(found: Found) -> dict[str, str]:
    """Name → `<svg>` of every plot that the content allows; the same content gives the same bytes."""
    drawn = {
        "roc": _svg("roc", _roc, found),
        "precision_recall": _svg("precision_recall", _precision_recall, found),
        "reliability": _svg("reliability", _reliability, found),
        "distributions": _svg("distributions", _distributions, found),
        "families": _svg("families", _bars("families"), found, (4.9, 4.3)),
        "features": _svg("features", _bars("features"), found, (4.9, 4.3)),
        "stability": _svg("stability", _stability, found),
        "drift": _svg("drift", _drift, found),
        "groups": _svg("groups", _groups, found, (9.9, 0.9 + 0.24 * max(1, len(_judged(found))))),
    }
    if found.get("against_champion"):
        drawn["against"] = _svg("against", _against, found, (9.9, 2.5))
    return drawn


def _svg(
    name: str, draw: Callable[[Axes, Found], None], found: Found, size: tuple[float, float] = (4.9, 3.4)
) -> str:
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot(), found)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" ([^>]*)>', r"<svg \1\2>", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    # Ids are the page's, not the drawing's: without a prefix two plots would share their clip paths.
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)


def _roc(axes: Axes, found: Found) -> None:
    axes.plot([0, 1], [0, 1], color="#d5dade", linewidth=1)
    for name, curve in found["roc"].items():
        axes.plot(curve["x"], curve["y"], color=_COLOURS[name], label=_label(name), zorder=_z(name))
    _marks(axes, found, lambda cell: (_share(cell, "honest"), _share(cell, "frauds")))
    axes.set(xlabel="honest payments stopped", ylabel="frauds stopped", xlim=(-0.01, 1), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(_PERCENT)
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.legend(loc="lower right")


def _precision_recall(axes: Axes, found: Found) -> None:
    for name, curve in found["precision_recall"].items():
        axes.plot(curve["x"], curve["y"], color=_COLOURS[name], label=_label(name), zorder=_z(name))
    _marks(axes, found, lambda cell: (_share(cell, "frauds"), _precision(cell)))
    axes.axhline(found["calibration"]["base_rate"], color="#d5dade", linewidth=1)
    axes.set(xlabel="frauds stopped (recall)", ylabel="frauds among the stopped (precision)")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(_PERCENT)
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.legend(loc="lower left")


def _marks(axes: Axes, found: Found, place: Callable[[Mapping[str, float]], tuple[float, float]]) -> None:
    """Where the two thresholds lie on the model's curve."""
    for name, marker in (("review", "o"), ("deny", "D")):
        x, y = place(found["confusion"][name])
        axes.plot([x], [y], marker=marker, color=RED, linestyle="none", label=name.upper(), zorder=5)


def _reliability(axes: Axes, found: Found) -> None:
    axes.plot([1e-6, 1], [1e-6, 1], color="#d5dade", linewidth=1, label="as told")
    for name, parts in found["reliability"].items():
        seen = [part for part in parts if part["observed"] > 0]
        x, y = ([part[key] for part in seen] for key in ("expected", "observed"))
        error = [[b - part["low"] for b, part in zip(y, seen, strict=True)],
                 [part["high"] - b for b, part in zip(y, seen, strict=True)]]  # fmt: skip
        axes.errorbar(x, y, yerr=error, fmt="o", markersize=4, linewidth=1.2, color=_COLOURS[name],
                      label=name, zorder=_z(name))  # fmt: skip
        never = [part for part in parts if part["observed"] == 0]
        axes.plot([part["expected"] for part in never], [part["high"] for part in never], linestyle="none",
                  marker="v", markersize=4, markerfacecolor="none", color=_COLOURS[name])  # fmt: skip
    lowest = min(part["expected"] for parts in found["reliability"].values() for part in parts)
    axes.set(xscale="log", yscale="log", xlim=(lowest / 2, 1.3), ylim=(lowest / 2, 1.3))
    axes.set(xlabel="told: mean score of the bin", ylabel="observed: share of fraud, 90 % interval")
    axes.legend(loc="lower right")


def _distributions(axes: Axes, found: Found) -> None:
    parts = found["distributions"]
    for name, colour in (("honest", GREEN), ("fraud", RED)):
        axes.stairs(parts[name], parts["edges"], color=colour, fill=True, alpha=0.35, label=name)
        axes.stairs(parts[name], parts["edges"], color=colour)
    top = axes.get_ylim()[1]
    for name in ("review", "deny"):
        threshold = found["about"]["thresholds"][name]
        if 0 < threshold < 1:
            at = np.log(threshold / (1 - threshold))
            axes.axvline(at, color="#4a525a", linewidth=1, linestyle=":")
            axes.text(at, top, f" {name.upper()}", rotation=90, va="top", ha="right", fontsize=7)
    scores = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
    axes.set_xticks([np.log(p / (1 - p)) for p in scores], [f"{p:g}" for p in scores], rotation=45)
    axes.set(xlabel="score (spaced by its logit)", ylabel="share of the class")
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.legend(loc="upper right")


def _bars(kind: str) -> Callable[[Axes, Found], None]:
    def draw(axes: Axes, found: Found) -> None:
        parts = found["importance"][kind][:14][::-1]
        names = [part["name"] for part in parts]
        error = [part["std"] for part in parts] if kind == "families" else None
        axes.barh(names, [part["loss"] for part in parts], xerr=error, color=BLUE, height=0.6,
                  error_kw={"ecolor": "#4a525a", "elinewidth": 1})  # fmt: skip
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set(xlabel="average precision lost when shuffled")

    return draw


def _stability(axes: Axes, found: Found) -> None:
    parts = found["stability"]["parts"]
    values = [np.nan if part["average_precision"] is None else part["average_precision"] for part in parts]
    axes.plot(range(len(parts)), values, color=BLUE, marker="o", markersize=4)
    axes.axhline(found["average_precision"] or 0, color="#b9c0c7", linewidth=1, linestyle="--")
    _dates(axes, parts)
    axes.set(ylabel="average precision", ylim=(0, 1))


def _drift(axes: Axes, found: Found) -> None:
    parts = found["stability"]["parts"]
    at = range(len(parts))
    for name in parts[0]["psi"] if parts else ():
        axes.plot(at, [part["psi"][name] for part in parts], color="#aeb6bd", linewidth=1)
    axes.plot(at, [part["psi_score"] for part in parts], color=BLUE, marker="o", markersize=4, label="score")
    axes.plot([], [], color="#aeb6bd", label="the features that matter most")
    for bound, word in ((MOVED, "moved"), (MOVED_MUCH, "moved much")):
        axes.axhline(bound, color=AMBER, linewidth=1, linestyle=":")
        axes.text(len(parts) - 1, bound, word, fontsize=7, va="bottom", ha="right", color=AMBER)
    highest = max((max(part["psi_score"], *part["psi"].values()) for part in parts if part["psi"]), default=0)
    _dates(axes, parts)
    axes.set(ylabel="population stability index", ylim=(0, max(0.3, 1.15 * highest)))
    axes.legend(loc="upper left")


def _dates(axes: Axes, parts: Sequence[Found]) -> None:
    axes.set_xticks(range(len(parts)), [part["from"][5:] for part in parts])
    axes.set_xlim(-0.3, max(0.3, len(parts) - 0.7))


def _groups(axes: Axes, found: Found) -> None:
    parts = _judged(found)[::-1]
    whole = found["review"]["recall"]
    if whole is not None:
        axes.axvline(whole, color="#b9c0c7", linewidth=1, linestyle="--")
    for at, part in enumerate(parts):
        colour = RED if part["warning"] else BLUE
        axes.plot([part["recall_low"], part["recall_high"]], [at, at], color=colour, linewidth=1.6)
        axes.plot([part["recall"]], [at], marker="o", markersize=5, color=colour)
        if part.get("champion_recall") is not None:
            axes.plot([part["champion_recall"]], [at], marker="|", markersize=10, color=GREY)
    axes.set_yticks(range(len(parts)), [f"{part['group']}: {part['value']}" for part in parts])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(_PERCENT)
    axes.set(xlabel="frauds held or denied, 90 % interval", xlim=(0, 1), ylim=(-0.6, len(parts) - 0.4))


def _judged(found: Found) -> list[Found]:
    return [part for part in found["groups"] if part["recall"] is not None]


def _against(axes: Axes, found: Found) -> None:
    """Differences as shares of the champion's figure, so that all fit one axis."""
    rows = [(name, gap) for name, gap in found["against_champion"].items() if gap["champion"]][::-1]
    for at, (name, gap) in enumerate(rows):
        low, middle, high = (gap[key] / abs(gap["champion"]) for key in ("low", "difference", "high"))
        worse_up = name == "customers_disturbed"
        good, bad = (high < 0, low > 0) if worse_up else (low > 0, high < 0)
        colour = GREEN if good else RED if bad else "#4a525a"
        axes.plot([low, high], [at, at], color=colour, linewidth=2)
        axes.plot([middle], [at], marker="o", markersize=6, color=colour)
    axes.axvline(0, color="#8b939c", linewidth=1)
    words = [
        name.replace("_", " ") + (" (less is better)" if "disturbed" in name else "") for name, _ in rows
    ]
    axes.set_yticks(range(len(rows)), words)
    axes.tick_params(axis="y", length=0)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+g} %"))
    axes.set(xlabel="difference to the champion, 90 % interval", ylim=(-0.6, len(rows) - 0.4))


def _label(name: str) -> str:
    return "this model" if name == "model" else "champion"


def _z(name: str) -> int:
    return 3 if name == "model" else 2


def _share(cell: Mapping[str, float], kind: str) -> float:
    return cell[f"{kind}_stopped"] / max(cell[f"{kind}_stopped"] + cell[f"{kind}_passed"], 1e-12)


def _precision(cell: Mapping[str, float]) -> float:
    return cell["frauds_stopped"] / max(cell["frauds_stopped"] + cell["honest_stopped"], 1e-12)
