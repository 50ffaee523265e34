"""What a model must show before it serves: each gate one function over its figures and its bounds.

A finding says what was measured and by what bound it was judged; a refusal names the gate and the figures.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.errors import VigiaError
from models.gate_bounds import (
    CalibrationBounds,
    ChampionBounds,
    EvaluationBounds,
    GroupBounds,
    LatencyBounds,
    ParityBounds,
)
from models.registry import Manifest
from models.scorer import Scorer

PASSED, REFUSED, SKIPPED = "passed", "refused", "skipped"
ROUNDS, RUNS = 5, 100

_AGAIN = "evaluate the model and register it with that evaluation"

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]


class GateRefused(VigiaError):
    """The model does not pass; `findings` has them all, the message names those that refused."""

    def __init__(self, model_id: str, findings: "list[Finding]") -> None:
        refusals = "; ".join(f"{f.gate}: {f.told}" for f in findings if f.result == REFUSED)
        super().__init__(f"{model_id} is not promoted: gate {refusals}")
        self.findings = findings


class Sample(NamedTuple):
    """Real payments."""

    vectors: Vectors
    """(n, k)"""
    amount: Floats
    """(n,) in BRL."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one gate said."""

    gate: str
    result: str
    told: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"gate": self.gate, "result": self.result, "told": self.told, **self.figures}


def evaluated(evaluation: Mapping[str, Any], manifest: Manifest, bounds: EvaluationBounds) -> Finding:
    """What the other gates read is of days that the model knows nothing of, and of enough of them."""
    gate = "evaluation"
    if not evaluation.get("from"):
        return Finding(gate, REFUSED, f"there is none; {_AGAIN}")
    frauds, replicates = evaluation["frauds"], (evaluation.get("bootstrap") or {}).get("replicates", 0)
    days = f"{evaluation['from']} to {evaluation['to']}"
    checks = {
        f"its days ({days}) must begin on {manifest.as_of} or later: labels until then were trained on": (
            date.fromisoformat(evaluation["from"]) < manifest.as_of
        ),
        f"{frauds} frauds are too few; at least {bounds.least_frauds}": frauds < bounds.least_frauds,
        f"{replicates} draws are too few; at least {bounds.least_replicates}": (
            replicates < bounds.least_replicates
        ),
    }
    wrong = [text for text, is_wrong in checks.items() if is_wrong]
    figures = {"frauds": frauds, "replicates": replicates}
    return Finding(
        gate, REFUSED if wrong else PASSED, "; ".join(wrong) or f"{days}, {frauds:,} frauds", figures
    )


def unreadable(version: int, reason: str) -> Finding:
    """It was registered by an earlier version of Vigia, or by hand."""
    again = "evaluate the model and register it with another one"
    return Finding("evaluation", REFUSED, f"that of version {version} is unusable ({reason}); {again}")


def against_champion(evaluation: Mapping[str, Any], champion: str | None, bounds: ChampionBounds) -> Finding:
    """Better than the champion beyond chance. `champion`: its model id; None passes, and says so."""
    gate, name = "champion", bounds.metric
    if champion is None:
        return Finding(gate, SKIPPED, "there is no champion yet, so none to beat")
    again = f"evaluate it against {champion} and register it with that evaluation"
    if (other := evaluation.get("champion")) != champion:
        return Finding(gate, REFUSED, f"it was compared with {other or 'no champion'}; {again}")
    gain = evaluation.get("against_champion", {}).get(name)
    if gain is None:
        return Finding(gate, REFUSED, f"the evaluation compares no {name}; {again}")
    figures = {"metric": name, **gain, "least_gain": bounds.least_gain}
    told = f"{name} {gain['difference']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}] against {champion}"
    if gain["low"] > bounds.least_gain:
        return Finding(gate, PASSED, told, figures)
    return Finding(gate, REFUSED, f"{told}; its low end must lie above {bounds.least_gain:g}", figures)


def groups(evaluation: Mapping[str, Any], bounds: GroupBounds) -> Finding:
    """No group of payments is served much worse than all of them, or than the champion served it."""
    gate, found = "groups", evaluation.get("groups")
    if not found:
        return Finding(gate, REFUSED, f"the evaluation has no groups; {_AGAIN}")
    large = [group for group in found if group["frauds"] >= bounds.least_frauds]
    honest = [group for group in found if _honest(group) >= bounds.least_honest]
    if evaluation["review"]["recall"] is None:
        return Finding(gate, REFUSED, "the evaluation's days have no fraud; evaluate on others")
    whole = float(evaluation["review"]["recall"])
    figures = {"recall": whole, "judged": len(large), "judged_honest": len(honest), "of": len(found)}
    if not large and not honest:
        least = f"{bounds.least_frauds} frauds or {bounds.least_honest:,} honest payments"
        return Finding(gate, SKIPPED, f"no group has {least} to judge by", figures)
    wrong = [told for group in large if (told := _worse(group, whole, bounds))]
    wrong += [told for group in honest if (told := _stopped_more(group, bounds))]
    if wrong:
        return Finding(gate, REFUSED, "; ".join(wrong), figures)
    worse = []
    if large:
        worst = min(large, key=lambda group: float(group["recall"]))
        worse.append(f"{_group(worst)}: recall {worst['recall']:.3f}, of all {whole:.3f}")
    if honest:
        most = max(honest, key=lambda group: float(group["honest_stopped"]))
        worse.append(f"{_group(most)}: {most['honest_stopped']:.2%} of its honest payments stopped")
    return Finding(gate, PASSED, f"worst of {len(found)}: {', and '.join(worse)}", figures)


def _worse(group: Mapping[str, Any], whole: float, bounds: GroupBounds) -> str | None:
    """Why a group is served too badly; None if it is not."""
    recall, high, before = group["recall"], group["recall_high"], group.get("champion_recall")
    told = f"{_group(group)}: recall {recall:.3f} (at most {high:.3f}, {group['frauds']} frauds)"
    if high < (least := bounds.least_recall_share * whole):
        return f"{told}, {least:.3f} is the least where all have {whole:.3f}"
    if before is not None and high < before - bounds.most_recall_lost:
        return f"{told}, the champion's {before:.3f} less {bounds.most_recall_lost:g} is the least"
    return None


def _stopped_more(group: Mapping[str, Any], bounds: GroupBounds) -> str | None:
    """Why too many of a group's honest payments are stopped; None if they are not."""
    low, before = group["honest_stopped_low"], group.get("champion_honest_stopped_high")
    told = (
        f"{_group(group)}: {group['honest_stopped']:.2%} of its honest payments stopped (at least {low:.2%})"
    )
    if before is None:
        most = bounds.most_honest_stopped
        return f"{told}, {most:.2%} is the most" if low > most else None
    if low > before + bounds.most_honest_stopped_more:
        more = bounds.most_honest_stopped_more
        return f"{told}, the champion's (at most {before:.2%}) and {more:.2%} more is the most"
    return None


def _honest(group: Mapping[str, Any]) -> int:
    """A typology has none: its payments are its frauds."""
    return 0 if group["honest_stopped"] is None else int(group["n"] - group["frauds"])


def _group(group: Mapping[str, Any]) -> str:
    return f"{group['group']} {group['value']}"


def calibration(evaluation: Mapping[str, Any], bounds: CalibrationBounds) -> Finding:
    """What it says is as likely as it says."""
    gate, told = "calibration", evaluation.get("calibration")
    if not told or told["slope"] is None or not told["base_rate"]:
        return Finding(gate, REFUSED, f"the evaluation has no line of calibration; {_AGAIN}")
    low, high = told["slope_interval"]
    mean = told["mean_score"] / told["base_rate"]
    slope = f"slope {told['slope']:.3f} [{low:.3f}, {high:.3f}]"
    checks = {
        f"{slope} lies outside {list(bounds.slope)}": high < bounds.slope[0] or low > bounds.slope[1],
        f"mean score over share of fraud {mean:.3f} lies outside {list(bounds.mean)}": not (
            bounds.mean[0] <= mean <= bounds.mean[1]
        ),
        f"log loss {told['log_loss']:.5f} is not below {told['base_log_loss']:.5f}, the base rate's": not (
            told["log_loss"] < told["base_log_loss"]
        ),
        **{_top(top): _is_off(top, bounds.top_factor) for top in told["top"]},
    }
    wrong = [text for text, is_wrong in checks.items() if is_wrong]
    names = ("slope", "slope_interval", "log_loss", "base_log_loss")
    figures = {name: told[name] for name in names} | {"mean": mean}
    return Finding(
        gate, REFUSED if wrong else PASSED, "; ".join(wrong) or f"{slope}, mean {mean:.3f}", figures
    )


def _is_off(top: Mapping[str, Any], factor: float) -> bool:
    return not top["low"] / factor <= top["expected"] <= top["high"] * factor


def _top(top: Mapping[str, Any]) -> str:
    return (
        f"top {100 * top['share']:g} %: {top['expected']:.3f} expected, "
        f"{top['observed']:.3f} [{top['low']:.3f}, {top['high']:.3f}] observed"
    )


def parity(trained: Floats, scorer: Scorer, sample: Sample, bounds: ParityBounds) -> Finding:
    """The served model is the trained one. `trained`: the trees' logits (n,) of the sample's vectors."""
    n, served = len(sample.vectors), scorer.logits(sample.vectors)
    distance = float(np.abs(trained - served).max(initial=0.0))
    scores = [scorer.calibration.probability(logits) for logits in (trained, served)]
    own, other = (scorer.thresholds.outcome(each, sample.amount) for each in scores)
    flips = int((own != other).sum())
    figures = {"vectors": n, "largest_difference": distance, "flips": flips}
    told = f"{distance:.2g} in logit and {flips} flipped decisions on {n:,} vectors"
    if n < bounds.least_vectors:
        told = f"{n:,} vectors are too few; at least {bounds.least_vectors:,}"
    elif distance <= bounds.tolerance and flips <= bounds.most_flips:
        return Finding("parity", PASSED, told, figures)
    else:
        told += f"; at most {bounds.tolerance:g} and {bounds.most_flips}"
    return Finding("parity", REFUSED, told, figures)


def latency(scorer: Scorer, vectors: Vectors, bounds: LatencyBounds) -> Finding:
    """Fast enough: p99 of runs on batches of `vectors` (n, k), n at least a batch.

    The quietest of some rounds counts, for whatever else the machine does only ever adds to it.
    """
    starts = np.linspace(0, len(vectors) - bounds.batch, RUNS).astype(int)
    rounds = [np.quantile([_run(scorer, vectors[at : at + bounds.batch]) for at in starts], 0.99)
              for _ in range(ROUNDS)]  # fmt: skip
    p99 = float(min(rounds)) * 1000
    told = f"p99 {p99:.2f} ms for {bounds.batch} vectors"
    figures = {"p99_ms": p99, "batch": bounds.batch, "bound_ms": bounds.p99_ms}
    if p99 <= bounds.p99_ms:
        return Finding("latency", PASSED, told, figures)
    return Finding("latency", REFUSED, f"{told}; at most {bounds.p99_ms:g} ms", figures)


def _run(scorer: Scorer, vectors: Vectors) -> float:
    start = time.perf_counter()
    scorer.logits(vectors)
    return time.perf_counter() - start
