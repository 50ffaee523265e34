"""`vigia dead-letters list|replay`: what could not be read, and sending it again."""

import base64
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from features.errors import BadInput, VigiaError
from stream.cli.common import console, emit_json
from stream.dead_letter import CODES
from stream.dead_letter_log import Choice, Kept, letters, newest, replayed
from stream.fields import rfc3339
from stream.kafka_log import KafkaLog
from stream.publish import Outgoing, PublishReport, publish
from stream.settings import Settings, load_settings

Code = Annotated[str | None, typer.Option(help="Only this error code.")]
EventId = Annotated[str | None, typer.Option(help="Only this event id.")]
Since = Annotated[str | None, typer.Option(help="Only letters kept since: 2026-11-21 or 2026-11-21T15:30Z.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Inputs that could not be read, kept with the reason.", no_args_is_help=True)
    group.command("list")(list_command)
    group.command("replay")(replay_command)
    app.add_typer(group, name="dead-letters")


def list_command(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the newest.")] = 20,
    code: Code = None,
    event_id: EventId = None,
    since: Since = None,
    show_value: Annotated[bool, typer.Option(help="Show the bytes too: they hold personal data.")] = False,
    as_json: Json = False,
) -> None:
    """Show the newest dead letters: when, why, and where the record lay."""
    choice = _choice(code, event_id, since)
    with closing(KafkaLog(load_settings())) as log:
        found = newest(log, choice, limit)
    if as_json:
        emit_json({"dead_letters": [_described(kept, show_value) for kept in found]})
    else:
        console.print(_table(found, show_value) if found else "no dead letters", highlight=False)


def replay_command(
    code: Code = None,
    event_id: EventId = None,
    since: Since = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Only this dead-letters partition.")] = None,
    from_offset: Annotated[int | None, typer.Option(min=0, help="Its first offset.")] = None,
    to_offset: Annotated[int | None, typer.Option(min=0, help="Its last offset.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every letter there is.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Only say how many.")] = False,
    as_json: Json = False,
) -> None:
    """Send dead letters to their source topic again: the same bytes, the same key, header `replay`.

    Each is decided anew, even if its event was decided before: replay a letter once, after mending its cause.
    Truncated letters (records of more than 4 MiB) are left out: their records lie whole at their source.
    """
    choice = _choice(code, event_id, since, partition, from_offset, to_offset)
    if choice.everything and not everything:
        raise BadInput("say which letters: --code, --event-id, --since, --partition, offsets, or --all")
    settings = load_settings()
    counts: Counter[str] = Counter()
    left: Counter[str] = Counter()
    with closing(KafkaLog(settings)) as log:
        report = _send(settings, _outgoing(letters(log, choice), counts, left), dry_run)
    if as_json:
        answer = {
            "letters": counts.total(),
            "by_code": counts,
            "sent": report.sent,
            "failed": report.failed,
            "left_out": left,
        }
        emit_json(answer)
    else:
        by_code = ", ".join(f"{n} {name}" for name, n in counts.most_common()) or "none"
        verb = "would be sent again" if dry_run else f"letters, {report.sent} sent again"
        console.print(f"{counts.total()} {verb}: {by_code}", highlight=False)
        for why, count in left.items():
            console.print(f"{count} left out: {why}", highlight=False)
    if report.failed:
        raise VigiaError(f"{report.failed} letters were not delivered: {report.error}; {report.sent} were")


def _send(settings: Settings, outgoing: Iterator[Outgoing], dry_run: bool) -> PublishReport:
    if dry_run:
        outgoing = (message for message in outgoing if False)  # read, so counted; none is sent
    return publish(outgoing, config=settings.kafka_client_config())


def _outgoing(chosen: Iterator[Kept], counts: Counter[str], left: Counter[str]) -> Iterator[Outgoing]:
    """What is sent, counted by code on the way; and what is not, by why."""
    for kept in chosen:
        if message := replayed(kept):
            counts[kept.letter.code] += 1
            yield message
        elif kept.letter.truncated is None:
            left["no bytes"] += 1
        else:
            left["truncated, the whole is at its source"] += 1


def _choice(
    code: str | None,
    event_id: str | None,
    since: str | None,
    partition: int | None = None,
    first: int | None = None,
    last: int | None = None,
) -> Choice:
    if code is not None and code not in CODES:
        raise BadInput(f"--code: {code!r} is not one of {', '.join(CODES)}")
    if partition is None and (first is not None or last is not None):
        raise BadInput("--from-offset and --to-offset are of one partition: give --partition too")
    return Choice(code, event_id, None if since is None else _time(since), partition, first, last)


def _time(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--since: {text!r} is not a time; write it as 2026-11-21T15:30Z") from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _described(kept: Kept, show_value: bool) -> dict[str, object]:
    letter = kept.letter
    described: dict[str, object] = {
        "time": rfc3339(kept.timestamp),
        "code": letter.code,
        "error": letter.text,
        "source_topic": letter.topic,
        "source_partition": letter.partition,
        "source_offset": letter.offset,
        "event_id": letter.event_id,
        "partition": kept.partition,
        "offset": kept.offset,
        "truncated": letter.truncated,
    }
    if show_value:
        described["value_base64"] = None if letter.value is None else base64.b64encode(letter.value).decode()
    return described


def _table(found: list[Kept], show_value: bool) -> Table:
    table = Table("time", "letter", "code", "error", "source", "event id", *(["value"] if show_value else []))
    for kept in found:
        letter = kept.letter
        source = f"{letter.topic} {letter.partition}:{letter.offset}"
        row = [
            rfc3339(kept.timestamp),
            kept.position,
            letter.code,
            letter.text,
            source,
            letter.event_id or "",
        ]
        value = [(letter.value or b"").decode(errors="replace")] if show_value else []
        table.add_row(*map(_plain, row + value))
    return table


def _plain(text: str) -> str:
    """Nothing that a sender wrote is taken as markup or moves the cursor."""
    return "".join(c if c.isprintable() else "�" for c in text).replace("[", r"\[")
