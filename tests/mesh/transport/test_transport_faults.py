"""Links under attack and in bad weather: strangers, false names, garbage, peers that stand still, cuts, dead TCP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.socket
import msgspec
import pytest
import zmq
from gevent.server import StreamServer

from mesh.transport import transport, wire
from mesh.transport.keys import Keys, derive, make_pair
from mesh.transport.links import PeerAddress
from tests.support.transports import CODEC, KEYS, Blob, Peer, Text, connect, pause, peers, until

OTHERS = derive("correct horse battery", "another cluster")


@contextmanager
def raw(kind: int, address: str, keys: Keys | None, server_key: bytes | None = None) -> Iterator[zmq.Socket[bytes]]:
    """A client of no transport of ours."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    client = context.socket(kind)
    if keys is not None:
        client.curve_publickey, client.curve_secretkey = keys.public, keys.secret
        client.curve_serverkey = server_key or keys.public
    if kind == zmq.SUB:
        client.setsockopt(zmq.SUBSCRIBE, b"")
        client.setsockopt(zmq.RCVHWM, 10)
    client.setsockopt(zmq.SNDTIMEO, 0)
    client.connect(f"tcp://{address}")
    try:
        yield client
    finally:
        context.destroy(linger=0)


def has_come(client: zmq.Socket[bytes]) -> bool:
    try:
        client.recv(zmq.DONTWAIT)
    except zmq.Again:
        return False
    return True


def own_keys(*names: str) -> dict[str, Keys]:
    """The keys of nodes that each have a pair of their own."""
    pairs = {name: make_pair() for name in names}
    listed = {name: public for name, (public, _) in pairs.items()}
    return {name: derive("correct horse battery", "tests", name, listed, pairs[name][1]) for name in names}


# Strangers.


def test_a_node_of_another_cluster_gets_and_changes_nothing() -> None:
    with peers("a", "b") as (a, b):
        stranger = Peer("b", OTHERS, boot=b.boot)
        try:
            stranger.knows(a)
            a.transport.peers({"b": b.address, "c": stranger.address})  # and is not connected to either
            start = time.monotonic()
            while time.monotonic() - start < 0.5:
                for peer in (a, stranger):
                    peer.say("secret")
                    peer.tell("a" if peer is stranger else "c", "secret")
                gevent.sleep(0.02)
            assert stranger.came == a.came == []
            assert b.texts("a")
        finally:
            stranger.transport.close()


@pytest.mark.parametrize("kind", [zmq.SUB, zmq.DEALER])
@pytest.mark.parametrize("who", ["without a key", "with a key of its own", "of another cluster"])
def test_a_stranger_gets_nothing_even_if_it_knows_our_public_key(kind: int, who: str) -> None:
    public, secret = make_pair()
    keys = {
        "without a key": None,
        "with a key of its own": Keys((), public.encode(), secret.encode()),
        "of another cluster": OTHERS,
    }[who]
    with peers("a", "b") as (a, b):
        address = a.address.pub_address if kind == zmq.SUB else a.address.router_address
        with raw(kind, address, keys, KEYS.public) as client:
            if kind == zmq.DEALER:
                client.send(CODEC.encode("b", b.boot, 0, [Text("I am b")]))
            start = time.monotonic()
            while time.monotonic() - start < 0.3:
                a.say("secret")
                assert kind == zmq.DEALER or not has_come(client)
                gevent.sleep(0.01)
            assert a.came == []
            assert (a.transport.stats.refused["key"] > 0) == (keys is not None)


def test_nodes_with_keys_of_their_own_talk() -> None:
    keys = own_keys("a", "ü")
    a, b = Peer("a", keys["a"]), Peer("ü", keys["ü"])
    try:
        connect(a, b)
        b.tell("a", "hello")
        b.say("all")
        until(lambda: sorted(a.texts("ü")) == ["all", "hello"])
        assert a.transport.stats.refused.total() == 0
    finally:
        a.transport.close()
        b.transport.close()


def test_a_node_can_speak_only_under_the_name_of_its_key() -> None:
    keys = own_keys("a", "b", "c")
    a, b, c = Peer("a", keys["a"]), Peer("b", keys["b"]), Peer("c", keys["c"])
    liar = Peer("c", keys["b"], boot=c.boot)  # has b's key, says that it is c
    try:
        connect(a, b, c)
        liar.knows(a)
        until(lambda: _tells(liar, "a", a.transport.stats.refused, "name"))
        # What listens at b's address is the liar now, with b's key.
        a.transport.peers({"b": PeerAddress("b2", liar.address.router_address, liar.address.pub_address)})
        before = a.transport.stats.refused["name"]
        pause()  # until what it told before is through
        until(lambda: _says(liar, a.transport.stats.refused, before))
        assert a.came == []
        # At c's address it does not get as far as that: a expects c's key there.
        a.transport.peers({"c": liar.address})
        start = time.monotonic()
        while time.monotonic() - start < 0.3:
            liar.say("I am c")
            a.tell("c", "secret")
            gevent.sleep(0.02)
        assert a.came == liar.came == []
        assert not a.transport.is_up("c")
    finally:
        for peer in (a, b, c, liar):
            peer.transport.close()


def _tells(peer: Peer, other: str, refused: dict[str, int], reason: str) -> bool:
    peer.tell(other, "I am c")
    return refused[reason] > 0


def _says(peer: Peer, refused: dict[str, int], before: int) -> bool:
    peer.say("I am c")
    return refused["name"] > before


def test_a_node_that_is_not_listed_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    listed, unlisted = own_keys("a", "b"), own_keys("a", "x")
    a, x = Peer("a", listed["a"]), Peer("x", unlisted["x"])
    try:
        a.knows(x)
        assert "peer_without_key" in caplog.text
        x.transport.peers({"a": a.address})
        with raw(zmq.DEALER, a.address.router_address, unlisted["x"], listed["a"].public) as client:
            client.send(CODEC.encode("x", x.boot, 0, [Text("let me in")]))
            until(lambda: a.transport.stats.refused["key"] > 0)
            pause()
        assert a.came == []
        assert a.transport.stats.dropped["x"] == 0
        a.tell("x", "dropped")
        assert a.transport.stats.dropped["x"] == 1
    finally:
        a.transport.close()
        x.transport.close()


# Garbage.


def test_garbage_from_one_who_has_the_key_is_counted_and_nothing_else() -> None:
    with peers("a", "b") as (a, b), raw(zmq.DEALER, a.address.router_address, KEYS) as client:
        bad: list[list[bytes]] = [
            [b""],
            [b"\xff" * 1000],
            [b"\x91" * 100_000],
            [b"\xdd\xff\xff\xff\xff"],
            [b"", CODEC.encode("b", b.boot, 0, [])],
            [CODEC.encode("b", b.boot, 0, []), b""],
            [b"x"] * 50,
            [msgspec.msgpack.encode((wire.VERSION + 1, "b", b.boot, 0, []))],
            [msgspec.msgpack.encode((wire.VERSION, "b", b.boot, 0, [["unknown", 1]]))],
        ]
        for frames in bad:
            client.send_multipart(frames)
        client.send(CODEC.encode("b", b.boot, 0, [Text("good")]))
        client.send(CODEC.encode("x", b.boot, 0, [Text("who")]))
        client.send(CODEC.encode("b", "old", 0, [Text("when")]))
        until(lambda: a.transport.stats.refused["process"] == 2)
        assert a.transport.stats.refused["wire"] == len(bad)
        assert [packet for _, _, packet in a.came] == [Text("good")]


def test_a_message_that_is_too_large_closes_its_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MESSAGE_BYTES_MAX", 10_000)
    with peers("a", "b") as (a, b), raw(zmq.DEALER, a.address.router_address, KEYS) as client:
        monitor = client.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        client.send(b"x" * 20_000)
        until(lambda: monitor.poll(0) > 0)
        b.tell("a", "still here")
        until(lambda: a.texts("b") == ["still here"])
        assert a.transport.stats.messages_in == 0 + _greetings(a) + 1
        client.disable_monitor()


def _greetings(peer: Peer) -> int:
    return peer.transport.stats.messages_in - len(peer.came)


# Peers that stand still.


@pytest.mark.slow
def test_a_peer_that_reads_nothing_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BROADCAST_MESSAGES_MAX", 20)
    monkeypatch.setattr(transport, "DIRECT_MESSAGES_MAX", 20)
    with peers("a", "c") as (a, c), raw(zmq.SUB, a.address.pub_address, KEYS) as sub, router() as (standing, address):
        until(lambda: _says_to(a, sub))
        a.transport.peers({"c": c.address, "b": PeerAddress("boot", address, "127.0.0.1:1")})
        before = a.transport._published
        until(lambda: _sends(a, "b"))
        for number in range(250):
            a.transport.broadcast([Blob(number, b"x" * 100_000)])
            a.transport.send("b", [Blob(number, b"x" * 100_000)])
            a.tell("c", str(number))
            until(lambda number=number: c.texts("a")[-1:] == [str(number)])  # type: ignore[misc]
        until(lambda: c.numbers("a") == list(range(250)))
        assert c.transport.stats.lost["a"] == 0
        assert 0 < a.transport.stats.dropped["b"] < 250
        # Who reads again sees in the numbers that something is missing.
        numbers = [CODEC.decode(frame[1:]).link_seq for frame in _all(sub)]
        a.say("last")
        numbers += [CODEC.decode(frame[1:]).link_seq for frame in _all(sub)]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == a.transport._published == before + 251
        assert 10 < len(numbers) < 250
        assert len(_all(standing)) > 10


@contextmanager
def router() -> Iterator[tuple[zmq.Socket[bytes], str]]:
    """A ROUTER with our key whose owner does not read; and its address."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = context.socket(zmq.ROUTER)
    made.curve_server = 1
    made.curve_publickey, made.curve_secretkey = KEYS.public, KEYS.secret
    made.setsockopt(zmq.RCVHWM, 10)
    port = made.bind_to_random_port("tcp://127.0.0.1")
    try:
        yield made, f"127.0.0.1:{port}"
    finally:
        context.destroy(linger=0)


def _says_to(a: Peer, sub: zmq.Socket[bytes]) -> bool:
    a.say("hello")
    return has_come(sub)


def _sends(a: Peer, peer: str) -> bool:
    dropped = a.transport.stats.dropped[peer]
    a.tell(peer, "hello")
    is_connected = a.transport.stats.dropped[peer] == dropped
    a.transport.stats.dropped[peer] = 0
    return is_connected


def _all(reader: zmq.Socket[bytes]) -> list[bytes]:
    """Whatever comes until nothing has come for a while."""
    found = []
    while reader.poll(200):
        found.append(reader.recv_multipart()[-1])
    return found


# Cuts.


def test_a_cut_works_both_ways_at_one_node_and_heals() -> None:
    with peers("a", "b", "c") as (a, b, c):
        a.transport.cut({"b"}, time.monotonic() + 60)
        for peer in (a, b):
            peer.say("cut")
            peer.tell("a" if peer is b else "b", "cut")
            peer.tell("c", "not cut")
        until(lambda: len(c.came) == 4)
        pause()
        assert a.came == b.came == []
        assert a.transport.stats.cut == 4
        assert (b.transport.silent_s("a", time.monotonic()) > 0.1, c.transport.stats.lost["a"]) == (True, 0)
        a.transport.cut((), 0.0)
        for peer in (a, b):
            peer.say("healed")
            peer.tell("a" if peer is b else "b", "healed")
        until(lambda: a.texts("b") == b.texts("a") == ["healed"] * 2)
        assert (b.transport.stats.lost["a"], a.transport.stats.lost["b"]) == (1, 1)
        assert c.transport.stats.lost.total() == 0


def test_a_cut_from_all_ends_by_itself() -> None:
    with peers("a", "b", "c") as (a, b, c):
        a.transport.cut(["b", "c"], time.monotonic() + 0.5)
        a.say("cut")

        def is_healed() -> bool:
            a.say("healed")
            return all("healed" in peer.texts("a") for peer in (b, c))

        until(is_healed)
        assert not any("cut" in peer.texts("a") for peer in (b, c))


# Half-open connections.


class Wire:
    """Passes TCP connections on; those that were there when it `broke` stay open and carry nothing any more."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._era = 0
        self._server = StreamServer(("127.0.0.1", 0), self._carry)
        self._server.start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    def breaks(self) -> None:
        self._era += 1

    def close(self) -> None:
        self._server.stop(0)

    def _carry(self, client: Any, _: Any) -> None:
        server = gevent.socket.create_connection(self._target)
        era = self._era
        ways = [
            gevent.spawn(self._copy, *way, lambda: era == self._era) for way in ((client, server), (server, client))
        ]
        gevent.joinall(ways)

    def _copy(self, source: Any, target: Any, is_whole: Callable[[], bool]) -> None:
        while data := source.recv(65536):
            if is_whole():
                target.sendall(data)


def test_a_half_open_link_is_made_anew_by_a_kick() -> None:
    with peers("a", "b") as (a, b):
        wires = Wire(a.address.router_address), Wire(a.address.pub_address)
        b.transport.peers({"a": PeerAddress(a.boot, wires[0].address, wires[1].address)})
        until(lambda: _speaks(a, b))
        for one in wires:
            one.breaks()
        pause()
        b.came.clear()
        a.say("lost")
        b.tell("a", "lost")
        pause(0.2)
        assert b.came == []
        assert b.transport.is_up("a")  # nothing else would tell it
        assert b.transport.silent_s("a", time.monotonic()) > 0.2
        kicked_at = time.monotonic()
        b.transport.kick("a")
        assert not b.transport.is_up("a")
        assert b.transport.silent_s("a", kicked_at) <= 0
        until(lambda: _speaks(a, b))
        assert (b.transport.stats.kicks["a"], b.transport.stats.lost["a"] > 0) == (1, True)
        a.came.clear()
        until(lambda: _answers(b, a))
        for one in wires:
            one.close()


def _speaks(a: Peer, b: Peer) -> bool:
    a.say("again")
    return b.transport.is_up("a")


def _answers(b: Peer, a: Peer) -> bool:
    b.tell("a", "again")
    return "again" in a.texts("b")
