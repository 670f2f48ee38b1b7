"""What a slot that takes no publishes really waits for, and packets that come by others."""

from __future__ import annotations

import msgspec
import pytest

from mesh.slots.forwarding import NO_COORDINATOR, PublishRefused
from mesh.slots.obstacle import Lack, Obstacle
from mesh.slots.pieces import Piece
from mesh.slots.reach import Deafness, Relayed
from mesh.slots.replication import Append, AppendOk, StartEpoch
from mesh.slots.slots import Beacon, Recall
from tests.mesh.slots.slot_bench import item, items, state
from tests.mesh.slots.test_slots import Node, amnesic, follower

OBSERVED = [(0, 4, 0, 0, True, True)]


def observer() -> Node:
    """Not a voter; follows c in epoch 4."""
    node = Node("d", {}, voters="abc", others="d")
    node.receive(0.0, "c", StartEpoch(0, 4, state([(4, 0)], 0), 0, "d1"), Beacon(OBSERVED))
    node.forget_outputs()
    return node


def test_while_publishes_are_taken_nothing_is_in_the_way() -> None:
    assert follower().slots.obstacle(0) is None


def test_a_voter_that_does_not_know_its_promises_waits_for_all_others() -> None:
    assert amnesic().slots.obstacle(0) == Obstacle(Lack.PROMISES, ("a", "b"))


def test_an_isolated_observer_refuses_at_once_after_three_seconds() -> None:
    node = observer()
    for step in range(1, 61):
        node.tick(step / 20)
    assert node.slots.obstacle(0) == Obstacle(Lack.VOTERS, ("a", "b", "c"))
    node.slots.publish(3.05, item(1))
    node.settle(3.05)
    assert node.events(PublishRefused) == [PublishRefused(("p", 1, "/c/x"), NO_COORDINATOR, 0)]
    node.receive(3.1, "c", Beacon(OBSERVED))
    node.slots.publish(3.1, item(2))
    node.settle(3.1)
    assert (node.events(PublishRefused), node.slots.obstacle(0)) == ([], None)


@pytest.mark.parametrize(
    ("of_a", "of_b", "expected"),
    [
        (None, None, Obstacle(Lack.VOTERS, ("a", "b", "c"))),
        (Beacon([]), None, Obstacle(Lack.VOTERS, ("b", "c"))),
        (Beacon([]), Beacon([]), Obstacle(Lack.COORDINATOR)),
        (Beacon([]), Beacon([], unsynced=[0]), Obstacle(Lack.MEMORY, ("c",))),
        (Beacon([]), Beacon([], unsynced=[1]), Obstacle(Lack.COORDINATOR)),
        (Beacon([]), Beacon([], cannot_save=True), Obstacle(Lack.DISK, ("b",))),
    ],
)
def test_it_is_said_what_is_waited_for(of_a: Beacon | None, of_b: Beacon | None, expected: Obstacle) -> None:
    node = observer()
    for step in range(1, 61):
        node.tick(step / 20)
    for name, beacon in (("a", of_a), ("b", of_b)):
        if beacon is not None:
            node.receive(3.0, name, beacon)
    assert node.slots.obstacle(0) == expected
    assert all(name in expected.text for name in expected.nodes)


# By way of others.


def relayed(route: list[str], *packets: object, origin: str = "c", boot: str = "c1") -> Relayed:
    return Relayed(route, origin, boot, msgspec.msgpack.encode(packets))


def test_what_comes_by_another_is_as_if_it_came_directly_and_is_answered() -> None:
    node = follower()
    node.receive(0.1, "b", relayed(["a"], Append(0, 4, 0, 0, items(1))))
    assert node.sends(Beacon) == [("c", AppendOk(0, 4, 1))]


def test_the_answer_goes_around_too_if_it_is_known_that_it_must() -> None:
    node = follower()
    node.receive(0.1, "b", Beacon([], [Deafness("c", "c1", 1, ["a"])]))
    node.receive(0.1, "b", relayed(["a"], Append(0, 4, 0, 0, items(1))))
    [(to, packet)] = node.sends(Beacon)
    assert (to, packet) == ("b", relayed(["b", "c"], AppendOk(0, 4, 1), origin="a", boot="a1"))


def test_a_broadcast_goes_to_those_who_do_not_hear_it_by_others() -> None:
    node = follower()
    node.receive(0.1, "b", Beacon([], [Deafness("c", "c1", 1, ["a"])]))
    node.tick(0.1)
    sends = node.sends()
    assert [to for to, _ in sends] == ["", "b"]
    assert isinstance(sends[0][1], Beacon)
    assert sends[1][1].route == ["b", "c"]


def test_what_is_for_another_is_passed_on_as_it_is() -> None:
    node = follower()
    node.receive(0.1, "c", relayed(["a", "b"], Recall()))
    assert node.sends() == [("b", relayed(["b"], Recall()))]
    assert node.slots.detours.relayed == 1


@pytest.mark.parametrize(
    ("sender", "packet"),
    [
        ("d", relayed(["a"], Recall())),
        ("c", relayed(["a", "b"], Recall(), boot="c2")),
        ("b", relayed(["c"], Recall())),
        ("b", relayed([], Recall())),
        ("b", relayed(["a"], Recall(), origin="a")),
        ("b", Relayed(["a"], "c", "c1", b"\xc1")),
        ("b", relayed(["a"], relayed(["a"], Recall()))),
    ],
    ids=["no voter passes on", "another start", "for another", "for nobody", "of itself", "no packets", "nested"],
)
def test_what_is_not_taken(sender: str, packet: Relayed) -> None:
    node = follower()
    node.receive(0.1, sender, packet)
    assert (node.sends(), node.slots.packets_refused) == ([], 1)


def test_a_piece_within_a_piece_is_refused_and_so_is_what_is_no_packet() -> None:
    node = follower()
    inner = Piece("a1", 1, 0, True, msgspec.msgpack.encode([Recall()]))
    for number, whole in enumerate([msgspec.msgpack.encode([inner]), b"nonsense"]):
        node.receive(0.1, "c", relayed(["a"], Piece(node.slots.boot, 1, number, True, whole)))
    assert node.slots.packets_refused == 2
