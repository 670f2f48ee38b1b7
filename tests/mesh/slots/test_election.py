"""How one voter stands, votes, wins, copies and hands over: rules 1, 2, 3, 11 and 12 of election.py."""

from __future__ import annotations

import pytest

from mesh.slots.copying import Fetch, Range
from mesh.slots.election import HAND_OVER_MAX_S, RECOVERY_MAX_S, Grant, Resign, Vote
from mesh.slots.replication import Append, AppendOk, Reject, StartEpoch
from mesh.slots.slot import EVERYONE, CacheWanted, Committed, Opened, Role, RoleChanged, SlotConfig
from tests.mesh.slots.slot_bench import LOG, Bench, items, state


def follower(*numbers: int, me: str = "a", heard_at: float = 0.0) -> Bench:
    """Follows c in epoch 4."""
    bench = Bench(me)
    bench.follow(heard_at, "c", 4, *numbers)
    return bench


def stood(*numbers: int) -> Bench:
    """A candidate in epoch 5 from 6.0 on."""
    bench = follower(*numbers)
    assert bench.stand(5.0) == 5
    bench.forget_outputs()
    return bench


def recovering() -> Bench:
    """Elected in epoch 5, lacks the last two of four items, which b has."""
    bench = stood(1, 2)
    bench.grant(6.0, "b", 4, state([(4, 0)], 4))
    assert bench.slot.role is Role.RECOVERING
    assert bench.sends() == [("b", Fetch(0, 5, 2))]
    bench.forget_outputs()
    return bench


# Rule 1: when to stand.


def stands_at(bench: Bench, start: float) -> float | None:
    """The first time from `start` on, in steps of 10 ms, at which it stands."""
    for step in range(500):
        bench.tick(start + step / 100)
        if bench.slot.role is Role.CANDIDATE:
            return start + step / 100
    return None


@pytest.mark.parametrize(("order", "delay_s"), [("abc", 0.0), ("bac", 0.15), ("cba", 0.3)])
def test_the_silence_of_the_coordinator_and_then_one_after_the_other(order: str, delay_s: float) -> None:
    bench = follower(heard_at=10.0)
    bench.election.voters(order)
    assert stands_at(bench, 10.0) == pytest.approx(11.0 + delay_s, abs=0.021)


def test_a_dead_coordinator_is_not_waited_for() -> None:
    bench = follower(heard_at=10.0)
    bench.election.voters("ba")
    assert stands_at(bench, 10.0) == pytest.approx(10.15, abs=0.021)


def test_a_coordinator_that_is_heard_is_left_alone() -> None:
    bench = follower()
    for step in range(100):
        bench.receive(step / 10, "c", Append(0, 4, 0, 0, []))
        bench.tick(step / 10)
    assert bench.slot.role is Role.FOLLOWER


def test_nobody_stands_who_cannot_win() -> None:
    bench = follower()
    bench.election.voters("a")
    assert stands_at(bench, 10.0) is None
    unsynced = Bench("a")
    unsynced.election.voters("ab")
    assert stands_at(unsynced, 10.0) is None, "all voters are needed"
    unsynced.election.voters("abc")
    assert stands_at(unsynced, 20.0) == pytest.approx(20.5, abs=0.021), "later than one that holds the log"


def test_an_observer_neither_stands_nor_votes() -> None:
    bench = Bench("d")
    bench.follow(0.0, "c", 4)
    assert stands_at(bench, 10.0) is None
    bench.receive(20.0, "a", Vote(0, 9, False))
    assert (bench.sends(), bench.slot.promised) == ([], 4)


# Rule 2: standing and voting.


def test_a_candidate_promises_itself_the_next_epoch_before_it_asks() -> None:
    bench = follower(1)
    bench.stand(5.0)
    assert bench.promises() == {0: 5}
    assert bench.sends() == [("b", Vote(0, 5, False)), ("c", Vote(0, 5, False))]
    assert bench.events() == [RoleChanged(0, 5, Role.CANDIDATE, "")]


def test_a_candidate_that_does_not_win_tries_again_later_in_the_next_epoch() -> None:
    bench = stood(1)
    bench.tick(6.6)
    assert bench.sends() == []
    bench.tick(7.3)
    assert bench.promises() == {0: 6}
    assert bench.sends() == [("b", Vote(0, 6, False)), ("c", Vote(0, 6, False))]


def test_a_vote_is_a_durable_promise_and_says_what_the_voter_holds() -> None:
    bench = follower(1, 2)
    bench.receive(5.0, "b", Vote(0, 6, False), "b7")
    assert bench.promises() == {0: 6}
    assert bench.sends() == [("b", Grant(0, 6, "b7", True, 4, state([(4, 0)], 2), False, 0))]
    assert (bench.slot.coordinator, bench.slot.accepted) == ("", 4)


@pytest.mark.parametrize("epoch", [3, 4])
def test_what_was_promised_is_not_given_to_another(epoch: int) -> None:
    bench = follower()
    bench.receive(5.0, "b", Vote(0, epoch, True))
    assert bench.sends() == [("b", Reject(0, 4))]
    assert bench.promises() == {}


def test_one_vote_an_epoch() -> None:
    bench = follower()
    bench.receive(5.0, "b", Vote(0, 5, False))
    bench.sends()
    for candidate in "cb":
        bench.receive(5.0, candidate, Vote(0, 5, False))
        assert bench.sends() == [(candidate, Reject(0, 5))]


def test_a_voter_sticks_to_the_coordinator_that_it_hears() -> None:
    bench = follower(heard_at=10.0)
    bench.receive(10.7, "b", Vote(0, 5, False))
    assert (bench.sends(), bench.promises()) == ([], {})
    bench.receive(10.7, "c", Vote(0, 5, False))
    assert [to for to, _ in bench.sends()] == ["c"], "the coordinator itself may have another epoch"
    bench = follower(heard_at=10.0)
    bench.receive(10.9, "b", Vote(0, 5, False))
    assert [to for to, _ in bench.sends()] == ["b"], "not when it has been silent"
    bench = follower(heard_at=10.0)
    bench.receive(10.1, "b", Vote(0, 5, True))
    assert [to for to, _ in bench.sends()] == ["b"], "not when the coordinator wants it"


def test_a_coordinator_votes_only_if_it_has_lost_its_quorum() -> None:
    bench = Bench("a")
    bench.coordinate(10.0, 1)
    bench.receive(11.0, "b", Vote(0, 3, False))
    assert (bench.sends(), bench.slot.role) == ([], Role.COORDINATOR)
    bench.receive(13.0, "b", Vote(0, 3, False))
    assert bench.sends() == [("b", Grant(0, 3, "b1", True, 2, state([(1, 0), (2, 1)], 1), True, 0))]
    assert bench.slot.role is Role.FOLLOWER


def test_who_has_voted_gives_the_candidate_time() -> None:
    bench = follower()
    bench.receive(5.0, "b", Vote(0, 5, False))
    assert stands_at(bench, 5.0) == pytest.approx(5.6, abs=0.021)


def test_a_vote_ends_the_copying_of_a_log() -> None:
    bench = follower(1)
    bench.receive(5.0, "b", StartEpoch(0, 5, state([(4, 0), (5, 1)], 3), 0, ""))
    bench.receive(7.0, "c", Vote(0, 6, False))
    bench.sends()
    bench.receive(7.1, "b", Range(0, 5, 1, items(2, 3), 0))
    assert (bench.slot.accepted, bench.slot.log.end, bench.sends()) == (4, 1, [])


def test_so_does_standing() -> None:
    bench = follower(1)
    bench.receive(5.0, "b", StartEpoch(0, 5, state([(4, 0), (5, 1)], 3), 0, ""))
    assert bench.stand(7.0) == 6
    bench.forget_outputs()
    bench.receive(8.1, "b", Range(0, 5, 1, items(2, 3), 0))
    assert (bench.slot.accepted, bench.slot.log.end, bench.sends()) == (4, 1, [])


def test_a_restarted_voter_keeps_its_promise() -> None:
    bench = Bench("a", promised=7)
    bench.receive(5.0, "b", Vote(0, 7, False))
    assert bench.sends() == [("b", Reject(0, 7))]
    bench.receive(5.0, "b", Vote(0, 8, False))
    assert bench.sends() == [("b", Grant(0, 8, "b1", False, 0, state([], 0, incarnation=""), False, 7))]


def test_who_holds_the_log_does_not_vote_for_who_does_not_but_stands_above_it() -> None:
    bench = follower(1)
    bench.receive(5.0, "b", Vote(0, 6, False, is_synced=False))
    assert bench.sends() == []
    assert bench.promises() == {0: 6}
    assert stands_at(bench, 5.0) == pytest.approx(5.0, abs=0.021)
    assert bench.slot.promised == 7
    unsynced = Bench("a", promised=4)
    unsynced.receive(5.0, "b", Vote(0, 6, False, is_synced=False))
    assert [type(packet) for _, packet in unsynced.sends()] == [Grant]


def test_it_does_not_so_while_it_hears_a_coordinator_or_recovers() -> None:
    bench = follower(1, heard_at=10.0)
    bench.receive(10.1, "b", Vote(0, 6, False, is_synced=False))
    assert (bench.sends(), bench.slot.promised) == ([], 4)
    bench = recovering()
    bench.receive(6.1, "c", Vote(0, 6, False, is_synced=False))
    assert (bench.slot.role, bench.slot.promised) == (Role.RECOVERING, 5)


# Rule 3: winning.


def test_r_votes_win_and_the_log_of_the_candidate_is_the_best() -> None:
    bench = stood(1, 2)
    bench.grant(6.1, "c", 4, state([(4, 0)], 1))
    assert bench.slot.role is Role.COORDINATOR
    assert bench.sends() == [(EVERYONE, StartEpoch(0, 5, state([(4, 0), (5, 2)], 2), 2, ""))]
    assert bench.slot.accepted == 5


@pytest.mark.parametrize(
    ("accepted", "log"),
    [(4, state([(4, 0)], 4)), (3, state([(3, 0)], 9))],
    ids=["longer", "of a lower epoch and therefore worse, though longer"],
)
def test_the_best_log_is_of_the_highest_epoch_and_then_the_longest(accepted: int, log: object) -> None:
    bench = stood(1, 2)
    bench.grant(6.0, "b", accepted, log)  # type: ignore[arg-type]
    assert bench.slot.role is (Role.RECOVERING if accepted == 4 else Role.COORDINATOR)


def test_what_the_best_log_has_is_copied_before_the_epoch_begins() -> None:
    bench = recovering()
    bench.receive(6.1, "b", Range(0, 5, 2, items(3), 0))
    assert bench.sends() == [("b", Fetch(0, 5, 3))]
    assert (bench.slot.role, bench.slot.accepted, bench.slot.log.end) == (Role.RECOVERING, 4, 2)
    bench.receive(6.2, "b", Range(0, 5, 3, items(4), 0))
    assert bench.slot.role is Role.COORDINATOR
    assert bench.sends() == [(EVERYONE, StartEpoch(0, 5, state([(4, 0), (5, 4)], 4), 2, ""))]
    assert bench.events(Committed) == [], "of what was copied"
    bench.receive(6.3, "b", AppendOk(0, 5, 4))
    assert bench.slot.commit == 4


@pytest.mark.parametrize(
    "grant",
    [
        Grant(0, 4, "a1", True, 4, state([(4, 0)], 0)),
        Grant(0, 6, "a1", True, 4, state([(4, 0)], 0)),
        Grant(0, 5, "a0", True, 4, state([(4, 0)], 0)),
    ],
    ids=["of another epoch", "of a later epoch", "to an earlier start of the candidate"],
)
def test_a_vote_that_does_not_count(grant: Grant) -> None:
    bench = stood()
    bench.receive(6.1, "b", grant)
    assert bench.slot.role is Role.CANDIDATE


def test_nor_does_one_of_an_observer_nor_the_same_twice() -> None:
    bench = Bench("a", "abcde")
    bench.follow(0.0, "c", 4)
    bench.stand(5.0)
    bench.forget_outputs()
    for voter in "bbxy":
        bench.grant(6.1, voter, 4, state([(4, 0)], 0))
    assert not bench.events(RoleChanged)
    bench.grant(6.1, "e", 4, state([(4, 0)], 0))
    assert bench.slot.role is Role.COORDINATOR


@pytest.mark.parametrize(
    "packet",
    [StartEpoch(0, 6, state([(4, 0), (6, 2)], 2), 0, ""), Reject(0, 6), Vote(0, 6, False)],
    ids=["start", "reject", "vote"],
)
def test_a_higher_epoch_ends_a_recovery(packet: object) -> None:
    """Else what it waited for would make a second coordinator, in an epoch in which it was not elected."""
    bench = recovering()
    bench.receive(6.1, "c", packet)
    bench.receive(6.2, "b", Range(0, 5, 2, items(3, 4), 0))
    bench.cache_filled(6.2, (4, 3))
    assert (bench.slot.role, bench.slot.promised) == (Role.FOLLOWER, 6)
    assert bench.slot.accepted != 5
    assert bench.slot.log.end == 2


def test_after_a_higher_epoch_what_its_coordinator_answers_is_not_lost() -> None:
    bench = recovering()
    bench.receive(6.1, "c", StartEpoch(0, 6, state([(4, 0), (6, 2)], 3), 0, ""))
    bench.receive(6.2, "c", Range(0, 6, 2, items(9), 0))
    assert (bench.slot.accepted, bench.slot.log.end) == (6, 3)


def test_a_higher_epoch_ends_a_recovery_that_waits_for_a_cache() -> None:
    bench = stood(1, 2)
    bench.grant(6.0, "b", 4, state([(4, 0)], 40, base=30))
    bench.receive(6.1, "c", Reject(0, 6))
    bench.cache_filled(6.2, (4, 39))
    assert (bench.slot.role, bench.slot.accepted, bench.slot.log.end) == (Role.FOLLOWER, 4, 2)


def test_a_higher_epoch_ends_a_candidacy() -> None:
    bench = stood()
    bench.receive(6.1, "b", Reject(0, 8))
    assert (bench.slot.role, bench.slot.promised) == (Role.FOLLOWER, 8)
    bench.receive(6.2, "b", Grant(0, 5, "a1", True, 4, state([(4, 0)], 0)))
    bench.receive(6.2, "b", Grant(0, 8, "a1", True, 4, state([(4, 0)], 0)))
    assert bench.slot.role is Role.FOLLOWER


def test_a_recovery_that_does_not_come_to_an_end_is_given_up() -> None:
    bench = recovering()
    bench.tick(6.2)
    assert bench.sends() == [("b", Fetch(0, 5, 2))]
    bench.tick(6.0 + RECOVERY_MAX_S)
    assert bench.slot.role is Role.FOLLOWER
    bench.tick(6.1 + RECOVERY_MAX_S)
    assert (bench.slot.role, bench.slot.promised) == (Role.CANDIDATE, 6)


def test_a_recovery_from_a_cache() -> None:
    bench = stood(1, 2)
    bench.grant(6.0, "b", 4, state([(4, 0)], 40, base=30))
    assert bench.events(CacheWanted) == [CacheWanted(0, LOG, "b")]
    bench.cache_filled(6.5, (4, 38))
    assert bench.sends() == [("b", Fetch(0, 5, 39))]
    bench.receive(6.6, "b", Range(0, 5, 39, items(40), 0))
    assert bench.slot.role is Role.COORDINATOR
    assert (bench.slot.log.base, bench.slot.commit) == (39, 39)


# Rule 11: too few hold the log.


def test_a_voter_without_memory_is_not_counted_among_r() -> None:
    bench = stood(1)
    bench.grant(6.0, "b", 0, state([], 0, incarnation=""), is_synced=False)
    assert not bench.events(RoleChanged)
    bench.grant(6.0, "c", 0, state([], 0, incarnation=""), is_synced=False)
    assert bench.slot.role is Role.COORDINATOR, "but all voters together know that nobody holds more"


def test_a_candidate_without_memory_takes_the_log_that_is_left() -> None:
    bench = Bench("a", promised=4)
    bench.stand(5.0)
    bench.forget_outputs()
    bench.grant(6.0, "b", 4, state([(4, 0)], 1))
    assert bench.slot.role is Role.CANDIDATE
    bench.grant(6.0, "c", 0, state([], 0, incarnation=""), is_synced=False, lost_epoch=3)
    assert bench.sends() == [("b", Fetch(0, 5, 0))], "c alone has lost what b may not have"
    bench.receive(6.1, "b", Range(0, 5, 0, items(1), 0))
    assert (bench.slot.role, bench.slot.log.end, bench.slot.incarnation) == (Role.COORDINATOR, 1, LOG)


def test_when_all_memory_is_lost_another_log_begins() -> None:
    bench = Bench("a", promised=4)
    bench.stand(5.0)
    for voter in "bc":
        assert bench.slot.role is Role.CANDIDATE
        bench.grant(6.0, voter, 0, state([], 0, incarnation=""), is_synced=False)
    assert bench.slot.role is Role.COORDINATOR
    [opened] = bench.events(Opened)
    assert opened == Opened(0, bench.slot.incarnation)
    assert len(bench.slot.incarnation) == 8
    assert bench.sends()[-1] == (
        EVERYONE,
        StartEpoch(0, 5, state([(5, 0)], 0, incarnation=bench.slot.incarnation), 0, ""),
    )


# Rule 12: handing over.


def resigning() -> Bench:
    """a coordinates epoch 2 and is to hand over to b."""
    bench = Bench("a")
    bench.coordinate(10.0, 1)
    bench.receive(10.0, "b", AppendOk(0, 2, 0))
    bench.election.resign(10.0, "b")
    bench.forget_outputs()
    return bench


def test_it_takes_no_publishes_and_waits_until_all_is_committed_and_with_the_successor() -> None:
    bench = resigning()
    assert not bench.replication.accepts(10.0)
    bench.tick(10.1)
    bench.receive(10.2, "c", AppendOk(0, 2, 1))
    assert bench.slot.commit == 1
    bench.sends()
    bench.tick(10.2)
    assert bench.sends() == [], "b lacks something"
    bench.receive(10.3, "b", AppendOk(0, 2, 1))
    bench.tick(10.3)
    assert bench.sends() == [("b", Resign(0, 2))]
    assert (bench.slot.role, bench.slot.coordinator) == (Role.FOLLOWER, "")


def test_what_only_the_successor_holds_is_not_committed_yet() -> None:
    bench = Bench("a", "abcde")
    bench.follow(0.0, "b", 1)
    bench.stand(8.0)
    for voter in "bc":
        bench.grant(9.0, voter, 1, state([(1, 0)], 0))
    bench.replication.publish(10.0, items(1))
    bench.election.resign(10.0, "b")
    bench.receive(10.1, "b", AppendOk(0, 2, 1))
    bench.sends()
    bench.tick(10.1)
    assert bench.sends() == []
    bench.receive(10.2, "e", AppendOk(0, 2, 1))
    bench.sends()
    bench.tick(10.2)
    assert bench.sends() == [("b", Resign(0, 2))]


def test_a_successor_that_does_not_get_everything_does_not_get_the_slot() -> None:
    bench = resigning()
    bench.receive(10.2, "c", AppendOk(0, 2, 1))
    bench.tick(10.0 + HAND_OVER_MAX_S - 0.1)
    assert not bench.replication.accepts(10.0)
    bench.tick(10.0 + HAND_OVER_MAX_S)
    assert bench.replication.accepts(12.0)
    bench.receive(12.1, "b", AppendOk(0, 2, 1))
    bench.sends()
    bench.tick(12.2)
    assert bench.sends() == []


def test_who_is_asked_to_take_over_stands_at_once_and_says_that_it_was_asked() -> None:
    bench = follower(1, heard_at=10.0)
    bench.receive(10.0, "c", Resign(0, 4))
    assert bench.sends() == [("b", Vote(0, 5, True)), ("c", Vote(0, 5, True))]
    bench.receive(10.0, "c", Resign(0, 4))
    assert bench.sends() == [], "once"


@pytest.mark.parametrize("epoch", [3, 5])
def test_a_resignation_of_another_epoch_is_too_late(epoch: int) -> None:
    bench = follower(1)
    bench.receive(0.1, "c", Resign(0, epoch))
    assert bench.sends() == []


def test_a_resignation_crosses_an_election() -> None:
    bench = follower(1)
    bench.receive(5.0, "b", Vote(0, 5, False))
    bench.sends()
    bench.receive(5.0, "c", Resign(0, 4))
    assert bench.sends() == []
    unsynced = Bench("a", promised=4)
    unsynced.receive(5.0, "c", Resign(0, 4))
    assert unsynced.sends() == []


def test_a_resignation_that_is_lost_is_an_election_later() -> None:
    bench = resigning()
    bench.receive(10.3, "b", AppendOk(0, 2, 1))
    bench.tick(10.3)
    assert bench.slot.role is Role.FOLLOWER
    assert stands_at(bench, 10.3) == pytest.approx(11.5, abs=0.021)


def test_who_stepped_down_while_handing_over_hands_nothing_over_later() -> None:
    bench = resigning()
    bench.receive(10.1, "c", Reject(0, 7))
    assert bench.slot.role is Role.FOLLOWER
    epoch = bench.stand(12.0)
    bench.grant(13.0, "c", 2, state([(1, 0), (2, 1)], 1))
    assert (bench.slot.role, bench.slot.accepted) == (Role.COORDINATOR, epoch)
    for voter in "bc":
        bench.receive(13.0, voter, AppendOk(0, epoch, 1))
    bench.sends()
    bench.tick(13.1)
    assert (bench.slot.role, bench.sends()) == (Role.COORDINATOR, [])
    assert bench.replication.accepts(13.1)


# Configuration.


@pytest.mark.parametrize(
    ("voters", "commit_quorum", "elect_quorum"),
    [("", 0, 0), ("aa", 0, 0), ("abc", 2, 1), ("abcd", 3, 2), ("abc", 1, 2), ("abc", 2, 4), ("a", 2, 1), ("abc", 4, 2)],
)
def test_quorums_that_do_not_intersect_or_cannot_be(voters: str, commit_quorum: int, elect_quorum: int) -> None:
    with pytest.raises(ValueError):
        SlotConfig(voters=tuple(voters), commit_quorum=commit_quorum, elect_quorum=elect_quorum)


def test_quorums_are_majorities_unless_said_otherwise() -> None:
    for voters, quorum in (("a", 1), ("abc", 2), ("abcd", 3), ("abcde", 3)):
        config = SlotConfig(voters=tuple(voters))
        assert (config.commit_quorum, config.elect_quorum) == (quorum, quorum)
