"""A model of Kafka, and the feeds of the nodes that read it: partitions are lists of records, readers poll them.

What is held: every node applies a log's records in Kafka's order from where it began, each once, without a hole; and
when all is well again, every node has all of them.

Not here: who reads (mesh/feed/feed.py).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from mesh.cache.cache import Log
from mesh.cache.export import Import
from mesh.cache.state_transfer import StateTransferEvent, TransferDone, TransferFailed, TransferPage
from mesh.feed.feed import Feed
from mesh.feed.feed_log import (
    Apply,
    FeedBatch,
    FeedBeacon,
    FeedConfig,
    FeedEvent,
    Read,
    Record,
    Repair,
    Stop,
    position_of,
)
from mesh.log import BEGINNING, Entry, Position
from mesh.repeats import Repeats
from tests.sim.truth import Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.process import Process

START_S = 0.3
"""After the start of a node its logs are begun."""
READ_MAX = 50
DOUBT_S = 0.5
"""A reader that Kafka has not answered for so long says so."""


class ModelKafka:
    """The truth: what Kafka has."""

    def __init__(self, cluster: Cluster, logs: int, rng: Random) -> None:
        self.logs: dict[str, list[Record]] = {f"{number}.k": [] for number in range(logs)}
        self.away: dict[str, None] = {}
        """Machines that cannot reach it."""
        self.stalls: list[float] = []
        self._fallen: dict[str, tuple[float, int]] = {}
        """Log -> when its feeder crashed, and how many records there were."""
        self._cluster = cluster
        self._rng = rng
        if logs:
            self._next()

    def _next(self) -> None:
        cluster, rng = self._cluster, self._rng
        cluster.schedule.after(rng.expovariate(cluster.options.publishes_per_s), self._next)
        if not cluster.takes_load:
            return
        log_id = rng.choice([*self.logs])
        log = self.logs[log_id]
        for _ in range(rng.choice((1, 1, 3))):
            offset = log[-1][2] + rng.choice((1, 1, 1, 3)) if log else 0
            key = rng.choice((b"a", b"b", b"c"))
            log.append(("k", int(log_id[0]), offset, 0, key, b"%d" % offset, offset, None))

    def fell(self, log_id: str) -> None:
        """The feeder of a log crashes, and all else is well."""
        self._fallen[log_id] = (self._cluster.schedule.now, len(self.logs[log_id]))

    def applied(self, log_id: str, count: int) -> None:
        """A node has applied this many records."""
        fallen = self._fallen.get(log_id)
        if fallen is not None and count > fallen[1]:
            del self._fallen[log_id]
            if self._cluster.faults.last_at <= fallen[0]:
                self.stalls.append(self._cluster.schedule.now - fallen[0])


class _Reader:
    """A node's own reader of one log: it takes a while until it reads."""

    __slots__ = ("doubts", "offset", "read_at", "ready_at", "told_end")

    def __init__(self, now: float, offset: int, rng: Random) -> None:
        self.ready_at = now + rng.uniform(0.05, 0.2)
        self.offset = offset
        self.told_end = False
        self.read_at = now
        self.doubts = False


class _Copy:
    def __init__(self, log: Log, into: Import) -> None:
        self.log = log
        self.into = into


class KafkaSide:
    """The feed of one process, wired as node/logs/kafka_logs.py wires it."""

    def __init__(self, process: Process, kafka: ModelKafka, rng: Random) -> None:
        self.process = process
        self.kafka = kafka
        self.feed = Feed(process.name, FeedConfig())
        self.logs: dict[str, Log] = {}
        self.filled: dict[str, None] = {}
        """May be given to others."""
        self._count: dict[str, int] = {}
        """How many of Kafka's records have been applied."""
        self._readers: dict[str, _Reader] = {}
        self._copies: dict[str, _Copy | None] = {}
        self._rng = rng
        self._start_at = process.machine.now + START_S

    # Inputs.

    def receive(self, now: float, sender: str, boot: str, packet: Any) -> bool:
        """Whether it was the feed's."""
        if not isinstance(packet, FeedBatch | FeedBeacon):
            return False
        self.feed.receive(now, sender, boot, packet)
        return True

    def members(self, now: float, alive: Sequence[str]) -> None:
        self.feed.members(now, alive)

    def leave(self, now: float) -> None:
        self.feed.resign(now)

    def tick(self, now: float) -> None:
        if now >= self._start_at:
            self._start_at = float("inf")
            for log_id in self.kafka.logs:
                self._begin(now, log_id)
        self._read(now)
        self.feed.tick(now)

    # Outputs.

    def take_sends(self) -> list[tuple[str, Any]]:
        return [*self.feed.take_sends()]

    def take_events(self) -> list[FeedEvent]:
        return self.feed.take_events()

    def happened(self, now: float, said: FeedEvent) -> None:
        """One event of the feed."""
        match said:
            case Apply():
                self._apply(said.log, said.records)
                self.process.cache.advance(self.logs[said.log], said.after)
            case Read():
                self.process.machine.say(-1, f"reads {said.log} of Kafka")
                self._readers[said.log] = _Reader(now, self.logs[said.log].end[1] + 1, self._rng)
            case Stop():
                self.process.machine.say(-1, f"reads {said.log} of Kafka no more")
                del self._readers[said.log]
            case Repair():
                self.process.cluster.counts["feed repairs"] += 1
                self.process.catch_up.ask(now, said.log, said.after, said.peers)

    def held(self, log_id: str) -> tuple[Log, Repeats | None] | None:
        return (self.logs[log_id], None) if log_id in self.filled else None

    # Beginning.

    def _begin(self, now: float, log_id: str) -> None:
        peers = [name for name in self.process.alive if name != self.process.name]
        if peers:
            self._copies[log_id] = None
            self.process.catch_up.ask(now, log_id, None, peers)
        else:
            self._begin_from_kafka(now, log_id)

    def _begin_from_kafka(self, now: float, log_id: str) -> None:
        self.logs[log_id] = self.process.cache.open(log_id, "k")
        self._count[log_id] = 0
        self._readers[log_id] = _Reader(now, 0, self._rng)
        self.feed.open(now, log_id, BEGINNING, False)

    def caught_up(self, now: float, news: StateTransferEvent) -> bool:
        """Whether the event was of a Kafka log."""
        if news.log not in self.kafka.logs:
            return False
        if news.log in self._copies:
            self._copied(now, news)
        else:
            self._repaired(now, news)
        return True

    def _copied(self, now: float, news: StateTransferEvent) -> None:
        cache, copy = self.process.cache, self._copies[news.log]
        match news:
            case TransferPage():
                if news.head is not None:
                    if copy is not None:
                        cache.close(copy.log)
                    log = cache.open(news.log, "k")
                    copy = self._copies[news.log] = _Copy(log, Import(cache, log, None, news.head))
                assert copy is not None
                copy.into.take(now, news.part)
            case TransferDone():
                assert copy is not None
                copy.into.finish()
                del self._copies[news.log]
                self.process.cluster.counts["feed copies"] += 1
                self._filled(now, news.log, copy.log)
            case TransferFailed():
                if copy is not None:
                    cache.close(copy.log)
                del self._copies[news.log]
                self._begin_from_kafka(now, news.log)

    def _filled(self, now: float, log_id: str, log: Log) -> None:
        self.logs[log_id] = log
        self.filled[log_id] = None
        self._count[log_id] = bisect_right(self.kafka.logs[log_id], log.end, key=position_of)
        self.check(log_id)
        self.feed.open(now, log_id, log.end, True)

    def _repaired(self, now: float, news: StateTransferEvent) -> None:
        log = self.logs[news.log]
        match news:
            case TransferPage():
                for subject, entry in news.part.entries:
                    self._append(news.log, subject, entry.at, entry)
                self.feed.moved(now, news.log, log.end)
            case TransferDone():
                self.process.cache.advance(log, news.head.end)
                self.feed.repaired(now, news.log, news.head.end)
            case TransferFailed():
                self.feed.unrepaired(now, news.log)

    # Reading and applying.

    def _read(self, now: float) -> None:
        is_away = self.process.name in self.kafka.away
        for log_id, reader in [*self._readers.items()]:
            if is_away:
                if now - reader.read_at > DOUBT_S and not reader.doubts:
                    reader.doubts = True
                    self.feed.doubt(now, log_id)
                continue
            if now < reader.ready_at:
                continue
            reader.read_at = now
            if reader.doubts:
                reader.doubts = False
                self.feed.trust(now, log_id)
            records = self.kafka.logs[log_id]
            first = bisect_right(records, reader.offset - 1, key=_offset)
            some = records[first : first + READ_MAX]
            if some:
                reader.offset = some[-1][2] + 1
                before = self.logs[log_id].end
                self._apply(log_id, some)
                self.feed.applied(now, log_id, before, self.logs[log_id].end, some)
            elif not reader.told_end:
                reader.told_end = True
                self.filled[log_id] = None
                self.feed.reached(now, log_id)

    def _apply(self, log_id: str, records: Sequence[Record]) -> None:
        for record in records:
            assert record[4] is not None
            entry = Entry(position_of(record), None, record[6], record[5], None)
            self._append(log_id, f"/k/{record[4].decode()}", entry.at, entry)

    def _append(self, log_id: str, subject: str, at: Position, entry: Entry) -> None:
        log = self.logs[log_id]
        if self.process.cache.append(log, subject, at, entry.time, entry.value, None) is None:
            return
        count, truth = self._count[log_id], self.kafka.logs[log_id]
        if count >= len(truth) or position_of(truth[count]) != at:
            raise Violation(f"{self.process.boot} applies {at} of {log_id}, where it had {count} records")
        self._count[log_id] = count + 1
        self.kafka.applied(log_id, count + 1)

    # Checking.

    def check(self, log_id: str) -> None:
        """What the cache has is what Kafka has."""
        log, truth = self.logs[log_id], self.kafka.logs[log_id]
        for subject, found in log.subjects.items():
            key = subject[3:].encode()
            should = [
                position_of(record)
                for record in truth
                if record[4] == key and found.floor < position_of(record) <= log.end
            ]
            if [entry.at for entry in found.entries] != should:
                raise Violation(f"the cache of {self.process.boot} has not what Kafka has of {subject} in {log_id}")

    def lacks(self) -> str:
        """What is not here yet, in words."""
        for log_id, truth in self.kafka.logs.items():
            have = self._count.get(log_id, 0)
            if have < len(truth):
                return f"{self.process.name} has {have} of {len(truth)} records of {log_id}"
        return ""

    @property
    def feeding(self) -> list[str]:
        """The logs that this node feeds."""
        return [log_id for log_id in self.kafka.logs if self.feed.is_feeding(log_id)]


def _offset(record: Record) -> int:
    return record[2]
