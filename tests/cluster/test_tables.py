"""Nodes of different age of one cluster answer alike when they are asked for a compacted topic's latest values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.kafka.broker import RealKafka
from tests.support.cluster import Cluster, ClusterNode
from tests.support.produce import Source
from tests.support.subscriber import Subscriber
from whimbrel import Latest

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]

KEYS, PARTITIONS = 1_000, 2
TINY = {"cache.bytes": "64KiB", "cache.ttl": "1s", "cache.snapshot_ttl": "1s"}
"""A cache that holds a hundred messages, for a second: what is older is in the table only."""


class Values:
    """What the latest values are to be."""

    def __init__(self, source: Source, topic: str) -> None:
        self._source = source
        self._topic = topic
        self.now: dict[str, bytes] = {}

    def set(self, keys: range, words: str) -> None:
        for number in keys:
            self.now[f"k{number}"] = b'"%d %s"' % (number, words.encode())
            self._source.add(self._topic, f"k{number}", self.now[f"k{number}"])
        self._source.flush()

    def delete(self, keys: range) -> None:
        for number in keys:
            del self.now[f"k{number}"]
            self._source.add(self._topic, f"k{number}", None)
        self._source.flush()


def answer(node: ClusterNode, topic: str, expected: dict[str, bytes]) -> dict[str, bytes]:
    """What a node has of each key for who subscribes to the latest values, once it has read what there is of it."""
    with Subscriber(node.url, f"/{topic}/*", start=Latest()) as first:
        first.wait(lambda one: by_key(one) == expected, "values as expected")
    with Subscriber(node.url, f"/{topic}/*", start=Latest()) as found:
        found.wait(lambda one: len(one.live_logs) == PARTITIONS, "live")
        found.wait_messages(len(expected))
        assert all(message.snapshot for message in found.messages)
        assert not found.gaps
        return by_key(found)


def by_key(subscriber: Subscriber) -> dict[str, bytes]:
    found = {(message.key or b"").decode(): message.value for message in [*subscriber.messages]}
    return {key: value for key, value in found.items() if value is not None}


def test_nodes_of_different_age_answer_alike(
    tmp_path: Path, real_kafka: RealKafka, unique_topic: Callable[[], str]
) -> None:
    """One node has seen everything, and lost it from its cache; one comes later; then the first is away for a while.
    Right: whoever is asked, every key's latest value comes, and none of a key that was deleted.
    """
    topic = unique_topic()
    real_kafka.create_topic(topic, partitions=PARTITIONS, config={"cleanup.policy": "compact"})
    source = Source(real_kafka.bootstrap)
    values = Values(source, topic)
    values.set(range(KEYS), "at first")

    def alike(*names: str) -> None:
        for name in names:
            assert answer(cluster[name], topic, values.now) == values.now, f"node {name}"

    cluster = Cluster(
        tmp_path, "ab", voters="a", namespaces="", bootstrap=real_kafka.bootstrap, topics=topic, settings=TINY
    )
    try:
        cluster.start("a")
        values.set(range(100, 300), "while one ran")
        values.delete(range(200, 250))
        alike("a")
        cluster.start("b")
        alike("a", "b")
        values.set(range(500, 700), "while both ran")
        values.delete(range(650, 660))
        alike("a", "b")
        cluster["a"].stop()
        values.delete(range(50))
        values.set(range(210, 220), "again, while the first was away")
        alike("b")
        cluster["a"].start()
        cluster.wait_agreed()
        alike("a", "b")
    finally:
        cluster.kill_all()
