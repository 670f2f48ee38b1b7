"""Kafka's logs on a node, as a whole core whose Kafka a test plays."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.link import events as link
from mesh.log import Gap
from node.effects import DEBUG, FindStart, LogLine, ReadFrom, StopReading
from node.kafka.events import Flow, Found, OutOfRange, StartFound, Unreachable, Where
from tests.node.cores import ALONE, OneNode, messages, record


def live(node: OneNode) -> list[object]:
    return [one["at"] for event in node.told() if isinstance(event, link.Live) for one in messages(event)]


def subscribed(count: int = 1) -> tuple[OneNode, int]:
    """A node with loaded partitions and a subscription that is live."""
    node = OneNode(ALONE)
    generation = node.start_partitions(count)
    node.subscribe(1, "/orders/*", link.Start("now"))
    node.told()
    return node, generation


def test_a_partition_is_found_read_and_loaded() -> None:
    node = OneNode(ALONE)
    (find,) = node.find(1)
    assert not node.core.is_ready
    read = node.begin(find)
    assert (read.topic, read.partition, read.offset) == ("orders", 0, 0)
    node.read(read.generation, record(0))
    node.reach_end(read.generation)
    assert node.core.is_ready


def test_records_of_an_ended_log_or_of_an_earlier_assignment_are_not_this_logs() -> None:
    node, generation = subscribed()
    node.read(generation - 1, record(0))
    assert live(node) == []
    node.read(generation, ("other", 0, 0, 0, b"k", b"1", 0, None))
    assert live(node) == []
    node.find(0)
    node.read(generation + 9, record(0))
    assert live(node) == []


def test_a_source_whose_beginning_is_not_known_yet_takes_nothing() -> None:
    node, generation = subscribed()
    node.find(2)
    node.read(generation, record(0, partition=1))
    assert live(node) == []


def test_live_messages_of_many_batches_leave_together() -> None:
    node, generation = subscribed(2)
    node.read(generation, record(0), record(0, partition=1))
    node.read(generation, record(1))
    (event,) = node.told()
    assert [one["at"] for one in messages(event)] == [[0, 0], [0, 0], [0, 1]]
    assert isinstance(event, link.Live)
    logs = [source.log_id for source in node.core.topics.all()]
    assert event.ends == {"orders": {logs[0]: (0, 1), logs[1]: (0, 0)}}


def test_a_page_is_not_overtaken_by_live_messages_that_follow_it() -> None:
    node, generation = subscribed()
    node.read(generation, record(0))
    node.subscribe(2, "/orders/k", link.Start("last", 1))
    node.take()
    node.read(generation, record(1))
    kinds = [type(event) for event in node.told()]
    assert kinds == [link.Live, link.Answer, link.Page, link.Live]


def test_a_hole_is_a_gap_up_to_the_next_record_and_nothing_reaches_across() -> None:
    node, generation = subscribed()
    node.read(generation, record(0))
    live(node)
    node.core.kafka_event(node.now, OutOfRange(generation, "orders", 0))
    (find,) = node.all(FindStart)
    source = find.source
    node.core.kafka_event(node.now, _start_again(find, earliest=9))
    (read,) = node.all(ReadFrom)
    assert read.offset == 9
    node.read(read.generation, record(9, epoch=1))
    gap, batch = node.told()
    assert gap == link.LogGap("orders", Gap(source.log_id, (0, 0), (1, 8), "retention"), None)
    assert "prev" not in messages(batch)[0]
    assert source.torn is None
    assert source.log is not None
    assert source.log.floor_of("/orders/k") == source.log.floor_of("/orders/other") == (1, 8)


def test_a_hole_in_a_log_that_is_not_loaded_is_no_news_but_known() -> None:
    """Deleted between asking where to begin and reading: subscribers may have had all of it from an earlier node."""
    node = OneNode(ALONE)
    (find,) = node.find(1)
    read = node.begin(find)
    node.core.kafka_event(node.now, OutOfRange(read.generation, "orders", 0))
    node.core.kafka_event(node.now, _start_again(find, earliest=9))
    (read,) = node.all(ReadFrom)
    node.read(read.generation, record(9, epoch=1))
    assert node.told() == []
    assert find.source.torn is None
    assert find.source.log is not None
    assert find.source.log.floor_of("/orders/k") == (1, 8)


def test_a_log_that_ends_is_read_no_more_and_its_subscribers_hear_of_it() -> None:
    node, generation = subscribed()
    node.read(generation, record(0))
    live(node)
    node.find(0)
    (stop,) = node.all(StopReading)
    assert stop.generation > generation
    assert [type(event) for event in node.told()] == [link.LogEnded]


def test_kafka_away_is_logged_when_it_begins_once_a_minute_and_when_it_is_over() -> None:
    node = OneNode(ALONE)

    def logged(event: Found | Unreachable, at: float) -> list[tuple[str, dict[str, object]]]:
        node.core.kafka_event(at, event)
        return [(line.name, line.fields) for line in node.all(LogLine) if line.level > DEBUG]

    assert logged(Unreachable("connection refused"), 105.0) == [
        ("kafka_unreachable", {"for_s": 5, "reason": "connection refused"})
    ]
    assert logged(Unreachable("connection refused"), 110.0) == []
    assert logged(Unreachable(""), 165.0) == [("kafka_unreachable", {"for_s": 65, "reason": "no answer"})]
    found = Found(["b"], {}, set(), {"orders"})
    assert ("kafka_reached", {"after_s": 70}) in logged(found, 170.0)
    assert logged(found, 170.0) == []
    assert logged(Unreachable("gone"), 171.0) == [("kafka_unreachable", {"for_s": 0, "reason": "gone"})]


def _start_again(find: FindStart, earliest: int) -> StartFound:
    return StartFound(find.source, earliest, earliest, (0, earliest - 1), 0)


def test_stalls_are_logged_when_they_last() -> None:
    node = OneNode(ALONE)
    generation = node.start_partitions(3)
    orders = [("orders", partition) for partition in range(3)]

    def logged(seconds: int, *, stalled: Sequence[Where] = (), flowing: Sequence[Where] = ()) -> list[object]:
        if stalled or flowing:
            node.core.kafka_event(node.now, Flow(generation, [*stalled], [*flowing]))
        for _ in range(seconds):
            node.now += 1.0
            node.core.tick(node.now)
        lines = [(line.name, line.fields) for line in node.all(LogLine)]
        return [line for line in lines if line[0].startswith("kafka_")]

    assert logged(3, flowing=orders) == [], "a reader that begins to read is no news"
    assert logged(0, stalled=orders) == logged(3, flowing=orders) == []
    assert logged(3, stalled=orders[1:]) == [("kafka_stalled", {"partitions": 2, "first": ("orders", 1)})]
    assert logged(3, flowing=orders[2:]) == [("kafka_flowing", {"partitions": 1})]
    node.find(1)
    assert logged(3) == [("kafka_flowing", {"partitions": 1})], "there is nothing to be read any more"
