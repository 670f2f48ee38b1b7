"""Revoked tokens on several nodes: all come to hold the same, whatever is lost, and for as long as they shall."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import revocations
from mesh.revocations import BEACON_S, Revocation, Revocations, RevocationsPacket, RevocationsSaid, TooManyRevocations

NAMES = ["a", "b", "c"]


class Cluster:
    """Nodes that tell each other, over links that may lose."""

    def __init__(self, rng: Random, loss: float = 0.0) -> None:
        self.now = 0.0
        self.rng, self.loss = rng, loss
        self.nodes: dict[str, Revocations] = {}
        self.sent = 0
        for name in NAMES:
            self.start(name)

    def start(self, name: str) -> None:
        self.nodes[name] = Revocations()
        for node in self.nodes.values():
            node.members(self.now, [*self.nodes])

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += 0.05
            for node in self.nodes.values():
                node.tick(self.now)
            self.deliver()

    def deliver(self) -> None:
        while packets := [(name, to, one) for name, node in self.nodes.items() for to, one in node.take_sends()]:
            for sender, to, packet in packets:
                self.sent += 1
                for name in NAMES if to == "" else [to]:
                    if name != sender and name in self.nodes and self.rng.random() >= self.loss:
                        self.nodes[name].receive(self.now, sender, "boot", packet)

    def held(self) -> list[set[tuple[str | None, str | None, float]]]:
        return [
            {(one.token_id, one.name, one.issued_before) for one in node.all(self.now)} for node in self.nodes.values()
        ]


def test_all_hear_of_it_at_once_and_workers_are_told() -> None:
    cluster = Cluster(Random(1))
    cluster.nodes["a"].revoke(0.0, Revocation(100.0, 60.0, "t1"))
    cluster.deliver()
    assert cluster.held() == [{("t1", None, 100.0)}] * 3
    assert [len(node.take_news()) for node in cluster.nodes.values()] == [1, 1, 1]
    assert all(cluster.nodes["a"].is_held_by(name) for name in "bc"), "they have said so"
    cluster.pass_time(5)
    assert [node.take_news() for node in cluster.nodes.values()] == [[], [], []]


def test_one_that_starts_later_hears_of_it_and_nothing_is_said_where_there_is_nothing() -> None:
    cluster = Cluster(Random(1))
    cluster.pass_time(3)
    assert cluster.sent == 0
    cluster.nodes["a"].revoke(cluster.now, Revocation(100.0, 600.0, name="alice"))
    cluster.pass_time(10)
    cluster.start("c")
    cluster.pass_time(BEACON_S + 0.1)
    assert cluster.held() == [{(None, "alice", 100.0)}] * 3
    (one,) = cluster.nodes["c"].all(cluster.now)
    assert 580 < one.left_s < 600


def test_it_ends_everywhere_and_is_not_told_back() -> None:
    cluster = Cluster(Random(1))
    cluster.nodes["a"].revoke(0.0, Revocation(100.0, 5.0, "t1"))
    cluster.pass_time(4.5)
    assert cluster.held() == [{("t1", None, 100.0)}] * 3
    cluster.pass_time(3)
    assert cluster.held() == [set()] * 3
    assert [len(node) for node in cluster.nodes.values()] == [0, 0, 0]


def test_a_later_one_covers_more_and_holds_longer() -> None:
    node = Revocations()
    node.revoke(0.0, Revocation(100.0, 50.0, name="alice"))
    node.revoke(10.0, Revocation(110.0, 50.0, name="alice"))
    node.revoke(20.0, Revocation(90.0, 1.0, name="alice"))
    assert node.all(30.0) == [Revocation(110.0, 30.0, name="alice")]


entries = st.builds(
    Revocation,
    st.sampled_from([1.0, 2.0, float("inf")]),
    st.sampled_from([30.0, 300.0]),
    st.sampled_from([None, "t1", "\ud800"]),
    st.sampled_from([None, "alice", ""]),
)


@given(st.lists(st.tuples(st.sampled_from(NAMES), entries, st.booleans()), max_size=8), st.integers())
def test_whatever_is_lost_all_come_to_hold_the_same(said: list[tuple[str, Revocation, bool]], seed: int) -> None:
    cluster = Cluster(Random(seed), loss=0.5)
    for name, entry, restarts in said:
        cluster.nodes[name].revoke(cluster.now, entry)
        cluster.pass_time(0.2)
        if restarts:
            cluster.start(cluster.rng.choice([one for one in NAMES if one != name]))
    cluster.loss = 0.0
    cluster.pass_time(3 * BEACON_S)
    held = cluster.held()
    assert held[0] == held[1] == held[2]
    for name, entry, restarts in said[-1:]:
        assert restarts or any(one[:2] == (entry.token_id, entry.name) for one in held[NAMES.index(name)])


def test_there_is_an_end_to_how_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "ENTRIES_MAX", 3)
    node = Revocations()
    for number in range(3):
        node.revoke(0.0, Revocation(1.0, 9.0, f"t{number}"))
    with pytest.raises(TooManyRevocations, match="3 revocations"):
        node.revoke(0.0, Revocation(1.0, 9.0, "t4"))
    node.revoke(0.0, Revocation(2.0, 9.0, "t2"))
    packet: RevocationsPacket = RevocationsSaid([Revocation(1.0, 9.0, "t5")])
    node.receive(0.0, "b", "boot", packet)
    assert len(node) == 3


def test_a_large_set_goes_in_several_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "PACKET_ENTRIES_MAX", 10)
    cluster = Cluster(Random(1))
    for number in range(35):
        cluster.nodes["a"].revoke(0.0, Revocation(1.0, 99.0, f"t{number}"))
    cluster.deliver()
    cluster.start("b")
    cluster.pass_time(BEACON_S + 0.1)
    assert len(cluster.held()[1]) == 35


def test_who_has_not_confirmed_is_known_until_it_does() -> None:
    cluster = Cluster(Random(1), loss=1.0)
    cluster.nodes["a"].revoke(0.0, Revocation(100.0, 60.0, "t1"))
    cluster.deliver()
    assert not any(cluster.nodes["a"].is_held_by(name) for name in "bc")
    cluster.loss = 0.0
    cluster.pass_time(3 * BEACON_S)
    assert all(cluster.nodes["a"].is_held_by(name) for name in "bc")
    cluster.nodes["a"].revoke(cluster.now, Revocation(100.0, 60.0, "t2"))
    assert not any(cluster.nodes["a"].is_held_by(name) for name in "bc"), "of this one they have said nothing"
    cluster.nodes["a"].members(cluster.now, ["a", "b"])
    cluster.deliver()
    assert cluster.nodes["a"].is_held_by("b")
