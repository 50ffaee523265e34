"""docs/performance.md and its plots, made of the figures alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stream.bench import capacity
from stream.bench.quantiles import medians
from stream.bench.report import VERDICT, Report
from stream.bench.stages import STAGES, THREADS
from stream.bench.svg import bars, lines

QUIET = 1.0
"""The most that the load average may be before a run begins."""

PROCESSES = ("worker", "redis", "broker")
RUNNERS = {
    "baseline": "baseline: Faust, one at a time",
    "baseline_in_one_read": "baseline, each account read once",
    "vigia": "Vigia",
    "vigia_prefilled": "Vigia, four busy entities an event",
    "floor": "floor: the same batch without Faust",
}
SWEEPS = {
    "workers": ("workers", "Workers, on the same cores"),
    "entities": ("entities", "Entities in Redis, one payment each"),
    "fill_days": ("days", "Days of history, 3 payments a day of each entity"),
    "batch_max": ("batch_max", "Most events a batch (VIGIA_BATCH_MAX)"),
    "partitions": ("partitions", "Partitions of each topic"),
}


def write(report: Report, page: Path) -> None:
    """The page, and the plots that it shows, beside the figures."""
    report.keep(page)
    for name, plot in plots(report).items():
        (page.with_suffix("") / f"{name}.svg").write_text(plot)
    page.write_text(render(report, page.stem))


def plots(report: Report) -> dict[str, str]:
    """Name → SVG, of what was measured."""
    found = {}
    if rates := report.get("throughput"):
        found["throughput"] = bars("Events a second", {name: [rate] for name, rate in rates.items()})
    if cpu := report.get("cpu_us_per_event"):
        rows = {name: [costs[process] for process in PROCESSES] for name, costs in cpu.items()}
        found["cpu"] = bars("CPU, µs an event", rows, PROCESSES)
    if rates := report.get("latency_ms"):
        found["latency"] = lines("Due to decision seen, ms", "events a second", _latency_lines(rates))
    for name, (x, title) in SWEEPS.items():
        if points := report.get("sweep", name):
            found[f"sweep-{name}"] = lines(
                "Events a second", title, {"events/s": [(p[x], p["rate"]) for p in points]}
            )
    return found


def _latency_lines(rates: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    return {
        name: [
            (float(rate), told["end_to_end"][name])
            for rate, told in rates.items()
            if told["end_to_end"][name] is not None
        ]
        for name in ("p50", "p95", "p99")
    }


def render(report: Report, stem: str) -> str:
    """The page."""
    measured = (_throughput(report, stem), _stages(report), _latency(report, stem), _sweeps(report, stem))
    return "\n\n".join(filter(None, (_head(report), *measured, _capacity(report), _METHOD))) + "\n"


def _head(report: Report) -> str:
    rows = [
        (bar.name, f"{'≥' if bar.at_least else '≤'} {bar.wanted:,}", _figure(bar.found), VERDICT[bar.met])
        for bar in report.bars()
    ]
    model = report.get("model") or {}
    return "\n\n".join(
        (
            "# Performance",
            "Written by `vigia bench --sweep --write docs/performance.md`, never by hand; the figures are in "
            "[figures.json](performance/figures.json).",
            f"One machine for worker, Kafka, Redis and generator: {_listed(report.get('machine'))}.\n"
            f"Traffic: `{report.get('source')}`, its history loaded first; a model of {model.get('trees')} "
            f"trees on {model.get('features')} features. Versions: {_listed(report.get('versions'))}.",
            "\n".join(_conditions(report)),
            _table(("figure", "wanted", "measured", ""), rows),
        )
    )


def _listed(figures: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in (figures or {}).items())


def _conditions(report: Report) -> Iterator[str]:
    for part, told in (report.get("conditions") or {}).items():
        doubt = " **A smoke run: these figures mean nothing.**" if told["quick"] else ""
        if told["load_before"] > QUIET:
            doubt += " **Others used the machine meanwhile: these figures are not Vigia's; measure again.**"
        yield (
            f"- {part}: measured {told['measured_at']}; load average {told['load_before']} before the run, "
            f"{told['load_after']} after{doubt}"
        )


def _throughput(report: Report, stem: str) -> str:
    runs = report.get("runs")
    if not runs:
        return ""
    rows = []
    for name, words in RUNNERS.items():
        found, cpu = runs[name], report.get("cpu_us_per_event", name)
        spread = f"{min(r['rate'] for r in found):,} – {max(r['rate'] for r in found):,}"
        costs = (_number(cpu[process]) for process in PROCESSES)
        alerts = f"{sum(r['alerts'] for r in found) / sum(r['payments'] for r in found):.1%}"
        rows.append((words, _number(report.get("throughput", name)), spread, len(found), *costs, alerts))
    head = ("", "events/s", "spread", "runs", "worker, µs", "Redis, µs", "broker, µs", "alerts")
    return "\n\n".join(
        (
            "## Throughput",
            "A backlog drained; the median of the runs. CPU by process for each event.",
            _table(head, rows),
            _images(stem, ("throughput", "cpu")),
        )
    )


def _stages(report: Report) -> str:
    """The worker's share of Vigia's runs, the median of each row."""
    runs = report.get("runs", "vigia") or []
    if not all(run.get("stages_us") for run in runs) or not runs:
        return ""
    stages, threads = (medians([run[name] for run in runs]) for name in ("stages_us", "threads_us"))
    rows = [(words, _number(stages[name], 1)) for name, words in STAGES.items()]
    rows += [(words, _number(threads[name], 1)) for name, words in THREADS.items()]
    return "\n\n".join(("## The worker, by stage", _STAGES, _table(("", "µs an event"), rows)))


def _latency(report: Report, stem: str) -> str:
    rates = report.get("latency_ms")
    if not rates:
        return ""
    rows = [row for rate, told in rates.items() for row in _latency_rows(float(rate), told)]
    head = (
        "events/s",
        "",
        "p50",
        "p95",
        "p99",
        "p99.9",
        "max",
        "events",
        "missing",
        "sent late by, p99 / max",
    )
    return "\n\n".join(
        (
            "## Latency, ms",
            "From when a payment was due, by the schedule, to when a consumer saw its decision.\n"
            "`in the worker`: from its fetch's return to the report that its decision was delivered.",
            _table(head, rows),
            _images(stem, ("latency",)),
        )
    )


def _latency_rows(rate: float, told: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    late = told["generator"]["late_ms"]
    names = ("p50", "p95", "p99", "p999", "max")
    end = [_number(told["end_to_end"][name], 1) for name in names]
    slept = f"{late['p99']:.2f} / {late['max']:.1f}"
    yield (f"{rate:,.0f}", "end to end", *end, _number(told["events"]), str(told["missing"]), slept)
    inside = told["in_worker"] or {}
    yield ("", "in the worker", *(_number(inside.get(name), 1) for name in names), "", "", "")


def _sweeps(report: Report, stem: str) -> str:
    found = report.get("sweep")
    if not found:
        return ""
    blocks = ["## How cost grows", "One thing is changed at a time. One run a row, so small steps are noise."]
    for name, (x, title) in SWEEPS.items():
        rows = [
            (_number(p[x]), _number(p["rate"]), *(_number(p["cpu_us"][c]) for c in PROCESSES),
             _number(p["memory_mb"]["worker"]), _number(p["state_mb"]))
            for p in found[name]
        ]  # fmt: skip
        head = (title, "events/s", "worker, µs", "Redis, µs", "broker, µs", "worker, MB", "state, MB")
        blocks += [_table(head, rows), _images(stem, (f"sweep-{name}",))]
    return "\n\n".join(blocks)


def _capacity(report: Report) -> str:
    unit = capacity.measured(report.figures)
    if unit is None:
        return ""
    rows = []
    for payments in capacity.DAYS:
        plan = capacity.plan(unit, payments)
        rows.append(
            (f"{payments / 1e6:,.1f} million", _number(payments / 86_400), _number(plan.peak_rate),
             _number(plan.workers), _number(plan.partitions), _number(plan.redis_primaries),
             _number(plan.broker_cores), _number(plan.worker_gb, 1), _number(plan.state_gb),
             _number(plan.log_tb, 1))
        )  # fmt: skip
    head = ("payments a day", "mean/s", "peak/s", "workers", "partitions", "Redis primaries", "broker cores",
            "workers, GB", "state, GB", "log, TB")  # fmt: skip
    return "\n\n".join((_CAPACITY.format(**vars(unit), **_assumed()), _table(head, rows), _CAVEATS))


def _assumed() -> dict[str, Any]:
    return {"peak": capacity.PEAK, "busy": capacity.BUSY, "days": capacity.RETENTION_DAYS}


_STAGES = """Of the same runs of Vigia, medians of each row. Stages hold the event loop and are timed by the
clock, so what others took in between, other processes of its core or the worker's own threads of the
interpreter, is in them: together they may take longer than the event loop had of a processor. The threads'
rows are processor time, and together are the worker's."""

_CAPACITY = """## Capacity

Computed by `stream/bench/capacity.py` from the figures above: a payment costs {worker_us:.0f} µs of a worker,
{redis_us:.0f} µs of Redis, {broker_us:.0f} µs of the broker and {log_bytes:,.0f} bytes of its disk; the state
took {state_bytes:,.0f} bytes for each payment a day of the history. Assumed: the busiest second is {peak:g}
times the day's mean, a core is planned to be {busy:.0%} busy, the log is kept {days} days."""

_CAVEATS = """- A worker and a Redis primary are a core each. Pix's record day is 313.3 million.
- It is proportion, and beyond one machine it is not measured: a network between the processes, and replicas
  of Kafka and Redis, cost more than nothing. Double the state for the fork of a rewrite, and double that
  again for one replica ([memory](memory.md)); multiply the log by the topics' replication factor.
- Above 64 primaries set `VIGIA_STATE_SHARDS` to at least their number (256 at most; another number is
  another state). Where the table wants more, the payers of one institution have a cluster of their own.
- State by payments a day is the density of this traffic: payers that pay more seldom leave fewer pairs, and
  the same payments spread over more payers take more."""

_METHOD = """## How it is measured

- **Throughput**: the backlog is in the topic (4 partitions) before the process starts. Timed from the first
  decision that is seen on `decisions` to the last, looked for every 40 ms: so starting Python, joining the
  group and the first batch are left out. Each run has new topics and a Redis that holds the history again.
  Drains that are not counted go first, until the JVM has compiled most of the broker's code.
- **Vigia** is `vigia worker` as anyone starts it, one process. "Four busy entities" are a payer, a payee, a
  device and a key, each with 60 days of 3 payments a day.
- **The baseline** (`stream/bench/baseline.py`) is a plain Faust agent on uvloop: JSON, one Redis pipeline an
  event on two sorted sets that hold 60 days, one run of the same model, one `send`. Count and sum over ten
  windows of payer and payee are all that it knows: no reports, devices, keys or pairs, and nothing for the
  day when a process dies. What did Vigia's work one event at a time would be slower. It asks for each window
  by a ZRANGEBYSCORE, as tutorials have it; the ratio is to that. Who looks a second time reads each account's
  60 days once and sums them in Python (`in_one_read`): that form is told beside it.
- **The floor** (`stream/bench/floor.py`) is a confluent-kafka consumer that calls the worker's own
  `Pipeline.process` and `Outputs.deliver` with batches of the same size, then commits.
- **Redis** writes its append-only file (`everysec`), as `vigia up` has it.
- **Open loop**: the generator, a process of its own, sends each event when it is due, whatever came back, and
  latency counts from when it was due. So the waiting that a slow moment causes is in the figures, and so is
  the generator's own lateness, which is told too. That is what wrk2 does, and the OpenMessaging Benchmark
  since [#248](https://github.com/openmessaging/benchmark/pull/248). It looks at its schedule each
  millisecond, and the client may wait up to 5 ms for more events, as librdkafka does by default. The
  first 5 seconds at each rate, 10 at the highest, are not counted; then none is left out.
- **CPU** is user and system time from /proc; a worker's **memory** is the most that it ever was."""


def _images(stem: str, names: Iterable[str]) -> str:
    return "\n".join(f"![{name}]({stem}/{name}.svg)" for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    line = "|".join("---:" if i else "---" for i in range(len(head)))
    body = (" | ".join(str(cell) for cell in row) for row in (head, *rows))
    first, *rest = (f"| {row} |" for row in body)
    return "\n".join((first, f"|{line}|", *rest))


def _figure(value: float | None) -> str:
    return _number(value, 2 if value is not None and value < 100 else 0)


def _number(value: float | None, decimals: int = 0) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}"
