"""What goes into Kafka, and the independent reader that finds out what is in it.

Not here: what subscribers must have got of that (tests/support/checker.py).
"""

from __future__ import annotations

import json
import threading
import time
from random import Random

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from loadtest.kafka.records import Record, read_all
from tests.support.patience import PATIENCE_S
from tests.support.truth import Truth

EVENTS, NOTES = "events", "notes"
PARTITIONS = {EVENTS: 6, NOTES: 2}
"""`events` carries JSON and is only read; `notes` carries text and clients publish there too."""

KEYS: list[bytes | None] = [
    *(b"k%03d" % n for n in range(150)),
    *(b"a/b/%02d" % n for n in range(30)),
    *(b"a/c%02d" % n for n in range(15)),
    *(b"", b"%", b"*", b"a//b", b"\xff\xfe", "ü/ß".encode()),
]
HOT = [b"k000", b"k001", b"a/b/00", None]
"""Keys that get a third of all records."""
STEP_S = 0.02


class Load(threading.Thread):
    """Produces at a rate: keys hot and cold, no keys, tombstones, headers, transactions, some of them aborted."""

    def __init__(self, bootstrap: str, seed: int, per_second: int) -> None:
        super().__init__(name="load", daemon=True)
        self.per_second = per_second
        self.burst = 1.0
        """What the rate is multiplied with."""
        self.produced = 0
        self.failed = 0
        self._rng = Random(seed)
        self._stopping = threading.Event()
        common = {"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 500}
        self._plain = Producer(common | {"acks": "all", "enable.idempotence": True, "linger.ms": 2})
        self._common = common
        self._transactional: Producer | None = None
        self._generation = 0

    def stop(self) -> None:
        """End; what is on its way is delivered first."""
        self._stopping.set()
        self.join()
        self._plain.flush(20)

    def run(self) -> None:
        due = time.monotonic()
        transaction_at = due + 1
        while not self._stopping.is_set():
            for _ in range(max(1, round(self.per_second * self.burst * STEP_S))):
                self._produce(self._plain)
            self._plain.poll(0)
            if time.monotonic() >= transaction_at:
                transaction_at = time.monotonic() + 0.5
                self._transaction()
            due = max(due + STEP_S, time.monotonic() - 0.2)
            time.sleep(max(0.0, due - time.monotonic()))

    def _produce(self, producer: Producer) -> None:
        rng = self._rng
        topic = EVENTS if rng.random() < 0.85 else NOTES
        key = rng.choice(HOT) if rng.random() < 0.33 else rng.choice(KEYS)
        self.produced += 1
        headers = [("n", b"%d" % self.produced), ("none", None)] if rng.random() < 0.1 else None
        try:
            producer.produce(topic, self._value(topic), key, headers=headers, on_delivery=self._delivered)
        except BufferError:
            producer.poll(0.01)

    def _value(self, topic: str) -> bytes | None:
        rng = self._rng
        if rng.random() < 0.03:
            return None
        if rng.random() < 0.02:
            return b"neither JSON nor text \xff" + b"%d" % self.produced
        if topic == NOTES:
            return f"note {self.produced} ü\n".encode()
        pad = rng.randrange(30_000) if rng.random() < 0.015 else rng.randrange(400)
        body = {"n": self.produced, "big": 2**60 + self.produced, "pad": "x" * pad}
        return json.dumps(body).encode()

    def _delivered(self, error: KafkaError | None, message: object) -> None:
        if error is not None:
            self.failed += 1

    def _transaction(self) -> None:
        """A few records that are committed, or not; a broker that is away makes a new producer."""
        try:
            if self._transactional is None:
                self._generation += 1
                properties = {"transactional.id": "load", "transaction.timeout.ms": 5000}
                self._transactional = Producer(self._common | properties)
                self._transactional.init_transactions(2)
            producer = self._transactional
            producer.begin_transaction()
            for _ in range(self._rng.randrange(1, 10)):
                self._produce(producer)
            if self._rng.random() < 0.4:
                producer.flush(1)
                producer.abort_transaction(2)
            else:
                producer.commit_transaction(2)
        except KafkaException:
            self._transactional = None


class Reader(threading.Thread):
    """Reads both topics from their beginning, as they grow, and tells the truth when all has been read."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="independent-reader", daemon=True)
        self.bootstrap = bootstrap
        self._records: dict[tuple[str, int], list[tuple[Record, float]]] = {}
        self._next: dict[tuple[str, int], int] = {}
        self._deleted: list[tuple[str, int, int, float]] = []
        self._lock = threading.Lock()
        self._stopping = False
        self.partitions = dict(PARTITIONS)
        self.count = 0

    def run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "independent",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        while not self._stopping:
            for where in [(topic, p) for topic, count in self.partitions.items() for p in range(count)]:
                if where not in self._next:
                    self._next[where] = 0
                    consumer.incremental_assign([TopicPartition(*where, 0)])
            for message in consumer.consume(1000, 0.05):
                if message.error() is None:
                    kind, stamp = message.timestamp()
                    record = Record(
                        message.partition(),
                        message.offset(),
                        message.leader_epoch() or 0,
                        message.key(),
                        message.value(),
                        tuple(message.headers() or ()),
                        stamp if kind else -1,
                    )
                    where = (message.topic(), message.partition())
                    with self._lock:
                        self._records.setdefault(where, []).append((record, time.time()))
                    self._next[where] = record.offset + 1
                    self.count += 1
        consumer.close()

    def next_offset(self, topic: str, partition: int) -> int:
        """Everything below has been read."""
        return self._next.get((topic, partition), 0)

    def deleting(self, topic: str, partition: int, low: int) -> None:
        """Call before records are deleted up to `low`."""
        self._deleted.append((topic, partition, low, time.time()))

    def truth(self) -> Truth:
        """Stop, and return all that was read, once Kafka has no more. Whoever produces must have stopped."""
        final = {topic: read_all(self.bootstrap, topic) for topic in PARTITIONS}
        ends = {(topic, one.partition): one.offset for topic, records in final.items() for one in records}
        deadline = time.monotonic() + PATIENCE_S
        while any(self.next_offset(*where) <= end for where, end in ends.items()):
            assert time.monotonic() < deadline, "the independent reader has not read everything"
            time.sleep(0.05)
        self._stopping = True
        self.join()
        truth = Truth()
        for where, records in self._records.items():
            for record, seen_at in records:
                truth.add(
                    *where,
                    (record.leader_epoch, record.offset),
                    record.key,
                    record.value,
                    record.headers,
                    record.timestamp_ms,
                    seen_at,
                )
        for topic, partition, low, now in self._deleted:
            truth.deleting(topic, partition, low, now)
        for topic, again in final.items():
            read = {
                (one.partition, one.offset): one for w, rs in self._records.items() if w[0] == topic for one, _ in rs
            }
            assert all(read.get((one.partition, one.offset)) == one for one in again), "two readers, two truths"
        return truth
