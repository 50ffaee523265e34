"""What needs no broker: commits' metadata, settings that no client takes, a log that lost its end."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from features.errors import BadInput
from stream.health import Health
from stream.kafka_client import KafkaAway
from stream.kafka_log import KafkaLog
from stream.outputs import Outputs
from stream.settings import Settings
from stream.stands import LostTail, Stand, Tails, commit_metadata
from stream.topics import create_topics

PLACE = ("transactions", 0)


class Short(KafkaLog):
    """One whose partitions hold [0, 10)."""

    def _watermarks(self, *_: object) -> tuple[int, int]:
        return 0, 10


@pytest.mark.parametrize("metadata", ["topic-id:mine", "topic-id:mine\0", commit_metadata("mine")])
def test_a_commit_is_known_with_its_zero_byte_and_without(metadata: str) -> None:
    log = Short(Settings(kafka_bootstrap="127.0.0.1:1"))
    committed: Any = SimpleNamespace(topic="pix.transactions", partition=0, offset=4, metadata=metadata)
    assert log._stand(committed, "mine") == Stand(4, 0, 10)
    assert log._stand(committed, "another") == Stand(0, 0, 10, foreign=True)
    log.close()


def test_a_broker_that_goes_away_while_it_is_asked_which_topics_it_has() -> None:
    log = KafkaLog(Settings(kafka_bootstrap="127.0.0.1:1"))

    class Admin:
        def describe_topics(self, *_: Any, **__: Any) -> Any:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))

        def list_topics(self, **_: Any) -> Any:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    log._admin = Admin()  # type: ignore[assignment]
    with pytest.raises(KafkaAway):
        log.describe(("transactions",))
    log.close()


def test_a_file_that_is_no_pem_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no")
    settings = Settings(kafka_security_protocol="SSL", kafka_security_ca_file=bad)
    for make in (
        lambda: KafkaLog(settings),
        lambda: Outputs(settings, "w", Health()),
        lambda: create_topics(settings, 1, 1),
    ):
        with pytest.raises(BadInput, match=r"VIGIA_KAFKA_SECURITY_\*.*ssl.ca.location"):
            make()


def test_a_log_that_stays_short_lost_its_end() -> None:
    now = 0.0
    tails = Tails(lambda: now)
    with pytest.raises(KafkaAway, match="ends at 5, before the committed 7"):
        tails.check(PLACE, 5, 7, "committed")
    now = 29.0
    with pytest.raises(KafkaAway):
        tails.check(PLACE, 5, 7, "committed")
    now = 30.0
    with pytest.raises(LostTail, match="state rebuild --flush"):
        tails.check(PLACE, 5, 7, "committed")


def test_a_log_that_was_short_for_a_moment_is_well() -> None:
    now = 0.0
    tails = Tails(lambda: now)
    with pytest.raises(KafkaAway):
        tails.check(PLACE, 5, 7, "committed")
    now = 20.0
    tails.check(PLACE, 7, 7, "committed")
    now = 40.0
    with pytest.raises(KafkaAway):
        tails.check(PLACE, 5, 7, "committed")
    now = 101.0
    with pytest.raises(KafkaAway):
        tails.check(PLACE, 5, 7, "committed")
