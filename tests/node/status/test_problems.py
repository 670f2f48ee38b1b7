"""What a node says of itself, while it is so."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from gateway.link import codes
from node.effects import FindStart, ReadFrom
from node.kafka.events import Delivered, Flow, Found, NotDelivered, ReadError, StartUnknown, Where
from node.settings.schema import KafkaSettings, Settings, Topic
from node.status.problems import Problems, missing_topics
from tests.node.cores import ALONE, OneNode, record

SETTINGS = Settings(kafka=KafkaSettings(bootstrap="k:9092"), topics=(Topic(name="orders"), Topic(name="log.*")))


def one_worker() -> Any:
    worker = SimpleNamespace(settings=SimpleNamespace(index=0), stats={}, restarts=0, stood_still_at=None)
    return SimpleNamespace(all=[worker])


def problems(node: OneNode, workers: Any) -> Problems:
    return Problems(SETTINGS, node.core, workers, None, None)


def test_topics_that_do_not_exist() -> None:
    node = OneNode(ALONE)
    assert missing_topics(SETTINGS, node.core) == []  # not known yet
    node.core.kafka_event(node.now, Found(["b"], {}, set(), set()))
    assert missing_topics(SETTINGS, node.core) == ["orders"]
    assert "topic 'orders' does not exist in Kafka (yet)" in problems(node, one_worker()).now(node.now)
    node.find(1)
    assert missing_topics(SETTINGS, node.core) == []


def test_a_worker_that_starts_is_no_problem_one_that_stopped_is() -> None:
    node, workers = OneNode(ALONE), one_worker()
    seen = problems(node, workers)
    [worker] = workers.all
    assert not any("worker" in problem for problem in seen.now(1.0))
    worker.stats = {"messages_out": 0.0}
    seen.second(1.0)
    worker.stats = {}
    assert "worker 0 does not run" in seen.now(1.0)
    worker.restarts = 1
    assert "worker 0 does not run" in problems(node, workers).now(1.0)


def test_a_worker_that_was_killed_because_it_stood_still_is_a_problem_for_a_while() -> None:
    workers = one_worker()
    seen = problems(OneNode(ALONE), workers)
    workers.all[0].stood_still_at = 1.0
    assert "worker 0 stood still and was killed, 5 s ago" in seen.now(6.0)
    assert not any("stood still" in problem for problem in seen.now(61.1))


def test_records_that_could_not_be_mapped_are_a_problem_for_a_while() -> None:
    node = OneNode(ALONE)
    generation = node.start_partitions(1)
    seen = problems(node, one_worker())
    node.read(generation, record(0, b"k" * 2000))
    seen.second(1.0)
    assert "1 record could not be mapped; the last: a key of 2000 bytes in topic 'orders'" in seen.now(1.0)
    assert not any("mapped" in problem for problem in seen.now(61.1))


def test_a_topic_whose_configuration_may_not_be_seen_is_named_unless_the_mapping_says_what_it_is() -> None:
    for config, expected in ((ALONE, 1), (replace(ALONE, compacted=frozenset({"orders"})), 0)):
        node = OneNode(config)
        hidden = Found(["b"], {"orders": ("x", 1)}, set(), set(), undescribed=frozenset({"orders"}))
        node.core.kafka_event(node.now, hidden)
        [find] = node.all(FindStart)
        assert find.source.is_table is not bool(expected)
        found = [one for one in problems(node, one_worker()).now(node.now) if "DESCRIBE_CONFIGS" in one]
        assert len(found) == expected
        assert all("topic 'orders'" in one and "`compacted = true`" in one for one in found)


WHERES: list[Where] = [("orders", 0), ("orders", 1)]


def of_partitions(node: OneNode) -> list[str]:
    """What is said of partitions of Kafka."""
    return [one for one in problems(node, one_worker()).now(node.now) if one.startswith("orders [")]


def test_an_error_of_reading_is_a_problem_until_the_partition_is_read_again() -> None:
    node = OneNode(ALONE)
    generation = node.start_partitions(2)
    for where in WHERES:
        node.core.kafka_event(node.now, ReadError("bad compression", where))
    node.now += 60
    assert of_partitions(node) == ["orders [0] and 1 other partitions: it cannot be read: bad compression"]
    node.core.tick(node.now)
    again = {read.partition: read.generation for read in node.all(ReadFrom)}
    assert again.keys() == {0, 1}, "where nothing new is written only the end says that it is over"
    node.reach_end(again[0], 0)
    assert of_partitions(node) == ["orders [1]: it cannot be read: bad compression"]
    node.read(max(generation, again[1]), record(0, partition=1))
    assert of_partitions(node) == []


def test_that_kafka_does_not_tell_where_to_begin_is_a_problem_until_it_does() -> None:
    node = OneNode(ALONE)
    first, second = node.find(2)
    for find in (first, second):
        node.core.kafka_event(node.now, StartUnknown(find.source, "timed out"))
    assert of_partitions(node) == [
        "orders [0] and 1 other partitions: Kafka does not tell where to begin to read: timed out"
    ]
    node.begin(first)
    node.core.kafka_event(node.now, Found(["b"], {"orders": ("another", 1)}, set(), set()))
    assert of_partitions(node) == [], "the second has ended with its topic"


def test_a_reader_that_is_not_answered_is_a_problem_until_it_is_for_good() -> None:
    node = OneNode(ALONE)
    generation = node.start_partitions(2)

    def flow(stalled: list[Where], flowing: list[Where], seconds: float) -> list[str]:
        node.core.kafka_event(node.now, Flow(generation, stalled, flowing))
        node.now += seconds
        return of_partitions(node)

    unanswered = ["orders [0]: Kafka does not answer whoever reads it here"]
    assert flow([], WHERES, 10) == []
    assert flow(WHERES[:1], [], 1) == []
    assert flow([], [], 4) == unanswered
    assert flow([], WHERES[:1], 2) == unanswered, "a connection that is made anew answers once"
    assert flow(WHERES[:1], [], 1) == unanswered
    assert flow([], WHERES[:1], 10) == []
    assert flow(WHERES[:1], [], 1) == [], "it counts from now"
    assert flow([], [], 4) == unanswered
    node.read(generation, record(0))
    assert of_partitions(node) == []


def test_a_publish_that_kafka_did_not_answer_for_is_a_problem_until_one_succeeds() -> None:
    node = OneNode(ALONE)
    node.start_partitions(1)

    def said(ticket: int, code: int) -> list[str]:
        node.core.kafka_event(node.now, NotDelivered(ticket, code, "why", "orders"))
        return [one for one in problems(node, one_worker()).now(node.now) if "the last publish into it" in one]

    assert said(1, codes.FORBIDDEN) == [], "that is the publisher's"
    for code in (codes.OUTCOME_UNKNOWN, codes.KAFKA_UNAVAILABLE):
        assert said(2, code) == ["topic 'orders': Kafka did not answer for the last publish into it, 0 s ago: why"]
        node.core.kafka_event(node.now, Delivered(3, "orders", 0))
        assert said(4, codes.FORBIDDEN) == []


def test_a_topic_of_which_kafka_does_not_say_more_is_a_problem() -> None:
    node = OneNode(ALONE)
    node.core.kafka_event(node.now, Found(["b"], {}, set(), {"orders"}))
    assert any("topic 'orders': Kafka lists it" in problem for problem in problems(node, one_worker()).now(node.now))
    node.find(1)
    assert not any("Kafka lists it" in problem for problem in problems(node, one_worker()).now(node.now))
