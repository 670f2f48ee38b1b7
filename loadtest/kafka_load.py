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
from typing import TypedDict

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, Message, Producer, TopicPartition

from loadtest.fleet import now_us
from loadtest.payload import SIZE, T_AT, T_END, Payloads, key_name
from loadtest.process import Failed

LINGER_MS = 2
PARTITIONS = 4


class _Schedule:
    """What is being produced."""

    def __init__(self, topic: str, names: list[bytes], rate: float, total: int, header: str | None) -> None:
        self.topic, self.names, self.rate, self.total = topic, names, rate, total
        self.headers = [[(header, b"/%b/%b" % (topic.encode(), name))] if header else None for name in names]
        self.began, self.began_us = time.monotonic(), now_us()
        self.sent = 0
        self.late_s = 0.0
        """How far behind it has been, at worst."""
        self.counts: Counter[int] = Counter()
        """How many each key got."""


class Producing:
    """Commands for `process.serve`. Keys are random; the counters in the values go on from run to run."""

    def __init__(self, bootstrap: str, seed: int, header: str | None = None) -> None:
        """`header` is the name of one that gets the subject, for servers that need it."""
        gc.disable()
        self._header = header
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
        self._schedule: _Schedule | None = None
        self._late_s = 0.0

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
        """Produce `rate` values per second for so long. Returns how many each key got.

        Raises:
            Failed: Kafka did not take them all.
        """
        self.start(topic, keys, rate, int(rate * seconds))
        schedule = self._schedule
        assert schedule is not None
        while schedule.sent < schedule.total:
            self.idle(0.001)
        return self.stop()

    def start(self, topic: str, keys: int, rate: float, total: int = 1 << 62, size: int = SIZE) -> None:
        """Produce `rate` values per second until `stop`, or until there are `total`.

        Args:
            size: Bytes of a value, if these are the first of the topic.
        """
        self._values(topic, keys, size)
        self._schedule = _Schedule(topic, [key_name(key) for key in range(keys)], rate, total, self._header)

    def stop(self) -> Counter[int]:
        """Produce no more. Returns how many each key got since `start`.

        Raises:
            Failed: Kafka did not take them all.
        """
        schedule, self._schedule = self._schedule, None
        assert schedule is not None
        self._finish()
        self._late_s = schedule.late_s
        return schedule.counts

    def sent(self) -> int:
        """How many values since `start`."""
        assert self._schedule is not None
        return self._schedule.sent

    def late_s(self) -> float:
        """How far behind its schedule the last load has been, at worst."""
        return self._late_s

    def last(self, topic: str) -> list[int]:
        """The counter of the last value of each key."""
        return self._payloads[topic].last

    def idle(self, timeout_s: float) -> None:
        """Produce what is due."""
        schedule = self._schedule
        if schedule is None:
            self._producer.poll(timeout_s)
            return
        produce, random, counts, names = self._producer.produce, self._random.random, schedule.counts, schedule.names
        payloads, keys, headers = self._values(schedule.topic, len(names)), len(names), schedule.headers
        elapsed = time.monotonic() - schedule.began
        due = min(schedule.total, int(elapsed * schedule.rate))
        schedule.late_s = max(schedule.late_s, (due - schedule.sent) / schedule.rate)
        for index in range(schedule.sent, due):
            key = int(random() * keys)
            counts[key] += 1
            value = payloads.make(key, schedule.began_us + int((index + 1) * 1e6 / schedule.rate))
            if (header := headers[key]) is None:
                produce(schedule.topic, value, names[key])
            else:
                produce(schedule.topic, value, names[key], headers=header)
        schedule.sent = due
        self._producer.poll(0)
        time.sleep(0.001)

    def _values(self, topic: str, keys: int, size: int = SIZE) -> Payloads:
        if topic not in self._payloads:
            self._payloads[topic] = Payloads(keys, size)
        return self._payloads[topic]

    def _finish(self) -> None:
        if self._producer.flush(20) or self._errors:
            raise Failed(f"Kafka did not take every value: {self._errors[:3]}")

    def _delivered(self, error: KafkaError, _: Message) -> None:
        self._errors.append(str(error))


class Rate(TypedDict):
    per_s: float
    cpu_s: float
    """CPU time of the producer's process."""


class Acknowledged:
    """A raw producer that waits for Kafka: what publishes of clients cost without Whimbrel. For `process.serve`."""

    def __init__(self, bootstrap: str, seed: int) -> None:
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "log_level": 3, "linger.ms": LINGER_MS, "enable.idempotence": True}
        )
        self._random = Random(seed)
        self._done = 0

    def one_at_a_time(self, topic: str, size: int, seconds: float, pause_s: float) -> array[int]:
        """Produce a value, await its acknowledgement, pause. Returns the microseconds that each took."""
        took, until, value = array("q"), time.monotonic() + seconds, b"x" * size
        while time.monotonic() < until:
            began = now_us()
            self._produce(topic, value)
            self._await(1)
            took.append(now_us() - began)
            time.sleep(pause_s)
        return took

    def pipelined(self, topic: str, size: int, seconds: float, window: int) -> Rate:
        """Keep so many values unacknowledged."""
        value, began, cpu_s, sent = b"x" * size, time.monotonic(), time.process_time(), window
        self._done = 0
        for _ in range(window):
            self._produce(topic, value)
        while time.monotonic() < began + seconds:
            done = self._done
            self._producer.poll(0.1)
            for _ in range(self._done - done):
                self._produce(topic, value)
                sent += 1
        done, elapsed, cpu_s = self._done, time.monotonic() - began, time.process_time() - cpu_s
        self._await(sent - done)
        return Rate(per_s=done / elapsed, cpu_s=cpu_s)

    def idle(self, timeout_s: float) -> None:
        self._producer.poll(timeout_s)

    def _produce(self, topic: str, value: bytes) -> None:
        self._producer.produce(topic, value, key_name(int(self._random.random() * 480)), on_delivery=self._delivered)

    def _await(self, count: int) -> None:
        goal, until = self._done + count, time.monotonic() + 20
        while self._done < goal:
            if time.monotonic() > until:
                raise Failed(f"Kafka did not acknowledge {goal - self._done} of {count} values")
            self._producer.poll(0.1)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            raise Failed(f"Kafka refused a value: {error}")
        self._done += 1


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

    def count(self, topic: str) -> int:
        """How many records it has."""
        parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        ends = [self._consumer.get_watermark_offsets(part, timeout=10) for part in parts]
        return sum(end - begin for begin, end in ends)

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
