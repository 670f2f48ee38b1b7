"""One start of a node: its cores, wired as a node wires them, without sockets.

    packets -> replica, catch-up -> promises to disk -> packets out -> events: cache, subscribers, publishers

A copy of a peer's cache is put together beside the old log and takes its place when it is whole: what the slots say
meanwhile still finds a log without holes.

Not here: when it runs (machine.py), what is done with what it tells clients (clients.py).
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, assert_never

from mesh.cache import Cache, Log
from mesh.cache_transfer import Import
from mesh.catch_up import CacheAsk, CacheMore, CacheNo, CachePage, CatchUp, CatchUpConfig, Done, Failed, Page
from mesh.forwarding import Published, PublishRefused
from mesh.packets import Packet
from mesh.repeats import Repeats
from mesh.replica import ReplicaEvent
from mesh.slot import EVERYONE, CacheWanted, Committed, Loaded, Opened, Repeated, RoleChanged
from mesh.slot_log import Item
from mesh.wire import Codec

if TYPE_CHECKING:
    from tests.sim.clients import Connection
    from tests.sim.machine import Machine

CODEC: Codec[Any] = Codec(Packet)
CATCH_UP = CatchUpConfig(page_rows_max=25)
RETRY_S = 0.5
EXPIRE_S = 0.5


class Process:
    """The cores of one node."""

    def __init__(self, now: float, machine: Machine, boot: str, rng: Random) -> None:
        self.machine = machine
        self.name = machine.name
        self.boot = boot
        self.cluster = cluster = machine.cluster
        options = cluster.options
        self.replica = cluster.new_replica(now, machine.name, boot, machine.disk.load(), rng)
        self.members = cluster.new_members(now, machine.name, boot, rng)
        self.cache = Cache(options.cache)
        self.catch_up = CatchUp(self._held, CATCH_UP)
        self.kafka = cluster.new_kafka(self, rng)
        self.logs: dict[int, Log] = {}
        self.loaded: dict[int, None] = {}
        """Slots whose log is here as the coordinator has it: subscribers may be served."""
        self.imports: dict[str, tuple[Import, Repeats, Cache]] = {}
        self.wanted: dict[int, CacheWanted] = {}
        self.again_at: dict[int, float] = {}
        """When to ask once more for what no peer could give."""
        self.connections: dict[Connection, None] = {}
        self.unanswered: dict[tuple[str, int], None] = {}
        self.is_leaving = False
        self._expire_at = now
        self._alive: list[str] = []

    # Inputs. Each is followed by `turn`.

    def receive(self, now: float, sender: str, boot: str, channel: str, data: bytes) -> None:
        """Bytes have come."""
        if channel == "udp":
            self.members.receive(now, sender, data)
            return
        for packet in CODEC.decode(data).packets:
            if isinstance(packet, CacheAsk | CacheMore | CachePage | CacheNo):
                self.catch_up.receive(now, sender, boot, packet)
            elif self.kafka is None or not self.kafka.receive(now, sender, boot, packet):
                self.replica.receive(now, sender, boot, packet)

    def tick(self, now: float) -> None:
        """Time has passed."""
        self.members.tick(now)
        alive = sorted(self.members.alive())
        if alive != self._alive:
            self._alive = alive
            self.machine.say(-1, f"thinks that alive are {' '.join(alive)}")
            self.replica.members(now, alive)
            self.catch_up.members(now, alive)
            if self.kafka is not None:
                self.kafka.members(now, alive)
        self.replica.tick(now)
        self.catch_up.tick(now)
        if self.kafka is not None:
            self.kafka.tick(now)
        for slot, at in [*self.again_at.items()]:
            if now >= at:
                del self.again_at[slot]
                self._ask(now, self.wanted[slot])
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_S
            self.cache.expire(now)

    def publish(self, now: float, item: Item) -> None:
        """A client publishes."""
        self.unanswered[item.publisher, item.number] = None
        self.replica.publish(now, item)

    def leave(self, now: float) -> None:
        """Hand over; then `is_gone` says when to stop."""
        self.is_leaving = True
        self.replica.leave(now)
        if self.kafka is not None:
            self.kafka.leave(now)

    @property
    def is_gone(self) -> bool:
        """Whether nothing is coordinated here any more."""
        return not self.replica.coordinated

    # Outputs.

    def turn(self, now: float) -> None:
        """Bring the inputs to their end: save, send, tell."""
        machine = self.machine
        while machine.process is self:
            self.replica.settle(now)
            promises = self.replica.take_promises()
            sends: list[tuple[str, Any]] = [*self.replica.take_sends(), *self.catch_up.take_sends()]
            if self.kafka is not None:
                sends += self.kafka.take_sends()
            datagrams = self.members.take_sends()
            events = self.replica.take_events()
            news = self.catch_up.take_events()
            if not (promises or sends or datagrams or events or news):
                return
            if promises:
                if machine.strikes("before saving"):
                    return
                machine.disk.save(promises)
                if machine.strikes("between saving and sending"):
                    return
            if not machine.finish(self._go_on, now, sends, datagrams, events, news):
                return

    def _go_on(
        self,
        now: float,
        sends: list[tuple[str, Any]],
        datagrams: list[tuple[str, bytes]],
        events: list[ReplicaEvent],
        news: list[Page | Done | Failed],
    ) -> None:
        self._post(sends, datagrams)
        for event in events:
            self._take(now, event)
        for one in news:
            if self.kafka is None or not self.kafka.caught_up(now, one):
                self._caught_up(now, one)
        if self.kafka is not None:
            self.kafka.settle(now)
        self.cluster.watch.look(self)

    def _post(self, sends: list[tuple[str, Any]], datagrams: list[tuple[str, bytes]]) -> None:
        """One message for each destination."""
        network, machine = self.cluster.network, self.machine
        messages: dict[str, list[Any]] = {}
        for to, packet in sends:
            if machine.is_voter:
                machine.disk.check(packet)
            messages.setdefault(to, []).append(packet)
            self.cluster.counts[f"sent {type(packet).__name__}"] += 1
        for to, packets in messages.items():
            data = CODEC.encode(self.name, self.boot, 0, packets)
            if self.cluster.tells:
                machine.say_packets(to, packets)
            for one in self.cluster.others[self.name] if to == EVERYONE else (to,):
                network.send(self.name, self.boot, one, "zmq", data)
        for to, datagram in datagrams:
            network.send(self.name, self.boot, to, "udp", datagram)

    # Events.

    def _take(self, now: float, event: ReplicaEvent) -> None:
        watch = self.cluster.watch
        match event:
            case Committed():
                watch.committed(self, event)
                self._apply(now, event)
            case Published():
                watch.published(self, event.slot, event.publish, event.at)
                self.cluster.answered(self, event.publish, "")
            case Repeated():
                watch.repeated(self, event)
            case PublishRefused():
                watch.refused(self, event)
                self.cluster.answered(self, event.publish, event.why)
            case Opened():
                watch.opened(self, event)
                self._open(now, event)
            case CacheWanted():
                self.cluster.counts["caches wanted"] += 1
                self.wanted[event.slot] = event
                self._ask(now, event)
            case Loaded():
                if event.slot in self.wanted:
                    self._forget_wanted(now, event.slot)
                self.loaded[event.slot] = None
                self._serve(event.slot)
            case RoleChanged():
                watch.role_changed(self, event)
            case _:
                assert_never(event)

    def _apply(self, now: float, event: Committed) -> None:
        log, cache = self.logs[event.slot], self.cache
        for at, item in event.entries:
            entry = cache.append(log, item.subject, at, item.time, item.value, item.headers)
            if entry is not None and event.slot in self.loaded:
                for connection in self.connections:
                    connection.live(event.slot, log, item.subject, entry)
        cache.advance(log, event.end)
        cache.limit(now)

    def _open(self, now: float, event: Opened) -> None:
        if event.slot in self.logs:
            self.cache.close(self.logs.pop(event.slot))
        self._forget_wanted(now, event.slot)
        self.loaded.pop(event.slot, None)
        log_id = log_id_of(event.slot, event.incarnation)
        self.logs[event.slot] = self.cache.open(log_id, "/c")

    def _serve(self, slot: int) -> None:
        for connection in [*self.connections]:
            connection.read(slot)

    # Catching up.

    def _held(self, log_id: str) -> tuple[Log, Repeats | None] | None:
        for slot in self.loaded:
            log = self.logs[slot]
            if log.id == log_id:
                return log, self.replica.slots[slot].repeats
        return self.kafka.held(log_id) if self.kafka is not None else None

    def _ask(self, now: float, wanted: CacheWanted) -> None:
        others = [name for name in self._alive if name not in (self.name, wanted.peer)]
        self.catch_up.ask(now, log_id_of(wanted.slot, wanted.incarnation), None, [wanted.peer, *others])

    def _forget_wanted(self, now: float, slot: int) -> None:
        wanted = self.wanted.pop(slot, None)
        self.again_at.pop(slot, None)
        if wanted is not None:
            log_id = log_id_of(slot, wanted.incarnation)
            self.catch_up.cancel(now, log_id)
            self.imports.pop(log_id, None)

    def _caught_up(self, now: float, news: Page | Done | Failed) -> None:
        slot = int(news.log[1:].partition(".")[0])
        match news:
            case Page():
                if news.head is not None:
                    cache = Cache(self.cluster.options.cache)
                    repeats = Repeats(self.cluster.options.slots.retry_window_ms)
                    log = cache.open(news.log, "/c")
                    self.imports[news.log] = (Import(cache, log, repeats, news.head), repeats, cache)
                self.imports[news.log][0].take(now, news.part)
            case Failed():
                self.cluster.counts["copies failed"] += 1
                self.again_at[slot] = now + RETRY_S
            case Done():
                self.cluster.counts["caches copied"] += 1
                importing, repeats, cache = self.imports.pop(news.log)
                importing.finish()
                log, old = cache.logs[news.log], self.logs[slot]
                if log.end >= old.end:
                    self.cache.close(old)
                    self.logs[slot] = self.cache.logs[log.id] = log
                    self.cache.bytes += log.bytes
                    self.replica.slots[slot].repeats = repeats
                    self.cluster.watch.copied(self, slot, log)
                    if slot in self.loaded:
                        self._serve(slot)
                self.replica.cache_filled(now, slot, self.logs[slot].end)


def log_id_of(slot: int, incarnation: str) -> str:
    """As subscribers see it."""
    return f"s{slot}.{incarnation}"
