"""Brokers that give topics no ids: a real one behind a proxy that takes them, or the newer protocol, away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from loadtest.kafka.broker import RealKafka
from tests.field.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.old_broker import FETCH, KAFKA_2_7, LIST_OFFSETS, METADATA, PRODUCE, WITHOUT_IDS, OldBroker
from tests.support.produce import Source
from tests.support.raw import Raw
from tests.support.subscriber import Subscriber, live_subscriber, settled
from whimbrel import events

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]

PUBLISHER = "a-publisher-of-its-own"


def seen(subscriber: Subscriber) -> list[tuple[int, bytes | None]]:
    return [(message.at[1], message.value) for message in subscriber.messages]


def text_of_status(node: RunningNode) -> str:
    command = [str(Path(sys.executable).with_name("whimbrel")), "status", "--admin", node.admin]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("newest", "hides_ids"), [(KAFKA_2_7, False), (WITHOUT_IDS, True)], ids=["Kafka 2.7", "zero ids"]
)
def test_topics_without_ids(
    own_kafka: RealKafka,
    unique_topic: Callable[[], str],
    start_node: StartNode,
    newest: Mapping[int, int],
    hides_ids: bool,
) -> None:
    """Two topics are two logs, for who subscribes and who publishes. One that is created again is a new log, whether
    the node has seen it gone or not: the old one ends, and everything in the new one comes. What it costs is said.

    (The broker is its own, for librdkafka 2.16 cannot read a list of a hundred small topics without ids.)
    """
    topics = one, other = f"old-{unique_topic()}", f"old-{unique_topic()}"
    for topic in topics:
        own_kafka.create_topic(topic)
    with OldBroker(own_kafka.bootstrap, newest, hides_ids) as broker:
        node = start_node(",".join(topics), bootstrap=broker.bootstrap, publish=",".join(topics))
        (log,), (other_log,) = node.wait_for_topic(one, 1), node.wait_for_topic(other, 1)
        assert log != other_log
        with live_subscriber(node, one, f"/{one}/*") as first, live_subscriber(node, other, f"/{other}/*") as second:
            source = Source(own_kafka.bootstrap)
            with Raw(node.url) as raw:
                for seq, topic in enumerate((one, other, one)):
                    source.send(topic, "k", topic)
                    raw.send("publish", subject=f"/{topic}/k", publisher=PUBLISHER, seq=seq, text=topic)
                    raw.until(lambda frame: frame["op"] == "published")
            first.wait_messages(4)
            second.wait_messages(2)
            assert seen(first) == [(n, one.encode()) for n in range(4)]
            assert seen(second) == [(n, other.encode()) for n in range(2)]

            looks = broker.count(LIST_OFFSETS)
            node.wait(lambda: broker.count(LIST_OFFSETS) >= looks + 2, "a look at the ends")
            own_kafka.delete_topic(one)
            own_kafka.create_topic(one)
            Source(own_kafka.bootstrap).send(one, "k", b"new")
            first.wait_messages(5)
            first.wait(lambda sub: sub.all(events.Ended), "the end of the old log")
            assert [m.value for m in settled(first)[4:]] == [b"new"]
            with Subscriber(node.url, f"/{one}/*") as late:
                assert [m.value for m in late.wait_messages(1)] == [b"new"]

            own_kafka.delete_topic(other)
            node.wait(lambda: not node.partitions(other), "the topic to be gone")
            own_kafka.create_topic(other)
            node.wait_for_topic(other, 1)
            Source(own_kafka.bootstrap).send(other, "k", b"new")
            second.wait_messages(3)
            assert [m.value for m in settled(second)[2:]] == [b"new"]
            assert first.gaps == second.gaps == []

        assert [note for note in node.status()["notes"] if "no ids" in note]
        assert "note: Kafka gives topics no ids" in text_of_status(node)
        assert node.log.count("topics_without_ids") == 1
        versions = dict([*broker.asked])
        assert (versions[METADATA] < 10) == (not hides_ids)
        assert versions[FETCH] < 13
        assert PRODUCE in versions, "nothing went past the proxy"
