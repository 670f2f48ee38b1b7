"""Elections when memory is lost (rule 11 of election.py), or a disk takes no promises."""

from __future__ import annotations

import pytest

from mesh.slots.election import Grant, Vote
from mesh.slots.replication import Append, AppendOk, Reject, StartEpoch
from mesh.slots.slot import ANY_EPOCH, Opened, Role
from tests.mesh.slots.slot_bench import LOG, Bench, items, state
from tests.mesh.slots.test_election import follower


@pytest.mark.parametrize(
    ("is_author", "lost_epochs", "is_whole"),
    [
        (False, (4, 4), False),
        (False, (3, 4), True),
        (False, (3, 9), True),
        (True, (4, 4), True),
        (True, (4, 5), True),
        (True, (5, 5), False),
        (True, (5, ANY_EPOCH), False),
    ],
    ids=[
        "they may have committed more in the same epoch",
        "one of them alone commits nothing",
        "nor in a later one",
        "its coordinator has all of the epoch",
        "and one alone commits nothing in a later one",
        "they may have had a coordinator of their own",
        "a lost disk may have held any promise",
    ],
)
def test_the_only_log_is_taken_if_nothing_can_be_missing_in_it(
    is_author: bool, lost_epochs: tuple[int, int], is_whole: bool
) -> None:
    """b holds epoch 4; a and c have lost their memory, and have promised on their disks what they may have lost."""
    bench = Bench("a", promised=lost_epochs[0])
    bench.slot.lost_epoch = lost_epochs[0]
    bench.receive(4.0, "b", Reject(0, 9))
    bench.stand(5.0)
    bench.forget_outputs()
    bench.grant(6.0, "b", 4, state([(4, 0)], 1), is_author=is_author)
    bench.grant(6.0, "c", 0, state([], 0, incarnation=""), is_synced=False, lost_epoch=lost_epochs[1])
    assert bench.slot.role is (Role.RECOVERING if is_whole else Role.COORDINATOR)
    assert (bench.slot.incarnation == LOG) is is_whole
    assert bench.election.memory_losses == (not is_whole)


def test_a_survivor_that_may_be_behind_gives_up_its_log_too() -> None:
    bench = follower(1, 2)
    bench.receive(5.0, "b", Reject(0, 6))
    bench.stand(5.5)
    bench.forget_outputs()
    for voter in "bc":
        bench.grant(7.0, voter, 0, state([], 0, incarnation=""), is_synced=False, lost_epoch=6)
    assert (bench.slot.role, bench.slot.log.end, bench.slot.accepted) == (Role.COORDINATOR, 0, 7)
    assert bench.events(Opened) == [Opened(0, bench.slot.incarnation)]
    assert bench.slot.incarnation not in ("", LOG)


def test_a_voter_that_still_holds_a_log_follows_when_it_was_given_up() -> None:
    bench = follower(1, 2)
    bench.receive(5.0, "b", StartEpoch(0, 7, state([(7, 0)], 0, incarnation="M"), 0, ""))
    assert bench.events(Opened) == [Opened(0, "M")]
    assert (bench.slot.accepted, bench.slot.is_synced, bench.slot.log.end) == (7, True, 0)
    assert bench.sends() == [("b", AppendOk(0, 7, 0))]


# A promise that cannot be saved.


def test_who_cannot_save_its_promise_does_not_grant_and_goes_on_as_before() -> None:
    bench = follower(1)
    bench.can_save = False
    bench.receive(5.0, "b", Vote(0, 5, True))
    assert (bench.sends(), bench.slot.promised, bench.slot.coordinator) == ([], 4, "c")
    bench.receive(5.1, "c", Append(0, 4, 1, 0, items(2)))
    assert bench.sends() == [("c", AppendOk(0, 4, 2))]
    bench.can_save = True
    bench.receive(5.2, "b", Vote(0, 6, True))
    assert [type(packet) for _, packet in bench.sends()] == [Grant]


def test_a_coordinator_without_a_quorum_that_cannot_save_is_still_one_when_the_others_are_back() -> None:
    bench = Bench("a")
    bench.coordinate(10.0, 1)
    bench.can_save = False
    bench.receive(13.0, "b", Vote(0, 3, False))
    assert (bench.sends(), bench.slot.role, bench.slot.promised) == ([], Role.COORDINATOR, 2)
    bench.receive(13.1, "b", AppendOk(0, 2, 1))
    assert bench.replication.accepts(13.1)


def test_who_cannot_save_its_promise_does_not_stand() -> None:
    bench = follower(1)
    bench.can_save = False
    for step in range(100):
        bench.tick(5.0 + step / 20)
    assert (bench.sends(), bench.slot.role, bench.slot.promised) == ([], Role.FOLLOWER, 4)
    bench.can_save = True
    for step in range(100):
        bench.tick(10.0 + step / 20)
    assert bench.slot.role is Role.CANDIDATE


def test_who_cannot_save_its_promise_follows_the_coordinator_of_others_and_does_not_count() -> None:
    bench = follower(1)
    bench.can_save = False
    bench.receive(5.0, "b", StartEpoch(0, 7, state([(4, 0), (7, 1)], 1), 0, ""))
    bench.receive(5.1, "b", Append(0, 7, 1, 1, items(2)))
    assert bench.sends() == []
    assert (bench.slot.accepted, bench.slot.log.end, bench.slot.commit) == (7, 2, 1)
    bench.can_save = True
    bench.save(5.2)
    assert bench.sends() == [("b", AppendOk(0, 7, 2))]
    assert bench.promises() == {0: 7}
