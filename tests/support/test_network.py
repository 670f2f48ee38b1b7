"""The lab itself: what passes, what does not, and how fast."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.network import PREFIX, Network, remove_leftovers
from tests.support.network_switch import QUEUE_S, Rule
from tests.support.require import require

PORT = 7400
CLONE_NEWNET = 0x40000000


def socket_on(network: Network, name: str, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    """A bound socket on a host: a thread goes there, makes it, and ends; the socket stays where it was made."""
    made: list[socket.socket] = []

    def make() -> None:
        if name not in network.outside:
            with Path(f"/run/netns/{network.namespace(name)}").open() as file:
                assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) == 0
        made.append(socket.socket(socket.AF_INET, kind))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    made[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == socket.SOCK_DGRAM:
        made[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made[0].bind((network.addresses[name], PORT))
    return made[0]


def send_all(sender: socket.socket, data: bytes) -> None:
    sender.sendall(data)
    sender.shutdown(socket.SHUT_WR)


class Hosts:
    """A network with a UDP socket on each host."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.sockets = {name: socket_on(network, name) for name in network.addresses}

    def send(self, source: str, destination: str, data: bytes) -> None:
        self.sockets[source].sendto(data, (self.network.addresses[destination], PORT))

    def received(self, name: str, quiet_s: float = 0.1) -> list[bytes]:
        """All that has come, until nothing comes any more."""
        found = []
        self.sockets[name].settimeout(quiet_s)
        while True:
            try:
                found.append(self.sockets[name].recv(65536))
            except TimeoutError:
                return found

    def passes(self, source: str, destination: str) -> bool:
        self.send(source, destination, b"?")
        return self.received(destination) == [b"?"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Hosts]:
    require("netns")
    with Network(["a", "b", "c"]) as network:
        hosts = Hosts(network)
        yield hosts
        for one in hosts.sockets.values():
            one.close()


@pytest.fixture
def hosts(shared: Hosts) -> Iterator[Hosts]:
    shared.network.heal()
    yield shared
    shared.network.heal()


pytestmark = [pytest.mark.slow, pytest.mark.netns]


def test_every_host_reaches_every_other(hosts: Hosts) -> None:
    names = list(hosts.network.addresses)
    assert names == ["test", "a", "b", "c"]
    assert all(hosts.passes(a, b) for a in names for b in names if a != b)


def test_a_cut_line_passes_nothing_until_it_is_healed(hosts: Hosts) -> None:
    hosts.network.cut(["a"], ["b", "c"])
    assert not hosts.passes("a", "b")
    assert not hosts.passes("b", "a")
    assert not hosts.passes("c", "a")
    assert hosts.passes("b", "c")
    assert hosts.passes("test", "a")
    hosts.network.heal()
    assert hosts.passes("a", "b")
    assert hosts.passes("b", "a")


def test_a_line_that_is_cut_one_way_passes_the_other_way(hosts: Hosts) -> None:
    hosts.network.cut_one_way(["a"], ["b"])
    assert not hosts.passes("a", "b")
    assert hosts.passes("b", "a")
    hosts.network.set("a", "b")
    assert hosts.passes("a", "b")


def test_rules_are_for_names_of_this_machine_too(hosts: Hosts) -> None:
    hosts.network.cut(["a"], ["test"])
    assert not hosts.passes("test", "a")
    assert not hosts.passes("a", "test")
    assert hosts.passes("test", "b")


def test_a_share_of_packets_is_lost_or_comes_twice(hosts: Hosts) -> None:
    def share(**rule: float) -> float:
        hosts.network.set("a", "b", **rule)
        for number in range(2000):
            hosts.send("a", "b", b"%d" % number)
        return len(hosts.received("b")) / 2000

    assert 0.65 < share(loss=0.3) < 0.75
    assert 1.15 < share(duplicate=0.2) < 1.25
    assert share() == 1.0


def test_delay_keeps_the_order_and_reordering_does_not(hosts: Hosts) -> None:
    def numbers(**rule: float) -> list[int]:
        hosts.network.set("a", "b", **rule)
        for number in range(200):
            hosts.send("a", "b", b"%d" % number)
            time.sleep(0.0005)
        return [int(one) for one in hosts.received("b")]

    assert numbers(delay_ms=20, jitter_ms=20) == list(range(200))
    reordered = numbers(reorder=0.2)
    assert reordered != list(range(200))
    assert sorted(reordered) == list(range(200))


def test_delay_is_what_was_asked_for(hosts: Hosts) -> None:
    hosts.network.set("a", "b", delay_ms=100)
    took_s = []
    for _ in range(4):
        sent_at = time.monotonic()
        hosts.send("a", "b", b"?")
        assert hosts.received("b", 0.5) == [b"?"]
        took_s.append(time.monotonic() - sent_at - 0.5)
    assert 0.1 <= min(took_s) < 0.2, "the machine may be busy, but not each time"
    assert hosts.passes("b", "a")


def test_a_slow_line_passes_its_rate_and_drops_what_does_not_fit_its_queue(hosts: Hosts) -> None:
    hosts.network.set("a", "b", bytes_per_s=100_000)
    began = time.monotonic()
    for _ in range(200):
        hosts.send("a", "b", bytes(972))  # 1000 with its headers
    sent_s = time.monotonic() - began
    got = len(hosts.received("b", 0.3))
    assert 50 <= got <= 55 + 100 * sent_s  # what fits into the queue, and what has left it meanwhile
    assert time.monotonic() - began - 0.3 > QUEUE_S - 0.05


def test_tcp_gets_through_loss_and_counts_are_kept(hosts: Hosts) -> None:
    before = hosts.network.counts()
    hosts.network.set_all(loss=0.1, delay_ms=2, duplicate=0.05, reorder=0.1)
    data = Random(5).randbytes(300_000)
    with socket_on(hosts.network, "a", socket.SOCK_STREAM) as listener:
        listener.listen()
        with socket_on(hosts.network, "b", socket.SOCK_STREAM) as sender:
            sender.settimeout(30)
            sender.connect((hosts.network.addresses["a"], PORT))
            threading.Thread(target=send_all, args=(sender, data)).start()
            receiver, _ = listener.accept()
            with receiver:
                receiver.settimeout(30)
                got = b"".join(iter(lambda: receiver.recv(65536), b""))
    assert got == data
    packets, size, dropped = hosts.network.counts()["b", "a"]
    assert size - before["b", "a"][1] > 300_000
    assert packets > before["b", "a"][0]
    assert dropped > before["b", "a"][2]


def test_a_wrong_rule_is_refused(hosts: Hosts) -> None:
    with pytest.raises(TypeError):
        hosts.network.set("a", "b", lose=0.1)
    assert hosts.passes("a", "b")


def test_nothing_is_left_at_the_end_and_what_a_killed_run_left_is_removed() -> None:
    require("netns")

    def namespaces() -> set[str]:
        return {path.name for path in Path("/run/netns").glob(f"{PREFIX}-*")}

    with Network(["a"]) as network:
        assert network.namespace("a") in namespaces()
    assert network.namespace("a") not in namespaces()
    program = (
        "import os, signal\n"
        "from tests.support.network import Network\n"
        "network = Network(['a'])\n"
        "network.start()\n"
        "print(network.namespace('a'), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root)
    left = killed.stdout.strip()
    assert left in namespaces(), killed.stderr
    with Network(["a"]) as network:
        remove_leftovers()
        assert namespaces() & {left, network.namespace("a")} == {network.namespace("a")}


def test_what_a_rule_decides() -> None:
    rng = Random(1)
    packet = bytes(9) + bytes([socket.IPPROTO_TCP]) + bytes(90)
    assert Rule(cut=True).fates(5, packet, rng) == []
    assert Rule(cut_tcp=True).fates(5, packet, rng) == []
    assert Rule(cut_tcp=True).fates(5, bytes(100), rng) == [5]
    assert Rule(loss=1.0).fates(5, packet, rng) == []
    assert Rule(delay_ms=100).fates(5, packet, rng) == [5.1]
    assert Rule(duplicate=1.0).fates(5, packet, rng) == [5, 5]
    slow = Rule(bytes_per_s=1024)
    assert [slow.fates(5, packet + bytes(28), rng) for _ in range(6)] == [[5.125], [5.25], [5.375], [5.5], [5.625], []]
    (held,) = Rule(reorder=1.0).fates(5, packet, rng)
    assert 5.005 <= held <= 5.025


def _measure(hosts: Hosts) -> None:
    """For people: `python -m tests.support.test_network`."""
    round_trips = []
    for _ in range(2000):
        began = time.monotonic()
        hosts.send("a", "b", b"ping")
        hosts.sockets["b"].recv(100)
        round_trips.append(time.monotonic() - began)
    round_trips.sort()
    print(f"one way: p50 {round_trips[1000] * 1e6:.0f} us, p99 {round_trips[1980] * 1e6:.0f} us")
    for size in (100, 1400):
        cpu = os.times()
        began = time.monotonic()
        sent = 30_000
        got: list[bytes] = []
        reader = threading.Thread(target=lambda got=got: got.extend(hosts.received("b", 0.5)))
        reader.start()
        for _ in range(sent):
            hosts.send("a", "b", bytes(size))
        reader.join()
        took_s = time.monotonic() - began - 0.5
        rate = len(got) / took_s
        mine = os.times().user + os.times().system - cpu.user - cpu.system
        print(
            f"{size} B: {len(got)} of {sent}, {rate:.0f} packets/s, {rate * size / 1e6:.0f} MB/s, test CPU {mine:.2f} s"
        )
    with socket_on(hosts.network, "a", socket.SOCK_STREAM) as listener:
        listener.listen()
        sender = socket_on(hosts.network, "b", socket.SOCK_STREAM)
        sender.connect((hosts.network.addresses["a"], PORT))
        receiver, _ = listener.accept()
        threading.Thread(target=send_all, args=(sender, bytes(100_000_000))).start()
        began = time.monotonic()
        count = sum(len(one) for one in iter(lambda: receiver.recv(1 << 18), b""))
        print(f"TCP: {count / 1e6 / (time.monotonic() - began):.0f} MB/s")
        receiver.close()


if __name__ == "__main__":
    with Network(["a", "b"]) as _network:
        _measure(Hosts(_network))
