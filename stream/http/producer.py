"""Orders onto `transactions`: keyed and partitioned as by every other producer of ours."""

import asyncio
from collections.abc import Callable
from threading import Thread
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.http import problems
from stream.http.door import Order
from stream.http.outcome import Source
from stream.kafka_client import making_client
from stream.publish import PRODUCER
from stream.settings import Settings

_FLUSH_SECONDS = 5.0


class OrderProducer:
    """Sends orders; says on the event loop what became of each."""

    def __init__(
        self,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        delivered: Callable[[Order, Source], None],
        undelivered: Callable[[Order, str], None],
        on_error: Callable[[KafkaError], None],
    ) -> None:
        self._topic = settings.topic("transactions")
        self._loop, self._delivered, self._undelivered = loop, delivered, undelivered
        self.topic_id: str | None = None
        """Of `transactions`, as last seen."""
        config = (
            settings.kafka_client_config()
            | PRODUCER
            | {
                "linger.ms": 0,
                "socket.nagle.disable": True,
                "reconnect.backoff.max.ms": 1000,
                "message.timeout.ms": int(settings.decision_deadline * 1000),  # its asker is gone by then
                "error_cb": on_error,
            }
        )
        with making_client():
            self._producer = Producer(config)
        self._open = True
        self._thread = Thread(target=self._serve, name="producer", daemon=True)
        self._thread.start()

    def send(self, order: Order) -> None:
        """Hand the order over. Raises Problem when there is no room."""
        topic_id = self.topic_id

        def answered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._loop.call_soon_threadsafe(self._undelivered, order, error.str())
            else:
                source = Source(message.partition() or 0, message.offset() or 0, topic_id)
                self._loop.call_soon_threadsafe(self._delivered, order, source)

        headers: Any = [("traceparent", order.traceparent)] if order.traceparent else None
        try:
            self._producer.produce(
                self._topic,
                order.body,
                order.event.payer_account.encode(),
                on_delivery=answered,
                timestamp=order.recorded_at,
                headers=headers,
            )
        except BufferError:
            raise problems.crowded(order.event.event_id) from None
        except KafkaException as error:
            raise problems.unsent(order.event.event_id, error.args[0].str()) from None

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """Wait, a bounded time, until what was sent is acknowledged. Blocks."""
        self._producer.flush(_FLUSH_SECONDS)
        self._open = False
        self._thread.join(1.0)

    def _serve(self) -> None:
        while self._open:
            self._producer.poll(0.2)
