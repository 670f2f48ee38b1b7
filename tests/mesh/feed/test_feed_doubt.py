"""The feed, rule 7: what a node and the others do when Kafka does not answer its reader."""

from __future__ import annotations

from mesh.feed.feed_log import Apply, FeedBeacon, Read, Repair, Stop
from tests.mesh.feed.test_feed import FIRST, LOG, SECOND, THIRD, One, batch, feeding, records


def test_a_feeder_whose_reader_gets_no_answer_says_at_once_that_it_feeds_no_more() -> None:
    node = feeding(FIRST)
    while not node.sent:
        node.wait(0.05)
    node.sent.clear()  # the next beacon would be due in 0.1 s
    node.feed.doubt(node.now, LOG)
    assert node.wait(0.05) == []
    assert node.sent == [FeedBeacon([], False)]
    assert node.feed.feeder(LOG) is None
    node.wait(1.0)
    assert {len(packet.feeds) for packet in node.sent if isinstance(packet, FeedBeacon)} == {0}
    node.sent.clear()
    node.wait(1.0)  # by now all know
    assert node.sent == []


def test_when_nobody_else_could_read_either_the_feeder_goes_on_when_kafka_answers() -> None:
    node = feeding(FIRST)
    node.feed.doubt(node.now, LOG)
    assert node.wait(10.0) == []
    node.sent.clear()
    node.feed.trust(node.now, LOG)
    assert node.wait(0.1) == []
    assert node.sent == [FeedBeacon([(LOG, (0, 9))], False)]


def test_what_a_reader_still_delivers_without_an_answer_of_kafka_is_not_fed() -> None:
    node = feeding(FIRST)
    node.feed.doubt(node.now, LOG)
    node.applied(9, 3)
    node.wait(0.1)
    assert {type(packet) for packet in node.sent} == {FeedBeacon}
    assert node.feed.feeding_count == 0


def test_one_whose_reader_gets_no_answer_follows_another_and_stops_when_kafka_is_back() -> None:
    node = feeding(FIRST)
    node.feed.doubt(node.now, LOG)
    assert node.wait(5.0, hearing=THIRD) == []  # its reader stays on: how else would it see?
    assert node.get(THIRD, batch(9, 3)) == [Apply(LOG, records(10, 3), (0, 12), False)]
    assert node.feed.feeder(LOG) == THIRD
    node.feed.trust(node.now, LOG)
    assert node.wait(0.1, hearing=THIRD, end=12) == [Stop(LOG)]
    node.sent.clear()
    assert node.wait(2.9, hearing=THIRD, end=12) == []
    assert node.sent == []
    assert node.wait(0.2, hearing=THIRD, end=12) == [Read(LOG)]
    node.feed.reached(node.now, LOG)
    assert node.feed.feeding_count == 1


def test_one_whose_reader_gets_no_answer_has_holes_repaired_by_peers() -> None:
    node = feeding(FIRST)
    node.feed.doubt(node.now, LOG)
    node.hear(THIRD)
    assert node.get(THIRD, batch(19, 3)) == [Repair(LOG, (0, 9), [THIRD, SECOND])]


def test_one_whose_reader_gets_no_answer_feeds_again_when_it_is_back_and_the_other_has_gone() -> None:
    node = feeding(FIRST)
    node.feed.doubt(node.now, LOG)
    node.wait(1.0, hearing=SECOND)
    assert node.wait(2.0) == []
    node.feed.trust(node.now, LOG)
    node.applied(9, 1)
    assert node.feed.feeding_count == 1


def test_when_the_feeder_gives_a_log_up_the_next_takes_over_at_once() -> None:
    for me, after in ((SECOND, 0.0), (THIRD, 0.2)):
        node = One(me)
        node.wait(1.0, hearing=FIRST)
        node.feed.receive(node.now, FIRST, "1", FeedBeacon([("7.y", (0, 1))], False))
        assert node.feed.feeder(LOG) is None
        if after:
            assert node.wait(after - 0.05) == []
        assert node.wait(0.1) == [Read(LOG)]


def test_a_log_that_one_of_two_feeders_gives_up_is_still_fed() -> None:
    node = One(SECOND)
    for last in (FIRST, THIRD):
        node.hear(THIRD)
        node.hear(FIRST)
        node.hear(last)
        node.feed.receive(node.now, FIRST, "1", FeedBeacon([], False))
        assert node.wait(0.9) == []
        node.wait(0.05, hearing=THIRD)


def test_who_does_not_read_has_nothing_to_doubt() -> None:
    node = One(SECOND)
    node.hear(FIRST)
    node.feed.doubt(node.now, LOG)
    assert node.hear(FIRST) == []
    node.feed.members(node.now, [SECOND])
    assert node.wait(0.05) == [Read(LOG)]
    node.feed.reached(node.now, LOG)
    assert node.feed.feeding_count == 1
    node.feed.doubt(node.now, "7.y")
    node.feed.trust(node.now, "7.y")
