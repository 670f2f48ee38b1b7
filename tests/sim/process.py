"""One start of a node: its cores, wired as a node wires them, without sockets.

    packets -> replica, catch-up -> promises to disk -> packets out -> events: cache, subscribers, publishers

Not here: when it runs (machine.py), what is done with what it tells clients (clients.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any, assert_never

from mesh.cache.cache import Cache, Log
from mesh.cache.export import Import, LogHead
from mesh.cache.state_transfer import (
    BEHIND,
    CacheAsk,
    CacheMore,
    CacheNo,
    CachePage,
    StateTransfer,
    StateTransferConfig,
    TransferDone,
    TransferFailed,
    TransferPage,
)
from mesh.feed.feed_log import FeedEvent
from mesh.log import BEGINNING, Entry, Position
from mesh.packets import Packet
from mesh.repeats import Repeats
from mesh.slots.forwarding import PublishCommitted, PublishRefused
from mesh.slots.slot import EVERYONE, CacheWanted, Committed, Loaded, Opened, Repeated, RoleChanged
from mesh.slots.slot_log import Item
from mesh.slots.slots import SlotsEvent
from mesh.transport.wire import Codec

if TYPE_CHECKING:
    from tests.sim.clients import Connection
    from tests.sim.machine import Machine

CODEC: Codec[Any] = Codec(Packet)
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
        self.catch_up = StateTransfer(self._held, StateTransferConfig(page_rows_max=options.page_rows_max), boot)
        self.kafka = cluster.new_kafka(self, rng)
        self.logs: dict[int, Log] = {}
        self.loaded: dict[int, None] = {}
        """Slots whose log is here as the coordinator has it: subscribers may be served."""
        self.whole: dict[int, None] = {}
        """Slots of which it has had, at some time since it started, all that was committed then."""
        self.copies: dict[str, _Copy] = {}
        self.wanted: dict[int, CacheWanted] = {}
        self.again_at: dict[int, float] = {}
        """When to ask once more for what no peer could give."""
        self.connections: dict[Connection, None] = {}
        self.unanswered: dict[tuple[str, int], None] = {}
        self.is_leaving = False
        self._expire_at = now
        self.alive: list[str] = []

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
        if alive != self.alive:
            self.alive = alive
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
                self._want(now, self.wanted[slot])
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
            if promises := self.replica.take_promises():
                if machine.strikes("before saving"):
                    return
                machine.disk.save(promises)
                if machine.strikes("between saving and sending"):
                    return
                self.replica.promises_saved(now)
            sends: list[tuple[str, Any]] = [*self.replica.take_sends(), *self.catch_up.take_sends()]
            if self.kafka is not None:
                sends += self.kafka.take_sends()
            datagrams = self.members.take_sends()
            events = self.replica.take_events()
            news = self.catch_up.take_events()
            fed = self.kafka.take_events() if self.kafka is not None else []
            if not (promises or sends or datagrams or events or news or fed):
                return
            if not machine.finish(self._go_on, now, sends, datagrams, events, news, fed):
                return

    def _go_on(
        self,
        now: float,
        sends: list[tuple[str, Any]],
        datagrams: list[tuple[str, bytes]],
        events: list[SlotsEvent],
        news: list[TransferPage | TransferDone | TransferFailed],
        fed: list[FeedEvent],
    ) -> None:
        self._post(sends, datagrams)
        for event in events:
            self._take(now, event)
        for one in news:
            if self.kafka is None or not self.kafka.caught_up(now, one):
                self._caught_up(now, one)
        if self.kafka is not None:
            for said in fed:
                self.kafka.happened(now, said)
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

    def _take(self, now: float, event: SlotsEvent) -> None:
        watch = self.cluster.watch
        match event:
            case Committed():
                watch.committed(self, event)
                self._apply(now, event)
            case PublishCommitted():
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
                self._want(now, event)
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
        self._append(event.slot, [(item.subject, at, item) for at, item in event.entries])
        self.cache.advance(self.logs[event.slot], event.end)
        self.cache.limit(now)

    def _append(self, slot: int, entries: Sequence[tuple[str, Position, Item | Entry]]) -> None:
        """Into the cache, and to the subscribers."""
        log = self.logs[slot]
        for subject, at, what in entries:
            entry = self.cache.append(log, subject, at, what.time, what.value, what.headers)
            if entry is not None and slot in self.loaded:
                for connection in self.connections:
                    connection.live(slot, log, subject, entry)

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

    # Catching up: as node/logs/slot_logs.py does it.

    def _held(self, log_id: str) -> tuple[Log, Repeats | None] | None:
        for slot, log in self.logs.items():
            if log.id == log_id and self.replica.by_number[slot].accepted:
                return log, self.replica.by_number[slot].repeats
        return self.kafka.held(log_id) if self.kafka is not None else None

    def _want(self, now: float, wanted: CacheWanted) -> None:
        end = self.logs[wanted.slot].end
        self._ask(now, wanted, end if end > BEGINNING else None)

    def _ask(self, now: float, wanted: CacheWanted, after: Position | None) -> None:
        others = [name for name in self.alive if name not in (self.name, wanted.peer)]
        self.catch_up.ask(now, log_id_of(wanted.slot, wanted.incarnation), after, [wanted.peer, *others])

    def _forget_wanted(self, now: float, slot: int) -> None:
        wanted = self.wanted.pop(slot, None)
        self.again_at.pop(slot, None)
        if wanted is not None:
            log_id = log_id_of(slot, wanted.incarnation)
            self.catch_up.cancel(now, log_id)
            self._void(log_id)

    def _void(self, log_id: str) -> None:
        copy = self.copies.pop(log_id, None)
        if copy is not None:
            self.cache.close(copy.log)

    def _caught_up(self, now: float, news: TransferPage | TransferDone | TransferFailed) -> None:
        slot = int(news.log[1:].partition(".")[0])
        wanted, log = self.wanted.get(slot), self.logs[slot]
        if wanted is None or log.id != news.log:
            return
        repeats = self.replica.by_number[slot].repeats
        match news:
            case TransferPage(is_repair=True):
                repeats.restore(news.part.repeats)
                self._append(slot, [(one, entry.at, entry) for one, entry in news.part.entries])
                self.cluster.watch.repaired(self, slot, log)
            case TransferPage():
                if news.head is not None:
                    self._void(news.log)
                    self.copies[news.log] = _Copy(self.cache, news.log, repeats.window_ms, news.head)
                self.copies[news.log].into.take(now, news.part)
            case TransferFailed():
                self._void(news.log)
                if news.why == BEHIND:
                    self._filled(now, slot)
                elif news.is_repair:
                    self.cluster.counts["repairs failed"] += 1
                    self._ask(now, wanted, None)
                else:
                    self.cluster.counts["copies failed"] += 1
                    self.again_at[slot] = now + RETRY_S
            case TransferDone(is_repair=True):
                self.cluster.counts["caches repaired"] += 1
                self.cache.advance(log, news.head.end)
                repeats.forget_before(news.head.oldest_publish)
                self.cluster.watch.repaired(self, slot, log)
                self._filled(now, slot)
            case TransferDone():
                self._copied(now, slot, log)

    def _copied(self, now: float, slot: int, log: Log) -> None:
        copy = self.copies[log.id]
        copy.into.finish()
        if copy.log.end <= log.end and log.end > BEGINNING:
            self._void(log.id)
            self._filled(now, slot)
            return
        self.cluster.counts["caches copied"] += 1
        del self.copies[log.id]
        log_id = log.id
        self.cache.close(log)
        self.cache.rename(copy.log, log_id)
        self.logs[slot] = copy.log
        self.cluster.watch.copied(self, slot, copy.log)
        if slot in self.loaded:
            self._serve(slot)
        self._filled(now, slot, copy.repeats)

    def _filled(self, now: float, slot: int, repeats: Repeats | None = None) -> None:
        del self.wanted[slot]
        self.again_at.pop(slot, None)
        self.replica.cache_filled(now, slot, self.logs[slot].end, repeats)


class _Copy:
    """A whole log on its way from a peer, put together beside the one that it is to replace."""

    def __init__(self, cache: Cache, log_id: str, window_ms: int, head: LogHead) -> None:
        self.log = cache.open(f"{log_id} (copy)", "")
        self.repeats = Repeats(window_ms)
        self.into = Import(cache, self.log, self.repeats, head)


def log_id_of(slot: int, incarnation: str) -> str:
    """As subscribers see it."""
    return f"s{slot}.{incarnation}"
