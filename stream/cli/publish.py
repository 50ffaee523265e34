"""`vigia publish`: a transactions file to the topic."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from models.extras import train_extra
from stream.cli.sending import send
from stream.publish import Outgoing
from stream.settings import load_settings

File = Annotated[Path, typer.Argument(metavar="FILE", help="Parquet transactions file.")]
Rate = Annotated[
    float | None, typer.Option(min=0.1, help="Messages a second (default: as fast as the broker takes them).")
]
Bootstrap = Annotated[str | None, typer.Option(help="Kafka's host:port (default: VIGIA_KAFKA_BOOTSTRAP).")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("publish")(publish_command)


def publish_command(file: File, rate: Rate = None, bootstrap: Bootstrap = None, json: Json = False) -> None:
    """Publish a transactions file, row by row in its order.

    A wrong column is named before anything is sent. A row with a wrong value is sent as it is, and the
    worker keeps it as a dead letter.
    """
    with train_extra():
        from stream.transactions_file import open_transactions
    transactions = open_transactions(file)
    settings = load_settings(kafka_bootstrap=bootstrap)
    topic = settings.topic("transactions")
    send(_outgoing(transactions.messages(), topic), transactions.rows, settings, rate, json)


def _outgoing(messages: Iterator[tuple[bytes | None, bytes]], topic: str) -> Iterator[Outgoing]:
    for key, value in messages:
        yield Outgoing(topic, key, value)
