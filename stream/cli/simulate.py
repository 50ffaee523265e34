"""`vigia simulate`: generated Pix traffic to the topics, or to files."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from features.errors import BadInput
from models.extras import train_extra
from stream.cli.common import console, emit_json
from stream.cli.sending import send
from stream.publish import Outgoing
from stream.settings import Settings, load_settings
from stream.simulate import Simulation, SimulationConfig, simulate

DEFAULT_RATE = 1_000.0
# Later than this against the broker's clock an event is a dead letter (DESIGN 4).
FUTURE = timedelta(minutes=10)

Count = Annotated[int, typer.Option(min=1, help="How many transactions; their reports come on top.")]
Rate = Annotated[float, typer.Option(min=0.1, help="Messages a second.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed and start give the same bytes.")]
FraudRate = Annotated[
    float, typer.Option(min=0.0, max=0.49, help="Share of the transactions that is fraud; Pix: 0.00007.")
]
Start = Annotated[
    str | None,
    typer.Option(metavar="ISO|now", help="When the first event happens; `now`: the last one happens now."),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Write Parquet files there instead.")]
Bootstrap = Annotated[str | None, typer.Option(help="Kafka's host:port (default: VIGIA_KAFKA_BOOTSTRAP).")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("simulate")(simulate_command)


def simulate_command(
    count: Count = 10_000,
    rate: Rate = DEFAULT_RATE,
    seed: Seed = 7,
    fraud_rate: FraudRate = 0.005,
    start: Start = None,
    out: Out = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Publish generated Pix traffic with fraud in it, and its reports, in event time.

    Event time runs at the simulated volume (9,000 a day), whatever the rate. The same seed and start give
    the same event ids: sent twice, they are repeats, as far as the last 32 of each payer are known.
    """
    simulation = traffic(count, seed, fraud_rate, start, datetime.now(UTC))
    if out is not None:
        _write(simulation, out, json)
        return
    if int(simulation.occurred_ms[-1]) > (datetime.now(UTC) + FUTURE).timestamp() * 1000:
        raise BadInput("--start: the last event would lie in the future; give an earlier day, or `now`")
    settings = load_settings(kafka_bootstrap=bootstrap)
    send(_outgoing(simulation, settings), len(simulation) + len(simulation.reports), settings, rate, json)


def traffic(count: int, seed: int, fraud_rate: float, start: str | None, now: datetime) -> Simulation:
    """`count` transactions from `start` on (or, for `now`, up to `now`), and the reports made meanwhile."""
    config = SimulationConfig(seed=seed, fraud_rate=fraud_rate)
    # A day's volume goes up and down with weekday and payday: enough days, then a cut.
    days = 2 + 1.3 * count / config.transactions_per_day
    first = _start(start, now, days) or config.start
    simulation = simulate(SimulationConfig(seed=seed, start=first, days=days, fraud_rate=fraud_rate))
    return simulation.last(count) if start == "now" else simulation.first(count)


def _start(text: str | None, now: datetime, days: float) -> datetime | None:
    if text is None:
        return None
    if text == "now":
        return now - timedelta(days=days)
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--start: {text!r} is not a time; write `now` or 2026-08-01T03:00:00Z") from None
    return start if start.tzinfo else start.replace(tzinfo=UTC)


def _outgoing(simulation: Simulation, settings: Settings) -> Iterator[Outgoing]:
    for topic, key, value, _ in simulation.messages():
        yield Outgoing(settings.topic(topic), key, value)


def _write(simulation: Simulation, folder: Path, json: bool) -> None:
    with train_extra():
        from stream.simulate.files import write
    try:
        transactions, reports = write(simulation, folder)
    except OSError as error:
        raise BadInput(f"--out: {folder} can't be written: {error.strerror}") from None
    console.print(
        f"{len(simulation)} transactions in {transactions}, their reports in {reports}", soft_wrap=True
    )
    if json:
        emit_json({"transactions": str(transactions), "reports": str(reports), "events": len(simulation)})
