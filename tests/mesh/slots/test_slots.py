"""All slots of a node as one machine: what goes to which part, what waits for what, and a voter without a memory."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from mesh.placement import rank, slot_of
from mesh.slots.copying import Fetch
from mesh.slots.election import Grant, Resign, Vote
from mesh.slots.forwarding import (
    NO_COORDINATOR,
    AlreadyCommitted,
    Forward,
    ForwardingConfig,
    PublishCommitted,
    PublishRefused,
)
from mesh.slots.reach import WELL_S
from mesh.slots.replication import Append, AppendOk, Commit, Reject, StartEpoch
from mesh.slots.slot import EVERYONE, Committed, Role, RoleChanged, SlotConfig
from mesh.slots.slots import LEAVE_TOLD_S, MOVE_EVERY_S, SAVE_RETRY_S, STABLE_S, Beacon, Recall, Recalled, Slots
from tests.mesh.slots.slot_bench import item, items, state

VOTERS = ("a", "b", "c")


class Node:
    """The slots of one node with a disk, and what they put out."""

    def __init__(
        self,
        me: str = "a",
        promises: Mapping[int, int] | None = None,
        slots: int = 1,
        voters: Any = VOTERS,
        others: str = "",
    ) -> None:
        config = SlotConfig(voters=tuple(voters), quorum_lost_s=2.0)
        self.slots = Slots(0.0, me, f"{me}1", config, ForwardingConfig(), slots, promises, Random(1))
        self.slots.members(0.0, [*voters, *others])
        self.can_save = True
        self.saved: dict[int, int] = {}
        """Since the outputs were last forgotten."""

    def receive(self, now: float, sender: str, *packets: Any) -> None:
        for packet in packets:
            self.slots.receive(now, sender, f"{sender}1", packet)
        self.settle(now)

    def tick(self, now: float) -> None:
        self.slots.tick(now)
        self.settle(now)

    def settle(self, now: float) -> None:
        self.slots.settle(now)
        promises = self.slots.take_promises()
        if promises and self.can_save:
            self.saved |= promises
            self.slots.promises_saved(now)
        elif promises:
            self.slots.promises_failed(now)

    def sends(self, *but: type) -> list[tuple[str, Any]]:
        return [(to, packet) for to, packet in self.slots.take_sends() if not isinstance(packet, but)]

    def events(self, *types: type) -> list[Any]:
        return [event for event in self.slots.take_events() if not types or isinstance(event, types)]

    def forget_outputs(self) -> None:
        self.slots.take_sends(), self.slots.take_events()
        self.saved = {}


def follower(me: str = "a", slots: int = 1) -> Node:
    """Follows c in epoch 4 in slot 0, which takes publishes."""
    node = Node(me, {}, slots)
    node.receive(0.0, "c", StartEpoch(0, 4, state([(4, 0)], 0), 0, f"{me}1"), Beacon([(0, 4, 0, 0, True, True)]))
    node.forget_outputs()
    return node


def coordinator(slots: int = 1) -> Node:
    """Coordinates slot 0 in epoch 5."""
    node = follower(slots=slots)
    now = 2.0
    while node.slots.by_number[0].role is Role.FOLLOWER:
        node.tick(now := now + 0.05)
    assert now < 2.5
    node.receive(3.0, "b", Grant(0, 5, "a1", True, 4, state([(4, 0)], 0)))
    node.tick(3.0)
    assert node.slots.by_number[0].role is Role.COORDINATOR
    node.forget_outputs()
    return node


# Publishing.


def test_a_publish_of_a_follower_goes_to_the_coordinator_and_is_answered_when_it_is_committed() -> None:
    node = follower()
    one = item(1)
    node.slots.publish(1.0, one)
    node.slots.settle(1.0)
    assert node.events() == []
    [(to, forward)] = node.sends()
    assert (to, forward.items) == ("c", [one])
    node.receive(1.1, "c", Append(0, 4, 0, 0, items(1)))
    [committed, published] = node.events()
    assert isinstance(committed, Committed)
    assert [at for at, _ in committed.entries] == [(4, 0)]
    assert published == PublishCommitted(0, ("p", 1, "/c/x"), (4, 0))


def test_a_publish_of_the_coordinator_needs_no_packet_to_itself() -> None:
    node = coordinator()
    node.slots.publish(3.1, item(1))
    node.slots.settle(3.1)
    [(to, append)] = node.sends()
    assert (to, append.first, append.epoch) == (EVERYONE, 0, 5)
    node.receive(3.2, "b", AppendOk(0, 5, 1))
    assert node.events(PublishCommitted) == [PublishCommitted(0, ("p", 1, "/c/x"), (5, 0))]


def test_a_publish_that_this_node_has_seen_committed_is_answered_at_once() -> None:
    node = follower()
    node.receive(1.0, "c", Append(0, 4, 0, 1, items(1)))
    node.forget_outputs()
    node.slots.publish(1.1, item(1))
    node.slots.settle(1.1)
    assert node.events() == [PublishCommitted(0, ("p", 1, "/c/x"), (4, 0))]
    assert node.sends() == []


def test_a_forwarded_publish_that_the_log_holds_is_answered_with_where() -> None:
    node = coordinator()
    node.receive(3.1, "b", Forward(0, 1, 0, items(1)), AppendOk(0, 5, 1))
    node.forget_outputs()
    node.receive(3.2, "c", Forward(0, 1, 0, items(1)))
    assert node.sends() == [("c", AlreadyCommitted(0, ("p", 1, "/c/x"), (5, 0)))]
    other = follower()
    other.slots.publish(1.0, item(1))
    other.receive(1.1, "c", AlreadyCommitted(0, ("p", 1, "/c/x"), (4, 9)))
    assert other.events() == [PublishCommitted(0, ("p", 1, "/c/x"), (4, 9))]


def test_who_does_not_coordinate_takes_no_forwarded_publish() -> None:
    node = follower()
    node.receive(1.0, "b", Forward(0, 1, 0, items(1)))
    assert (node.sends(), node.slots.by_number[0].log.end) == ([], 0)


def test_a_new_coordinator_gets_what_waits() -> None:
    node = follower()
    node.slots.publish(1.0, item(1))
    node.slots.settle(1.0)
    node.forget_outputs()
    node.receive(1.1, "b", StartEpoch(0, 6, state([(6, 0)], 0), 0, ""))
    [(to, forward), (_, ok)] = node.sends()
    assert isinstance(ok, AppendOk)
    assert (to, forward.first, forward.items) == ("b", 0, [item(1)])


def test_the_same_coordinator_in_another_epoch_gets_a_new_stream() -> None:
    node = follower()
    node.slots.publish(1.0, item(1))
    node.slots.settle(1.0)
    node.forget_outputs()
    node.receive(1.1, "c", StartEpoch(0, 6, state([(6, 0)], 0), 0, ""))
    assert [(to, packet.first) for to, packet in node.sends(AppendOk)] == [("c", 0)]


def test_a_coordinator_that_takes_no_publishes_gets_none() -> None:
    node = follower()
    node.receive(1.0, "c", Beacon([(0, 4, 0, 0, False, False)]))
    node.slots.publish(1.0, item(1))
    node.slots.settle(1.0)
    assert node.sends(AppendOk) == []
    node.receive(1.1, "c", Beacon([(0, 4, 0, 0, True, True)]))
    assert [to for to, packet in node.sends(AppendOk)] == ["c"]


def test_a_coordinator_that_takes_no_publishes_refuses_its_own() -> None:
    node = coordinator()
    node.tick(6.0)
    node.slots.publish(6.1, item(1))
    node.tick(8.1)
    assert node.events(PublishRefused) == [PublishRefused(("p", 1, "/c/x"), NO_COORDINATOR, 0)]


def test_who_coordinates_again_takes_a_stream_from_its_beginning_only() -> None:
    """What came before it in the epoch between may be lost: it would be out of order."""
    node, now = coordinator(), 3.1
    node.receive(3.0, "b", Forward(0, 1, 0, items(1)))
    node.receive(now, "b", Reject(0, 7))
    while not node.slots.coordinated:
        node.tick(now := now + 0.05)
        votes = [packet for to, packet in node.sends() if isinstance(packet, Vote) and to == "b"]
        node.receive(now, "b", *(Grant(0, v.epoch, "a1", True, 4, state([(4, 0)], 0)) for v in votes))
        assert now < 6.0
    node.receive(now, "b", Forward(0, 1, 1, items(2)))
    assert [one.number for one in node.slots.by_number[0].log.items] == [1]
    node.receive(now, "b", Forward(0, 2, 0, items(1, 2)))
    assert [one.number for one in node.slots.by_number[0].log.items] == [1, 2]


# Beacons.


def test_beacons_say_what_this_node_coordinates() -> None:
    node = coordinator()
    node.tick(3.2)
    [(to, beacon)] = node.sends()
    assert (to, beacon.rows) == (EVERYONE, [(0, 5, 0, 0, True, True)])
    assert (beacon.unsynced, beacon.cannot_save) == ([], False)
    node.tick(3.25)
    assert node.sends() == []
    node.tick(6.0)
    assert [beacon.rows for _, beacon in node.sends()] == [[(0, 5, 0, 0, False, False)]], "nobody acknowledges"
    other = follower()
    other.tick(0.05)
    assert other.sends() == [(EVERYONE, Beacon([]))]


def test_a_beacon_keeps_the_coordinator_and_repairs() -> None:
    node = follower()
    node.receive(1.0, "c", Beacon([(0, 4, 2, 0, True, True), (7, 4, 0, 0, True, True), (-1, 4, 0, 0, True, True)]))
    assert node.sends() == [("c", Fetch(0, 4, 0)), ("c", AppendOk(0, 4, 0))]
    assert node.slots.by_number[0].heard_at == 1.0


def test_only_the_coordinator_says_whether_it_takes_publishes() -> None:
    node = follower()
    node.receive(1.0, "b", Beacon([(0, 3, 0, 0, False, False)]))
    assert node.slots.by_number[0].accepts
    node.receive(1.0, "c", Beacon([(0, 4, 0, 0, False, False)]))
    assert not node.slots.by_number[0].accepts


# Packets.


def test_a_packet_of_a_slot_that_is_not_is_counted_and_dropped() -> None:
    node = follower()
    for packet in (Vote(1, 9, False), Append(-1, 4, 0, 0, []), Forward(1, 1, 0, []), Commit(5, 4, 0)):
        node.receive(1.0, "c", packet)
    assert node.slots.packets_refused == 4
    assert (node.sends(), node.events()) == ([], [])


def test_of_several_acknowledgements_only_the_last_leaves() -> None:
    node = follower(slots=2)
    node.receive(0.0, "c", StartEpoch(1, 4, state([(4, 0)], 0), 0, "a1"))
    node.forget_outputs()
    for first in range(3):
        node.receive(1.0, "c", Append(0, 4, first, 0, items(first)), Append(1, 4, first, 0, items(first)))
    node.receive(1.0, "b", Append(0, 3, 0, 0, []), Append(0, 3, 0, 0, []))
    assert node.sends() == [
        ("c", AppendOk(0, 4, 3)),
        ("c", AppendOk(1, 4, 3)),
        ("b", Reject(0, 4)),
        ("b", Reject(0, 4)),
    ]


def test_events_come_in_order_and_once() -> None:
    node = follower()
    node.receive(1.0, "c", Append(0, 4, 0, 1, items(1)), Append(0, 4, 1, 2, items(2)))
    assert [event.end for event in node.events()] == [(4, 0), (4, 1)]
    assert node.events() == []


# A voter without a memory.


def amnesic() -> Node:
    node = Node("c", None)
    node.tick(0.0)
    assert node.sends(Beacon) == [("a", Recall()), ("b", Recall())]
    return node


def test_a_voter_that_knows_no_promises_asks_all_others_and_promises_the_highest() -> None:
    node = amnesic()
    assert node.slots.missing_voters == ["a", "b"]
    node.receive(0.1, "a", Recalled("c1", {0: 5}))
    assert node.slots.is_amnesic
    node.receive(0.2, "b", Recalled("c1", {0: 3}))
    assert not node.slots.is_amnesic
    assert node.saved == {0: 5}
    node.receive(0.3, "b", Vote(0, 5, True))
    assert node.sends() == [("b", Reject(0, 5))]


def test_at_a_first_start_nothing_was_promised_and_that_is_made_durable() -> None:
    node = amnesic()
    node.receive(0.1, "a", Recalled("c1", {0: 0}))
    node.receive(0.1, "b", Recalled("c1", {0: 0}))
    assert node.saved == {0: 0}
    assert node.slots.take_promises() == {}


def test_until_then_it_takes_no_part() -> None:
    node = amnesic()
    node.receive(0.1, "a", Recalled("c1", {0: 5}))
    beacon = Beacon([(0, 9, 0, 0, True, True)])
    node.receive(0.2, "a", Vote(0, 9, True), StartEpoch(0, 9, state([(9, 0)], 0), 0, "c1"), beacon)
    assert (node.sends(), node.events()) == ([], [])
    for step in range(100):
        node.tick(step / 10)
    assert node.sends(Beacon, Recall) == []


def test_what_it_knows_so_far_is_not_made_durable() -> None:
    """After another restart it would look like all that was ever promised."""
    node = amnesic()
    node.receive(0.1, "a", Recalled("c1", {0: 4}))
    assert node.saved == {}
    node.receive(0.1, "b", Recalled("c1", {0: 2}))
    assert node.saved == {0: 4}


def test_it_asks_again_those_that_did_not_answer() -> None:
    node = amnesic()
    node.receive(0.1, "a", Recalled("c1", {}))
    node.tick(0.25)
    assert node.sends(Beacon) == []
    node.tick(0.31)
    assert node.sends(Beacon) == [("b", Recall())]


@pytest.mark.parametrize(
    ("sender", "boot"), [("a", "c0"), ("d", "c1"), ("c", "c1")], ids=["to an older start", "no voter", "itself"]
)
def test_an_answer_that_does_not_count(sender: str, boot: str) -> None:
    node = amnesic()
    node.receive(0.1, sender, Recalled(boot, {0: 5}))
    assert node.slots.missing_voters == ["a", "b"]


def test_everybody_answers_also_one_that_does_not_know_itself() -> None:
    node = amnesic()
    node.receive(0.1, "a", Recall())
    assert node.sends() == [("a", Recalled("a1", {0: 0}))]
    other = Node("b", {0: 4}, slots=2)
    other.receive(0.1, "a", Recall())
    assert other.sends() == [("a", Recalled("a1", {0: 4, 1: 0}))]


def test_slots_that_it_does_not_have_are_left_out() -> None:
    node = amnesic()
    node.receive(0.1, "a", Recalled("c1", {0: 1, 1: 9, -1: 9}))
    node.receive(0.1, "b", Recalled("c1", {}))
    assert node.saved == {0: 1}


def test_who_has_nobody_to_ask_and_who_is_no_voter_just_begins() -> None:
    assert not Node("a", None, voters="a").slots.is_amnesic
    assert not Node("d", None).slots.is_amnesic
    assert not Node("c", {}).slots.is_amnesic


# A disk that takes no promises.


def test_promises_that_could_not_be_saved_are_tried_again_and_nothing_rests_on_them() -> None:
    node = follower("a", slots=2)
    node.can_save = False
    node.receive(5.0, "b", Vote(0, 5, True), StartEpoch(1, 7, state([(7, 0)], 0), 0, "a1"))
    assert node.slots.cannot_save
    assert [packet for _, packet in node.sends()] == []
    assert (node.slots.by_number[0].promised, node.slots.by_number[1].accepted) == (4, 7)
    node.can_save = True
    node.receive(5.0 + SAVE_RETRY_S / 2, "b", Vote(0, 6, True))
    assert node.saved == {}, "not so soon again"
    node.receive(5.0 + SAVE_RETRY_S, "b", Beacon([]))
    assert node.saved == {0: 6, 1: 7}
    assert not node.slots.cannot_save
    assert [type(packet) for _, packet in node.sends()] == [Grant, AppendOk]


def test_a_voter_whose_first_promises_cannot_be_saved_tries_again() -> None:
    node = amnesic()
    node.can_save = False
    node.receive(0.1, "a", Recalled("c1", {0: 0}))
    node.receive(0.1, "b", Recalled("c1", {0: 0}))
    assert node.slots.cannot_save
    node.can_save = True
    node.tick(0.1 + SAVE_RETRY_S)
    assert (node.saved, node.slots.cannot_save) == ({0: 0}, False)


# Who belongs where.


def moving(slots: int = 8) -> Node:
    """Coordinates all slots, also those that belong to others, from 4.0 on at the latest."""
    node = Node("a", {}, slots)
    node.receive(0.0, "b", *(StartEpoch(n, 1, state([(1, 0)], 0), 0, "a1") for n in range(slots)))
    for step in range(20, 40):
        node.tick(step / 10)
        votes = [packet for to, packet in node.sends() if isinstance(packet, Vote) and to == "b"]
        node.receive(step / 10, "b", *(Grant(v.slot, v.epoch, "a1", True, 1, state([(1, 0)], 0)) for v in votes))
    assert len(node.slots.coordinated) == slots
    acknowledge(node, 4.0, "b", "c")
    node.forget_outputs()
    return node


def acknowledge(node: Node, now: float, *voters: str) -> None:
    for voter in voters:
        node.receive(now, voter, *(AppendOk(s.number, s.accepted, 0) for s in node.slots.coordinated))


def test_slots_go_to_where_they_belong_one_at_a_time_once_the_voters_are_stable_and_hear_each_other() -> None:
    node = moving()
    foreign = sum(rank(f"slot {n}", VOTERS)[0] != "a" for n in range(8))
    assert foreign > 2
    resigned_at = []
    for step in range(80, 1000):
        is_heard = step > 500  # so long a packet of c's comes now and then, but no beacon
        for voter in ("b", "c") if is_heard else ("b",):
            node.receive(step / 20, voter, Beacon([], [], [], False))
        acknowledge(node, step / 20, "b", "c")
        node.tick(step / 20)
        resigned_at += [step / 20 for _, packet in node.sends() if isinstance(packet, Resign)]
    assert resigned_at[0] == pytest.approx(500 / 20 + WELL_S + STABLE_S, abs=1.1)
    assert len(resigned_at) == foreign
    assert all(later - one > 0.9 * MOVE_EVERY_S for one, later in pairwise(resigned_at))


def test_a_leaving_node_says_so_and_then_hands_everything_over_at_once() -> None:
    node = moving()
    node.slots.leave(4.5)
    node.tick(4.5)
    assert [packet.is_leaving for _, packet in node.sends()] == [True]
    acknowledge(node, 4.7, "b", "c")
    node.tick(4.5 + LEAVE_TOLD_S)
    assert all(not replication.accepts(4.8) for replication in node.slots.replications)
    node.tick(4.8)
    to = {packet.slot: name for name, packet in node.sends() if isinstance(packet, Resign)}
    assert to == {n: next(v for v in rank(f"slot {n}", VOTERS) if v != "a") for n in range(8)}
    assert node.slots.coordinated == []


def test_a_leaving_node_hands_over_to_none_that_leaves_and_takes_over_from_none() -> None:
    node = moving(1)
    first, second = (voter for voter in rank("slot 0", VOTERS) if voter != "a")
    node.slots.leave(9.0)
    node.receive(9.1, first, Beacon([], is_leaving=True))
    acknowledge(node, 9.2, first, second)
    node.tick(9.0 + LEAVE_TOLD_S)
    node.tick(9.3)
    assert [to for to, packet in node.sends() if isinstance(packet, Resign)] == [second]
    node = follower()
    node.slots.leave(1.0)
    node.receive(1.1, "c", Resign(0, 4))
    assert node.sends() == []


def test_a_leaving_node_prefers_who_answers() -> None:
    node = moving(1)
    first, second = (voter for voter in rank("slot 0", VOTERS) if voter != "a")
    acknowledge(node, 9.0, second)
    node.slots.leave(9.0)
    node.tick(9.0 + LEAVE_TOLD_S)
    node.tick(9.3)
    assert [to for to, packet in node.sends() if isinstance(packet, Resign)] == [second]
    assert first != second


def test_a_leaving_node_that_nobody_follows_keeps_what_it_has() -> None:
    node = Node("a", {}, voters="a")
    for step in range(10):
        node.tick(step / 10)
    node.slots.leave(2.0)
    node.tick(2.0 + LEAVE_TOLD_S)
    assert len(node.slots.coordinated) == 1


def test_questions() -> None:
    node = follower(slots=2)
    assert node.slots.slot_of("/c/x") == slot_of("/c/x", 2)
    assert not node.slots.is_synced
    node.receive(1.0, "c", StartEpoch(1, 4, state([(4, 0)], 1), 0, "a1"))
    assert not node.slots.is_synced, "slot 1 is being copied"
    leader = coordinator()
    assert leader.slots.is_synced
    assert [slot.number for slot in leader.slots.coordinated] == [0]
    leader.receive(3.1, "b", Forward(0, 1, 0, items(1)), AppendOk(0, 5, 0))
    leader.receive(3.2, "b", AppendOk(0, 5, 1))
    assert {name: round(s, 3) for name, s in leader.slots.delay_s().items()} == {"b": 0.1}
    assert leader.events(RoleChanged) == []
