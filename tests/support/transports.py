"""Nodes with nothing but a transport, all in this process and loop."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import msgspec
from zmq.utils import z85

from mesh.transport.keys import Keys, derive
from mesh.transport.links import PeerAddress
from mesh.transport.transport import Transport
from mesh.transport.wire import Codec
from tests.support.patience import PATIENCE_S

KEYS = derive("correct horse battery", "tests")
_boots = itertools.count(1)


class Text(msgspec.Struct, array_like=True, tag="text", gc=False):
    text: str


class Blob(msgspec.Struct, array_like=True, tag="blob", gc=False):
    number: int
    data: bytes


Packet = Text | Blob
CODEC: Codec[Packet] = Codec(Packet)


class Peer:
    """One node: a transport, and what came."""

    def __init__(self, name: str, keys: Keys = KEYS, host: str = "127.0.0.1", port: int = 0, boot: str = "") -> None:
        self.name = name
        self.boot = boot or f"boot{next(_boots)}"
        self.came: list[tuple[str, str, Any]] = []
        """(sender, boot, packet)."""
        self.crashes = 0
        self.on_receive: Callable[[str, list[Any]], None] = lambda sender, packets: None
        self.public = z85.decode(keys.public)
        self.transport = Transport(name, self.boot, host, port, keys, CODEC, self._receive, self._crash)

    @property
    def address(self) -> PeerAddress:
        """Where the others find it."""
        router, pub = (f"127.0.0.1:{port}" for port in (self.transport.router_port, self.transport.pub_port))
        return PeerAddress(self.boot, router, pub, self.public)

    def knows(self, *others: Peer) -> None:
        """Have these peers, and no others."""
        self.transport.peers({other.name: other.address for other in (self, *others)})

    def texts(self, sender: str) -> list[str]:
        """What texts came from there, in order."""
        return [packet.text for name, _, packet in self.came if name == sender and isinstance(packet, Text)]

    def numbers(self, sender: str) -> list[int]:
        """The numbers of the blobs that came from there, in order."""
        return [packet.number for name, _, packet in self.came if name == sender and isinstance(packet, Blob)]

    def say(self, text: str) -> None:
        """To all."""
        self.transport.broadcast([Text(text)])

    def tell(self, peer: str, text: str) -> None:
        """To one."""
        self.transport.send(peer, [Text(text)])

    def _receive(self, sender: str, boot: str, packets: list[Any]) -> None:
        self.came += [(sender, boot, packet) for packet in packets]
        self.on_receive(sender, packets)

    def _crash(self) -> None:
        self.crashes += 1


@contextmanager
def peers(*names: str, **options: Any) -> Iterator[list[Peer]]:
    """Peers of these names that know each other and whose links are up; none may have crashed in the end."""
    made = [Peer(name, **options) for name in names]
    try:
        connect(*made)
        yield made
        assert [peer.crashes for peer in made] == [0] * len(made)
    finally:
        for peer in made:
            peer.transport.close()


def connect(*made: Peer) -> None:
    """Let all know each other, and wait until all links carry in both directions."""
    for peer in made:
        peer.knows(*made)
    for peer in made:
        until(lambda peer=peer: _greet(peer, made))  # type: ignore[misc]
    pause()
    for peer in made:
        peer.came.clear()


def _greet(peer: Peer, made: tuple[Peer, ...]) -> bool:
    others = [other for other in made if other is not peer]
    if not all(other.transport.is_up(peer.name) for other in others):
        peer.say("hello")
    for other in others:
        if "to you" not in other.texts(peer.name):
            peer.tell(other.name, "to you")
    return all(other.transport.is_up(peer.name) and "to you" in other.texts(peer.name) for other in others)


def until(condition: Callable[[], bool], wait_s: float = PATIENCE_S) -> None:
    """Let the loop run until this holds."""
    deadline = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        gevent.sleep(0.005)


def pause(wait_s: float = 0.1) -> None:
    """Let the loop run for what must not happen."""
    gevent.sleep(wait_s)
