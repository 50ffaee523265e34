"""`vigia state verify|rebuild|snapshot`: the windows in Redis, beside the topics that they were made from."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.errors import BadInput
from models.extras import train_extra
from stream.cli.common import console, emit_json, progress
from stream.settings import Settings, load_settings

if TYPE_CHECKING:
    from features.state import LogId

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Transactions = Annotated[
    Path | None, typer.Option(help="Parquet history that the state has from before the topics.")
]
Reports = Annotated[Path | None, typer.Option(help="Its fraud reports.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The windows in Redis: compare, rebuild, look at them.", no_args_is_help=True)
    group.command("verify")(verify_command)
    group.command("rebuild")(rebuild_command)
    group.command("snapshot")(snapshot_command)
    app.add_typer(group, name="state")


def verify_command(
    sample: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many entities.")] = 1000,
    seed: Annotated[int, typer.Option(help="Another seed takes another sample.")] = 0,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to ask again for what is changing.")] = 30.0,
    transactions: Transactions = None,
    reports: Reports = None,
    as_json: Json = False,
) -> None:
    """Recompute a sample of entities from the topics by brute force, and compare bit for bit.

    Workers may go on meanwhile. Exit 1: something differs, or the sample could not be compared whole.
    A state begun with VIGIA_STATE_ON_EMPTY=fresh differs: it never had what lies before.
    """
    report = asyncio.run(_verify(load_settings(), sample, seed, wait, transactions, reports))
    if as_json:
        emit_json({"sound": report.sound, **asdict(report), "first": [d._asdict() for d in report.first]})
    else:
        _tell(report)
    if not report.sound:
        raise typer.Exit(1)


async def _verify(
    settings: Settings, sample: int, seed: int, wait: float, transactions: Path | None, reports: Path | None
) -> Any:
    from stream.audit.store import excuses, inventory, require_state, some_ids, strangers
    from stream.audit.verify import Question, verify

    history, log = _history(transactions, reports)
    async with _opened(settings) as (inputs, state):
        await require_state(state, settings.group_id)
        ids = await some_ids(state, sample)
        question = Question(sample, seed, wait, settings.state_shards, ids)
        with _bar("recounted", "records") as told:
            report = await verify(inputs, state, question, history(), told)
        if report.unexplained:
            logs = list(inputs.logs.values())
            found = strangers(await inventory(state), logs)
            report.strangers = sorted(map(list, found))
            report.excused = bool(excuses(found, logs, log))
    return report


def _tell(report: Any) -> None:
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(report.entities.items())) or "no entities"
    lines = [f"{report.events} events recounted; {kinds}: {report.values} values in {report.seconds:.1f} s"]
    lines += [f"  {d.entity}: {d.slot} is {d.state:.17g}, should be {d.oracle:.17g}" for d in report.first]
    if report.missing:
        lines.append(f"{report.missing} committed records are missing: a worker that starts reads them again")
    if report.moving:
        lines.append(f"{report.moving} entities never stood still: try again with a longer --wait")
    if report.unexplained:
        why = f"; the state was also fed by {report.strangers}" if report.strangers else ""
        if report.strangers and not report.excused:
            why += ", which does not excuse them: name a history with --transactions"
        lines.append(f"{report.unexplained} of {report.keys} keys are of no event of the topics{why}")
    if report.uncompared:
        lines.append("nothing was compared: the state holds keys, and the topics name no entity")
    lines.append(f"{report.differences} differences in {report.differing} entities")
    console.print("\n".join(lines), highlight=False, markup=False)


def rebuild_command(
    transactions: Transactions = None,
    reports: Reports = None,
    flush: Annotated[
        bool, typer.Option("--flush", help="Delete this state's keys first; no others are touched.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the state anew: the history in files, if given, then all that the group committed of the topics.

    No worker may run meanwhile. A history must end where the topics begin, or its events count twice.
    """
    if reports and not transactions:
        raise BadInput("--reports: give --transactions too")
    made = asyncio.run(_rebuild(load_settings(), transactions, reports, flush))
    if as_json:
        emit_json(made)
    else:
        told = ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in made.items())
        console.print(told, highlight=False)


async def _rebuild(
    settings: Settings, transactions: Path | None, reports: Path | None, flush: bool
) -> dict[str, int]:
    from stream.audit.group import require_no_worker
    from stream.audit.rebuild import from_files, from_topics, make_room, read_files

    history, files = 0, read_files(transactions, reports) if transactions else None
    async with _opened(settings) as (inputs, state):
        require_no_worker(settings)
        inputs.stands()  # what can't be read is known before anything is deleted
        deleted = await make_room(state, settings.group_id, flush)
        if files:
            with _bar("history", "events") as told:
                history = await from_files(files, state, told)
        with _bar("topics", "records") as told:
            records = await from_topics(inputs, state, told)
    return {"deleted_keys": deleted, "history_events": history, "topic_records": records}


def snapshot_command(as_json: Json = False) -> None:
    """Say what this Redis holds: layout, entities, where each log stands, what a restart would bring back."""
    facts = asyncio.run(_snapshot(load_settings()))
    if as_json:
        emit_json(facts)
        return
    for name, value in facts.items():
        for line in value if name == "logs" else [value]:
            console.print(f"{name}: {line}", highlight=False, markup=False)


async def _snapshot(settings: Settings) -> dict[str, Any]:
    from stream.audit.snapshot import snapshot

    async with _opened(settings) as (inputs, state):
        with _bar("scanned", "keys") as told:
            return await snapshot(inputs, state, settings.state_shards, lambda n: told(n, n))


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Any, Any]]:
    """The group's inputs and its state."""
    from features.redis_state import RedisState
    from stream.audit.inputs import KafkaInputs
    from stream.kafka_log import KafkaLog

    with closing(KafkaLog(settings)) as kafka:
        inputs = KafkaInputs(kafka, settings.group_id)
        state = await RedisState.connect(settings.redis_url, settings.state_shards)
        try:
            yield inputs, state
        finally:
            await state.close()


def _history(
    transactions: Path | None, reports: Path | None
) -> tuple[Callable[[], Iterator[Any]], "LogId | None"]:
    """The events of a history, begun when they are asked for, and its log. Raises BadInput."""
    if transactions is None:
        if reports:
            raise BadInput("--reports: give --transactions too")
        return lambda: iter(()), None
    from stream.audit.rebuild import read_files

    files = read_files(transactions, reports)
    with train_extra():
        from features.replay import merged
    return lambda: merged(files.payments, files.labels), files.log


@contextmanager
def _bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    with progress(unit) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
