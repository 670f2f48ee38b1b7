"""Two and more nodes with real sockets: what is sent comes, in order, from whom it says, or is counted."""

from __future__ import annotations

import socket
import time
from itertools import pairwise
from typing import Any

import gevent
import pytest
import zmq

from loadtest.kafka.ports import free_port
from mesh.transport import pump, wire
from mesh.transport.keys import derive, make_pair
from mesh.transport.links import PeerAddress
from tests.support.transports import Blob, Peer, Text, connect, pause, peers, until


def test_broadcasts_come_to_all_and_messages_to_one_in_order() -> None:
    with peers("a", "b", "c") as (a, b, c):
        for number in range(1000):
            a.transport.broadcast([Blob(number, b"x" * 100), Text(f"all {number}")])
            a.tell("b", f"b {number}")
        until(lambda: len(b.came) == 3000 and len(c.came) == 2000)
        assert b.numbers("a") == c.numbers("a") == list(range(1000))
        assert [text for text in b.texts("a") if text[0] == "b"] == [f"b {number}" for number in range(1000)]
        assert c.texts("a") == [f"all {number}" for number in range(1000)]
        assert {boot for _, boot, _ in b.came} == {a.boot}
        assert a.came == []
        for peer in (a, b, c):
            stats = peer.transport.stats
            assert not any((stats.lost.total(), stats.refused.total(), stats.cut, stats.oversized))


def test_an_answer_comes_without_waiting_for_the_safety_poll() -> None:
    """Waiting for it would cost SAFETY_POLL_S each time; a busy machine costs that now and then."""
    with peers("a", "b") as (a, b):
        times = []

        def back(sender: str, packets: list[Any]) -> None:
            times.append(time.monotonic())
            a.transport.broadcast(packets)

        b.on_receive = lambda sender, packets: b.transport.send(sender, packets)
        a.on_receive = back
        a.say("there and back")
        until(lambda: len(times) >= 300)
        a.on_receive = lambda sender, packets: None
        took_s = sorted(after - before for before, after in pairwise(times))
        assert took_s[len(took_s) // 4] < pump.SAFETY_POLL_S / 2


def test_a_link_is_up_after_its_first_broadcast_and_silent_since_the_last() -> None:
    with peers("a", "b") as (a, b):
        assert not b.transport.is_up("nobody")
        assert b.transport.silent_s("nobody", time.monotonic()) == 0
        gevent.sleep(0.2)
        assert b.transport.silent_s("a", time.monotonic()) >= 0.2
        a.tell("b", "this is no sign of the other link")
        until(lambda: b.texts("a") != [])
        assert b.transport.silent_s("a", time.monotonic()) >= 0.2
        said_at = time.monotonic()
        a.say("here")
        until(lambda: "here" in b.texts("a"))
        now = time.monotonic()
        assert b.transport.silent_s("a", now) <= now - said_at
        b.transport.peers({})
        assert not b.transport.is_up("a")


def test_an_empty_message_is_a_sign_of_life() -> None:
    with peers("a", "b") as (a, b):
        gevent.sleep(0.2)
        said_at = time.monotonic()
        a.transport.broadcast([])
        until(lambda: b.transport.silent_s("a", said_at) <= 0)
        assert b.came == []


def test_a_peer_that_starts_again_is_another_process() -> None:
    port = free_port()
    with peers("b") as (b,):
        a = Peer("a", port=port)
        try:
            connect(a, b)
            for _ in range(10):
                a.say("before")
            until(lambda: len(b.came) == 10)
        finally:
            a.transport.close()
        a = Peer("a", port=port)
        try:
            assert (a.transport.router_port, a.transport.pub_port) == (port, port + 1)
            a.knows(b)
            before = b.transport.stats.refused["process"]
            until(lambda: _says(a, b, before))
            assert len(b.came) == 10  # b knows only the old process
            connect(a, b)
            a.say("after")
            b.tell("a", "welcome")
            until(lambda: b.texts("a") == ["after"] and a.texts("b") == ["welcome"])
            assert b.came[0][1] == a.boot
            assert b.transport.stats.lost["a"] == 0
        finally:
            a.transport.close()


def _says(peer: Peer, other: Peer, before: int) -> bool:
    peer.tell(other.name, "from a new process")
    peer.say("from a new process")
    return other.transport.stats.refused["process"] >= before + 4


def test_what_a_peer_of_old_still_says_is_dropped() -> None:
    with peers("a", "b") as (a, b):
        b.transport.peers({"a": PeerAddress("newer", a.address.router_address, a.address.pub_address)})
        until(lambda: _says(a, b, 0))
        assert b.came == []


def test_peers_that_are_not_known_any_more_get_and_say_nothing() -> None:
    with peers("a", "b", "c") as (a, b, c):
        a.knows(b)
        before = a.transport.stats.dropped["c"]
        a.tell("c", "dropped")
        assert a.transport.stats.dropped["c"] == before + 1
        c.tell("a", "who?")
        c.say("who?")
        b.say("known")
        until(lambda: a.texts("b") == ["known"] and a.transport.stats.refused["process"] == 1)
        assert a.texts("c") == []


def test_without_a_connection_nothing_is_queued() -> None:
    with peers("a") as (a,):
        a.transport.peers({"b": PeerAddress("boot", "127.0.0.1:1", "127.0.0.1:1")})
        for _ in range(5):
            a.tell("b", "x")
        assert a.transport.stats.dropped["b"] == 5


def test_a_wrong_address_is_no_link_and_no_crash(caplog: pytest.LogCaptureFixture) -> None:
    with peers("a", "b") as (a, b):
        a.transport.peers({"b": b.address, "c": PeerAddress("boot", "no port", "127.0.0.1:1")})
        a.tell("c", "x")
        a.transport.kick("c")
        assert a.transport.stats.dropped["c"] == 1
        a.tell("b", "y")
        until(lambda: b.texts("a") == ["y"])
    assert "peer_address_wrong" in caplog.text


def test_links_may_change_and_close_while_a_message_is_taken() -> None:
    with peers("a", "b") as (a, b):
        took: list[str] = []

        def take(sender: str, packets: list[Any]) -> None:
            took.append(packets[0].text)
            if took == ["1"]:
                b.transport.kick("a")
            elif took[-1] == "last":
                b.transport.close()

        b.on_receive = take
        for number in range(100):
            a.say(str(number + 1))
        until(lambda: b.transport.stats.kicks["a"] == 1)
        until(lambda: _say_until(a, took, "last"))
        pause()
        assert took.count("last") == 1


def _say_until(peer: Peer, took: list[str], text: str) -> bool:
    peer.say(text)
    return text in took


def test_an_exception_in_receive_is_a_crash() -> None:
    a, b = Peer("a"), Peer("b")
    try:
        connect(a, b)

        def fail(sender: str, packets: list[Any]) -> None:
            raise zmq.Again  # even the one that ends reading

        b.on_receive = fail
        a.say("x")
        until(lambda: b.crashes == 1)
    finally:
        a.transport.close()
        b.transport.close()


def test_a_batch_that_is_too_large_is_split_and_a_packet_that_is_too_large_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with peers("a", "b") as (a, b):
        monkeypatch.setattr(wire, "MESSAGE_BYTES_MAX", 1000)
        batch = [Blob(number, b"x" * (2000 if number in (3, 10) else 200)) for number in range(20)]
        a.transport.broadcast([*batch])
        until(lambda: len(b.numbers("a")) == 18)
        a.transport.send("b", [*batch])
        until(lambda: len(b.numbers("a")) == 36)
        small = [number for number in range(20) if number not in (3, 10)]
        assert b.numbers("a") == small + small
        assert a.transport.stats.oversized == 4
        assert b.transport.stats.lost["a"] == 0


def test_a_port_in_use_is_named() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        for first in (port, port - 1):
            with pytest.raises(
                OSError, match=f"^cannot listen at 127.0.0.1:{port}: the port is in use[.] .*choose oth"
            ):
                Peer("a", port=first)
    with pytest.raises(
        OSError, match=r"^cannot listen at 203\.0\.113\.7:7400: this machine has no such address"
    ) as raised:
        Peer("a", host="203.0.113.7", port=7400)
    assert "tcp://" not in str(raised.value)
    with pytest.raises(OSError, match=r"^cannot listen at 'no\.such\.host\.invalid': Name or"):
        Peer("a", host="no.such.host.invalid")


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "", "127.0.0.3"])
def test_all_forms_of_a_host_can_be_listened_at(host: str) -> None:
    a, b = Peer("a", host=host), Peer("b")
    reached = "127.0.0.3" if host == "127.0.0.3" else "127.0.0.1"
    router, pub = (f"{reached}:{port}" for port in (a.transport.router_port, a.transport.pub_port))
    try:
        b.transport.peers({"a": PeerAddress(a.boot, router, pub)})
        a.knows(b)
        until(lambda: _say_until(a, b.texts("a"), "x"))
    finally:
        a.transport.close()
        b.transport.close()


def test_a_flood_delays_neither_the_loop_nor_other_peers() -> None:
    with peers("a", "b", "c") as (a, b, c):
        c.on_receive = lambda sender, packets: _work(0.0002)
        for number in range(3000):
            a.transport.broadcast([Blob(number, b"x" * 500)])
        b.say("through")
        until(lambda: len(c.numbers("a")) > 100)
        delays = []
        while not c.texts("b"):
            start = time.monotonic()
            gevent.sleep(0.001)
            delays.append(time.monotonic() - start)
        assert len(c.numbers("a")) < 2000
        while len(c.numbers("a")) < 2500:
            start = time.monotonic()
            gevent.sleep(0.001)
            delays.append(time.monotonic() - start)
        assert sorted(delays)[len(delays) // 4] < 20 * pump.TURN_S  # of 0.5 s for all


def _work(for_s: float) -> None:
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        pass


def test_while_keys_are_rotated_those_with_the_old_and_those_with_the_new_reach_each_other() -> None:
    pairs = {name: (make_pair(), make_pair()) for name in "ab"}
    old_keys, new_keys = ({name: both[at][0] for name, both in pairs.items()} for at in (0, 1))
    old, new = "the old key of a cluster", "the new key of a cluster"
    for keys in (
        [derive(old, "tests", accepted=new), derive(new, "tests", accepted=old)],
        [
            derive(old, "tests", "a", old_keys, pairs["a"][0][1], None, new_keys),
            derive(old, "tests", "b", new_keys, pairs["b"][1][1], None, old_keys),
        ],
    ):
        made = [Peer(name, one) for name, one in zip("ab", keys, strict=True)]
        try:
            connect(*made)
            assert [peer.transport.stats.refused["key"] for peer in made] == [0, 0]
        finally:
            for peer in made:
                peer.transport.close()
