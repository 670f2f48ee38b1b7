"""Where a log ends for readers: at the last stable offset, whatever is behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer

from loadtest.kafka.broker import RealKafka
from tests.field.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.patience import PATIENCE_S
from tests.support.produce import Source
from tests.support.subscriber import live_subscriber, settled
from whimbrel import events

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]


@contextmanager
def transaction(kafka: RealKafka, topic: str, *values: bytes) -> Iterator[Producer]:
    """One that is open, and has written these."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"of {topic}", "log_level": 0})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, "k")
    assert producer.flush(PATIENCE_S) == 0
    yield producer


def stuck(node: RunningNode, topic: str) -> list[str]:
    return [one for one in node.status()["problems"] if one.startswith(f"{topic} [0]: a transaction")]


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_transaction_that_is_open_when_the_node_starts(
    real_kafka: RealKafka,
    unique_topic: Callable[[], str],
    start_node: StartNode,
    source: Source,
    is_committed: bool,
) -> None:
    """The node is ready at once, names it when it hangs, and delivers what comes of it and what waited behind it."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    source.send(topic, "k", b"0")
    with transaction(real_kafka, topic, b"1") as open_one:
        source.send(topic, "k", b"2")
        node = start_node(topic, settings={"kafka.stuck_after": "1s", "cache.ttl": "100ms"})
        node.wait(lambda: stuck(node, topic), "word of the hanging transaction")
        assert "(last stable offset 1, high watermark 3)" in stuck(node, topic)[0]
        with live_subscriber(node, topic, f"/{topic}/*") as sub:
            sub.wait_messages(1)
            (open_one.commit_transaction if is_committed else open_one.abort_transaction)(PATIENCE_S)
            expected = [b"0", b"1", b"2"] if is_committed else [b"0", b"2"]
            sub.wait_messages(len(expected))
            assert [message.value for message in settled(sub)] == expected
            assert sub.gaps == []
        node.wait(lambda: not stuck(node, topic), "an end of the problem")


def test_a_topic_that_ends_with_the_mark_of_a_transaction_was_read_to_its_end(
    real_kafka: RealKafka, unique_topic: Callable[[], str], start_node: StartNode, source: Source
) -> None:
    """There is no lag, and when the topic is deleted its log has ended: nothing is missing."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    node = start_node(topic)
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        with transaction(real_kafka, topic, b"1") as producer:
            producer.commit_transaction(PATIENCE_S)
        sub.wait_messages(1)
        node.wait(lambda: node.partitions(topic)[0]["high_watermark"] == 2, "the mark")
        node.wait(lambda: node.partitions(topic)[0]["lag"] == 0, "no lag")
        real_kafka.delete_topic(topic)
        sub.wait(lambda one: one.all(events.Ended), "end of the log")
        assert sub.gaps == []


def test_a_partition_in_which_nothing_can_be_read(
    real_kafka: RealKafka, unique_topic: Callable[[], str], start_node: StartNode, source: Source
) -> None:
    """Only aborted transactions, more than the cache could hold: the node is ready, and what comes is delivered."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    with transaction(real_kafka, topic, *(b"%d" % number for number in range(700))) as producer:
        producer.abort_transaction(PATIENCE_S)
    node = start_node(topic, settings={"cache.bytes": "64KiB"})
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        source.send(topic, "k", b"1")
        sub.wait_messages(1)
        assert [message.value for message in settled(sub)] == [b"1"]
        assert sub.gaps == []
