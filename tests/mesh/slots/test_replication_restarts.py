"""Nodes that restart, and what an older start of them said: rules 9 and 10 of replication.py, and what is asked for."""

from __future__ import annotations

from mesh.slots.copying import Fetch, Range, Trimmed
from mesh.slots.election import Grant
from mesh.slots.replication import Append, AppendOk, StartEpoch, Sync
from mesh.slots.slot import EVERYONE, Opened
from tests.mesh.slots.slot_bench import LOG, Bench, items, state
from tests.mesh.slots.test_replication import coordinator, follower, items_at

# Rule 9: a voter that was restarted.


def test_a_restarted_voter_acknowledges_nothing_until_it_has_the_log_as_it_was_when_it_asked() -> None:
    bench = Bench("a", promised=4)
    bench.receive(1.0, "c", StartEpoch(0, 4, state([(4, 0)], 0), 0, ""))
    assert bench.sends() == [("c", Sync(0))]
    bench.receive(1.3, "c", Append(0, 4, 0, 0, items(1)))
    assert bench.sends() == [("c", Sync(0))]
    bench.receive(1.3, "c", StartEpoch(0, 4, state([(4, 0)], 0), 0, "a0"))
    assert bench.sends() == [], "the answer to an earlier start of it"
    assert (bench.slot.accepted, bench.slot.is_synced, bench.slot.log.end) == (0, False, 0)
    bench.receive(1.4, "c", StartEpoch(0, 4, state([(4, 0)], 1), 0, "a1"))
    assert bench.events(Opened) == [Opened(0, LOG)]
    assert not bench.slot.is_synced
    bench.receive(1.4, "c", Range(0, 4, 0, items(1), 0))
    assert bench.slot.is_synced
    assert bench.sends() == [("c", Fetch(0, 4, 0)), ("c", AppendOk(0, 4, 1))]


def test_an_observer_takes_any_start() -> None:
    bench = Bench("d")
    bench.receive(1.0, "c", StartEpoch(0, 4, state([(4, 0)], 0), 0, ""))
    assert bench.sends() == [("c", AppendOk(0, 4, 0))]
    assert not bench.slot.is_synced
    assert bench.promises() == {}, "its promises count for nothing"
    bench.receive(1.0, "c", Append(0, 4, 0, 0, items(1)))
    assert bench.slot.log.end == 1


def test_what_an_older_start_of_a_voter_acknowledged_does_not_count() -> None:
    bench = coordinator(1)
    bench.receive(10.0, "c", AppendOk(0, 2, 0), "c1")
    bench.receive(10.1, "c", Sync(0), "c2")
    assert bench.sends() == [("c", StartEpoch(0, 2, state([(1, 0), (2, 1)], 1), 0, "c2"))]
    bench.receive(10.2, "c", AppendOk(0, 2, 1), "c1")
    assert bench.slot.commit == 0
    bench.receive(10.3, "c", AppendOk(0, 2, 1), "c2")
    assert bench.slot.commit == 1


def test_nor_does_what_a_start_acknowledged_that_was_over_when_the_voter_voted() -> None:
    bench = Bench("a")
    bench.follow(0.0, "b", 1)
    bench.stand(5.0)
    bench.receive(10.0, "c", Grant(0, 2, "a1", True, 1, state([(1, 0)], 0)), "c2")
    bench.replication.publish(10.0, items(1))
    bench.receive(10.1, "c", AppendOk(0, 2, 1), "c1")
    assert bench.slot.commit == 0
    bench.receive(10.2, "c", AppendOk(0, 2, 1), "c2")
    assert bench.slot.commit == 1


def test_what_a_voter_acknowledged_before_it_restarted_is_forgotten() -> None:
    bench = coordinator(1)
    bench.receive(10.0, "c", Sync(0), "c2")
    bench.receive(10.0, "c", AppendOk(0, 2, 1), "c2")
    bench.replication.publish(10.0, items(2))
    assert bench.replication.lead(10.0, "c") == 1
    bench.receive(10.1, "c", Sync(0), "c3")
    assert bench.replication.lead(10.1, "c") is None


def test_a_late_question_of_an_older_start_does_not_silence_the_voter_for_ever() -> None:
    bench = coordinator()
    bench.receive(11.0, "c", Sync(0), "c2")
    bench.receive(11.0, "c", Sync(0), "c1")
    voter = Bench("c", promised=2)
    voter.slot.boot = "c2"
    for to, packet in bench.sends():
        assert to == "c"
        voter.receive(11.0, "a", packet)
    now = 11.0
    for number in range(10):
        for _, packet in voter.sends():
            bench.receive(now, "c", packet, "c2")
        now += 0.2
        bench.replication.publish(now, items(number))
        for to, packet in bench.sends():
            if to in (EVERYONE, "c"):
                voter.receive(now, "a", packet)
    assert bench.slot.commit >= 8


def test_an_acknowledgement_of_an_unknown_start_is_answered_with_whom_it_is_taken_for() -> None:
    bench = coordinator()
    bench.receive(10.0, "c", AppendOk(0, 2, 0), "c1")
    bench.receive(10.0, "c", AppendOk(0, 2, 0), "c2")
    assert bench.sends() == [("c", StartEpoch(0, 2, state([(2, 0)], 0), 0, "c1"))]
    voter = Bench("c")
    voter.follow(0.0, "a", 2)
    voter.slot.boot = "c2"
    voter.receive(10.0, "a", StartEpoch(0, 2, state([(2, 0)], 0), 0, "c1"))
    assert voter.sends() == [("a", Sync(0))]


# Rule 10: a coordinator that nobody hears.


def test_a_coordinator_without_fresh_acknowledgements_takes_no_publishes() -> None:
    bench = coordinator()
    assert bench.replication.accepts(11.9)
    assert not bench.replication.accepts(12.1)
    bench.receive(12.2, "x", AppendOk(0, 2, 0))
    assert not bench.replication.accepts(12.3), "an observer does not count"
    bench.receive(12.2, "c", AppendOk(0, 2, 0))
    assert bench.replication.accepts(12.3)
    assert bench.replication.accepts(14.1)
    assert not bench.replication.accepts(14.3)


def test_nor_one_with_too_much_uncommitted() -> None:
    bench = Bench("a", uncommitted_max=2)
    bench.coordinate(10.0)
    bench.replication.publish(10.0, items(1))
    assert bench.replication.accepts(10.0)
    bench.replication.publish(10.0, items(2))
    assert not bench.replication.accepts(10.0)
    bench.receive(10.0, "b", AppendOk(0, 2, 2))
    assert bench.replication.accepts(10.0)


# Answering questions.


def test_who_coordinates_answers_who_does_not_says_nothing() -> None:
    bench = coordinator(1)
    bench.receive(11.0, "c", Sync(0))
    assert bench.sends() == [("c", StartEpoch(0, 2, state([(1, 0), (2, 1)], 1), 0, "c1"))]
    other = follower(1)
    other.receive(11.0, "c", Sync(0))
    assert other.sends() == []


def test_a_range_is_of_the_log_of_an_epoch_that_this_node_has_promised_or_accepted() -> None:
    bench = follower(1, 2, 3, commit=1)
    bench.promise(6)
    for epoch in (4, 6):
        bench.receive(1.0, "b", Fetch(0, epoch, 1))
        assert bench.sends() == [("b", Range(0, epoch, 1, items_at(bench, 1, 3), 1))]
    for epoch in (3, 5, 7):
        bench.receive(1.0, "b", Fetch(0, epoch, 1))
    assert bench.sends() == []


def test_who_has_nothing_to_give_says_nothing() -> None:
    """A voter that was restarted says nothing of the epoch that it coordinated before, so that it is missed."""
    bench = follower(1, 2)
    bench.receive(1.0, "b", Fetch(0, 4, 2))
    bench.receive(1.0, "b", Fetch(0, 4, 3))
    assert bench.sends() == []


def test_a_range_is_bounded() -> None:
    bench = Bench("a", range_items_max=2)
    bench.follow(0.0, "c", 4, 1, 2, 3)
    bench.receive(1.0, "b", Fetch(0, 4, 0))
    assert bench.sends() == [("b", Range(0, 4, 0, items_at(bench, 0, 2), 3))]


def test_what_was_let_go_of_is_said_to_be() -> None:
    bench = Bench("a", tail_items_max=4)
    bench.follow(0.0, "c", 4)
    bench.receive(0.0, "c", Append(0, 4, 0, 5, items(1, 2, 3, 4, 5)))
    assert bench.slot.log.base == 3
    bench.forget_outputs()
    bench.receive(1.0, "b", Fetch(0, 4, 2))
    assert bench.sends() == [("b", Trimmed(0, 4, 3))]


# Delays, for people.


def test_the_delay_of_each_replica_is_measured_about_once_a_second() -> None:
    bench = coordinator()
    for name in "bcd":
        bench.receive(10.0, name, AppendOk(0, 2, 0))
    bench.replication.publish(10.5, items(1))
    bench.receive(10.52, "b", AppendOk(0, 2, 1))
    bench.replication.publish(10.55, items(2))
    bench.receive(10.60, "c", AppendOk(0, 2, 2))
    bench.receive(10.65, "b", AppendOk(0, 2, 2))
    assert {name: round(delay, 3) for name, delay in bench.replication.acknowledgements.delay_s.items()} == {
        "b": 0.02,
        "c": 0.1,
    }
    bench.replication.publish(11.5, items(3))
    bench.receive(11.53, "c", AppendOk(0, 2, 3))
    assert round(bench.replication.acknowledgements.delay_s["c"], 3) == 0.03
    bench.receive(15.0, "d", Sync(0), "d2")
    bench.receive(15.0, "d", AppendOk(0, 2, 3), "d2")
    assert "d" not in bench.replication.acknowledgements.delay_s, "it was not there when that was sent"
