"""The feed, rule by rule with one node and its packets; a whole world of them is in test_feed_world.py."""

from __future__ import annotations

import pytest

from mesh.feed.feed import Feed
from mesh.feed.feed_log import (
    BATCH_BYTES_MAX,
    EVERYONE,
    Apply,
    FeedBatch,
    FeedBeacon,
    FeedConfig,
    FeedEvent,
    Read,
    Record,
    Repair,
    Stop,
    batches,
    position_of,
)
from mesh.log import BEGINNING, Position
from mesh.placement import rank

LOG = "0.x"
FIRST, SECOND, THIRD = rank(LOG, ["a", "b", "c"])
ALL = [FIRST, SECOND, THIRD]


def records(first: int, count: int, size: int = 1) -> list[Record]:
    return [("t", 0, offset, 0, b"k", b"v" * size, 0, None) for offset in range(first, first + count)]


def batch(before: int, count: int, is_torn: bool = False, first: int | None = None) -> FeedBatch:
    some = records(before + 1 if first is None else first, count)
    return FeedBatch(LOG, (0, before), position_of(some[-1]), some, is_torn)


class One:
    """One node and a clock."""

    def __init__(self, me: str, alive: list[str] = ALL, end: Position = (0, 9), filled: bool = True, **config: float):
        self.feed = Feed(me, FeedConfig(**config))  # type: ignore[arg-type]
        self.now = 100.0
        self.feed.members(self.now, alive)
        self.feed.open(self.now, LOG, end, filled)
        self.sent: list[FeedBatch | FeedBeacon] = []

    def hear(self, sender: str, end: int = 9, boot: str = "1", is_leaving: bool = False) -> list[FeedEvent]:
        self.feed.receive(self.now, sender, boot, FeedBeacon([(LOG, (0, end))], is_leaving))
        return self.feed.take_events()

    def get(self, sender: str, packet: FeedBatch) -> list[FeedEvent]:
        self.feed.receive(self.now, sender, "1", packet)
        return self.feed.take_events()

    def wait(self, seconds: float, hearing: str = "", end: int = 9) -> list[FeedEvent]:
        events: list[FeedEvent] = []
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            if hearing:
                events += self.hear(hearing, end)
            self.feed.tick(self.now)
            events += self.feed.take_events()
            sends = self.feed.take_sends()
            assert all(to == EVERYONE for to, _ in sends)
            self.sent += [packet for _, packet in sends]
        return events

    def applied(self, before: int, count: int) -> None:
        some = records(before + 1, count)
        self.feed.applied(self.now, LOG, (0, before), position_of(some[-1]), some)


def feeding(me: str) -> One:
    """A node that feeds, for no better one is heard."""
    node = One(me)
    assert node.wait(3.0) == [Read(LOG)]
    node.feed.reached(node.now, LOG)
    node.wait(0.1)
    node.sent.clear()
    return node


# Who reads.


def test_a_node_that_is_alone_reads_at_once() -> None:
    node = One("a", ["a"])
    assert node.feed.take_events() == [Read(LOG)]


def test_a_node_that_becomes_alone_reads_at_once() -> None:
    node = One(SECOND)
    node.hear(FIRST)
    node.feed.members(node.now, [SECOND])
    assert node.wait(0.05) == [Read(LOG)]


def test_a_node_that_filled_its_log_from_kafka_goes_on_as_the_feeder() -> None:
    node = One(THIRD, filled=False)
    assert node.wait(3.0) == []
    node.feed.reached(node.now, LOG)
    assert node.feed.feeding_count == 1
    node.wait(0.1)
    assert FeedBeacon([(LOG, (0, 9))], False) in node.sent


def test_a_node_that_filled_its_log_stops_when_another_feeds_it_and_is_reached() -> None:
    node = One(FIRST, filled=False)
    node.wait(0.5, hearing=THIRD, end=20)
    node.feed.reached(node.now, LOG)
    assert node.wait(0.2, hearing=THIRD, end=20) == []
    node.applied(9, 11)
    assert node.hear(THIRD, 20) == [Stop(LOG)]
    assert node.feed.feeder(LOG) == THIRD


@pytest.mark.parametrize(("me", "after"), [(SECOND, 1.0), (THIRD, 1.2)])
def test_when_the_feeder_falls_silent_the_others_take_over_in_rank(me: str, after: float) -> None:
    node = One(me)
    assert node.wait(3.0, hearing=FIRST) == []
    assert node.wait(after - 0.1) == []
    assert node.wait(0.15) == [Read(LOG)]


def test_when_the_feeder_is_dead_the_next_takes_over_at_once() -> None:
    node = One(SECOND)
    node.wait(1.0, hearing=FIRST)
    node.feed.members(node.now, [SECOND, THIRD])
    assert node.wait(0.05) == [Read(LOG)]
    last = One(THIRD)
    last.wait(1.0, hearing=FIRST)
    last.feed.members(last.now, [SECOND, THIRD])
    assert last.wait(0.15) == []
    assert last.wait(0.1) == [Read(LOG)]


def test_a_death_that_has_nothing_to_do_with_the_feeder_changes_nothing() -> None:
    node = One(SECOND)
    node.wait(1.0, hearing=FIRST)
    node.feed.members(node.now, [FIRST, SECOND])
    assert node.wait(1.0, hearing=FIRST) == []
    fresh = One(SECOND)
    fresh.feed.members(fresh.now, [FIRST, SECOND])
    assert fresh.wait(0.9) == []


def test_a_feeder_says_nothing_before_its_reader_has_shown_that_it_reads() -> None:
    node = One(FIRST)
    assert node.wait(1.1) == [Read(LOG)]
    assert node.sent == []
    node.applied(9, 3)
    node.wait(0.1)
    assert node.sent[0] == FeedBatch(LOG, (0, 9), (0, 12), records(10, 3), False)
    assert node.sent[1] == FeedBeacon([(LOG, (0, 12))], False)


def test_a_feeder_beacons_ten_times_a_second() -> None:
    node = feeding(FIRST)
    node.wait(1.0)
    assert len(node.sent) == 10


def test_of_two_feeders_the_better_stays_and_the_other_stops_when_that_has_reached_it() -> None:
    node = feeding(SECOND)
    node.applied(9, 10)
    assert node.hear(FIRST, 12) == []
    node.applied(19, 10)  # what comes later does not count
    assert node.hear(FIRST, 18) == []
    assert node.hear(FIRST, 19) == [Stop(LOG)]
    better = feeding(FIRST)
    assert better.hear(SECOND, 30) == []
    assert better.feed.feeder(LOG) == FIRST


def test_a_restarted_better_feeder_must_reach_anew() -> None:
    node = feeding(SECOND)
    assert node.hear(FIRST, 8, boot="1") == []
    node.applied(9, 10)
    assert node.hear(FIRST, 10, boot="2") == []
    assert node.hear(FIRST, 19, boot="2") == [Stop(LOG)]


def test_the_first_in_rank_takes_over_from_a_feeder_that_is_well_when_all_is_quiet() -> None:
    node = One(FIRST)
    assert node.wait(2.9, hearing=THIRD) == []
    assert node.wait(0.2, hearing=THIRD) == [Read(LOG)]
    second = One(SECOND)
    assert second.wait(9.0, hearing=THIRD) == []


def test_a_change_of_the_members_puts_that_off() -> None:
    node = One(FIRST)
    node.wait(2.0, hearing=THIRD)
    node.feed.members(node.now, [FIRST, THIRD])
    assert node.wait(2.9, hearing=THIRD) == []
    assert node.wait(0.2, hearing=THIRD) == [Read(LOG)]


def test_one_that_lacks_something_does_not_take_over() -> None:
    node = One(FIRST)
    assert node.wait(0.2, hearing=THIRD, end=12) == [Repair(LOG, (0, 9), [THIRD, SECOND])]
    for _ in range(6):  # it comes slowly
        node.feed.moved(node.now, LOG, (0, node.feed._logs[LOG].end[1] + 1))
        assert node.wait(0.7, hearing=THIRD, end=40) == []
    node.feed.repaired(node.now, LOG, (0, 40))
    assert node.wait(0.05, hearing=THIRD, end=40) == [Read(LOG)]


def test_one_that_leaves_is_not_waited_for() -> None:
    node = One(SECOND)
    node.hear(FIRST, is_leaving=True)
    assert node.wait(2.9, hearing=THIRD) == []
    assert node.wait(0.2, hearing=THIRD) == [Read(LOG)]


def test_a_node_that_leaves_feeds_until_another_does() -> None:
    node = feeding(FIRST)
    node.feed.resign(node.now)
    assert node.wait(0.1) == []
    assert FeedBeacon([(LOG, (0, 9))], True) in node.sent
    assert node.feed.feeding_count == 1
    assert node.hear(THIRD, 9) == [Stop(LOG)]
    assert node.feed.feeding_count == 0


def test_the_next_takes_over_at_once_from_one_that_leaves() -> None:
    node = One(SECOND)
    node.wait(1.0, hearing=FIRST)
    node.hear(FIRST, is_leaving=True)
    assert node.wait(0.05) == [Read(LOG)]
    node.feed.reached(node.now, LOG)
    assert node.hear(FIRST, is_leaving=True) == []
    assert node.feed.feeder(LOG) == SECOND


def test_one_that_left_and_came_back_counts_again() -> None:
    node = feeding(SECOND)
    node.hear(FIRST, is_leaving=True)
    assert node.hear(FIRST, boot="2") == [Stop(LOG)]


# What is applied.


def test_a_batch_that_follows_is_applied() -> None:
    node = One(SECOND)
    assert node.get(FIRST, batch(9, 3)) == [Apply(LOG, records(10, 3), (0, 12), False)]
    assert node.get(FIRST, batch(9, 3)) == []


def test_of_a_batch_that_overlaps_what_is_new_is_applied() -> None:
    node = One(SECOND)
    assert node.get(FIRST, batch(7, 5)) == [Apply(LOG, records(10, 3), (0, 12), False)]


def test_a_hole_is_repaired_and_what_came_meanwhile_follows() -> None:
    node = One(SECOND)
    assert node.get(FIRST, batch(19, 3)) == [Repair(LOG, (0, 9), [FIRST, THIRD])]
    assert node.get(FIRST, batch(22, 2)) == []
    node.feed.moved(node.now, LOG, (0, 15))
    assert node.feed.take_events() == []
    node.feed.repaired(node.now, LOG, (0, 20))
    assert node.feed.take_events() == [
        Apply(LOG, records(21, 2), (0, 22), False),
        Apply(LOG, records(23, 2), (0, 24), False),
    ]


def test_a_beacon_that_is_ahead_shows_a_hole_when_nothing_follows() -> None:
    node = One(SECOND)
    assert node.hear(FIRST, 12) == []
    assert node.get(FIRST, batch(9, 3)) == [Apply(LOG, records(10, 3), (0, 12), False)]
    assert node.wait(0.5, hearing=FIRST, end=12) == []
    assert node.wait(0.2, hearing=FIRST, end=15) == [Repair(LOG, (0, 12), [FIRST, THIRD])]


def test_what_no_peer_can_repair_is_read_from_kafka_until_the_feeder_is_reached() -> None:
    node = One(SECOND)
    node.get(FIRST, batch(19, 3))
    node.feed.unrepaired(node.now, LOG)
    assert node.feed.take_events() == [Read(LOG)]
    node.applied(9, 8)
    assert node.hear(FIRST, 22) == []
    node.applied(17, 2)
    assert node.feed.take_events() == [Apply(LOG, records(20, 3), (0, 22), False)]
    assert node.hear(FIRST, 22) == [Stop(LOG)]
    node.wait(0.1)
    assert node.sent == []  # it read for itself alone


def test_an_older_beacon_that_comes_late_does_not_end_that() -> None:
    node = One(SECOND)
    node.get(FIRST, batch(30, 3))
    node.feed.unrepaired(node.now, LOG)
    node.applied(9, 8)
    assert node.hear(FIRST, 15) == [Read(LOG)]
    assert node.hear(FIRST, 15, boot="2") == [Stop(LOG)]


def test_a_batch_that_comes_late_closes_the_hole() -> None:
    node = One(SECOND)
    node.get(FIRST, batch(12, 3))
    assert node.get(FIRST, batch(9, 3)) == [
        Apply(LOG, records(10, 3), (0, 12), False),
        Apply(LOG, records(13, 3), (0, 15), False),
    ]


def test_a_repair_that_says_nothing_or_brings_nothing_has_failed() -> None:
    silent = One(SECOND)
    silent.get(FIRST, batch(19, 3))
    assert silent.wait(0.9, hearing=FIRST, end=22) == []
    silent.feed.moved(silent.now, LOG, (0, 12))
    assert silent.wait(0.9, hearing=FIRST, end=22) == []
    assert silent.wait(0.2, hearing=FIRST, end=22) == [Read(LOG)]
    empty = One(SECOND)
    empty.wait(0.2, hearing=FIRST, end=12)
    empty.feed.repaired(empty.now, LOG, (0, 9))
    assert empty.feed.take_events() == [Read(LOG)]


def test_one_that_mends_becomes_the_feeder_when_that_falls_silent() -> None:
    node = One(THIRD)
    node.get(FIRST, batch(19, 3))
    node.feed.unrepaired(node.now, LOG)
    node.applied(9, 1)
    node.wait(1.1)
    assert node.feed.feeding_count == 1
    assert FeedBeacon([(LOG, (0, 10))], False) in node.sent


def test_one_whose_reader_does_not_get_over_the_hole_asks_peers_again() -> None:
    node = One(SECOND)
    node.get(FIRST, batch(19, 3))
    node.feed.unrepaired(node.now, LOG)
    node.feed.take_events()
    assert node.wait(1.8, hearing=FIRST, end=22) == []
    assert node.wait(0.3, hearing=FIRST, end=22) == [Repair(LOG, (0, 9), [FIRST, THIRD])]


def test_a_feeder_leaves_a_hole_to_its_own_reader() -> None:
    node = feeding(FIRST)
    assert node.get(SECOND, batch(19, 3)) == []
    assert node.wait(0.5, hearing=SECOND, end=22) == []
    assert node.get(SECOND, batch(9, 3)) == [Apply(LOG, records(10, 3), (0, 12), False)]
    node.applied(12, 7)
    assert node.feed.take_events() == [Apply(LOG, records(20, 3), (0, 22), False)]


def test_what_came_early_is_bounded() -> None:
    node = One(SECOND, early_max=3)
    for number in range(10):
        node.get(FIRST, batch(20 + number, 1))
    node.feed.repaired(node.now, LOG, (0, 20))
    assert len(node.feed.take_events()) == 3
    big = One(SECOND, early_bytes_max=250)
    for number in range(10):
        big.get(FIRST, batch(20 + number, 1))
    big.feed.repaired(big.now, LOG, (0, 20))
    assert len(big.feed.take_events()) == 2
    big.feed.close(big.now, LOG)
    assert big.feed._early.bytes == 0


def test_what_kafka_has_deleted_is_said_once_by_who_lacks_it() -> None:
    torn = batch(9, 2, is_torn=True, first=50)
    assert One(SECOND).get(FIRST, torn) == [Apply(LOG, records(50, 2), (0, 51), True)]
    some = One(SECOND, end=(0, 30))
    assert some.get(FIRST, torn) == [Apply(LOG, records(50, 2), (0, 51), True)]
    none = One(SECOND, end=(0, 50))
    assert none.get(FIRST, torn) == [Apply(LOG, records(51, 1), (0, 51), False)]


def test_a_log_that_was_truncated_goes_on_in_its_next_epoch() -> None:
    node = One(SECOND)
    some: list[Record] = [("t", 0, 5, 1, b"k", b"v", 0, None)]
    assert node.get(FIRST, FeedBatch(LOG, (0, 9), (1, 5), some, False)) == [Apply(LOG, some, (1, 5), False)]
    assert node.get(FIRST, batch(9, 3)) == []


# What is sent.


def test_only_what_is_new_is_sent() -> None:
    node = feeding(FIRST)
    node.feed.applied(node.now, LOG, (0, 9), (0, 11), records(8, 4))
    node.feed.applied(node.now, LOG, (0, 11), (0, 11), records(8, 4))
    node.wait(0.05)
    assert [packet for packet in node.sent if isinstance(packet, FeedBatch)] == [
        FeedBatch(LOG, (0, 9), (0, 11), records(10, 2), False)
    ]


def test_large_batches_are_divided() -> None:
    some = records(0, 10, BATCH_BYTES_MAX // 3)
    parts = [*batches(LOG, BEGINNING, (0, 9), some, True)]
    assert [len(part.records) for part in parts] == [2, 2, 2, 2, 2]
    assert [(part.before[1], part.after[1]) for part in parts] == [(-1, 1), (1, 3), (3, 5), (5, 7), (7, 9)]
    assert [part.is_torn for part in parts] == [True, False, False, False, False]
    assert len([*batches(LOG, BEGINNING, (0, 0), records(0, 1, 2 * BATCH_BYTES_MAX), False)]) == 1


def test_in_direct_mode_every_node_reads_and_nobody_says_anything() -> None:
    node = One(SECOND, direct=True)
    assert node.feed.take_events() == [Read(LOG)]
    assert node.get(FIRST, batch(9, 3)) == []
    node.applied(9, 3)
    assert node.wait(5.0, hearing=FIRST, end=40) == []
    assert node.sent == []
    filling = One(SECOND, filled=False, direct=True)
    filling.feed.reached(filling.now, LOG)
    assert filling.feed.take_events() == []
    assert filling.feed.feeder(LOG) == SECOND


# The rest.


def test_it_is_known_who_feeds_a_log_that_is_not_open_here() -> None:
    node = One(FIRST)
    node.feed.receive(node.now, SECOND, "1", FeedBeacon([("7.y", (0, 3))], False))
    assert node.feed.feeder("7.y") == SECOND
    assert node.get(SECOND, FeedBatch("7.y", (0, 3), (0, 4), records(4, 1), False)) == []
    node.wait(2.1)
    assert node.feed.feeder("7.y") is None
    assert node.feed._feeders._heard.keys() == set()


def test_a_closed_log_is_nobodys_business() -> None:
    node = feeding(FIRST)
    node.feed.close(node.now, LOG)
    node.wait(0.3)
    assert node.sent == []
    node.feed.applied(node.now, LOG, (0, 9), (0, 10), records(10, 1))
    node.feed.reached(node.now, LOG)
    node.feed.repaired(node.now, LOG, (0, 10))
    assert node.feed.take_events() == []
    node.feed.open(node.now, LOG, (0, 9), True)
