"""Produces into Kafka: librdkafka's idempotent producer, and a native thread that collects its delivery reports.

Not here: what a publish is, retries of clients (node/publishing.py).
"""

from __future__ import annotations

import contextlib
import logging
import zlib

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from gateway.link import codes
from gateway.link.logs import event
from node.effects import Produce
from node.kafka.events import Delivered, KafkaEvent, NotDelivered
from node.kafka.threads import Inbox, start_thread

log = logging.getLogger(__name__)

POLL_S = 0.1
FLUSH_S = 5.0

_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}
_NO_TOPIC = {KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION}
_FORBIDDEN = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
_DOWN = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE}


class KafkaProducer:
    """The producer, as the hub sees it: `produce` never blocks."""

    def __init__(self, properties: dict[str, object], inbox: Inbox[KafkaEvent]) -> None:
        self._properties = {**properties, "error_cb": self._error}
        self._inbox = inbox
        self._down = ""
        self._stopping = False
        self._producer = Producer(self._properties)
        self._thread = start_thread("kafka-producer", self._run)

    def produce(self, produce: Produce) -> None:
        """Send; the report comes through the inbox.

        A record without a key goes to the partition that its publisher always uses, so that a retry cannot land in
        another log and the publisher's order is kept.
        """
        ticket = produce.ticket
        where = {}
        if produce.key is None and produce.partitions:
            where["partition"] = zlib.crc32(produce.publisher.encode()) % produce.partitions
        try:
            self._producer.produce(
                produce.topic,
                value=produce.value,
                key=produce.key,
                headers=produce.headers,
                on_delivery=lambda error, message: self._report(ticket, error, message),
                **where,
            )
        except BufferError:
            self._inbox.put(NotDelivered(ticket, codes.QUEUE_FULL, "the producer's queue is full"))
        except KafkaException as failure:
            self._inbox.put(self._not_delivered(ticket, failure.args[0]))

    def stop(self) -> None:
        """Wait for what is on its way, within bounds."""
        self._stopping = True
        self._thread.join(timeout=FLUSH_S + 1)

    def _run(self) -> None:
        while not self._stopping:
            producer = self._producer
            try:
                producer.poll(POLL_S)
            except KafkaException as failure:
                self._replace(producer, failure.args[0])
        with contextlib.suppress(KafkaException):
            self._producer.flush(FLUSH_S)

    def _replace(self, producer: Producer, error: KafkaError) -> None:
        """The idempotent producer cannot go on (its state at the broker is lost, say): a new one can."""
        event(log, "producer_replaced", logging.WARNING, error=error.str())
        self._producer = Producer(self._properties)
        with contextlib.suppress(KafkaException):
            producer.purge()
        with contextlib.suppress(KafkaException):
            producer.poll(0)  # the reports of what it had, as far as it still gives them

    def _report(self, ticket: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._down = ""
            self._inbox.put(Delivered(ticket, message.topic(), message.partition()))
            return
        self._inbox.put(self._not_delivered(ticket, error))

    def _not_delivered(self, ticket: int, error: KafkaError) -> NotDelivered:
        code = error.code()
        if code in _TOO_LARGE:
            return NotDelivered(ticket, codes.MESSAGE_TOO_LARGE, error.str())
        if code in _NO_TOPIC:
            return NotDelivered(ticket, codes.NOT_MAPPED, f"the topic does not exist: {error.str()}")
        if code in _FORBIDDEN:
            return NotDelivered(ticket, codes.FORBIDDEN, f"Kafka does not allow it: {error.str()}")
        if self._down:
            return NotDelivered(ticket, codes.KAFKA_UNAVAILABLE, f"{error.str()} ({self._down})")
        return NotDelivered(ticket, codes.OUTCOME_UNKNOWN, error.str())

    def _error(self, error: KafkaError) -> None:
        if error.code() in _DOWN:
            self._down = error.str()
