"""Kafka has lost the end of a log (an unclean election of a leader): live, cached, replayed, fed and copied alike.

120 records are true, 30 more are lost, and the next epoch begins at 120.
"""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.link import events as link
from mesh.feed.feed_log import FeedConfig
from mesh.log import Entry, Gap, Position, Truncation
from node.backfill.questions import Measure, Scan, Scanned
from node.effects import AskKafka, FindStart, ReadFrom
from node.kafka.events import MeasureDone, OutOfRange, Record, ScanDone, StartFound, Unanswered
from node.publish_mark import mark
from tests.node.cores import ALONE, Nodes, OneNode, record

LOG = "0.x"
TRUNCATION = Truncation((0, 119), (1, 119))
GAP = Gap(LOG, (0, 119), (1, 119), "truncated")
NEW = [(1, offset) for offset in range(120, 130)]


def old(first: int, end: int) -> list[Record]:
    return [record(offset) for offset in range(first, end)]


def new(first: int = 120, end: int = 130) -> list[Record]:
    return [record(offset, epoch=1) for offset in range(first, end)]


def begun(node: OneNode) -> int:
    """The partition is found, and read from its beginning; the generation."""
    (find,) = node.find(1)
    return node.begin(find).generation


def loaded(records: list[Record]) -> tuple[OneNode, int]:
    """A node that has read these."""
    node = OneNode(ALONE)
    generation = begun(node)
    node.read(generation, *records)
    node.reach_end(generation)
    node.told()
    return node, generation


def resume(node: OneNode, at: Position = (0, 149)) -> None:
    node.subscribe(7, "/orders/k", link.Start("resume", place={LOG: at}))


def heard(node: OneNode) -> list[object]:
    """What a subscriber is told, in order: the answer, gaps, positions of messages."""
    said: list[object] = []
    for event in node.told():
        match event:
            case link.Answer():
                said += [event.answer, *event.gaps]
            case link.Page():
                said += [*event.gaps, *positions(event.data)]
            case link.LogGap():
                said.append(event.gap)
            case link.Live():
                said += [at for frame in event.json[1] for at in positions(frame)]
    return said


def positions(data: bytes) -> list[Position]:
    return [(int(epoch), int(seq)) for epoch, seq in re.findall(rb'"at":\[(\d+),(\d+)\]', data)]


def question(node: OneNode) -> AskKafka:
    (asked,) = node.all(AskKafka)
    return asked


# Cached.


def test_a_place_in_what_was_lost_is_answered_from_a_cache_that_was_filled_since() -> None:
    for end in (130, 195):
        node, _ = loaded([*old(0, 120), *new(120, end)])
        resume(node)
        assert heard(node) == ["gap", GAP, *((1, offset) for offset in range(120, end))]
    resume(node, (0, 119))
    assert heard(node)[:2] == ["full", (1, 120)], "nothing is missing here"


def test_a_place_behind_the_end_is_measured_and_what_comes_is_live() -> None:
    node, generation = loaded(old(0, 120))
    resume(node)
    asked = question(node)
    assert isinstance(asked.question, Measure)
    assert asked.question.position == (0, 149)
    node.core.kafka_event(node.now, MeasureDone(asked.ticket, Truncation((0, 119), (0, 119))))
    assert heard(node) == ["gap", Gap(LOG, (0, 119), (0, 119), "truncated")]
    node.read(generation, *new())
    assert heard(node) == NEW


def test_a_place_ahead_of_a_cache_that_lags_is_measured_and_all_of_the_new_epoch_follows() -> None:
    node, generation = loaded(old(0, 110))
    resume(node)
    node.core.kafka_event(node.now, MeasureDone(question(node).ticket, TRUNCATION))
    assert heard(node) == ["gap", GAP]
    node.read(generation, *old(110, 120), *new())
    assert heard(node)[-10:] == NEW


def test_a_log_that_grew_again_to_where_its_reader_begins_is_measured_there() -> None:
    """Nothing comes that would show it: without asking it would be noticed with the next record only."""
    node, generation = loaded(old(0, 130))
    node.core.kafka_event(node.now, OutOfRange(generation, "orders", 0))
    (find,) = node.all(FindStart)
    node.core.kafka_event(node.now, StartFound(find.source, 130, 0, (0, 129), 0))
    (begun,) = [*node.all(AskKafka)]
    node.core.kafka_event(node.now, Unanswered(begun.ticket, "no answer"))
    (read,) = node.all(ReadFrom)
    node.reach_end(read.generation)
    asked = question(node)
    assert asked.question == Measure(find.source, (0, 129))
    node.reach_end(read.generation)
    assert node.all(AskKafka) == [], "once"
    node.core.kafka_event(node.now, MeasureDone(asked.ticket, TRUNCATION))
    (read,) = node.all(ReadFrom)
    assert read.offset == 120
    node.read(read.generation, *new())
    resume(node)
    assert heard(node)[-10:] == NEW


# Replayed.


def test_what_the_cache_does_not_reach_is_told_by_the_scan() -> None:
    node = OneNode(ALONE)
    (find,) = node.find(1)
    generation = node.begin(find, 150, (1, 149)).generation
    node.read(generation, *new(150, 195))
    node.reach_end(generation)
    resume(node)
    asked = question(node)
    assert isinstance(asked.question, Scan)
    found = [("/orders/k", Entry((1, offset), None, 0, b"1", None)) for offset in range(120, 150)]
    node.core.kafka_event(node.now, ScanDone(asked.ticket, Scanned((1, 119), [GAP], found, (1, 149))))
    assert heard(node) == ["gap", GAP, *((1, offset) for offset in range(120, 195))]


# Live.


def live(lost: int = 150) -> tuple[OneNode, int]:
    """A node with a live subscription that has had what is lost since."""
    node, generation = loaded(old(0, 10))
    node.subscribe(7, "/orders/k", link.Start("now"))
    node.told()
    node.read(generation, *old(10, lost))
    node.told()
    return node, generation


def test_live_subscribers_hear_of_it_before_what_came_instead() -> None:
    node, generation = live()
    node.read(generation, *new())
    assert heard(node) == [GAP, *NEW]
    resume(node, (0, 130))
    assert heard(node) == ["gap", GAP, *NEW]
    resume(node, (0, 118))
    assert heard(node) == ["full", (0, 119), *NEW]


def test_one_batch_may_hold_the_end_of_one_epoch_and_the_next_ones() -> None:
    node, generation = live(140)
    node.read(generation, *old(140, 150), *new(), record(125, epoch=2))
    lost = [(0, offset) for offset in range(140, 150)]
    assert heard(node) == [*lost, GAP, *NEW, Gap(LOG, (1, 124), (2, 124), "truncated"), (2, 125)]


def test_the_reader_is_told_of_a_truncation_and_reads_on_where_kafka_went_on() -> None:
    node, generation = live()
    node.core.kafka_event(node.now, OutOfRange(generation, "orders", 0))
    (find,) = node.all(FindStart)
    node.core.kafka_event(node.now, StartFound(find.source, 0, 0, (0, -1), 0))
    asked = question(node)
    assert asked.question == Measure(find.source, (0, 149))
    node.core.kafka_event(node.now, MeasureDone(asked.ticket, TRUNCATION))
    (read,) = node.all(ReadFrom)
    assert read.offset == 120
    node.read(read.generation, *new())
    assert heard(node) == [GAP, *NEW]


def test_nothing_has_come_in_its_place_yet() -> None:
    node, generation = live()
    node.core.kafka_event(node.now, OutOfRange(generation, "orders", 0))
    (find,) = node.all(FindStart)
    node.core.kafka_event(node.now, StartFound(find.source, 0, 0, (0, -1), 0))
    node.core.kafka_event(node.now, MeasureDone(question(node).ticket, Truncation((0, 119), (0, 119))))
    (read,) = node.all(ReadFrom)
    assert read.offset == 120
    node.reach_end(read.generation)
    node.read(read.generation, *new())
    assert heard(node) == [GAP, *NEW]


def told_to_read_on(node: OneNode, generation: int) -> ReadFrom:
    """The reader begins anew behind the log's end, as after Kafka had deleted records or another node had read."""
    node.core.kafka_event(node.now, OutOfRange(generation, "orders", 0))
    (find,) = node.all(FindStart)
    node.core.kafka_event(node.now, StartFound(find.source, 0, 0, (0, -1), 0))
    node.core.kafka_event(node.now, Unanswered(question(node).ticket, "no answer"))
    (read,) = node.all(ReadFrom)
    assert read.offset == 150
    return read


def test_a_reader_that_begins_in_a_higher_epoch_may_have_jumped_over_records() -> None:
    node, generation = live()
    read = told_to_read_on(node, generation)
    node.read(read.generation, *new(150, 195))
    assert heard(node) == [], "not before Kafka has said whether it lost records"
    node.core.kafka_event(node.now, MeasureDone(question(node).ticket, TRUNCATION))
    (again,) = node.all(ReadFrom)
    node.read(read.generation, *new(195, 200))  # was on its way
    node.read(again.generation, *new(120, 200))
    assert heard(node) == [GAP, *((1, offset) for offset in range(120, 200))]


def test_a_clean_change_of_leaders_costs_one_question_where_the_reader_begins_and_none_later() -> None:
    node, generation = live()
    read = told_to_read_on(node, generation)
    node.read(read.generation, *new(150, 152))
    node.core.kafka_event(node.now, MeasureDone(question(node).ticket, None))
    (again,) = node.all(ReadFrom)
    assert again.offset == 150
    node.read(again.generation, *new(150, 152))
    node.read(again.generation, record(152, epoch=2))
    assert heard(node) == [(1, 150), (1, 151), (2, 152)]
    assert node.all(AskKafka) == []


def test_a_publish_that_was_lost_can_come_again() -> None:
    node, generation = loaded([])
    node.subscribe(7, "/orders/k", link.Start("now"))
    publish, _ = mark(("p", 1, "/orders/k"), "attempt")
    node.read(generation, *old(0, 2), record(2, headers=publish))
    node.told()
    node.read(generation, record(2, epoch=1, headers=publish))
    assert heard(node)[-1] == (1, 2)


# Fed and copied.


def cluster() -> tuple[OneNode, OneNode, Nodes, int]:
    """A node that reads and feeds, and one that is fed, with a live subscription at each."""
    configs = [replace(ALONE, name=name, cluster_address=f"{name}:1", joins=True, feed=FeedConfig()) for name in "ab"]
    nodes = Nodes(*configs)
    for node in nodes.nodes.values():
        assert node.find(1) == []
    nodes.run(3.2)
    generations = {}
    for name, node in nodes.nodes.items():
        (find,) = node.all(FindStart)
        generations[name] = node.begin(find).generation
        node.read(generations[name], *old(0, 10))
        node.reach_end(generations[name])
    nodes.run(6)
    feeder, follower = "ab" if nodes.nodes["a"].core.feed.feeding_count else "ba"
    for node in nodes.nodes.values():
        node.subscribe(7, "/orders/k", link.Start("now"))
        for read in node.all(ReadFrom):
            generations[feeder] = read.generation if node is nodes.nodes[feeder] else generations[feeder]
        node.told()
    return nodes.nodes[feeder], nodes.nodes[follower], nodes, generations[feeder]


def test_a_node_that_is_fed_tells_the_same() -> None:
    feeder, follower, nodes, generation = cluster()
    feeder.read(generation, *old(10, 150))
    nodes.run(0.5)
    assert heard(follower)[-1] == (0, 149)
    feeder.read(generation, *new())
    nodes.run(0.5)
    assert heard(follower) == [GAP, *NEW]
    resume(follower, (0, 140))
    assert heard(follower) == ["gap", GAP, *NEW]


def test_a_node_that_was_cut_off_is_repaired_and_tells_the_same() -> None:
    feeder, follower, nodes, generation = cluster()
    feeder.read(generation, *old(10, 140))
    nodes.run(0.5)
    assert heard(follower)[-1] == (0, 139)
    nodes.is_cut = True
    feeder.read(generation, *old(140, 150), *new())
    nodes.run(0.3)
    nodes.is_cut = False
    nodes.run(0.5)
    assert heard(follower) == [GAP, *NEW]
    assert follower.core.feed.repairs == 1
    resume(follower, (0, 149))
    assert heard(follower) == ["gap", GAP, *NEW]


def test_a_node_that_copied_the_log_knows_it_too() -> None:
    configs = [replace(ALONE, name=name, cluster_address=f"{name}:1", joins=True, feed=FeedConfig()) for name in "ab"]
    nodes = Nodes(*configs)
    first, second = nodes.nodes.values()
    first.find(1)
    nodes.run(3.2)
    (find,) = first.all(FindStart)
    generation = first.begin(find).generation
    first.read(generation, *old(0, 120), *new())
    first.reach_end(generation)
    nodes.run(1.5)
    assert second.find(1) == []
    nodes.run(1)
    assert second.all(FindStart) == []
    second.told()
    resume(second)
    assert heard(second) == ["gap", GAP, *NEW]


def test_a_peer_does_not_answer_for_what_kafka_has_lost() -> None:
    """It has the new epoch; where the old one ends it may not know."""
    nodes = Nodes(*(replace(ALONE, name=name, cluster_address=f"{name}:1", joins=True) for name in "ab"))
    first, second = nodes.nodes.values()
    for node in (first, second):
        node.find(1)
    nodes.run(3.2)
    for node, floor, records in (
        (first, (0, -1), [*old(0, 120), *new()]),
        (second, (1, 124), new(125, 130)),
    ):
        (find,) = node.all(FindStart)
        generation = node.begin(find, floor[1] + 1, floor).generation
        node.read(generation, *records)
        node.reach_end(generation)
    nodes.run(1.5)
    second.told()
    resume(second)
    nodes.run(0.5)
    asked = question(second)
    assert isinstance(asked.question, Scan)
    assert first.core.scan.refused == 1
