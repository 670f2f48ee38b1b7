"""Who hears whom, and the way around a link that is missing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from mesh.slots.reach import DEAF_S, SHOWN_S, WELL_S, Deafness, Reach

ABC = ("a", "b", "c")


class Net:
    """Nodes that send beacons ten times a second over the links that there are."""

    def __init__(self, names: Iterable[str], voters: Iterable[str]) -> None:
        self.now = 0.0
        self.nodes = {name: Reach(name, f"{name}1", [*voters]) for name in names}
        self.cut: set[tuple[str, str]] = set()
        """(speaker, listener)."""
        for reach in self.nodes.values():
            reach.members([*self.nodes])

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.now += 0.05
            for name, reach in self.nodes.items():
                reach.tick(self.now)
                if round(self.now * 20) % 2 == 0:
                    rows = reach.rows()
                    for other, listener in self.nodes.items():
                        if other != name and (name, other) not in self.cut:
                            listener.hear(name, f"{name}1", rows, is_direct=True)

    def missing(self) -> set[frozenset[tuple[str, str]]]:
        """What each says is missing."""
        return {frozenset(reach.missing_links) for reach in self.nodes.values()}


def test_while_all_links_are_there_nothing_is_said() -> None:
    net = Net(ABC, ABC)
    net.run(3)
    assert [reach.rows() for reach in net.nodes.values()] == [[], [], []]
    assert [reach.detours() for reach in net.nodes.values()] == [{}, {}, {}]


def test_a_missing_link_is_known_to_all_within_a_second_and_goes_around() -> None:
    net = Net(ABC, ABC)
    net.run(2)
    net.cut = {("a", "b"), ("b", "a")}
    net.run(DEAF_S + 0.4)
    assert net.nodes["a"].detours() == {"b": ["c", "b"]}
    assert net.nodes["b"].detours() == {"a": ["c", "a"]}
    assert net.nodes["c"].detours() == {}
    assert net.missing() == {frozenset()}, "a beacon may just be late"
    net.run(SHOWN_S)
    assert net.missing() == {frozenset({("a", "b"), ("b", "a")})}


def test_it_counts_as_there_again_only_when_it_was_well_for_a_while() -> None:
    net = Net(ABC, ABC)
    net.cut = {("a", "b")}
    net.run(2)
    for _ in range(10):  # it comes and goes
        net.cut = set()
        net.run(WELL_S - 0.2)
        net.cut = {("a", "b")}
        net.run(DEAF_S + 0.2)
        assert net.nodes["a"].detours() == {"b": ["c", "b"]}
    net.cut = set()
    net.run(WELL_S + 2)
    assert net.missing() == {frozenset()}


def test_around_a_ring_by_several_others() -> None:
    names = "abcde"
    net = Net(names, names)
    following = dict(zip(names, names[1:] + names[:1], strict=True))
    net.cut = {pair for pair in itertools.permutations(names, 2) if following[pair[0]] != pair[1]}
    net.run(3)
    assert net.nodes["a"].detours()["e"] == ["b", "c", "d", "e"]
    assert net.nodes["d"].detours()["c"] == ["e", "a", "b", "c"]


@pytest.mark.parametrize(("voters", "has_way"), [("abc", True), ("ab", False)])
def test_only_voters_pass_things_on(voters: str, has_way: bool) -> None:
    net = Net(ABC, voters)
    net.cut = {("a", "b")}
    net.run(2)
    assert bool(net.nodes["a"].detours()) is has_way


def test_who_hears_nobody_is_told_of_by_the_others_and_there_is_no_way_to_it() -> None:
    net = Net(ABC, ABC)
    net.cut = {("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")}
    net.run(4)
    assert net.nodes["b"].missing_links == [("a", "b"), ("a", "c")]
    assert net.nodes["b"].detours() == {}
    assert net.nodes["b"].is_reached("c")
    assert not net.nodes["b"].is_reached("a")
    assert not net.nodes["a"].is_reached("b")
    assert net.nodes["a"].is_reached("a")


def test_a_node_that_stood_still_blames_nobody() -> None:
    net = Net(ABC, ABC)
    net.run(2)
    net.nodes["a"].tick(net.now + 30)
    assert net.nodes["a"].missing_links == []


def test_the_dead_are_nobodys_missing_link() -> None:
    net = Net(ABC, ABC)
    net.cut = {("a", "b"), ("a", "c")}
    net.run(4)
    assert net.nodes["b"].missing_links
    for reach in net.nodes.values():
        reach.members(["b", "c"])
    net.run(2)
    assert net.nodes["b"].missing_links == net.nodes["c"].missing_links == []


def test_what_is_said_of_an_earlier_start_dies_out() -> None:
    reach = Reach("a", "a1", ABC)
    reach.members(ABC)
    reach.tick(0.0)
    reach.hear("b", "b1", [Deafness("c", "c1", 7, ["a"])], is_direct=True)
    reach.hear("c", "c2", [Deafness("c", "c2", 1, ["b"])], is_direct=True)
    reach.hear("b", "b1", [Deafness("c", "c1", 9, ["a"])], is_direct=True)
    assert reach.detours() == {}


def test_a_node_that_was_restarted_is_heard_at_once() -> None:
    reach = Reach("a", "a1", ABC)
    reach.members(ABC)
    for step in range(60):
        reach.tick(step / 20)
        reach.hear("c", "c1", [], is_direct=True)
    assert reach.missing_links == [("b", "a")]
    reach.hear("b", "b2", [], is_direct=True)
    reach.tick(3.05)
    assert (reach.missing_links, reach.rows()) == ([], [])


class FaintNet(Net):
    """TCP passes where both directions are there; hellos pass wherever packets do."""

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.now += 0.05
            for name, reach in self.nodes.items():
                reach.tick(self.now)
                for other in reach.greeted():
                    if (name, other) not in self.cut:
                        self.nodes[other].hear_hello(name, reach.rows())
                if round(self.now * 20) % 2 == 0:
                    rows = reach.rows()
                    for other, listener in self.nodes.items():
                        if other != name and not {(name, other), (other, name)} & self.cut:
                            listener.hear(name, f"{name}1", rows, is_direct=True)


def test_where_packets_pass_one_way_around_only_all_are_reached_by_datagrams() -> None:
    net = FaintNet(ABC, ABC)
    net.run(2)
    assert [reach.greeted() for reach in net.nodes.values()] == [[], [], []]
    net.cut = {("a", "c"), ("c", "b"), ("b", "a")}
    net.run(DEAF_S + 0.3)
    assert net.nodes["a"].detours() == {"b": ["b"], "c": ["b", "c"]}
    assert net.nodes["c"].detours() == {"a": ["a"], "b": ["a", "b"]}
    assert all(reach.is_faint(route) for reach in net.nodes.values() for route in reach.detours().values())
    assert all(reach.is_reached(name) for reach in net.nodes.values() for name in ("a", "b", "c") if reach.greeted())
    net.run(SHOWN_S)
    assert net.missing() == {frozenset(itertools.permutations(ABC, 2))}
    net.cut = set()
    net.run(WELL_S + 2)
    assert [reach.detours() for reach in net.nodes.values()] == [{}, {}, {}]
    assert net.missing() == {frozenset()}


def test_a_way_over_tcp_is_preferred_to_one_for_datagrams() -> None:
    net = FaintNet(ABC, ABC)
    net.run(2)
    net.cut = {("a", "b")}
    net.run(2)
    assert net.nodes["b"].detours() == {"a": ["c", "a"]}
    assert not net.nodes["b"].is_faint(["c", "a"])
    assert net.nodes["b"].is_faint(["a"])


def test_what_was_forgotten_is_not_learned_again_from_others() -> None:
    """Else nodes that forget at different times tell one another of an earlier start for ever."""
    reach = Reach("d", "d1", ABC)
    reach.members([*ABC, "d"])
    stale = Deafness("a", "a1", 27, ["d"], ["d"])
    reach.hear("b", "b1", [stale], is_direct=True)
    assert reach.is_deaf("a")
    for step in range(1, 60):
        reach.tick(step * 0.05)
    assert not reach.is_deaf("a")
    reach.hear("b", "b1", [stale], is_direct=True)
    assert not reach.is_deaf("a")
    reach.hear("b", "b1", [Deafness("a", "a2", 1, ["d"])], is_direct=True)
    assert reach.is_deaf("a"), "a later start says so"
