"""One idempotent producer of librdkafka, and a native thread that makes it, collects its reports and replaces it.

A producer ends of a fatal error: its state at the broker is lost, or Kafka does not let this node produce. Then
another one is made, after a pause that doubles; meanwhile what is to be produced is refused at once, with the reason.

Not here: which publish goes to which producer (lanes.py), what reports mean (producer.py).
"""

from __future__ import annotations

import contextlib
import threading
import time
import zlib
from collections import deque
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from node.effects import Produce
from node.kafka.events import ProducerState
from node.kafka.making import made
from node.kafka.threads import Inbox, start_thread

POLL_S = 0.1
FLUSH_S = 5.0
REPORTS_S = 1.0
"""How long the reports of a producer that ends are waited for."""
PAUSE_MIN_S, PAUSE_MAX_S = 1.0, 30.0
WELL_AFTER_S = 5.0
"""After this time a producer is taken to work, or to wait for brokers that are away."""
RECORD_BYTES_MAX = 100_000_000
"""Brokers take no larger request by default; below that they are asked."""

_DOWN = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
}


class Fate(msgspec.Struct, frozen=True, gc=False):
    """Why a record is not in Kafka, or not known to be."""

    code: int
    """Of librdkafka's errors."""
    reason: str
    is_unsent: bool
    """Nothing of it can have reached Kafka, or no broker could be reached."""
    is_by_kafka: bool = True


class Report(msgspec.Struct, frozen=True, gc=False):
    """What became of a record; no fate: it is in this partition."""

    produce: Produce
    fate: Fate | None
    partition: int = -1


class ProducerThread:
    """The producer and its thread."""

    def __init__(self, properties: dict[str, object], batch_bytes: int, inbox: Inbox[Any]) -> None:
        """Begin to make the producer.

        Args:
            properties: Of librdkafka. What the user says of batches counts where it is less.
            inbox: Takes `Report` and `ProducerState`.
        """
        wished = int(str(properties.get("batch.size", batch_bytes)))
        self._batch_bytes = batch_bytes
        self._timeout_s = int(str(properties["message.timeout.ms"])) / 1000
        self._properties = {
            "message.max.bytes": RECORD_BYTES_MAX,
            **properties,
            "batch.size": min(batch_bytes, wished),
            "error_cb": self._error,
        }
        self._inbox = inbox
        self._down = ""
        """Why no broker can be reached, as far as that is so."""
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._failed: Fate | None = None
        """Why there is no producer."""
        self._waiting: deque[tuple[float, Produce]] = deque()
        """What came before the first producer was made, with when it came."""
        self._stopping = threading.Event()
        self._thread = start_thread("kafka-producer", self._run)

    def produce(self, produce: Produce) -> None:
        """From the hub. The report comes through the inbox."""
        with self._lock:
            if self._producer is not None:
                self._produce(self._producer, produce)
            elif self._failed is not None:
                self._inbox.put(Report(produce, self._failed))
            else:
                self._waiting.append((time.monotonic(), produce))

    def stop(self) -> None:
        """Begin to end."""
        self._stopping.set()

    def join(self) -> None:
        """Wait for what is on its way, within bounds."""
        self._thread.join(timeout=FLUSH_S + 1)

    def _run(self) -> None:
        pause_s = PAUSE_MIN_S
        while not self._stopping.is_set():
            made_at = time.monotonic()
            producer = self._make()
            if producer is not None:
                self._live(producer)
            if time.monotonic() - made_at > WELL_AFTER_S:
                pause_s = PAUSE_MIN_S
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _make(self) -> Producer | None:
        try:
            producer = made(Producer, self._properties)
        except KafkaException as failure:  # no token can be had, say
            self._fail(failure.args[0])
            return None
        with self._lock:
            self._producer, self._failed = producer, None
            while self._waiting:
                came_at, produce = self._waiting.popleft()
                if time.monotonic() - came_at < self._timeout_s:
                    self._produce(producer, produce)
                else:
                    self._inbox.put(Report(produce, Fate(KafkaError._TIMED_OUT, "no producer could be made", True)))
        return producer

    def _live(self, producer: Producer) -> None:
        """Collect reports until the producer cannot go on, or is to end."""
        well_at = time.monotonic() + WELL_AFTER_S
        try:
            while not self._stopping.is_set():
                producer.poll(POLL_S)
                if time.monotonic() >= well_at:
                    well_at = float("inf")
                    self._inbox.put(ProducerState(self._batch_bytes, ""))
            producer.flush(FLUSH_S)
        except KafkaException as failure:
            self._fail(failure.args[0])
            with contextlib.suppress(KafkaException):
                producer.purge()
            until = time.monotonic() + REPORTS_S
            while len(producer) and time.monotonic() < until:
                with contextlib.suppress(KafkaException):
                    producer.poll(POLL_S)

    def _fail(self, error: KafkaError) -> None:
        with self._lock:
            self._producer = None
            self._failed = Fate(error.code(), error.str(), is_unsent=True)
            waiting = [produce for _, produce in self._waiting]
            self._waiting.clear()
        for produce in waiting:
            self._inbox.put(Report(produce, self._failed))
        self._inbox.put(ProducerState(self._batch_bytes, error.str()))

    def _produce(self, producer: Producer, produce: Produce) -> None:
        """Hand it over.

        A record without a key goes to the partition that its publisher always uses, so that a retry cannot land in
        another log and the publisher's order is kept.
        """
        where = {}
        if produce.key is None and produce.partitions:
            where["partition"] = zlib.crc32(produce.publisher.encode()) % produce.partitions
        try:
            producer.produce(
                produce.topic,
                value=produce.value,
                key=produce.key,
                headers=produce.headers,
                on_delivery=lambda error, message: self._report(produce, error, message),
                **where,
            )
        except BufferError:
            self._inbox.put(Report(produce, Fate(KafkaError._QUEUE_FULL, "the producer's queue is full", True, False)))
        except KafkaException as failure:
            error = failure.args[0]
            self._inbox.put(Report(produce, Fate(error.code(), error.str(), is_unsent=True, is_by_kafka=False)))

    def _report(self, produce: Produce, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._down = ""
            self._inbox.put(Report(produce, None, message.partition()))
            return
        self._inbox.put(Report(produce, self._fate(error)))

    def _fate(self, error: KafkaError) -> Fate:
        if self._failed is not None:  # what the producer that failed had: whether it was sent is not known
            return Fate(self._failed.code, self._failed.reason, is_unsent=False)
        if self._down:
            return Fate(error.code(), f"{error.str()} ({self._down})", is_unsent=True)
        return Fate(error.code(), error.str(), is_unsent=False)

    def _error(self, error: KafkaError) -> None:
        if error.code() in _DOWN:
            self._down = error.str()
