"""What a node says of itself, while it is so."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from node.effects import FindStart
from node.kafka.events import Found
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
