"""The parts of Faust and aiokafka that the worker leans on are those that it was measured against.

One that changed says which: then read it again, and docs/adr/0004 and 0009, before its digest is renewed.
"""

import hashlib
import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy
from faust.app.base import App
from faust.streams import Stream
from faust.transport.conductor import ConductorCompiler
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers import aiokafka
from faust.transport.utils import DefaultSchedulingStrategy, TopicBuffer
from faust.types.tuples import ConsumerMessage, Message
from mode.utils.queues import FlowControlQueue

from stream import commits, fetching


def _original(ours: type) -> Any:
    """aiokafka's own class, which ours may have taken the place of."""
    return ours.__bases__[0]


INTERNALS: dict[str, tuple[Any, str]] = {
    "getmany: fetch, generation and flow checks, seek back": (Consumer.getmany, "4b168d84882a"),
    "_wait_next_records: what it waits for": (Consumer._wait_next_records, "6218e1969a63"),
    "_drain_messages: offsets read, gaps, suspended flow": (Consumer._drain_messages, "44a2500309e8"),
    "ack: the list of acknowledged offsets": (Consumer.ack, "5fcf41cf4515"),
    "_new_offset: overridden": (Consumer._new_offset, "1d2c7ea89a7a"),
    "_add_gap: overridden": (Consumer._add_gap, "4df2573ded7c"),
    "_commit_tps: what is committed": (Consumer._commit_tps, "a20e230b05ae"),
    "_commit_offsets: only what is assigned": (Consumer._commit_offsets, "1a6979904118"),
    "_should_commit: never backwards": (Consumer._should_commit, "5ce941793947"),
    "perform_seek: back to what is committed": (Consumer.perform_seek, "0e8c130ff4b0"),
    "track_message: what the stream's iterator does": (Consumer.track_message, "217d7f1399a4"),
    "on_partitions_revoked: bookkeeping, then our handler": (Consumer.on_partitions_revoked, "d04b7ae72c6f"),
    "_to_message: overridden": (aiokafka.Consumer._to_message, "7c24f6511b2f"),
    "_create_worker_consumer: its client's fetch settings are changed": (
        aiokafka.AIOKafkaConsumerThread._create_worker_consumer,
        "c2701bfc3e6f",
    ),
    "send: which errors are a broken connection's": (commits._send, "5909ea32f4ef"),
    "_md_synchronizer: begun again if it died": (AIOKafkaClient._md_synchronizer, "e0421bffa9a7"),
    "_do_heartbeat: whether the group knows this worker": (commits._heartbeat, "dc1d6632aaa6"),
    "start: where those settings are handed on": (AIOKafkaConsumer.start, "2f1ba7044332"),
    "_new_consumer_thread: overridden": (aiokafka.Consumer._new_consumer_thread, "0870ec53dea7"),
    "verify_event_path: overridden": (aiokafka.AIOKafkaConsumerThread.verify_event_path, "b983e7735f64"),
    "the consumer's _commit: called to rewind": (ThreadDelegateConsumer._commit, "a20eec84e4b2"),
    "highwater: the lag": (ThreadDelegateConsumer.highwater, "f52cb0d26a71"),
    "_commit: overridden": (aiokafka.AIOKafkaConsumerThread._commit, "932852ce7a23"),
    "_fetch_records: none while the flow is stopped": (
        aiokafka.AIOKafkaConsumerThread._fetch_records,
        "39a2c6c79fc1",
    ),
    "_proc_fetch_request: what is made of a fetch": (fetcher.Fetcher._proc_fetch_request, "59bf948fff47"),
    "fetched_records: what is handed over": (fetcher.Fetcher.fetched_records, "be4348896b9b"),
    "getall: overridden": (_original(fetching._FetchResult).getall, "3e717e30de50"),
    "_unpack_records: begun again at a header's bad name": (
        _original(fetching._PartitionRecords)._unpack_records,
        "b803e6d46480",
    ),
    "_read_msg: decodes the names of headers, and nothing else": (
        _DefaultRecordBatchPy._read_msg,
        "0997ab7a5850",
    ),
    "_maybe_uncompress: makes the bytes that it reads": (
        _DefaultRecordBatchPy._maybe_uncompress,
        "c9d0dc2bed50",
    ),
    "next_batch: overridden": (_MemoryRecordsPy.next_batch, "f1779ecb6d0d"),
    "the scheduler: round robin": (DefaultSchedulingStrategy, "93e70bad15f8"),
    "the scheduler's buffers": (TopicBuffer, "8dc48b97e13c"),
    "the conductor: from a message to the agent's queue": (ConductorCompiler.build, "837cf521368c"),
    "Message.ack: once": (Message.ack, "4751b72c4ed8"),
    "ConsumerMessage": (ConsumerMessage, "5edc45d571eb"),
    "the agent's queue": (FlowControlQueue, "15f15a87fd6d"),
    "the stream's iterator": (Stream._py_aiter, "3a48ee257a65"),
    "noack": (Stream.noack, "921a6f5c674d"),
    "assignment: flow, handlers": (App._on_partitions_assigned, "de932b7927db"),
    "revocation: flow, handlers": (App._on_partitions_revoked, "d5c895bbe57d"),
}


def digest(internal: Callable[..., Any]) -> str:
    return hashlib.sha256(inspect.getsource(internal).encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", INTERNALS)
def test_an_internal_is_what_it_was(name: str) -> None:
    internal, known = INTERNALS[name]
    assert digest(internal) == known, (
        f"faust-streaming {version('faust-streaming')}, aiokafka {version('aiokafka')}: {name}"
    )
