"""The mesh alone: how soon and how often three real processes commit, without clients, caches and gateways.

Each process has the cores and the sockets that a node has (mesh/slots/slots.py, mesh/transport/transport.py) and
publishes for
itself, to all slots: a third of them is coordinated here, the others are not. The floor is `Bare`: packets of the same
kinds, with the same items, through the same sockets and encryption, but with nothing behind them: no elections, no
repeats, no repair, nothing that is remembered.

`python -m loadtest.mesh.commit` prints the figures alone; `make bench` has them among its own.

Not here: nodes with their clients (loadtest/mesh_scenarios.py).
"""

from __future__ import annotations

import secrets
import time
from array import array
from collections import deque
from functools import partial
from random import Random
from typing import Any, TypedDict

import gevent
from gevent import get_hub
from gevent.event import AsyncResult

from loadtest.process import Child, Failed, Shares
from loadtest.report import Row, percentile
from mesh.packets import Packet
from mesh.placement import rank, slot_of
from mesh.slots.forwarding import Forward, ForwardingConfig, PublishCommitted, PublishRefused
from mesh.slots.replication import Append, AppendOk
from mesh.slots.slot import EVERYONE, SlotConfig
from mesh.slots.slot_log import Item
from mesh.slots.slots import Beacon, Slots
from mesh.transport.keys import derive
from mesh.transport.links import PeerAddress
from mesh.transport.transport import Transport
from mesh.transport.wire import Codec

NAMES = ("a", "b", "c")
SLOTS = 64
SUBJECTS = [f"/bench/k{number:04}" for number in range(512)]
SLOT_OF = {subject: slot_of(subject, SLOTS) for subject in SUBJECTS}
VALUE = b'"%s"' % (b"x" * 198)
TICK_S = 0.05
PUBLISHERS, PAUSE_S = 2, 0.01
"""Of each process, one publish at a time each, when latency is measured."""
WINDOW = 1_500
"""Publishes of each process on their way, when the rate is measured."""
ANSWER_S = 60.0
"""Longer than any publish waits."""
WARM_S, LATENCY_S, RATE_S = 0.5, 2.0, 3.0

Send = tuple[str, Packet]


class Address(TypedDict):
    boot: str
    router: int
    pub: int


class Member:
    """One process: sockets, clock and load. Commands for `loadtest.process.serve`."""

    def __init__(self, me: str, key: str) -> None:
        self.me = me
        self.boot = secrets.token_urlsafe(9)
        self.committed = 0
        self.refused = 0
        self._random = Random(me)
        self._publisher = secrets.token_urlsafe(16)
        self._number = 0
        self._waiting: dict[int, AsyncResult[float]] = {}
        self._window = 0
        self._outstanding = 0
        keys = derive(key, "bench", me)
        self.transport = Transport(
            me, self.boot, "127.0.0.1", 0, keys, Codec(Packet), self._receive, self._crash, received=self.settle
        )
        self._timer = get_hub().loop.timer(TICK_S, TICK_S)
        self._timer.start(self._on_tick)

    # Commands.

    def address(self) -> Address:
        return Address(boot=self.boot, router=self.transport.router_port, pub=self.transport.pub_port)

    def peers(self, addresses: dict[str, Address]) -> None:
        """Know the others."""
        self.transport.peers(
            {
                name: PeerAddress(one["boot"], f"127.0.0.1:{one['router']}", f"127.0.0.1:{one['pub']}")
                for name, one in addresses.items()
            }
        )

    @property
    def is_linked(self) -> bool:
        return all(self.transport.is_up(name) for name in NAMES if name != self.me)

    def coordinates(self) -> int:
        """How many slots this process coordinates; -1 if it is not ready."""
        raise NotImplementedError

    def latency(self, seconds: float) -> array[int]:
        """Publish one at a time, with pauses: microseconds from the publish until it is known to be committed."""
        samples: array[int] = array("q")
        until = time.monotonic() + seconds

        def publisher() -> None:
            while (began := time.monotonic()) < until:
                waiting = self._waiting[self._number] = AsyncResult()
                self.publish(self._item())
                self.settle()
                samples.append(int((waiting.get(timeout=ANSWER_S) - began) * 1e6))
                gevent.sleep(PAUSE_S * (0.5 + self._random.random()))

        gevent.joinall([gevent.spawn(publisher) for _ in range(PUBLISHERS)], raise_error=True)
        self._check()
        return samples

    def rate(self, seconds: float) -> float:
        """Keep many on their way. Returns how many of its own were committed per second."""
        self._window = WINDOW
        self.settle()
        gevent.sleep(WARM_S)
        began, before = time.monotonic(), self.committed
        gevent.sleep(seconds)
        result = (self.committed - before) / (time.monotonic() - began)
        self._window = 0
        until = time.monotonic() + ANSWER_S
        while self._outstanding and time.monotonic() < until:
            gevent.sleep(0.01)
        self._check()
        return result

    def idle(self, timeout_s: float) -> None:
        gevent.sleep(timeout_s)

    # What kinds differ in.

    def publish(self, item: Item) -> None:
        raise NotImplementedError

    def receive(self, sender: str, boot: str, packet: Packet) -> None:
        raise NotImplementedError

    def tick(self) -> None:
        raise NotImplementedError

    def step(self) -> tuple[list[Send], list[int]]:
        """What is to be sent, and the numbers of its own publishes that are committed."""
        raise NotImplementedError

    # Shared.

    def _check(self) -> None:
        if self.refused or self._outstanding:
            raise Failed(f"{self.refused} publishes were refused, {self._outstanding} have no answer")

    def settle(self) -> None:
        while True:
            sends, committed = self.step()
            grouped: dict[str, list[Packet]] = {}
            for to, packet in sends:
                grouped.setdefault(to, []).append(packet)
            for to, packets in grouped.items():
                if to == EVERYONE:
                    self.transport.broadcast(packets)
                else:
                    self.transport.send(to, packets)
            self.committed += len(committed)
            self._outstanding -= len(committed)
            now = time.monotonic()
            for number in committed:
                if number in self._waiting:
                    self._waiting.pop(number).set(now)
            more = max(0, self._window - self._outstanding)
            for _ in range(more):
                self.publish(self._item())
            if not (committed or more):
                return

    def _item(self) -> Item:
        item = Item(self._random.choice(SUBJECTS), self._publisher, self._number, VALUE, None, int(time.time() * 1000))
        self._number += 1
        self._outstanding += 1
        return item

    def _receive(self, sender: str, boot: str, packets: list[Packet]) -> None:
        for packet in packets:
            self.receive(sender, boot, packet)

    def _on_tick(self) -> None:
        self.tick()
        self.settle()

    @staticmethod
    def _crash() -> None:
        raise SystemExit(1)


class Mesh(Member):
    """As a node does it."""

    def __init__(self, me: str, key: str) -> None:
        super().__init__(me, key)
        config, now, random = SlotConfig(voters=NAMES), time.monotonic(), Random(secrets.randbits(64))
        self._slots = Slots(now, me, self.boot, config, ForwardingConfig(), SLOTS, {}, random)
        self._slots.members(now, NAMES)
        self._has_peers = False

    def coordinates(self) -> int:
        is_ready = all(slot.accepts and slot.coordinator for slot in self._slots.by_number) and self._slots.is_synced
        return len(self._slots.coordinated) if is_ready else -1

    def publish(self, item: Item) -> None:
        self._slots.publish(time.monotonic(), item)

    def receive(self, sender: str, boot: str, packet: Packet) -> None:
        self._slots.receive(time.monotonic(), sender, boot, packet)  # type: ignore[arg-type]

    def tick(self) -> None:
        self._has_peers = self._has_peers or self.is_linked
        if self._has_peers:  # together, so that each is elected where it belongs
            self._slots.tick(time.monotonic())
        else:
            self.transport.broadcast([Beacon([])])

    def step(self) -> tuple[list[Send], list[int]]:
        slots = self._slots
        slots.settle(time.monotonic())
        if slots.take_promises():  # a node makes them durable; but only elections make any
            slots.promises_saved(time.monotonic())
        events = slots.take_events()
        self.refused += sum(isinstance(event, PublishRefused) for event in events)
        sends: list[Send] = [*slots.take_sends()]
        return sends, [event.publish[1] for event in events if isinstance(event, PublishCommitted)]


class Bare(Member):
    """The floor: what is forwarded is broadcast, acknowledged and thereby committed, and that is all."""

    def __init__(self, me: str, key: str) -> None:
        self._sends: list[Send] = []
        self._committed: list[int] = []
        self._coordinator = [rank(f"slot {slot}", NAMES)[0] for slot in range(SLOTS)]
        self._ends = [0] * SLOTS
        self._commits = [0] * SLOTS
        self._mine: list[deque[tuple[int, int]]] = [deque() for _ in range(SLOTS)]
        """Of each slot, index and number of what was published here."""
        self._unsent: dict[int, list[Item]] = {}
        super().__init__(me, key)

    def coordinates(self) -> int:
        return self._coordinator.count(self.me) if self.is_linked else -1

    def publish(self, item: Item) -> None:
        self._unsent.setdefault(SLOT_OF[item.subject], []).append(item)

    def receive(self, sender: str, boot: str, packet: Packet) -> None:
        match packet:
            case Forward():
                self._append(packet.slot, packet.items)
            case Append():
                self._keep(packet.slot, packet.items)
                self._sends.append((sender, AppendOk(packet.slot, 1, self._ends[packet.slot])))
                self._commit(packet.slot, self._ends[packet.slot])
            case AppendOk():
                if packet.end > self._commits[packet.slot]:
                    self._commit(packet.slot, packet.end)

    def tick(self) -> None:
        self._sends.append((EVERYONE, Append(0, 1, 0, 0, [])))

    def step(self) -> tuple[list[Send], list[int]]:
        unsent, self._unsent = self._unsent, {}
        for slot, items in unsent.items():
            if self._coordinator[slot] == self.me:
                self._append(slot, items)
            else:
                self._sends.append((self._coordinator[slot], Forward(slot, 0, 0, items)))
        sends, self._sends = self._sends, []
        committed, self._committed = self._committed, []
        return sends, committed

    def _append(self, slot: int, items: list[Item]) -> None:
        self._keep(slot, items)
        self._sends.append((EVERYONE, Append(slot, 1, self._ends[slot], self._commits[slot], items)))

    def _keep(self, slot: int, items: list[Item]) -> None:
        for index, item in enumerate(items, self._ends[slot]):
            if item.publisher == self._publisher:
                self._mine[slot].append((index, item.number))
        self._ends[slot] += len(items)

    def _commit(self, slot: int, end: int) -> None:
        self._commits[slot] = end
        mine = self._mine[slot]
        while mine and mine[0][0] < end:
            self._committed.append(mine.popleft()[1])


class Figures(TypedDict):
    p50_ms: float
    p99_ms: float
    per_s: float
    cores: float
    """CPU seconds per second of the three processes together, at that rate."""


def measure(kind: type[Member]) -> Figures:
    """Three processes of this kind."""
    key = secrets.token_hex(32)
    children = [Child(f"node {name}", partial(kind, name, key)) for name in NAMES]
    try:
        addresses = {name: child.call("address") for name, child in zip(NAMES, children, strict=True)}
        for child in children:
            child.call("peers", addresses=addresses)
        until = time.monotonic() + 20
        while min(child.call("coordinates") for child in children) < 0:
            if time.monotonic() > until:
                raise Failed("the three processes did not become one mesh within 20 s")
            time.sleep(0.1)
        latencies = [each for samples in _all(children, "latency", LATENCY_S) for each in samples]
        shares = Shares({child.name: child.pid for child in children})
        began = time.monotonic()
        per_s = sum(_all(children, "rate", RATE_S))
        cores = sum(shares.used_s().values()) / (time.monotonic() - began)
    finally:
        for child in children:
            child.__exit__()
    weights = [1] * len(latencies)
    p50, p99 = (percentile(latencies, weights, share) / 1000 for share in (0.5, 0.99))
    return Figures(p50_ms=p50, p99_ms=p99, per_s=per_s, cores=cores)


def rows(mesh: Figures, bare: Figures) -> list[Row]:
    """The figures beside their floor and the design's goals."""
    return [
        Row("mesh_commit.p50_ms", mesh["p50_ms"], "ms", bare["p50_ms"], 1, 1, less_is_better=True),
        Row("mesh_commit.p99_ms", mesh["p99_ms"], "ms", bare["p99_ms"], less_is_better=True),
        Row("mesh_commit.per_s", mesh["per_s"], "1/s", bare["per_s"], 30_000, 30_000),
    ]


def _all(children: list[Child], method: str, seconds: float) -> list[Any]:
    for child in children:
        child.begin(method, seconds=seconds)
    return [child.result() for child in children]


if __name__ == "__main__":
    from loadtest.report import table

    found = [measure(kind) for kind in (Mesh, Bare)]
    print(table(rows(*found)))
    print(f"cores: mesh {found[0]['cores']:.2f}, bare {found[1]['cores']:.2f}")
