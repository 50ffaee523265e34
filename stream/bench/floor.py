"""The floor: a plain confluent-kafka consumer that calls the worker's batch functions. No Faust.

`python -m stream.bench.floor`, with the worker's settings. It takes what waits, at most `VIGIA_BATCH_MAX`
records, decides them, waits for the acknowledgement of all outputs, and commits.
"""

import uvloop
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from features.redis_state import RedisState
from features.state import LogId
from models.scorer import Scorer
from stream.batch import Assignment
from stream.health import Health
from stream.judge import Judge
from stream.kafka_log import KafkaLog, record
from stream.outputs import Outputs
from stream.pipeline import Pipeline
from stream.policy import Policy
from stream.record_time import in_record_time
from stream.settings import Settings, load_settings
from stream.worker import INPUTS

_WAIT_SECONDS = 0.01
"""At most, for a batch to become full."""


class Floor:
    """One consumer and what it calls."""

    def __init__(self, settings: Settings) -> None:
        scorer = Scorer.load(settings.model)
        ids, _ = KafkaLog(settings).describe(INPUTS)
        self._pipeline = Pipeline(RedisState(settings.redis_url), Judge(scorer, Policy(scorer.thresholds)))
        self._outputs = Outputs(settings, "floor", Health(), ids)
        self._settings, self._ids = settings, ids
        self._names = {settings.topic(name): name for name in INPUTS}

    async def run(self) -> None:
        consumer = self._consumer()
        while True:
            batch = [_whole(m) for m in consumer.consume(self._settings.batch_max, timeout=_WAIT_SECONDS)]
            if batch:
                records = [record(self._names[m.topic() or ""], m) for m in batch]
                await self._outputs.deliver(await self._pipeline.process(in_record_time(records)))
                consumer.commit(asynchronous=True)

    def _consumer(self) -> Consumer:
        consumer = Consumer(
            {
                **self._settings.kafka_client_config(),
                "group.id": self._settings.group_id,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "on_commit": self._committed,
            }
        )
        consumer.subscribe(list(self._names), on_assign=self._assigned)
        return consumer

    def _assigned(self, _: Consumer, places: list[TopicPartition]) -> None:
        for place in places:
            name = self._names[place.topic]
            log = LogId(self._settings.group_id, name, self._ids[name], place.partition)
            self._pipeline.assignments[name, place.partition] = Assignment(log, 0, 0)

    def _committed(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        for place in places if error is None else ():
            if place.offset >= 0:
                assignment = self._pipeline.assignments[self._names[place.topic], place.partition]
                assignment.committed = place.offset


def _whole(message: Message) -> Message:
    if message.error() is not None:
        raise KafkaException(message.error())
    return message


def main() -> None:
    uvloop.run(Floor(load_settings()).run())


if __name__ == "__main__":
    main()
