"""Two nodes and more: pages come in order whatever is lost, and a peer that does not serve is left for the next."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

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
from mesh.log import BEGINNING, Position
from mesh.repeats import Repeats

CONFIG = StateTransferConfig(page_rows_max=10, active_max=2, served_max=4)


class Node:
    def __init__(self, name: str, config: StateTransferConfig = CONFIG) -> None:
        self.name = name
        self.boot = name + "1"
        self.cache = Cache(CacheConfig(ttl_s=100, messages_per_subject=1000, bytes_max=10**9, snapshot_ttl_s=100))
        self.core = StateTransfer(self.held, config)
        self.events: list[TransferPage | TransferDone | TransferFailed] = []
        self.loading: Import | None = None

    def held(self, log_id: str) -> tuple[Log, Repeats | None] | None:
        log = self.cache.logs.get(log_id)
        return None if log is None else (log, None)

    def fill(self, log_id: str, count: int, first: int = 0) -> None:
        log = self.cache.logs.get(log_id) or self.cache.open(log_id, "t")
        for seq in range(first, first + count):
            self.cache.append(log, f"/t/{seq % 7}", (0, seq), seq, b"v%d" % seq, None)

    def take_events(self) -> None:
        """What a node does with the events."""
        for event in self.core.take_events():
            self.events.append(event)
            match event:
                case TransferPage(is_repair=False):
                    if event.head is not None:
                        if (old := self.cache.logs.get(event.log)) is not None:
                            self.cache.close(old)
                        log = self.cache.open(event.log, event.head.topic)
                        self.loading = Import(self.cache, log, None, event.head)
                    assert self.loading is not None
                    self.loading.take(0.0, event.part)
                case TransferPage():
                    log = self.cache.logs[event.log]
                    for subject, entry in event.part.entries:
                        assert self.cache.append(log, subject, entry.at, entry.time, entry.value, entry.headers)
                case TransferDone(is_repair=False):
                    assert self.loading is not None
                    self.loading.finish()
                case TransferDone():
                    self.cache.advance(self.cache.logs[event.log], event.head.end)

    @property
    def ends(self) -> list[str]:
        return [
            type(event).__name__ + (f" {event.why}" if isinstance(event, TransferFailed) else "")
            for event in self.events
            if not isinstance(event, TransferPage)
        ]


class Net:
    """Passes packets on, through the wire's encoding; some get lost."""

    def __init__(self, *nodes: Node, loss: float = 0.0, seed: int = 1) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.rng = Random(seed)
        self.loss = loss
        self.dead: list[str] = []
        self.now = 0.0
        self.sent: list[tuple[str, str, StateTransferPacket]] = []
        self.decoder = msgspec.msgpack.Decoder(StateTransferPacket)

    def run(self, seconds: float) -> None:
        """In steps of 10 ms; a packet takes one."""
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            sent, self.sent = self.sent, []
            for sender, to, packet in sent:
                if to in self.nodes and to not in self.dead and self.rng.random() >= self.loss:
                    again = self.decoder.decode(msgspec.msgpack.encode(packet))
                    self.nodes[to].core.receive(self.now, sender, self.nodes[sender].boot, again)
            for name, node in self.nodes.items():
                if name not in self.dead:
                    node.core.tick(self.now)
                    node.take_events()
                    self.sent += [(name, to, packet) for to, packet in node.core.take_sends()]


def same(one: Log, other: Log) -> bool:
    subjects = sorted({*one.subjects, *other.subjects})
    return one.end == other.end and all(one.after(s, BEGINNING) == other.after(s, BEGINNING) for s in subjects)


def test_a_new_node_gets_all_of_a_log() -> None:
    a, b = Node("a"), Node("b")
    a.fill("0.x", 95)
    net = Net(a, b)
    b.core.ask(0.0, "0.x", None, ["a"])
    net.run(0.5)
    assert b.ends == ["TransferDone"]
    assert same(a.cache.logs["0.x"], b.cache.logs["0.x"])
    assert b.core.pages_received == 11
    assert not b.core.is_asking("0.x")
    assert a.core.serving_count == 0


@pytest.mark.parametrize("seed", range(20))
def test_what_is_lost_is_asked_for_again(seed: int) -> None:
    a, b, c = Node("a"), Node("b"), Node("c")
    a.fill("0.x", 60)
    c.fill("0.x", 60)
    net = Net(a, b, c, loss=0.15, seed=seed)
    b.core.ask(0.0, "0.x", None, ["a", "c"] * 5)
    net.run(10)
    assert b.ends in (["TransferDone"], ["TransferFailed silent"])
    if b.ends == ["TransferDone"]:
        assert same(a.cache.logs["0.x"], b.cache.logs["0.x"])


def test_a_repair_goes_on_at_the_next_peer_when_one_dies() -> None:
    a, b, c = Node("a"), Node("b"), Node("c")
    for node in (a, c):
        node.fill("0.x", 80)
    b.fill("0.x", 20)
    net = Net(a, b, c)
    b.core.ask(0.0, "0.x", (0, 19), ["a", "c"])
    net.run(0.05)
    here = b.cache.logs["0.x"].end
    assert (0, 19) < here < (0, 79)
    net.dead.append("a")
    b.core.members(net.now, ["b", "c"])
    net.run(0.3)
    assert b.ends == ["TransferDone"]
    assert same(a.cache.logs["0.x"], b.cache.logs["0.x"])
    assert b.core.pages_received <= 7  # nothing came twice


def test_a_silent_peer_is_left_after_half_a_second_and_a_copy_begins_anew() -> None:
    a, b, c = Node("a"), Node("b"), Node("c")
    for node in (a, c):
        node.fill("0.x", 80)
    net = Net(a, b, c)
    b.core.ask(0.0, "0.x", None, ["a", "c"])
    net.run(0.06)
    net.dead.append("a")
    net.run(0.45)
    assert b.ends == []
    net.run(0.4)
    assert b.ends == ["TransferDone"]
    assert sum(isinstance(event, TransferPage) and event.head is not None for event in b.events) == 2
    assert same(c.cache.logs["0.x"], b.cache.logs["0.x"])


@pytest.mark.parametrize(
    ("log", "after", "why"),
    [("1.x", None, "unknown"), ("0.x", (0, 79), "behind"), ("0.x", (0, 10), "incomplete")],
)
def test_a_peer_that_cannot_serve_says_why(log: str, after: Position | None, why: str) -> None:
    a, b = Node("a"), Node("b")
    a.fill("0.x", 80)
    a.cache.expire(1.0)
    a.fill("0.x", 80)
    held = a.cache.logs["0.x"]
    a.cache._evict(held, 1.0)
    for _ in range(20):
        a.cache._evict(held, 1.0)
    net = Net(a, b)
    b.core.ask(0.0, log, after, ["a"])
    net.run(0.1)
    assert b.ends == [f"TransferFailed {why}"]
    assert b.core.asking_count == 0


def test_without_peers_it_fails_at_once() -> None:
    b = Node("b")
    for number in range(2000):
        b.core.ask(0.0, f"{number}.x", None, [])
    b.take_events()
    assert b.ends == ["TransferFailed unknown"] * 2000


def test_many_logs_take_turns() -> None:
    a, b = Node("a"), Node("b")
    for number in range(30):
        a.fill(f"{number}.x", 35)
    net = Net(a, b)
    loadings: dict[str, int] = {}
    for number in range(30):
        b.core.ask(0.0, f"{number}.x", None, ["a"])
    most = 0
    for _ in range(300):
        net.run(0.01)
        most = max(most, a.core.serving_count)
        for event in b.events:
            loadings[event.log] = 1
    assert b.ends == ["TransferDone"] * 30
    assert most <= 4
    assert len(loadings) == 30


def test_a_peer_does_not_serve_more_than_it_can() -> None:
    a = Node("a", StateTransferConfig(page_rows_max=10, served_max=2))
    others = [Node(name) for name in "bcd"]
    a.fill("0.x", 100)
    net = Net(a, *others)
    for node in others:
        node.core.ask(0.0, "0.x", None, ["a"])
    net.run(1)
    assert sorted(end for node in others for end in node.ends) == [
        "TransferDone",
        "TransferDone",
        "TransferFailed busy",
    ]


def test_an_asker_that_has_gone_is_forgotten() -> None:
    a, b = Node("a"), Node("b")
    a.fill("0.x", 100)
    net = Net(a, b)
    b.core.ask(0.0, "0.x", None, ["a"])
    net.run(0.05)
    net.dead.append("b")
    assert a.core.serving_count == 1
    net.run(5.1)
    assert a.core.serving_count == 0
    net.dead.clear()
    b.core.ask(net.now, "0.x", None, ["a"])
    net.run(0.05)
    assert a.core.serving_count == 1
    a.core.members(net.now, ["a"])
    assert a.core.serving_count == 0


def test_a_question_that_is_cancelled_brings_nothing_more() -> None:
    a, b = Node("a"), Node("b")
    a.fill("0.x", 100)
    net = Net(a, b)
    b.core.ask(0.0, "0.x", None, ["a"])
    net.run(0.05)
    b.core.cancel(net.now, "0.x")
    seen = len(b.events)
    net.run(1)
    assert len(b.events) == seen
    assert b.core.asking_count == 0


def test_a_restarted_asker_is_not_taken_for_the_one_before() -> None:
    a, b = Node("a"), Node("b")
    a.fill("0.x", 100)
    net = Net(a, b)
    b.core.ask(0.0, "0.x", None, ["a"])
    net.run(0.05)
    again = Node("b")
    again.boot = "b2"
    net.nodes["b"] = again
    net.sent.clear()
    a.fill("0.x", 1, 100)
    again.core.ask(net.now, "0.x", None, ["a"])
    net.run(0.5)
    assert again.ends == ["TransferDone"]
    assert same(a.cache.logs["0.x"], again.cache.logs["0.x"])
