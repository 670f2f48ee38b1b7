"""The two ends of Kafka: a producer that keeps to its schedule, and the raw consumer that is the floor.

The producer is open-loop: values carry the time at which they were due, and when it is late it catches up, so that
nothing that delays it makes latencies look better than they are.

Not here: the values (payload.py), Kafka itself.
"""

from __future__ import annotations

import gc
import time
from array import array
from collections import Counter
from random import Random

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, Message, Producer, TopicPartition

from loadtest.fleet import now_us
from loadtest.payload import T_AT, T_END, Payloads, key_name
from loadtest.process import Failed

LINGER_MS = 2
PARTITIONS = 4


class Producing:
    """Commands for `process.serve`. Keys are random; the counters in the values go on from run to run."""

    def __init__(self, bootstrap: str, seed: int) -> None:
        gc.disable()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "log_level": 3,  # errors; it warns of a coordinator that is still starting
                "linger.ms": LINGER_MS,
                "enable.idempotence": True,  # a retry must not change the order that subscribers check
                "queue.buffering.max.messages": 1_000_000,
                "delivery.report.only.error": True,
                "on_delivery": self._delivered,
            }
        )
        self._random = Random(seed)
        self._payloads: dict[str, Payloads] = {}
        self._errors: list[str] = []

    def fill(self, topic: str, keys: int, count: int) -> None:
        """Produce `count` values to the keys in turn, as fast as it goes."""
        payloads, names = self._values(topic, keys), [key_name(key) for key in range(keys)]
        for index in range(count):
            while True:
                try:
                    self._producer.produce(topic, payloads.make(index % keys, now_us()), names[index % keys])
                    break
                except BufferError:
                    self._producer.poll(0.1)
        self._finish()

    def run(self, topic: str, keys: int, rate: float, seconds: float) -> Counter[int]:
        """Produce `rate` values per second. Returns how many each key got.

        Raises:
            Failed: Kafka did not take them all, or this process could not keep to the schedule.
        """
        payloads, names = self._values(topic, keys), [key_name(key) for key in range(keys)]
        counts: Counter[int] = Counter()
        produce, random = self._producer.produce, self._random.random
        began, began_us, sent, total, late_s = time.monotonic(), now_us(), 0, int(rate * seconds), 0.0
        while sent < total:
            elapsed = time.monotonic() - began
            due = min(total, int(elapsed * rate))
            late_s = max(late_s, elapsed - sent / rate)
            for index in range(sent, due):
                key = int(random() * keys)
                counts[key] += 1
                produce(topic, payloads.make(key, began_us + int(index * 1e6 / rate)), names[key])
            sent = due
            self._producer.poll(0)
            time.sleep(0.001)
        self._finish()
        if late_s > 1:
            raise Failed(f"was up to {late_s:.1f} s behind its schedule: the machine is too busy to measure")
        return counts

    def idle(self, timeout_s: float) -> None:
        self._producer.poll(timeout_s)

    def _values(self, topic: str, keys: int) -> Payloads:
        return self._payloads.setdefault(topic, Payloads(keys))

    def _finish(self) -> None:
        if self._producer.flush(20) or self._errors:
            raise Failed(f"Kafka did not take every value: {self._errors[:3]}")

    def _delivered(self, error: KafkaError, _: Message) -> None:
        self._errors.append(str(error))


class Reading:
    """The raw consumer. Commands for `process.serve`."""

    def __init__(self, bootstrap: str) -> None:
        gc.disable()
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "loadtest", "enable.auto.commit": False})
        self._following = False
        self._window = (0, 0)
        self._latency = array("q")

    def read_all(self, topic: str, count: int) -> float:
        """Read the first `count` records. Returns the seconds that it took."""
        began, got = time.monotonic(), 0
        self._assign(topic, OFFSET_BEGINNING)
        while got < count:
            records = self._consumer.consume(10_000, 5)
            if not records:
                raise Failed(f"only {got} of {count} records came")
            got += sum(1 for record in records if record.error() is None and record.value())
        self._consumer.unassign()
        return time.monotonic() - began

    def follow(self, topic: str) -> None:
        """Read what comes from now on, as quickly as it can be had."""
        self._assign(topic, OFFSET_END)
        self._consumer.poll(0.5)
        self._following = True

    def sample(self, begin_us: int, end_us: int) -> None:
        """Keep latencies of values due between these times, and forget earlier ones."""
        self._window, self._latency = (begin_us, end_us), array("q")

    def samples(self) -> tuple[array[int], array[int]]:
        """As `Fleet.samples`."""
        return self._latency, array("q", [1]) * len(self._latency)

    def idle(self, timeout_s: float) -> None:
        if not self._following:
            time.sleep(timeout_s)
            return
        first = self._consumer.poll(timeout_s)
        if first is None:
            return
        records = [first, *self._consumer.consume(10_000, 0)]
        now = now_us()
        low, high = self._window
        for record in records:
            value = record.value()
            if record.error() is None and value is not None and low <= (due := int(value[T_AT:T_END])) < high:
                self._latency.append(now - due)

    def _assign(self, topic: str, offset: int) -> None:
        self._consumer.assign([TopicPartition(topic, number, offset) for number in range(PARTITIONS)])
