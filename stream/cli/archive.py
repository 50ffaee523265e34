"""`vigia features archive`: the topics as files to train on."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.extras import train_extra
from stream.cli.common import console, emit_json, progress
from stream.kafka_log import KafkaLog
from stream.settings import load_settings

if TYPE_CHECKING:
    from stream.archive.run import Summary


def archive(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The archive: made, or gone on with.")],
    rows: Annotated[int | None, typer.Option("--rows-per-part", min=1, hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the feature log, the decisions and the reports as Parquet by UTC day, from where it ended before.

    It ends when it has all that the topics held when it began. Killed at any time, even by kill -9, the same
    command goes on with nothing lost and nothing twice. Give FOLDER as --features and as --reports to the
    commands of `vigia models`.
    """
    _tell(out, bring_up_to_date(out, rows), as_json)


def bring_up_to_date(out: Path, rows: int | None = None) -> "Summary":
    """Archive what the topics hold now, with its progress on standard error. `rows`: of a part at most."""
    with train_extra():
        from stream.archive.folder import open_folder
        from stream.archive.run import ROWS
        from stream.archive.run import archive as run

    settings = load_settings()
    with closing(KafkaLog(settings)) as log, progress("records") as bar:
        task = bar.add_task("archived", total=None)
        with open_folder(out, settings.topic_prefix, settings.group_id) as folder:
            return run(
                log,
                folder,
                settings.group_id,
                lambda done, of: bar.update(task, completed=done, total=of),
                rows or ROWS,
            )


def _tell(out: Path, summary: "Summary", as_json: bool) -> None:
    for topic, n in summary.lost.items():
        _say(f"{topic}: {n:,} records were deleted by the broker before they were archived")
    if skipped := ", ".join(f"{n:,} {why}" for why, n in summary.skipped.items()):
        _say(f"not archived: {skipped}")
    if as_json:
        counts = {"archived": summary.archived, "skipped": summary.skipped, "lost": summary.lost}
        emit_json({"out": str(out), "parts": summary.parts, **{k: dict(v) for k, v in counts.items()}})
    else:
        told = ", ".join(f"{n:,} {kind}" for kind, n in summary.archived.items()) or "nothing new"
        _say(f"{out}: {told}")


def _say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)
