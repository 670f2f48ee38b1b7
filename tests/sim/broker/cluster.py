"""The model's topics and brokers: what there is, who reaches it, who may read it, and what happens to it.

Not here: one partition (log.py), when what happens (weather/), who reads (threads.py).
"""

from __future__ import annotations

from collections import Counter
from random import Random

from mesh.log import Headers
from node.topics import incarnation_of
from tests.sim.broker.log import PartitionLog, Seen, Transaction
from tests.sim.schedule import Schedule

START_MS = 1_700_000_000_000
"""What time of day it is for Kafka and for producers when a run begins."""


class Topic:
    """One incarnation of a topic."""

    def __init__(self, schedule: Schedule, name: str, number: int, partitions: int, is_compacted: bool) -> None:
        self._schedule = schedule
        self.name = name
        self.id = f"topic-id-{number}"
        self.is_compacted = is_compacted
        self.is_allowed = True
        """Whether our nodes may describe and read it."""
        self.partitions: list[PartitionLog] = []
        self.grown_at: dict[str, float] = {}
        """Log -> when it appeared."""
        for _ in range(partitions):
            self.add()

    def add(self) -> PartitionLog:
        """One more partition."""
        number = len(self.partitions)
        log = PartitionLog(self._schedule, self.name, number, f"{number}.{incarnation_of(self.id.encode())}")
        self.partitions.append(log)
        self.grown_at[log.id] = self._schedule.now
        return log


class ModelKafka:
    """All of Kafka."""

    def __init__(self, schedule: Schedule, rng: Random) -> None:
        self.topics: dict[str, Topic] = {}
        self.logs: dict[str, PartitionLog] = {}
        """All that there ever were, by log id."""
        self.away: dict[str, None] = {}
        """Nodes that reach no broker."""
        self.was_away = False
        """Whether anything could not be reached by somebody at some time."""
        self.was_forbidden: dict[str, None] = {}
        """Names of topics that could not be read at some time."""
        self.skew_ms = 0
        """How far other producers' clocks are off."""
        self.counts: Counter[str] = Counter()
        self.schedule = schedule
        self._rng = rng
        self._created = 0
        self._produced = 0
        self._transactions: list[tuple[PartitionLog, Transaction]] = []

    @property
    def now(self) -> float:
        return self.schedule.now

    @property
    def wall_ms(self) -> int:
        """The brokers' time of day."""
        return START_MS + int(self.schedule.now * 1000)

    def partition(self, topic: str, number: int) -> PartitionLog | None:
        """A partition, if it exists now."""
        found = self.topics.get(topic)
        return found.partitions[number] if found is not None and number < len(found.partitions) else None

    # What happens to it.

    def create(self, name: str, partitions: int, is_compacted: bool = False) -> Topic:
        """A new topic, or a new incarnation of one."""
        self._created += 1
        topic = self.topics[name] = Topic(self.schedule, name, self._created, partitions, is_compacted)
        for log in topic.partitions:
            self.logs[log.id] = log
        return topic

    def delete(self, name: str) -> None:
        """The topic and all its logs are gone."""
        for log in self.topics.pop(name).partitions:
            log.delete()

    def grow(self, name: str) -> PartitionLog:
        """One more partition of a topic."""
        log = self.topics[name].add()
        self.logs[log.id] = log
        return log

    def allow(self, name: str, is_allowed: bool) -> None:
        """Whether our nodes may use a topic."""
        self.topics[name].is_allowed = is_allowed
        if not is_allowed:
            self.was_forbidden[name] = None

    def end_skew(self) -> None:
        """Producers' clocks are right again."""
        self.skew_ms = 0

    def publish(self, log: PartitionLog, key: bytes | None, value: bytes | None, time: int, headers: Headers) -> None:
        """A node produces what a client has published."""
        offset = log.append(key, value, time, headers)
        found = log.by_position.get((log.epoch, offset))
        if found is not None and found.is_repeat:
            assert found.original is not None
            self.counts["repeats in Kafka"] += 1
            between = log.between(f"/{log.topic}/*", found.original.at, found.at)
            if any(abs(one.record.time - found.record.time) > 300_000 for one in between):
                self.counts["repeats behind records whose times jump"] += 1

    def produce(self, topic: Topic) -> None:
        """Somebody else writes a few records, perhaps in a transaction that stays open for a while."""
        rng = self._rng
        log = rng.choice(topic.partitions)
        if not log.has_leader:
            return
        transaction = Transaction() if rng.random() < 0.15 else None
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            self._produced += 1
            key = self.key(rng) if rng.random() < 0.9 else None
            if key is not None and rng.random() < 0.8:
                log = topic.partitions[key[-1] % len(topic.partitions)]  # as keys do, most of the time
            if not log.has_leader:
                return
            is_tombstone = key is not None and rng.random() < 0.08
            value = None if is_tombstone else b'"%s-%d"' % (topic.name.encode(), self._produced)
            log.append(key, value, self.wall_ms + self.skew_ms, None, transaction)
            if transaction is not None:
                break
        if transaction is not None:
            self._transactions.append((log, transaction))
            self.schedule.after(rng.uniform(0.0, 0.8), self._finish, log, transaction)

    @staticmethod
    def key(rng: Random) -> bytes:
        """One of few, so that subjects have histories."""
        return rng.choice((b"a", b"b", b"x/c", b"x/d", b"50%"))

    def settle(self) -> None:
        """No transaction stays open, every partition is led, everything may be read by everybody."""
        for log, transaction in [*self._transactions]:
            self._finish(log, transaction)
        for topic in self.topics.values():
            topic.is_allowed = True
            for log in topic.partitions:
                if not log.has_leader:
                    log.elect()
        self.away.clear()

    def _finish(self, log: PartitionLog, transaction: Transaction) -> None:
        if (log, transaction) not in self._transactions:
            return
        if not log.has_leader and transaction.is_open:
            self.schedule.after(0.1, self._finish, log, transaction)
            return
        self._transactions.remove((log, transaction))
        if transaction.is_open:
            log.finish(transaction, self._rng.random() < 0.3, self.wall_ms)

    # What there is.

    def find(self, value: bytes) -> list[Seen]:
        """Every record that was ever readable with this value."""
        return [one for log in self.logs.values() for one in log.seen if one.record.value == value]

    def has_taken(self, value: bytes) -> bool:
        """Whether a record with this value was ever written, also if nobody could read it yet, or ever."""
        return any(
            value in log.lost_unseen or any(record.value == value for record in log.records)
            for log in self.logs.values()
        ) or bool(self.find(value))
