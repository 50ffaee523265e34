"""Records as no ordinary client sends them."""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

CODECS = {None: 0, "gzip": 1, "lz4": 3, "zstd": 4}
BAD = b"\xff\xfe"


class BadName(str):
    """A header's name that a client writes as these bytes."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return BAD


def send(kafka: str, topic: str, *batches: list[tuple[bytes, list[Any]]], compression: str | None) -> None:
    """Each list of (value, headers) as one batch. aiokafka's builder in C would take no such name."""

    async def run() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka, compression_type=compression)
        await producer.start()
        try:
            for batch in batches:
                builder = producer.create_batch()
                builder._builder = _DefaultRecordBatchBuilderPy(
                    2, CODECS[compression], 0, -1, -1, -1, 1 << 20
                )
                for value, headers in batch:
                    assert builder.append(
                        timestamp=int(time.time() * 1000), key=b"k", value=value, headers=headers
                    )
                await (await producer.send_batch(builder, topic, partition=0))
        finally:
            await producer.stop()

    asyncio.run(run())
