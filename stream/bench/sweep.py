"""How the cost of an event grows: one thing at a time is changed, the rest stays as in the main run."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stream.bench.crowd import KINDS, Crowd
from stream.bench.drain import WORKER, Drain, drain
from stream.bench.kept import Kept
from stream.bench.sources import Message, crowd_source

if TYPE_CHECKING:
    from stream.bench.run import Bench

WORKERS = (1, 2)
ENTITIES = (1_000, 10_000, 100_000, 1_000_000, 2_000_000)
FILL_DAYS = (1, 7, 30, 60)
BATCHES = (64, 256, 512, 1_000)
PARTITIONS = (1, 4, 16)

Points = list[dict[str, Any]]


def sweep(bench: "Bench") -> dict[str, Points]:
    """What was changed → its values, with the rate and the costs that each gave."""
    quick = bench.config.quick
    events = bench.config.events if quick else bench.config.events // 2
    return {
        "workers": list(_workers(bench, events)),
        "entities": [_entities(bench, n, events) for n in (ENTITIES[:1] if quick else ENTITIES)],
        "fill_days": [_fill(bench, days, events) for days in (FILL_DAYS[:1] if quick else FILL_DAYS)],
        "batch_max": list(_settings(bench, "batch_max", BATCHES[-2:] if quick else BATCHES, events)),
        "partitions": list(_settings(bench, "partitions", PARTITIONS[1:2] if quick else PARTITIONS, events)),
    }


def _workers(bench: "Bench", events: int) -> Iterator[dict[str, Any]]:
    messages = bench.main.source.messages(events)
    for workers in WORKERS:
        yield _run(bench, bench.main, messages, "workers", workers, workers=workers)


def _settings(bench: "Bench", name: str, values: tuple[int, ...], events: int) -> Iterator[dict[str, Any]]:
    messages = bench.main.source.messages(events)
    for value in values:
        yield _run(bench, bench.main, messages, name, value, **{name: value})


def _entities(bench: "Bench", entities: int, events: int) -> dict[str, Any]:
    """Each had one payment; a pair has one payee."""
    crowd = Crowd(entities // KINDS, 1, a_day=1, partners=1)
    return {**_crowd(bench, crowd, events, "entities", entities), "entities_in_all": crowd.entities}


def _fill(bench: "Bench", days: int, events: int) -> dict[str, Any]:
    return _crowd(bench, replace(bench.config.crowd, size=1_000, days=days), events, "days", days)


def _crowd(bench: "Bench", crowd: Crowd, events: int, name: str, value: int) -> dict[str, Any]:
    """Nothing of it is kept: it is large, and of no use to another run."""
    folder = bench.ground.folder / "crowds"
    with bench.steps.step(f"history of {name} {value:,}") as step:
        source = crowd_source(folder, crowd, events)
        kept = Kept(source, folder / source.name, step.now)
        kept.state()
    try:
        return _run(bench, kept, source.messages(events), name, value)
    finally:
        kept.forget()


def _run(
    bench: "Bench",
    kept: Kept,
    messages: list[Message],
    name: str,
    value: int,
    workers: int = 1,
    **chosen: int,
) -> dict[str, Any]:
    with (
        bench.steps.step(f"{name} {value:,}") as step,
        bench.ground.fresh(bench.model, kept.state(), **chosen) as field,
    ):
        found: Drain = drain(bench.ground, field, WORKER, messages, workers)
        step.result = f"{found.rate:,.0f} events/s"
        return {name: value, **found.told()}
