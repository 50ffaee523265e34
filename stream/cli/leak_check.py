"""`vigia features leak-check`: whether vectors know the future."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import BadInput
from models.extras import train_extra
from stream.cli.common import console, emit_json

if TYPE_CHECKING:
    import pyarrow.dataset as ds

    from features.leak import LeakReport

_SHOWN = 10


def leak_check(
    transactions: Annotated[Path, typer.Option(help="Parquet file of transactions.")],
    features: Annotated[Path, typer.Option(help="The vectors that `features build` made of it.")],
    at: Annotated[str, typer.Option(metavar="TIME", help="2026-11-21 or 2026-11-21T15:30Z.")],
    reports: Annotated[Path | None, typer.Option(help="Parquet file of fraud reports.")] = None,
    sample: Annotated[int, typer.Option(min=1, help="How many payments before TIME.")] = 2000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Build vectors again from the history cut off at TIME, and compare them bit for bit.

    Exit 1: some differ, so they were made with what came later; the features are named. Or a payment is in
    one of the two alone, or nothing could be compared. The vectors of a
    feature log are of the order in which payments came, not of event time: late ones differ.
    """
    with train_extra():
        from features.catalog import FEATURES_VERSION, NAMES
        from models.dataset import open_features

    cut = _time(at)
    report = asyncio.run(
        _check(transactions, reports, open_features(features, NAMES, FEATURES_VERSION), cut, sample)
    )
    leaks = [leak._asdict() for leak in report.leaks]
    if as_json:
        emit_json(
            {
                "sound": report.sound,
                "at": cut.isoformat(),
                "compared": report.compared,
                "missing": report.missing,
                "leaks": leaks,
            }
        )
    _tell(report)
    if not report.sound:
        raise typer.Exit(1)


async def _check(
    transactions: Path, reports: Path | None, features: "ds.Dataset", at: datetime, sample: int
) -> "LeakReport":
    from deploy.local import private_redis
    from features.leak import leak_check
    from features.redis_state import RedisState

    with private_redis() as url:
        state = await RedisState.connect(url, 1)
        try:
            with console.status("building again"):
                return await leak_check(state, transactions, reports, features, at, sample)
        finally:
            await state.close()


def _tell(report: "LeakReport") -> None:
    lines = [
        f"{leak.feature}: {leak.vectors} vectors differ, first that of {leak.event_id}"
        for leak in report.leaks[:_SHOWN]
    ]
    if more := len(report.leaks) - len(lines):
        lines.append(f"and {more} more features" if more > 0 else "")
    if report.missing:
        lines.append(
            f"{len(report.missing)} payments are in one of the files only, first {report.missing[0]}"
        )
    lines.append(f"{report.compared:,} vectors compared: {'sound' if report.sound else 'NOT sound'}")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--at: {text!r} is no time; write 2026-11-21 or 2026-11-21T15:30Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
