"""Datagrams over real sockets: join, names, IPv6, nonsense, a busy loop."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from random import Random

import gevent
import pytest

from loadtest.kafka.ports import free_port
from mesh.membership.config import MembershipConfig
from mesh.membership.link import MembershipLink
from mesh.membership.membership import Membership
from mesh.membership.packets import MemberChanged, MembershipEvent, MemberState
from mesh.membership.seal import Seal
from mesh.membership.udp import Udp
from mesh.transport.addresses import join_address, split_address
from tests.support.patience import PATIENCE_S


class Node:
    """A member with a socket of its own."""

    def __init__(self, name: str, host: str = "127.0.0.1", advertise: str = "", port: int = 0) -> None:
        port = port or free_port()
        self.address = join_address(advertise or host, port)
        membership = Membership(name, self.address, f"{name}{port}", b"", MembershipConfig(), Random(name))
        self.link = MembershipLink(membership, Seal(b"key", "test", name, f"{name}{port}"))
        self.events: list[MembershipEvent] = []
        self.crashes = 0
        self.udp = Udp(host, port, self.link, self.events.extend, self._crash)

    def _crash(self) -> None:
        self.crashes += 1

    @property
    def alive(self) -> list[str]:
        return self.link.membership.alive


@pytest.fixture
def nodes() -> Iterator[Callable[..., Node]]:
    made: list[Node] = []

    def make(*args: str, **options: str) -> Node:
        made.append(Node(*args, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for node in made:
        node.udp.close()


def wait_for(is_done: Callable[[], bool], at_most_s: float = PATIENCE_S) -> None:
    until = time.monotonic() + at_most_s
    while not is_done():
        assert time.monotonic() < until
        gevent.sleep(0.01)


def test_members_join_and_a_leave_is_heard(nodes: Callable[..., Node]) -> None:
    a, b, c = nodes("a"), nodes("b"), nodes("c")
    a.udp.start([])
    b.udp.start([a.address])
    c.udp.start([b.address])
    wait_for(lambda: a.alive == b.alive == c.alive == ["a", "b", "c"])
    b.udp.set_meta(b"hello")
    wait_for(lambda: a.link.membership.members["b"].meta == c.link.membership.members["b"].meta == b"hello")
    b.udp.leave()
    wait_for(lambda: a.alive == c.alive == ["a", "c"])
    left = [e for e in a.events if isinstance(e, MemberChanged) and e.state is MemberState.LEFT]
    assert [e.name for e in left] == ["b"]
    assert a.udp.stats.sent > 0
    assert a.udp.stats.received > 0
    assert a.udp.stats.dropped == a.udp.stats.unresolved == 0


def test_host_names_are_resolved_without_blocking(nodes: Callable[..., Node]) -> None:
    a = nodes("a", "127.0.0.1", "localhost")
    b = nodes("b", "127.0.0.1", "localhost")
    a.udp.start([])
    b.udp.start([a.address, "no-such-host.invalid:7400"])
    wait_for(lambda: a.alive == b.alive == ["a", "b"])
    assert b.udp.stats.unresolved > 0


def test_ipv6_and_ipv4_at_one_socket(nodes: Callable[..., Node]) -> None:
    try:
        a = nodes("a", "::", "::1")
    except OSError:
        pytest.skip("no IPv6 here")
    b = nodes("b", "::1")
    c = nodes("c", "127.0.0.1")
    a.udp.start([])
    b.udp.start([a.address])
    c.udp.start([f"127.0.0.1:{a.udp.port}"])
    wait_for(lambda: b.alive[:2] == ["a", "b"] and "c" in a.alive and "a" in c.alive)


def test_nonsense_is_counted_and_does_no_harm(nodes: Callable[..., Node]) -> None:
    a, b = nodes("a"), nodes("b")
    a.udp.start([])
    b.udp.start([a.address])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for size in (0, 1, 16, 17, 500, 1400, 1401, 9000):
            stranger.sendto(Random(size).randbytes(size), split_address(a.address))
        wait_for(lambda: a.link.seal.rejected.total() == 8)
        wait_for(lambda: a.alive == b.alive == ["a", "b"])
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.recv(2000)
    assert a.link.seal.rejected == {"wrong_digest": 6, "too_long": 2}


def test_a_datagram_that_cannot_be_handled_is_told_and_the_next_one_is_handled(
    nodes: Callable[..., Node], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = nodes("a"), nodes("b")
    a.udp.start([])
    receive = a.link.receive
    fails = [True]

    def fail_once(now: float, address: str, datagram: bytes) -> None:
        if fails.pop() if fails else False:
            raise ZeroDivisionError("a fault of ours")
        receive(now, address, datagram)

    monkeypatch.setattr(a.link, "receive", fail_once)
    b.udp.start([a.address])
    wait_for(lambda: a.alive == b.alive == ["a", "b"])
    assert (a.udp.stats.failed, a.crashes) == (1, 0)
    assert "datagram_failed" in caplog.text
    assert "a fault of ours" in caplog.text


def test_a_fault_in_a_tick_is_a_crash(nodes: Callable[..., Node], monkeypatch: pytest.MonkeyPatch) -> None:
    a = nodes("a")

    def fail(now: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(a.link, "tick", fail)
    a.udp.start([])
    wait_for(lambda: a.crashes > 0)


def test_a_flood_does_not_keep_the_loop_from_its_other_work(nodes: Callable[..., Node]) -> None:
    a = nodes("a")
    a.udp.start([])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        to = split_address(a.address)
        slowest = 0.0
        for _ in range(20):
            for _ in range(200):
                stranger.sendto(bytes(1300), to)
            began = time.monotonic()
            gevent.sleep(0.001)
            slowest = max(slowest, time.monotonic() - began)
    wait_for(lambda: a.link.seal.rejected["wrong_digest"] > 1000)
    assert slowest < 1.0


def test_a_stalled_loop_accuses_nobody(nodes: Callable[..., Node]) -> None:
    a, b = nodes("a"), nodes("b")
    a.udp.start([])
    b.udp.start([a.address])
    wait_for(lambda: a.alive == b.alive == ["a", "b"])
    gevent.sleep(0.2)
    time.sleep(1.5)  # both are stalled: they share the loop
    gevent.sleep(0.3)
    assert a.link.membership.paused_s > 1.0
    assert a.link.membership.stats.probes_failed == 0


def test_where_it_cannot_listen_is_said_with_what_to_do(nodes: Callable[..., Node]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(
            OSError, match=f"^cannot listen at 127.0.0.1:{port}: the port is in use[.] .*--cluster-list"
        ):
            Node("a", port=port)
    with pytest.raises(OSError, match=r"^cannot listen at 203\.0\.113\.7:7400: this machine has no such address"):
        Node("a", "203.0.113.7", port=7400)
    with pytest.raises(OSError, match=r"^cannot listen at \[2001:db8::7\]:7400: this machine has no such address"):
        Node("a", "2001:db8::7", port=7400)
