"""What a node says of itself, while it is so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from node.kafka.events import Found
from node.status.problems import Problems, missing_topics
from tests.node.cores import ALONE, OneNode, record

SETTINGS: Any = SimpleNamespace(uses_kafka=True, topics=[SimpleNamespace(name="orders"), SimpleNamespace(name="log.*")])


def one_worker() -> Any:
    return SimpleNamespace(all=[SimpleNamespace(settings=SimpleNamespace(index=0), stats={}, restarts=0)])


def problems(node: OneNode, workers: Any) -> Problems:
    return Problems(SETTINGS, node.core, workers, None)


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


def test_records_that_could_not_be_mapped_are_a_problem_for_a_while() -> None:
    node = OneNode(ALONE)
    generation = node.start_partitions(1)
    seen = problems(node, one_worker())
    node.read(generation, record(0, b"k" * 2000))
    seen.second(1.0)
    assert "1 record could not be mapped; the last: a key of 2000 bytes in topic 'orders'" in seen.now(1.0)
    assert not any("mapped" in problem for problem in seen.now(61.1))
