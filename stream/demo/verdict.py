"""Whether all that went in came out, once and well: judged from what the topics hold."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from stream.demo.history import Quality
from stream.demo.tally import Tally, percentiles_ms
from stream.demo.traffic import Plan


@dataclass(frozen=True)
class Published:
    """What the producer and the input topics say."""

    transactions: int
    """Messages that the transactions topic holds."""
    undelivered: int
    repeats_counted: int
    """Repeats by the worker's own count (`vigia_repeats_total`)."""
    began: float
    """When the schedule began, seconds of the tally's clock."""


@dataclass(frozen=True)
class Verdict:
    """The summary. `events`: messages published to transactions; `decisions`: distinct event ids decided."""

    events: int
    decisions: int
    alerts: int
    dead_letters: int
    repeats: int
    lost: int
    conflicting: int
    events_per_second: float
    latency_ms: dict[str, float | None]
    average_precision: float
    average_precision_simple: float
    model: str
    """The id that the decisions carry."""
    reasons: dict[str, int]
    """Alerts by reason code, the most frequent first."""
    failures: list[str] = field(default_factory=list)
    """Empty when all is well; else what is not, a line each."""

    def as_json(self) -> dict[str, Any]:
        """The keys that `vigia demo --json` prints."""
        answer = asdict(self)
        del answer["failures"]
        return answer


def judge(plan: Plan, published: Published, tally: Tally, quality: Quality, least_gain: float) -> Verdict:
    """The summary of a run, with every promise that was not kept among its `failures`."""
    decided = set(tally.decided)
    repeats = sum(event in decided and event not in tally.decided_again for event in plan.repeated)
    seconds = tally.last_decision - published.began
    verdict = Verdict(
        events=published.transactions,
        decisions=len(decided),
        alerts=len(tally.alerted),
        dead_letters=len(tally.dead),
        repeats=repeats,
        lost=len(plan.payments - decided),
        conflicting=len(tally.conflicting),
        events_per_second=round(published.transactions / seconds, 1) if seconds > 0 else 0.0,
        latency_ms=percentiles_ms(tally.latencies),
        average_precision=round(quality.average_precision, 4),
        average_precision_simple=round(quality.average_precision_simple, 4),
        model=" and ".join(sorted(tally.models)),
        reasons=dict(tally.reasons.most_common()),
    )
    verdict.failures.extend(_broken_promises(verdict, plan, published, tally))
    verdict.failures.extend(_another_model(quality, tally))
    verdict.failures.extend(_poor_quality(quality, least_gain))
    return verdict


def _broken_promises(verdict: Verdict, plan: Plan, published: Published, tally: Tally) -> list[str]:
    due = verdict.events - verdict.dead_letters - verdict.repeats
    unexpected = _difference(tally.codes, plan.codes)
    checks = {
        f"{published.undelivered} messages were not delivered to Kafka": published.undelivered == 0,
        f"{verdict.events} messages in the topic, {plan.transactions} were published": (
            verdict.events == plan.transactions
        ),
        f"lost = {verdict.lost}: events without a decision": verdict.lost == 0,
        f"conflicting = {verdict.conflicting}: events with two different decisions": verdict.conflicting == 0,
        f"decisions = {verdict.decisions}, but events - dead_letters - repeats = {due}": (
            verdict.decisions == due
        ),
        f"repeats: {len(plan.repeated)} published, {verdict.repeats} decided once, "
        f"{published.repeats_counted} counted by the worker": (
            len(plan.repeated) == verdict.repeats == published.repeats_counted
        ),
        f"dead letters differ from what was sent: {unexpected}": not unexpected,
        "fraud reports became dead letters": all(source[0] == "transactions" for source in tally.dead),
    }
    return [text for text, kept in checks.items() if not kept]


def _difference(found: Counter[str], sent: Counter[str]) -> str:
    """`CODE +1` for one too many, `CODE -1` for one too few."""
    codes = sorted(found.keys() | sent.keys())
    return ", ".join(f"{code} {found[code] - sent[code]:+}" for code in codes if found[code] != sent[code])


def _another_model(quality: Quality, tally: Tally) -> list[str]:
    others = sorted(tally.models - {quality.model})
    return [f"decided by {', '.join(others)}, and the champion is {quality.model}"] if others else []


def _poor_quality(quality: Quality, least_gain: float) -> list[str]:
    least = least_gain * quality.average_precision_simple
    if quality.average_precision >= least:
        return []
    return [
        f"average_precision = {quality.average_precision:.4f} is below {least_gain} × "
        f"average_precision_simple = {least:.4f}"
    ]
