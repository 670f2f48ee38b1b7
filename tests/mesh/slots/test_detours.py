"""What goes by way of others, over links for datagrams, arrives whole; and each datagram fits where it has to."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

import pytest

from mesh.cache.state_transfer import CacheAsk
from mesh.membership.link import MembershipLink
from mesh.membership.seal import DATAGRAM_BYTES_MAX, Seal
from mesh.revocations import Revocation, RevocationsSaid
from mesh.slots.detours import Detours, decode_datagram, encode_datagram
from mesh.slots.pieces import Held, Piece
from mesh.slots.reach import LinkHello, Relayed
from mesh.slots.slot import EVERYONE
from mesh.slots.slots import Beacon, Recalled, SlotsPacket, decode_relayed
from mesh.transport.keys import derive
from mesh.transport.secrecy import Secrecy

LONG = "n" * 126
RING = {"a": "b", "b": "c", "c": "a"}


class Ring:
    """Three nodes; packets pass from each to the next one only, by datagrams, and some get lost."""

    def __init__(self, prefix: str = "", loss: float = 0.0) -> None:
        self.now = 0.0
        self.following = {prefix + name: prefix + following for name, following in RING.items()}
        self.nodes = {name: Detours(name, f"{name[-1]}1", list(self.following), Beacon) for name in self.following}
        self.arrived: dict[str, list[tuple[str, SlotsPacket]]] = {name: [] for name in self.following}
        self.longest = 0
        self._loss = loss
        self._rng = Random(1)
        self._on_their_way: deque[tuple[str, str, bytes]] = deque()
        for detours in self.nodes.values():
            detours.members(list(self.following))

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.now += 0.05
            for name, detours in self.nodes.items():
                detours.tick(self.now)
                self.send(name)
            while self._on_their_way:
                to, name, data = self._on_their_way.popleft()
                self._receive(to, name, decode_datagram(data))

    def send(self, name: str, *packets: tuple[str, Any]) -> None:
        detours = self.nodes[name]
        sends = detours.send(self.now, list(packets))
        assert {to for to, _ in sends} <= {EVERYONE}, "TCP has no way to anybody"
        for to, datagram in detours.take_datagrams():
            data = encode_datagram(datagram)
            self.longest = max(self.longest, len(data))
            if to == self.following[name] and self._rng.random() >= self._loss:
                self._on_their_way.append((to, name, data))

    def _receive(self, name: str, sender: str, datagram: LinkHello | Relayed | None) -> None:
        detours = self.nodes[name]
        assert datagram is not None
        if isinstance(datagram, LinkHello):
            detours.reach.hear_hello(sender, datagram.deaf)
            return
        payload = detours.relay(sender, f"{sender[-1]}1", datagram)
        for packet in decode_relayed(payload) if payload is not None else []:
            if isinstance(packet, Piece):
                for whole in detours.piece(datagram.origin, datagram.boot, packet):
                    self.arrived[name] += [(datagram.origin, one) for one in decode_relayed(whole)]  # type: ignore[misc]
            elif isinstance(packet, Held):
                detours.held(self.now, datagram.origin, datagram.boot, packet)
            else:
                self.arrived[name].append((datagram.origin, packet))  # type: ignore[arg-type]
        self.send(name)


@pytest.mark.parametrize("prefix", ["", LONG])
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_large_packets_arrive_once_and_in_order_around_a_ring(loss: float, prefix: str) -> None:
    ring = Ring(prefix, loss)
    ring.run(1.5)
    a, b, c = ring.nodes
    sent = [Recalled("a1", dict.fromkeys(range(2000), number)) for number in range(5)]
    for packet in sent:
        ring.send(a, (EVERYONE, packet))
        ring.run(0.1)
    ring.run(20)
    assert ring.arrived[b] == ring.arrived[c] == [(a, packet) for packet in sent]
    assert ring.arrived[a] == []
    assert ring.nodes[b].relayed > 0


def test_what_other_cores_say_goes_around_the_ring_and_much_of_it_in_parts() -> None:
    ring = Ring()
    ring.run(1.5)
    asked = CacheAsk(1, "s0.L", (1, 3))
    said = [RevocationsSaid([Revocation(1.0, 60.0, str(number))] * 1000) for number in range(100)]
    ring.send("a", ("c", asked), *(("c", one) for one in said))
    ring.run(20)
    arrived: list[Any] = [packet for _, packet in ring.arrived["c"]]
    assert arrived[0] == asked
    assert len(said) // 4 < len(arrived) < len(said), "more than the queue takes: the rest is lost, but not everything"


def test_a_beacon_does_not_wait_behind_what_is_large() -> None:
    ring = Ring()
    ring.run(1.5)
    ring.send("a", ("c", Recalled("a1", dict.fromkeys(range(50000), 1 << 40))), ("c", Beacon([])))
    ring.run(0.05)
    assert ring.arrived["c"][0] == ("a", Beacon([]))


def test_every_datagram_fits_into_one_that_is_sealed_whatever_the_names() -> None:
    ring = Ring(LONG)
    ring.run(1.5)
    name = next(iter(ring.nodes))
    rows = [(slot, 1 << 40, 1 << 40, 1 << 40, True, True) for slot in range(32)]
    ring.send(name, (EVERYONE, Beacon(rows)), (EVERYONE, Recalled("a1", dict.fromkeys(range(1000), 1 << 40))))
    keys = derive("a shared key of a cluster", "main")
    closed = Secrecy(keys, "b" * 32).close(name, "c" * 32, bytes(ring.longest))
    assert closed is not None
    link = MembershipLink(None, Seal(b"key", "main", "n" * 128, "b" * 32))  # type: ignore[arg-type]
    link.seal.learn("there", "c" * 32)
    link.seal._counter = link.seal._generation = 1 << 40
    link.carry("there", closed)
    [(_, datagram)] = link.take_sends()
    assert 1_000 < len(datagram) <= DATAGRAM_BYTES_MAX
