"""What `simulate` and `publish` share: messages to the topics with a progress bar, and how it went."""

from collections.abc import Iterable

from features.errors import VigiaError
from stream.cli.common import console, emit_json, progress
from stream.publish import Outgoing, PublishReport, publish
from stream.settings import Settings


def send(
    messages: Iterable[Outgoing],
    total: int,
    settings: Settings,
    rate: float | None,
    json: bool,
) -> PublishReport:
    """Publish, show and tell. Raises VigiaError when not every message was acknowledged."""
    with progress("messages") as bar:
        task = bar.add_task("publishing", total=total)
        report = publish(
            messages,
            config=settings.kafka_client_config(),
            rate=rate,
            on_progress=lambda sent: bar.update(task, completed=sent),
        )
    if json:
        emit_json({"sent": report.sent, "failed": report.failed, "seconds": round(report.seconds, 3)})
    if report.failed:
        raise VigiaError(f"{report.failed} messages were not delivered: {report.error}; {report.sent} were")
    console.print(f"{report.sent} messages acknowledged in {report.seconds:.1f} s")
    return report
