"""One slot's log between its coordinator and its replicas: rules 4, 5, 6, 8, 9 and 10 of replication.py."""

from __future__ import annotations

import pytest

from mesh.slots.copying import Fetch, Range, Trimmed
from mesh.slots.replication import Append, AppendOk, Commit, Reject, StartEpoch, Sync
from mesh.slots.slot import EVERYONE, CacheWanted, Committed, Loaded, Repeated, Role, RoleChanged
from mesh.slots.slot_log import Item
from tests.mesh.slots.slot_bench import LOG, Bench, item, items, state


def follower(*numbers: int, me: str = "a", commit: int = 0, commit_quorum: int = 3) -> Bench:
    """Follows c in epoch 4, and is told what is committed, as where more than two voters are needed."""
    bench = Bench(me, commit_quorum=commit_quorum)
    bench.follow(0.0, "c", 4, *numbers, commit=commit)
    return bench


def coordinator(*numbers: int, voters: str = "abc") -> Bench:
    """a coordinates epoch 2 from 10.0 on; nothing is committed yet of what it took over."""
    bench = Bench("a", voters)
    bench.follow(0.0, "b", 1)
    bench.stand(5.0)
    for voter in voters[1 : len(voters) // 2 + 1]:
        bench.grant(10.0, voter, 1, state([(1, 0)], len(numbers)))
    if numbers:
        bench.receive(10.0, voters[1], Range(0, 2, 0, items(*numbers), 0))
    assert (bench.slot.role, bench.slot.accepted) == (Role.COORDINATOR, 2)
    bench.forget_outputs()
    return bench


def committed(bench: Bench) -> list[tuple[tuple[int, int], int]]:
    """Position and number of what was told to be committed since last asked."""
    return [(at, one.number) for event in bench.events() if isinstance(event, Committed) for at, one in event.entries]


# Rule 4: a coordinator's start.


def test_start_is_promised_adopted_and_acknowledged_in_this_order() -> None:
    bench = follower(1, 2)
    bench.receive(1.0, "b", StartEpoch(0, 6, state([(4, 0), (6, 1)], 2), 1, ""))
    assert bench.promises() == {0: 6}
    assert bench.sends() == [("b", Fetch(0, 6, 1))]
    assert bench.slot.accepted == 4, "not before all is here"
    bench.receive(1.1, "b", Range(0, 6, 1, items(3), 9))
    assert bench.sends() == [("b", AppendOk(0, 6, 2))]
    assert (bench.slot.accepted, [one.number for one in bench.slot.log.items]) == (6, [1, 3])
    assert [type(event) for event in bench.events()] == [RoleChanged, Committed, Loaded]
    assert bench.slot.commit == 1, "as the coordinator said, not as the range says"


def test_start_of_a_lower_epoch_than_promised() -> None:
    bench = follower(1)
    bench.promise(7)
    bench.receive(1.0, "b", StartEpoch(0, 6, state([(6, 0)], 0), 0, ""))
    assert bench.sends() == [("b", Reject(0, 7))]
    assert (bench.slot.accepted, bench.slot.coordinator, bench.slot.log.end) == (4, "", 1)


def test_start_again_changes_nothing() -> None:
    bench = follower(1, 2)
    bench.receive(1.0, "c", StartEpoch(0, 4, state([(4, 0)], 0), 0, ""))
    assert (bench.sends(), bench.events(), bench.slot.log.end) == ([], [], 2)
    bench.receive(1.0, "b", StartEpoch(0, 6, state([(6, 0)], 3), 0, ""))
    bench.forget_outputs()
    bench.receive(1.0, "b", StartEpoch(0, 6, state([(6, 0)], 5), 0, ""))
    assert (bench.sends(), bench.events()) == ([], []), "it is being copied"


def test_the_same_coordinator_in_another_epoch_is_told() -> None:
    """Or nobody would begin another stream of publishes (forwarding.py)."""
    bench = follower(1)
    bench.receive(1.0, "c", StartEpoch(0, 6, state([(4, 0), (6, 1)], 1), 0, ""))
    assert bench.events(RoleChanged) == [RoleChanged(0, 6, Role.FOLLOWER, "c")]


def test_of_a_coordinator_that_it_does_not_know_it_asks_for_the_start() -> None:
    bench = follower(1)
    bench.receive(1.0, "b", Append(0, 6, 5, 5, items(9)))
    assert bench.sends() == [("b", Sync(0))]
    bench.receive(1.05, "b", Append(0, 6, 6, 5, items(9)))
    assert bench.sends() == [], "not too often"
    bench.receive(1.2, "b", Append(0, 6, 7, 5, []))
    assert bench.sends() == [("b", Sync(0))]
    assert (bench.slot.log.end, bench.slot.commit) == (1, 0)


# Rule 5: appending.


def test_what_is_next_is_taken_and_acknowledged() -> None:
    bench = follower(1)
    bench.receive(1.0, "c", Append(0, 4, 1, 1, items(2, 3)))
    assert bench.sends() == [("c", AppendOk(0, 4, 3))]
    assert committed(bench) == [((4, 0), 1)]


def test_what_is_there_already_is_not_taken_twice() -> None:
    bench = follower(1, 2)
    for first, some in ((0, items(1)), (1, items(2, 3)), (0, items(1, 2, 3, 4)), (0, [])):
        bench.receive(1.0, "c", Append(0, 4, first, 0, some))
    assert [one.number for one in bench.slot.log.items] == [1, 2, 3, 4]
    assert bench.sends() == [("c", AppendOk(0, 4, end)) for end in (2, 3, 4, 4)]


def test_a_gap_is_asked_for_and_what_came_early_is_kept() -> None:
    bench = follower(1)
    bench.receive(1.0, "c", Append(0, 4, 2, 3, items(3)))
    bench.receive(1.0, "c", Append(0, 4, 3, 3, items(4, 5)))
    assert bench.sends() == [("c", Fetch(0, 4, 1)), ("c", AppendOk(0, 4, 1)), ("c", AppendOk(0, 4, 1))]
    assert bench.slot.commit == 1
    bench.receive(1.1, "c", Range(0, 4, 1, items(2), 3))
    assert [one.number for one in bench.slot.log.items] == [1, 2, 3, 4, 5]
    assert bench.sends() == [("c", AppendOk(0, 4, 5))]
    assert bench.slot.commit == 3
    assert bench.replication.repairs == 1


def test_a_gap_is_asked_for_again_until_it_is_filled() -> None:
    bench = follower(1)
    bench.receive(1.0, "c", Append(0, 4, 3, 0, []))  # a beacon: no items
    bench.sends()
    bench.tick(1.1)
    assert bench.sends() == []
    bench.tick(1.2)
    assert bench.sends() == [("c", Fetch(0, 4, 1))]
    bench.receive(1.21, "c", Range(0, 4, 1, items(2), 0))
    bench.sends()
    bench.tick(1.25)
    assert bench.sends() == [("c", Fetch(0, 4, 2))], "the answer was only a part"
    bench.receive(1.26, "c", Range(0, 4, 2, items(3), 0))
    bench.sends()
    bench.tick(1.5)
    assert bench.sends() == []


def test_a_lower_epoch_than_promised_gets_nothing_but_a_nack() -> None:
    bench = follower(1)
    bench.promise(5)
    for packet in (Append(0, 4, 1, 1, items(2)), Commit(0, 4, 1), Append(0, 4, 1, 1, [])):
        bench.receive(1.0, "c", packet)
        assert bench.sends() == [("c", Reject(0, 5))]
    assert (bench.slot.log.end, bench.slot.commit) == (1, 0)
    bench.receive(1.0, "c", Range(0, 4, 1, items(2), 1))
    assert (bench.slot.log.end, bench.slot.commit) == (1, 0)


def test_while_another_log_is_copied_nothing_of_it_is_taken_or_acknowledged() -> None:
    bench = follower(1)
    bench.receive(1.0, "b", StartEpoch(0, 6, state([(4, 0), (6, 1)], 3), 0, ""))
    bench.forget_outputs()
    bench.receive(1.0, "b", Append(0, 6, 1, 1, items(2)))
    bench.receive(1.0, "b", Commit(0, 6, 1))
    assert (bench.sends(), bench.slot.log.end, bench.slot.commit) == ([], 1, 0)
    assert bench.slot.heard_at == 1.0


def test_a_range_of_another_epoch_or_node_is_not_taken() -> None:
    bench = follower(1)
    bench.receive(1.0, "c", Range(0, 3, 1, items(2), 1))
    bench.receive(1.0, "b", Range(0, 4, 1, items(2), 1))
    assert (bench.slot.log.end, bench.slot.commit, bench.sends()) == (1, 0, [])


def test_who_is_too_far_behind_gets_the_log_anew() -> None:
    bench = follower(1, commit=1)
    bench.receive(1.0, "c", Trimmed(0, 4, 1))
    assert bench.sends() == [], "it has what was let go of"
    bench.receive(1.0, "c", Trimmed(0, 4, 50))
    assert bench.sends() == [("c", Sync(0))]
    bench.receive(1.2, "c", Append(0, 4, 60, 60, items(9)))
    assert bench.sends() == [("c", Sync(0))], "in case that was lost; and no acknowledgement"
    bench.receive(1.3, "c", StartEpoch(0, 4, state([(4, 0)], 60, base=50), 60, "a1"))
    assert bench.events(CacheWanted) == [CacheWanted(0, LOG, "c")]
    bench.cache_filled(2.0, (4, 58))
    assert bench.sends() == [("c", Fetch(0, 4, 59))]
    bench.receive(2.1, "c", Range(0, 4, 59, items(60), 0))
    assert bench.sends() == [("c", AppendOk(0, 4, 60))]
    assert committed(bench) == [((4, 59), 60)]
    bench.receive(2.2, "c", Append(0, 4, 60, 60, items(61)))
    assert bench.sends() == [("c", AppendOk(0, 4, 61))]


def test_a_late_start_of_the_same_epoch_takes_nothing_back() -> None:
    """It was said when the log was shorter, and its answer to that who is too far behind is still to come."""
    bench = follower(1, 2, commit=2)
    bench.receive(1.0, "c", Trimmed(0, 4, 50))
    assert bench.sends() == [("c", Sync(0))]
    bench.receive(2.0, "c", StartEpoch(0, 4, state([(4, 0)], 1), 0, ""))
    assert (bench.slot.log.end, bench.slot.commit, bench.sends()) == (2, 2, [("c", Sync(0))])


def test_appends_that_came_early_are_bounded() -> None:
    bench = follower()
    for first in range(1, 1000):
        bench.receive(1.0, "c", Append(0, 4, first, 0, items(first)))
    bench.receive(1.0, "c", Append(0, 4, 0, 0, items(0)))
    assert bench.slot.log.end == 201
    for first in range(201, 300):
        bench.receive(1.0, "c", Append(0, 4, first, 0, items(first)))
    assert bench.slot.log.end == 300


def test_an_append_that_came_early_is_let_go_of_when_something_else_has_filled_its_place() -> None:
    bench = follower()
    for first in range(1, 201):
        bench.receive(1.0, "c", Append(0, 4, first, 0, items(first)))
    bench.receive(1.0, "c", Range(0, 4, 0, items(*range(202)), 0))
    bench.receive(1.0, "c", Append(0, 4, 203, 0, items(203)))
    bench.receive(1.0, "c", Append(0, 4, 202, 0, items(202)))
    assert bench.slot.log.end == 204


def test_an_append_that_came_early_is_of_its_epoch() -> None:
    bench = follower(1)
    bench.receive(1.0, "c", Append(0, 4, 2, 0, items(3)))
    bench.receive(1.0, "b", StartEpoch(0, 6, state([(4, 0), (6, 1)], 1), 0, ""))
    bench.receive(1.0, "b", Append(0, 6, 1, 0, items(8)))
    assert [one.number for one in bench.slot.log.items] == [1, 8]


# Rule 6: committing.


def test_w_voters_commit_and_not_one_fewer() -> None:
    bench = coordinator(voters="abcde")
    for voter in "bcde":
        bench.receive(10.0, voter, AppendOk(0, 2, 0))
    bench.replication.publish(10.1, items(1, 2))
    assert bench.sends() == [(EVERYONE, Append(0, 2, 0, 0, items_at(bench, 0, 2)))]
    bench.receive(10.2, "b", AppendOk(0, 2, 2))
    bench.receive(10.2, "b", AppendOk(0, 2, 2))
    bench.receive(10.2, "x", AppendOk(0, 2, 2))  # an observer does not count
    assert (bench.slot.commit, bench.sends()) == (0, [])
    bench.receive(10.3, "c", AppendOk(0, 2, 1))
    assert committed(bench) == [((2, 0), 1)]
    assert bench.sends() == [(EVERYONE, Commit(0, 2, 1))]
    bench.receive(10.4, "e", AppendOk(0, 2, 2))
    assert committed(bench) == [((2, 1), 2)]
    bench.receive(10.5, "d", AppendOk(0, 2, 1))
    assert (bench.slot.commit, bench.events()) == (2, [])


def test_where_two_commit_a_voter_knows_it_by_its_own_acknowledgement() -> None:
    bench = follower(commit_quorum=2)
    bench.receive(1.0, "c", Append(0, 4, 0, 0, items(1, 2)))
    assert bench.sends() == [("c", AppendOk(0, 4, 2))]
    assert committed(bench) == [((4, 0), 1), ((4, 1), 2)], "c holds them, too"
    bench.receive(1.1, "c", Append(0, 4, 3, 0, items(4)))
    assert bench.events() == [], "something is missing before it"


def test_it_does_not_while_it_may_not_acknowledge() -> None:
    bench = follower(1, commit_quorum=2)
    bench.can_save = False
    bench.receive(1.0, "b", StartEpoch(0, 6, state([(4, 0), (6, 1)], 1), 0, ""))
    bench.receive(1.0, "b", Append(0, 6, 1, 1, items(2)))
    assert (bench.sends(), committed(bench)) == ([], [])
    bench.can_save = True
    bench.save(1.1)
    assert bench.sends() == [("b", AppendOk(0, 6, 2))]
    assert committed(bench) == [((6, 0), 2)]


def test_an_observer_does_not_it_is_told() -> None:
    observer = follower(1, me="d", commit_quorum=2)
    assert (observer.slot.log.end, observer.slot.commit) == (1, 0)
    bench = coordinator()
    bench.replication.publish(10.0, items(1))
    bench.receive(10.1, "b", AppendOk(0, 2, 1))
    bench.replication.publish(10.2, items(2))
    bench.receive(10.3, "d", AppendOk(0, 2, 1))
    bench.sends()
    bench.receive(10.4, "c", AppendOk(0, 2, 2))
    assert bench.sends() == [(EVERYONE, Commit(0, 2, 2))]


def test_where_two_commit_and_nobody_observes_nobody_is_told() -> None:
    bench = coordinator()
    bench.replication.publish(10.0, items(1))
    bench.sends()
    bench.receive(10.1, "b", AppendOk(0, 2, 1))
    assert (bench.slot.commit, bench.sends()) == (1, [])


def items_at(bench: Bench, first: int, end: int) -> list[Item]:
    log = bench.slot.log
    return list(log.items[first - log.base : end - log.base])


def test_what_was_taken_over_is_committed_by_acknowledgements_of_this_epoch() -> None:
    bench = coordinator(1, 2)
    assert bench.slot.commit == 0
    for epoch in (1, 3):
        bench.receive(10.0, "b", AppendOk(0, epoch, 2))
    assert bench.slot.commit == 0, "that was said in another epoch"
    bench.receive(10.0, "b", AppendOk(0, 2, 2))
    assert committed(bench) == [((1, 0), 1), ((1, 1), 2)]


def test_a_voter_alone_commits_at_once() -> None:
    bench = Bench("a", "a")
    bench.tick(0.0)
    bench.tick(1.0)
    assert bench.slot.role is Role.COORDINATOR
    bench.forget_outputs()
    bench.replication.publish(1.0, items(1))
    assert committed(bench) == [((1, 0), 1)]


def test_a_commit_waits_for_its_items() -> None:
    bench = follower(1)
    bench.receive(1.0, "c", Commit(0, 4, 3))
    assert committed(bench) == [((4, 0), 1)]
    bench.receive(1.0, "c", Append(0, 4, 1, 1, items(2, 3, 4)))
    assert committed(bench) == [((4, 1), 2), ((4, 2), 3)]
    bench.receive(1.0, "c", Commit(0, 4, 2))
    assert bench.events() == []


def test_a_new_epoch_has_its_own_positions() -> None:
    bench = follower(1, 2, commit=2)
    bench.receive(1.0, "b", StartEpoch(0, 6, state([(4, 0), (6, 2)], 2), 2, ""))
    bench.receive(1.0, "b", Append(0, 6, 2, 3, items(3)))
    assert committed(bench) == [((6, 0), 3)]


# Repeats.


def test_a_repeat_is_not_appended() -> None:
    bench = coordinator()
    bench.replication.publish(10.0, [item(1), item(1)])
    assert bench.replication.publish(10.1, [item(1)]) == []
    assert bench.slot.log.end == 1
    bench.receive(10.2, "b", AppendOk(0, 2, 1))
    bench.sends()
    again = item(1)
    assert bench.replication.publish(10.3, [again]) == [(again, (2, 0))]
    assert (bench.slot.log.end, bench.sends()) == (1, [])


def test_a_repeat_of_what_was_taken_over_is_not_appended() -> None:
    bench = coordinator(1, 2)
    assert bench.replication.publish(10.0, items(2)) == []
    assert bench.slot.log.end == 2


def test_a_repeat_that_stands_in_the_log_is_dropped_alike_by_everybody() -> None:
    bench = follower(1, 1, 2)
    bench.receive(1.0, "c", Commit(0, 4, 3))
    [repeated, told] = bench.events()
    assert repeated == Repeated(0, ("p", 1, "/c/x"), (4, 0))
    assert isinstance(told, Committed)
    assert [at for at, _ in told.entries] == [(4, 0), (4, 2)]
    assert told.end == (4, 2)


def test_the_logs_clock_goes_on_over_elections() -> None:
    bench = Bench("a")
    bench.follow(0.0, "b", 1)
    bench.receive(0.0, "b", Append(0, 1, 0, 0, [item(1, clock=5_000_000)]))
    bench.stand(5.0)
    bench.grant(10.0, "b", 1, state([(1, 0)], 1))
    bench.replication.publish(10.5, items(2))
    bench.replication.publish(10.4, items(3))
    assert [one.clock for one in bench.slot.log.items] == [5_000_000, 5_000_500, 5_000_500]


# Rule 8: fencing.


@pytest.mark.parametrize(
    "packet", [Reject(0, 3), StartEpoch(0, 3, state([(1, 0), (3, 1)], 1), 0, "")], ids=["reject", "start"]
)
def test_a_higher_epoch_ends_a_coordinators_role(packet: object) -> None:
    bench = coordinator(1)
    bench.replication.publish(10.0, items(2))
    bench.receive(11.0, "c", packet)
    assert (bench.slot.role, bench.slot.promised) == (Role.FOLLOWER, 3)
    assert bench.promises() == {0: 3}
    assert not bench.replication.accepts(11.0)
    assert bench.slot.accepts is bool(bench.slot.coordinator), "only another one takes publishes"
    bench.sends()
    commit = bench.slot.commit
    for voter in "bcd":
        bench.receive(11.0, voter, AppendOk(0, 2, 2))
    assert (bench.slot.commit, bench.sends()) == (commit, [])


def test_a_higher_epoch_ends_the_copying_of_a_log() -> None:
    """Its coordinator must not get an acknowledgement of one that has promised more."""
    bench = follower(1)
    bench.receive(1.0, "b", StartEpoch(0, 6, state([(4, 0), (6, 1)], 2), 0, ""))
    bench.receive(1.1, "d", Reject(0, 9))
    bench.sends()
    bench.receive(1.2, "b", Range(0, 6, 1, items(2), 0))
    bench.tick(2.0)
    assert (bench.slot.accepted, bench.slot.log.end, bench.sends()) == (4, 1, [])


def test_an_acknowledgement_that_comes_to_a_follower() -> None:
    bench = follower(1, 2)
    for voter in "bc":
        bench.receive(1.0, voter, AppendOk(0, 4, 2))
        bench.receive(1.0, voter, AppendOk(0, 4, 9))
    assert (bench.slot.commit, bench.sends()) == (0, [])


def test_a_nack_that_says_nothing_new_is_none() -> None:
    bench = coordinator()
    bench.receive(11.0, "c", Reject(0, 2))
    assert bench.slot.role is Role.COORDINATOR


def test_its_own_packets_come_back_to_a_coordinator() -> None:
    bench = coordinator(1)
    for packet in (Append(0, 2, 1, 0, items(5)), StartEpoch(0, 2, state([(1, 0)], 1), 0, ""), Commit(0, 2, 1)):
        bench.receive(11.0, "a", packet)
    assert (bench.slot.role, bench.slot.log.end, bench.slot.commit) == (Role.COORDINATOR, 1, 0)
    assert bench.sends() == []
