"""The demo from its first step to its verdict."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from stream.demo.config import DemoConfig
from stream.demo.ground import Ground, ground, remove
from stream.demo.history import History, Quality, build_history
from stream.demo.live import Publisher, run_live
from stream.demo.steps import Steps
from stream.demo.tally import Tally
from stream.demo.traffic import Plan, mixed
from stream.demo.verdict import Published, Verdict, judge
from stream.demo.view import View
from stream.demo.watch import Watch
from stream.kafka_log import KafkaLog
from stream.topics import create_topics

_SWITCH_SECONDS = 0.0005


class Kept:
    """Where the demo's folder is, once it has one, and whether it is to stay."""

    def __init__(self, keep: bool) -> None:
        self.keep = keep
        self.folder: Path | None = None


def run(config: DemoConfig, kept: Kept, console: Console) -> Verdict:
    """Do all of it and end all of it. The folder stays when `kept.keep`, and after a failure.

    Raises VigiaError (or ServiceError) when a step cannot be done; a verdict with failures is no error here.
    """
    steps = Steps(console)
    try:
        with ground() as place:
            kept.folder = place.folder
            history = _prepare(config, place, steps)
            quality = _model(history, steps)
            _registry(history, place, steps)
            verdict = _traffic(config, history, quality, place, steps)
        kept.keep = kept.keep or bool(verdict.failures)
    except Exception:  # and not KeyboardInterrupt, which is no failure
        kept.keep = True
        raise
    finally:
        if kept.folder and not kept.keep:
            remove(kept.folder)
    console.print(f"{steps.clock() - steps.began:6.1f} s  altogether", highlight=False)
    return verdict


def _prepare(config: DemoConfig, place: Ground, steps: Steps) -> History:
    with steps.step("Kafka and Redis") as step:
        place.start_services(step)
        create_topics(place.settings, config.partitions, 1)
        step.result = f"answer at {place.settings.kafka_bootstrap} and {place.settings.redis_url}"
    with steps.step("simulated history") as step:
        history = History(place.folder, config)
        step.result = f"{len(history.past):,} payments over {config.days:.0f} days, 6 kinds of fraud in them"
    with steps.step("windows in Redis, and vectors") as step:
        report = build_history(history, place.settings.redis_url, step)
        rate = (report.transactions + report.reports) / max(1e-9, steps.clock() - step.start)
        step.result = f"{report.vectors:,} vectors, {rate:,.0f} events/s"
    return history


def _model(history: History, steps: Steps) -> Quality:
    with steps.step("model") as step:
        manifest = history.train(step)
        step.result = (
            f"{manifest.params['n_trees']} trees from {manifest.n:,} payments ({history.split.train}), "
            f"{manifest.n_frauds} known frauds, exported to ONNX and compared"
        )
    with steps.step("evaluation") as step:
        quality = history.evaluate()
        step.result = (
            f"average precision {quality.average_precision:.3f}, a simple tree's "
            f"{quality.average_precision_simple:.3f}, {quality.frauds} frauds on {history.split.evaluation}"
        )
    return quality


def _registry(history: History, place: Ground, steps: Steps) -> None:
    with steps.step("registry") as step:
        version = history.register(place.registry)
        place.serve_champion()
        step.result = f"version {version} of pix-fraud is the champion, which the worker follows"


def _traffic(config: DemoConfig, history: History, quality: Quality, place: Ground, steps: Steps) -> Verdict:
    with steps.step("worker") as step:
        messages = history.live.messages()
        plan = Plan(
            list(mixed(messages, config.seed, config.bad_share, config.repeat_share, datetime.now(UTC)))
        )
        worker = place.start_worker()
        step.result = f"ready; its log is {worker.log}"
    tally = Tally()
    publisher = Publisher(plan, place.settings, config.rate, tally)
    kafka = KafkaLog(place.settings)
    with steps.step("live traffic") as step, Watch(place.settings, config.partitions, tally) as watch:
        view = View(tally, len(plan.messages), steps.console)
        step.status.stop()  # the view takes its place
        with _fair_threads():
            run_live(publisher, watch, worker, kafka, view)
        step.result = (
            f"{len(plan.payments):,} payments, {len(plan.repeated)} repeats, {plan.codes.total()} malformed, "
            f"{len(plan.messages) - plan.transactions:,} reports at {config.rate:,.0f} messages/s"
        )
    inputs = [("transactions", partition) for partition in range(config.partitions)]
    published = Published(
        transactions=sum(stand.end - stand.start for stand in kafka.stands(dict.fromkeys(inputs)).values()),
        undelivered=publisher.failed,
        repeats_counted=worker.repeats(),
        began=publisher.began,
    )
    kafka.close()
    return judge(plan, published, tally, quality, config.least_gain)


@contextmanager
def _fair_threads() -> Iterator[None]:
    """Hand over between threads often: drawing the view must not look like latency of the worker."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
