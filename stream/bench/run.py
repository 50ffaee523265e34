"""One run of `vigia bench`: its own Kafka and Redis, the three that are compared, then latency."""

import gc
import os
import platform
import statistics
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deploy.local import start_kafka
from deploy.local.java import KAFKA_VERSION
from features.catalog import FEATURES_VERSION
from features.redis_plan import LAYOUT_VERSION
from models.params import Member, Recipe
from models.scorer import Scorer
from stream.bench import latency
from stream.bench.crowd import Crowd
from stream.bench.drain import BASELINE, FLOOR, TUNED, WORKER, Drain, drain
from stream.bench.ground import Ground
from stream.bench.handbook import bench_folder
from stream.bench.kept import Kept
from stream.bench.latency import Load
from stream.bench.quantiles import medians
from stream.bench.sources import Message, crowd_source, main_source
from stream.bench.sweep import sweep
from stream.demo.ground import ground as unwound_folder
from stream.demo.ground import remove
from stream.demo.steps import Step, Steps
from stream.topics import DEFAULT_PARTITIONS

_QUICK_RECIPE = Recipe((Member("lightgbm", {"trees": 60}),))
_WARM_UPS = 6
"""Drains that are not counted, before all else. The broker's code is compiled meanwhile: in seven successive
ones it took 73, 43, 47, 21, 16, 17 and 13 µs an event."""
THROUGHPUT, LATENCY, SWEEP = ("throughput", "latency", "sweep")
RATES = (100.0, 1_000.0, 3_626.0)
"""Events a second; the last is the mean of Pix's record day."""


@dataclass(frozen=True)
class Config:
    """How much is measured."""

    parts: Collection[str] = (THROUGHPUT, LATENCY)
    events: int = 60_000
    """Payments of one drain."""
    baseline_events: int = 6_000
    seconds: float = 60.0
    """At the highest rate; at the others half of it."""
    warm_up: float = 5.0
    """Seconds before each rate that are not counted."""
    warm_up_highest: float = 10.0
    """At another rate the broker compiles some of its code anew."""
    repeats: int = 3
    """Of what is noisy: Vigia and the floor, one after the other."""
    crowd: Crowd = field(default_factory=lambda: Crowd(3_000, 60))
    model: Path | None = None
    quick: bool = False

    @classmethod
    def quickly(cls, parts: Collection[str], model: Path | None) -> "Config":
        """Everything once and small: whether it works, not what it costs."""
        return cls(
            parts, events=4_000, baseline_events=300, seconds=2.0, warm_up=0.5, warm_up_highest=0.5,
            repeats=1, crowd=Crowd(200, 3), model=model, quick=True,
        )  # fmt: skip

    def changed(self, **values: Any) -> "Config":
        """With those that are not None."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})

    @property
    def loads(self) -> list[Load]:
        *others, highest = RATES
        last = Load(highest, self.seconds, self.warm_up_highest)
        return [*(Load(rate, self.seconds / 2, self.warm_up) for rate in others), last]


@dataclass(frozen=True)
class Bench:
    """What the parts share: services, the main source, the model, and the way to say how far it is."""

    config: Config
    ground: Ground
    main: Kept
    model: Path
    steps: Steps

    def kept(self, crowd: Crowd, stream: int, say: Callable[[str], None]) -> Kept:
        source = crowd_source(bench_folder(), crowd, stream)
        return Kept(source, bench_folder() / source.name, say)


def run(config: Config, steps: Steps) -> dict[str, Any]:
    """Measure, and end all that was started. Raises VigiaError or ServiceError."""
    conditions: dict[str, Any] = {}
    others = _load()
    with _bench(config, steps) as bench:
        told: dict[str, Any] = {}
        if not config.quick:
            _warm_up(bench)
        for part, measure in MEASURES.items():
            if part in config.parts:
                with _noting(conditions, part, config, others):
                    told |= measure(bench, told)
        return {**told, **_circumstances(bench), "conditions": conditions}


@contextmanager
def _noting(conditions: dict[str, Any], part: str, config: Config, others: float) -> Iterator[None]:
    """`others`: the load before the run began, which is not the run's own."""
    began = datetime.now(UTC)
    yield
    told = {"measured_at": f"{began:%Y-%m-%d %H:%M} UTC", "load_before": others, "load_after": _load()}
    conditions[part] = {**told, "quick": config.quick, "partitions": DEFAULT_PARTITIONS}


def _circumstances(bench: Bench) -> dict[str, Any]:
    manifest, source = Scorer.load(bench.model).manifest, bench.main.source
    return {
        "source": source.name,
        "history": {"payments_a_day": round(source.payments_a_day())},
        "model": {"trees": manifest.params["n_trees"], "features": len(manifest.feature_names)},
        "versions": {"features": FEATURES_VERSION, "state_layout": LAYOUT_VERSION},
        "machine": machine(),
    }


@contextmanager
def _bench(config: Config, steps: Steps) -> Iterator[Bench]:
    with unwound_folder() as place:
        try:
            with steps.step("Kafka") as step:
                kafka = start_kafka(place.folder / "kafka", lasting=not config.quick, say=step.now)
                step.result = f"answers at {kafka.address}"
            try:
                yield _prepared(config, Ground(place.folder, kafka), steps)
            finally:
                kafka.kill()  # its data go with the folder
        finally:
            remove(place.folder)


def _prepared(config: Config, ground: Ground, steps: Steps) -> Bench:
    with steps.step("history and model") as step:
        source = main_source(bench_folder(), config.quick)
        if config.model:
            source = replace(source, train=None)
        recipe = _QUICK_RECIPE if config.quick else None
        kept = Kept(source, bench_folder() / source.name, step.now, recipe)
        kept.state()
        step.result = f"{source.name}, kept in {kept.folder}"
    return Bench(config, ground, kept, config.model or kept.model, steps)


def _warm_up(bench: Bench) -> None:
    messages = bench.main.source.messages(bench.config.events)
    for _run in range(_WARM_UPS):
        _drained(bench, "warm-up", WORKER, messages)


def throughput(bench: Bench, _: dict[str, Any]) -> dict[str, Any]:
    """The baseline, then Vigia and the floor by turns, then Vigia on four busy entities an event."""
    drains = {"baseline": [_baseline(bench, BASELINE)], "baseline_in_one_read": [_baseline(bench, TUNED)]}
    drains |= {"vigia": [], "floor": []}
    repeats, messages = bench.config.repeats, bench.main.source.messages(bench.config.events)
    for _repeat in range(repeats):
        for name, runner in (("vigia", WORKER), ("floor", FLOOR)):
            drains[name].append(_drained(bench, name, runner, messages))
    drains["vigia_prefilled"] = [_prefilled(bench) for _repeat in range(min(2, repeats))]
    return _throughput_told(drains)


def _drained(bench: Bench, name: str, runner: tuple[str, ...], messages: list[Message]) -> Drain:
    """Of the main stream."""
    with bench.steps.step(name) as step, bench.ground.fresh(bench.model, bench.main.state()) as field:
        return _said(step, drain(bench.ground, field, runner, messages))


def _baseline(bench: Bench, runner: tuple[str, ...]) -> Drain:
    with bench.steps.step(" ".join(("baseline", *runner[1:]))) as step:
        dump = Kept(bench.main.source, bench.main.folder, step.now).baseline_state()
        messages = bench.main.source.messages(bench.config.baseline_events)
        with bench.ground.fresh(bench.model, dump) as field:
            return _said(step, drain(bench.ground, field, runner, messages))


def _prefilled(bench: Bench) -> Drain:
    with bench.steps.step("vigia prefilled") as step:
        kept = bench.kept(bench.config.crowd, bench.config.events, step.now)
        messages = kept.source.messages(bench.config.events)
        with bench.ground.fresh(bench.model, kept.state()) as field:
            return _said(step, drain(bench.ground, field, WORKER, messages))


def _said(step: Step, found: Drain) -> Drain:
    cpu = ", ".join(f"{name} {us:,.0f}" for name, us in found.cpu_us.items())
    step.result = f"{found.rate:,.0f} events/s; CPU µs an event: {cpu}"
    return found


def _throughput_told(drains: dict[str, list[Drain]]) -> dict[str, Any]:
    rates = {name: statistics.median(one.rate for one in found) for name, found in drains.items()}
    last = drains["vigia"][-1]
    return {
        "throughput": {name: round(rate) for name, rate in rates.items()},
        "ratio_baseline": round(rates["vigia"] / rates["baseline"], 2),
        "ratio_floor": round(rates["vigia"] / rates["floor"], 3),
        "cpu_us_per_event": {name: medians([one.cpu_us for one in found]) for name, found in drains.items()},
        "memory_mb": last.memory_mb,
        "runs": {name: [one.told() for one in found] for name, found in drains.items()},
    }


def latencies(bench: Bench, told_before: dict[str, Any]) -> dict[str, Any]:
    """All rates on one worker, the stream going on; the worker's memory is the most of both parts."""
    loads = bench.config.loads
    with bench.steps.step("latency") as step:
        messages = bench.main.source.messages(sum(load.uncounted + load.counted for load in loads))
        with bench.ground.fresh(bench.model, bench.main.state()) as field:
            told = latency.measure(field, messages, loads)
        del messages
        gc.collect()
        worst = told["rates"][f"{RATES[-1]:g}"]["end_to_end"]
        step.result = f"at {RATES[-1]:,.0f}/s p50 {worst['p50']:.1f} ms, p99 {worst['p99']:.1f} ms"
    known = told_before.get("memory_mb", {})
    worker_mb = max(told["memory_mb"], known.get("worker", 0.0))
    return {"latency_ms": told["rates"], "memory_mb": {**known, "worker": worker_mb}}


def sweeps(bench: Bench, _: dict[str, Any]) -> dict[str, Any]:
    """How the cost of an event grows."""
    return {"sweep": sweep(bench)}


MEASURES = {THROUGHPUT: throughput, LATENCY: latencies, SWEEP: sweeps}


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        "faust": version("faust-streaming"),
        "onnxruntime": version("onnxruntime"),
    }


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _load() -> float:
    """Processes that wanted a core, over the last minute: others' too."""
    return round(os.getloadavg()[0], 2)
