"""A small world for the feed: nodes with real caches, feeds and catch-ups, a model of one Kafka, and a bad network.

Everything depends on one seed. The checks are outside: what a node has applied of a log must be that log, in order,
from where the node began, without a hole.
"""

from __future__ import annotations

from bisect import bisect_left
from heapq import heappop, heappush
from random import Random

import msgspec

from mesh.cache.cache import Cache, CacheConfig, Log
from mesh.cache.export import Import
from mesh.cache.state_transfer import (
    StateTransfer,
    StateTransferConfig,
    StateTransferPacket,
    TransferDone,
    TransferFailed,
    TransferPage,
)
from mesh.feed.feed import Feed
from mesh.feed.feed_log import Apply, FeedConfig, FeedPacket, Read, Record, Repair, Stop, position_of
from mesh.log import BEGINNING, Position
from mesh.repeats import Repeats

STEP_S = 0.01
TICK_S = 0.05
READ_MAX = 50
STALL_S = 0.5
LOOK_CHANCE = 0.1
"""In each step: a look every 0.1 s, about."""
WIRE = msgspec.msgpack.Decoder(FeedPacket | StateTransferPacket)


class Kafka:
    """The truth."""

    def __init__(self, logs: int) -> None:
        self.logs: dict[str, list[Record]] = {f"{number}.x": [] for number in range(logs)}
        self.epoch = 0

    def produce(self, rng: Random, log_id: str, count: int) -> None:
        log = self.logs[log_id]
        for _ in range(count):
            offset = log[-1][2] + rng.choice([1, 1, 1, 3]) if log else 0
            key = rng.choice([b"a", b"b", b"c"])
            log.append(("t", int(log_id.split(".")[0]), offset, self.epoch, key, b"%d" % offset, offset, None))


class Reader:
    """A node's own reader of one log: it takes a while until it reads."""

    def __init__(self, now: float, offset: int, rng: Random) -> None:
        self.ready_at = now + rng.uniform(0.05, 0.2)
        self.offset = offset
        self.told_end = False
        self.answered_at = now
        """When Kafka was last there."""
        self.is_stalled = False


class SimNode:
    """One process."""

    def __init__(self, world: World, name: str, boot: str, config: FeedConfig) -> None:
        self.world = world
        self.name = name
        self.boot = boot
        self.cache = Cache(CacheConfig(ttl_s=1000, messages_per_subject=10**6, bytes_max=10**9, snapshot_ttl_s=1000))
        self.feed = Feed(name, config)
        self.catch_up = StateTransfer(self.held, StateTransferConfig(page_rows_max=30))
        self.readers: dict[str, Reader] = {}
        self.loading: dict[str, Import] = {}
        self.filled: set[str] = set()
        self.applied: dict[str, list[Position]] = {}
        self.applied_at: dict[str, float] = {}
        self.paused_until = 0.0
        self.ticked_at = 0.0
        self.events: list[str] = []

    def held(self, log_id: str) -> tuple[Log, Repeats | None] | None:
        return (self.cache.logs[log_id], None) if log_id in self.filled else None

    def start(self, now: float, log_id: str) -> None:
        """From a peer that feeds it, else from Kafka."""
        self.applied[log_id] = []
        feeder = self.feed.feeder(log_id)
        if feeder is not None:
            others = [name for name in self.world.alive if name not in (feeder, self.name)]
            self.catch_up.ask(now, log_id, None, [feeder, *others])
        else:
            self.start_from_kafka(now, log_id)

    def start_from_kafka(self, now: float, log_id: str) -> None:
        if log_id in self.cache.logs:
            self.cache.close(self.cache.logs[log_id])
        self.applied[log_id] = []
        self.cache.open(log_id, "t")
        self.readers[log_id] = Reader(now, 0, self.world.rng)
        self.feed.open(now, log_id, BEGINNING, False)

    def apply(self, log_id: str, records: list[Record]) -> None:
        log = self.cache.logs[log_id]
        for record in records:
            at = position_of(record)
            if self.cache.append(log, f"/t/{record[4]!r}", at, record[6], record[5], None) is not None:
                self.applied[log_id].append(at)
                self.applied_at[log_id] = self.world.now

    def read(self, now: float) -> None:
        for log_id, reader in [*self.readers.items()]:
            self.look(now, log_id, reader)
            if self.readers.get(log_id) is not reader or now < reader.ready_at or self.name in self.world.kafka_cut:
                continue
            truth = self.world.kafka.logs[log_id]
            first = bisect_left(truth, reader.offset, key=lambda record: record[2])
            records = truth[first : first + READ_MAX]
            if records:
                reader.offset = records[-1][2] + 1
                before = self.cache.logs[log_id].end
                self.apply(log_id, records)
                self.feed.applied(now, log_id, before, self.cache.logs[log_id].end, records)
            elif not reader.told_end:
                reader.told_end = True
                self.feed.reached(now, log_id)
                self.filled.add(log_id)
            self.settle(now)

    def look(self, now: float, log_id: str, reader: Reader) -> None:
        """Find out, a little late, whether Kafka answers."""
        if self.name not in self.world.kafka_cut:
            reader.answered_at = now
        is_stalled = now - reader.answered_at > STALL_S
        if is_stalled != reader.is_stalled and self.world.rng.random() < LOOK_CHANCE:
            reader.is_stalled = is_stalled
            (self.feed.doubt if is_stalled else self.feed.trust)(now, log_id)
            self.settle(now)

    def step(self, now: float, inbox: list[tuple[str, str, bytes]]) -> None:
        for sender, boot, data in inbox:
            packet = WIRE.decode(data)
            if isinstance(packet, FeedPacket):
                self.feed.receive(now, sender, boot, packet)
            else:
                self.catch_up.receive(now, sender, boot, packet)
            self.settle(now)
        self.read(now)
        if now >= self.ticked_at + TICK_S - 1e-9:
            self.ticked_at = now
            self.feed.tick(now)
            self.settle(now)
            self.catch_up.tick(now)
            self.settle(now)

    def settle(self, now: float) -> None:
        """What a node does with what its cores say."""
        busy = True
        while busy:
            busy = False
            for event in self.feed.take_events():
                busy = True
                self.events.append(f"{now:.2f} {type(event).__name__} {event.log}")
                match event:
                    case Apply():
                        self.apply(event.log, event.records)
                        assert self.cache.logs[event.log].end == event.after
                    case Read():
                        assert event.log not in self.readers
                        self.readers[event.log] = Reader(now, self.cache.logs[event.log].end[1] + 1, self.world.rng)
                    case Stop():
                        del self.readers[event.log]
                    case Repair():
                        self.catch_up.ask(now, event.log, event.after, event.peers)
            for news in self.catch_up.take_events():
                busy = True
                self.caught_up(now, news)
        for to, packet in [*self.feed.take_sends(), *self.catch_up.take_sends()]:
            self.world.send(self, to, msgspec.msgpack.encode(packet))

    def caught_up(self, now: float, news: TransferPage | TransferDone | TransferFailed) -> None:
        log_id = news.log
        match news:
            case TransferPage(is_repair=False):
                if news.head is not None:
                    if log_id in self.cache.logs:
                        self.cache.close(self.cache.logs[log_id])
                    self.applied[log_id] = []
                    self.loading[log_id] = Import(self.cache, self.cache.open(log_id, "t"), None, news.head)
                self.loading[log_id].take(now, news.part)
                self.applied[log_id] += [entry.at for _, entry in news.part.entries]
            case TransferPage():
                log = self.cache.logs[log_id]
                for subject, entry in news.part.entries:
                    if self.cache.append(log, subject, entry.at, entry.time, entry.value, entry.headers) is not None:
                        self.applied[log_id].append(entry.at)
                        self.applied_at[log_id] = now
                self.feed.moved(now, log_id, log.end)
            case TransferDone(is_repair=False):
                self.loading.pop(log_id).finish()
                self.filled.add(log_id)
                self.feed.open(now, log_id, self.cache.logs[log_id].end, True)
            case TransferDone():
                self.cache.advance(self.cache.logs[log_id], news.head.end)
                self.feed.repaired(now, log_id, news.head.end)
            case TransferFailed(is_repair=False):
                self.start_from_kafka(now, log_id)
            case TransferFailed():
                self.feed.unrepaired(now, log_id)


class World:
    """All of it."""

    def __init__(self, seed: int, names: str, logs: int = 3, **config: float) -> None:
        self.rng = Random(seed)
        self.kafka = Kafka(logs)
        self.config = FeedConfig(**config)  # type: ignore[arg-type]
        self.now = 0.0
        self.steps = 0
        self.loss = 0.0
        self.delay_s = 0.005
        self.rate = 0.3
        """Chance of records in a log in one step."""
        self.notice_s = 2.0
        """After so long membership knows that a node is dead, or back."""
        self.nodes: dict[str, SimNode] = {}
        self.alive: list[str] = []
        self.cut: set[tuple[str, str]] = set()
        """(sender, receiver)."""
        self.kafka_cut: set[str] = set()
        """Who cannot reach Kafka."""
        self._boots = 0
        self._starting: list[tuple[float, SimNode]] = []
        self._news: list[tuple[float, str, bool]] = []
        self._flying: list[tuple[float, int, str, str, str, bytes]] = []
        self._links: dict[tuple[str, str], float] = {}
        self._number = 0
        self.packets = 0
        """Sent until now."""
        for name in names:
            self.start(name)

    def start(self, name: str) -> None:
        self._boots += 1
        node = self.nodes[name] = SimNode(self, name, f"{name}{self._boots}", self.config)
        self._news.append((self.now + 0.2, name, True))
        if name not in self.alive:
            node.feed.members(self.now, [*self.alive, name])
        self._starting.append((self.now + 0.4, node))

    def kill(self, name: str) -> None:
        del self.nodes[name]
        self._news.append((self.now + self.notice_s, name, False))

    def send(self, sender: SimNode, to: str, data: bytes) -> None:
        self.packets += 1
        for name in self.nodes if to == "" else [to]:
            if name == sender.name or (sender.name, name) in self.cut or self.rng.random() < self.loss:
                continue
            # A link keeps the order; another one (PUB beside ROUTER) may overtake it.
            link = (sender.name + ("*" if to == "" else ""), name)
            at = max(self._links.get(link, 0.0), self.now + self.rng.expovariate(1 / self.delay_s))
            self._links[link] = at
            self._number += 1
            heappush(self._flying, (at, self._number, name, sender.name, sender.boot, data))

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.steps += 1
            self.now = self.steps * STEP_S
            self._members()
            for log_id in self.kafka.logs:
                if self.rng.random() < self.rate:
                    self.kafka.produce(self.rng, log_id, self.rng.randint(1, 4))
            inboxes: dict[str, list[tuple[str, str, bytes]]] = {}
            held_back = []
            while self._flying and self._flying[0][0] <= self.now:
                packet = heappop(self._flying)
                _, _, to, sender, boot, data = packet
                if to in self.nodes and self.nodes[to].paused_until > self.now:
                    held_back.append(packet)
                elif to in self.nodes:
                    inboxes.setdefault(to, []).append((sender, boot, data))
            for packet in held_back:
                heappush(self._flying, packet)
            for name, node in [*self.nodes.items()]:
                if node.paused_until <= self.now:
                    node.step(self.now, inboxes.get(name, []))
            self.check()

    def _members(self) -> None:
        due = [news for news in self._news if news[0] <= self.now]
        self._news = [news for news in self._news if news[0] > self.now]
        for _, name, is_alive in due:
            # Of a node that was killed and started again meanwhile it is no news that it is dead.
            if is_alive != (name in self.alive) and is_alive == (name in self.nodes):
                self.alive = sorted({*self.alive, name} if is_alive else {*self.alive} - {name})
        for node in self.nodes.values():
            node.feed.members(self.now, [*self.alive, node.name])
            node.catch_up.members(self.now, self.alive)
            node.settle(self.now)
        for at, node in [*self._starting]:
            if at <= self.now:
                self._starting.remove((at, node))
                if self.nodes.get(node.name) is node:
                    for log_id in self.kafka.logs:
                        node.start(self.now, log_id)
                    node.settle(self.now)

    def check(self) -> None:
        """What must hold at every instant."""
        for node in self.nodes.values():
            for log_id, applied in node.applied.items():
                truth = self.kafka.logs[log_id]
                assert len(applied) <= len(truth)
                if applied:
                    assert applied[-1] == position_of(truth[len(applied) - 1]), (node.name, log_id, self.now)

    def check_all(self) -> None:
        """The whole sequence; `check` looks at the last one."""
        for node in self.nodes.values():
            for log_id, applied in node.applied.items():
                assert applied == [position_of(r) for r in self.kafka.logs[log_id]][: len(applied)], node.name

    def lag(self, log_id: str) -> dict[str, int]:
        """How many records each node lacks."""
        return {name: len(self.kafka.logs[log_id]) - len(node.applied[log_id]) for name, node in self.nodes.items()}

    def readers_of(self, log_id: str) -> list[str]:
        return [name for name, node in self.nodes.items() if log_id in node.readers]
