"""The broker killed, its topics extended, one of its topics refusing a message."""

import json

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, ResourceType

from stream.topics import TOPICS

from ..fault import Fault
from ..stage import Stage

AWAY = 5.0
LIMIT = 60_000
"""Bytes of a message (and of a batch of them) that `decisions` takes then."""


def kill_and_restart(stage: Stage) -> None:
    with stage.fault():
        stage.world.kafka.kill()
        stage.pause(AWAY)
        stage.start_kafka()


def add_partition(stage: Stage) -> None:
    """Outputs first: what comes from partition p of an input goes to partition p of the outputs."""
    settings, admin = stage.world.settings, stage.admin()
    inputs = ("transactions", "fraud-reports")
    with stage.fault():
        for names in ([name for name in TOPICS if name not in inputs], inputs):
            wanted = [NewPartitions(settings.topic(name), stage.world.partitions + 1) for name in names]
            for future in admin.create_partitions(wanted).values():
                future.result()
        stage.world.partitions += 1


def refuse_large(stage: Stage) -> None:
    """`decisions` takes less than the key of one payment: an output carries its input's key."""
    name = stage.world.settings.topic("decisions")
    entry = ConfigEntry("max.message.bytes", str(LIMIT), incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    stage.admin().incremental_alter_configs([change])[change].result()
    with stage.fault():
        stage.publish("transactions", b"k" * (LIMIT + 1000), payment("large"))


def payment(event_id: str, amount: str = "12.34") -> bytes:
    """A good one, of an account that nobody else uses."""
    order = {
        "event_id": event_id,
        "occurred_at": "2026-08-01T12:00:00Z",
        "amount": amount,
        "payer": {"account": f"payer-{event_id}"},
        "payee": {"account": f"payee-{event_id}"},
    }
    return json.dumps(order).encode()


FAULTS = [
    Fault("broker-kill", "kill -9 of the broker, started again after 5 s", kill_and_restart, seconds=35,
          away=True),
    Fault("partition-added", "a fifth partition on every topic, outputs first", add_partition, seconds=35),
    Fault("output-too-large", "`decisions` refuses the decision of one payment as too large", refuse_large,
          letters={"OUTPUT_TOO_LARGE": 1}),
]  # fmt: skip
