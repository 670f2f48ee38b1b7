"""What may not be read, or not now, is neither gone nor at its end: it is named, waited for, and read on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.users import KafkaUser
from tests.field.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.produce import Source
from tests.support.raw import Raw
from tests.support.subscriber import live_subscriber, settled
from whimbrel import events

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]


def problems_of(node: RunningNode, topic: str, right: str) -> list[str]:
    return [one for one in node.status()["problems"] if repr(topic) in one and f"lacks the right {right} " in one]


def test_a_topic_that_may_be_described_but_not_read(
    real_kafka: RealKafka, unique_topic: Callable[[], str], user: KafkaUser, start_node: StartNode, source: Source
) -> None:
    """The node is ready with the others; the topic's subscribers are told why they wait; then it is read by itself."""
    readable, closed = unique_topic(), unique_topic()
    for topic in (readable, closed):
        real_kafka.create_topic(topic, 2)
        source.send(topic, "k", b"1")
    user.allow("DESCRIBE", "DESCRIBE_CONFIGS", topic=closed)
    user.allow("READ", "DESCRIBE_CONFIGS", topic=readable)
    user.allow("READ", group="*")
    node = start_node(f"{readable},{closed}", user=user)
    node.wait(lambda: problems_of(node, closed, "READ"), "a problem with the topic and the right")
    with Raw(node.url) as raw:
        raw.send("subscribe", subject=f"/{readable}/k")
        assert raw.until(lambda frame: frame["op"] == "msg")["json"] == 1
        raw.send("subscribe", subject=f"/{closed}/k")
        assert "READ" in raw.until(lambda frame: frame["op"] == "waiting")["why"]
        user.allow("READ", topic=closed)
        assert raw.until(lambda frame: frame["op"] == "msg")["json"] == 1
    node.wait(lambda: not problems_of(node, closed, "READ"), "an end of the problem")
    node.wait_for_topic(closed, 2)


def test_a_topic_that_is_named_but_may_not_be_described(
    real_kafka: RealKafka, unique_topic: Callable[[], str], user: KafkaUser, start_node: StartNode, source: Source
) -> None:
    """It is not said that it does not exist; a subscriber waits for it, and gets it when the right comes."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    source.send(topic, "k", b"1")
    node = start_node(topic, user=user)
    assert problems_of(node, topic, "DESCRIBE")
    assert not [one for one in node.status()["problems"] if "does not exist" in one]
    with Raw(node.url) as raw:
        raw.send("subscribe", subject=f"/{topic}/k")
        assert "DESCRIBE" in raw.until(lambda frame: frame["op"] == "waiting")["why"]
        user.allow("READ", "DESCRIBE_CONFIGS", topic=topic)
        assert raw.until(lambda frame: frame["op"] == "msg")["json"] == 1
    node.wait(lambda: not problems_of(node, topic, "DESCRIBE"), "an end of the problem")


@pytest.mark.parametrize("rights", [("DESCRIBE", "READ"), ("READ",)])
def test_a_right_that_is_taken_away_for_a_while(
    real_kafka: RealKafka,
    unique_topic: Callable[[], str],
    user: KafkaUser,
    start_node: StartNode,
    source: Source,
    rights: tuple[str, ...],
) -> None:
    """Not allowed is not deleted: what was written meanwhile comes afterwards, and nobody hears of an end or a gap."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    user.allow("DESCRIBE", "READ", "DESCRIBE_CONFIGS", topic=topic)
    node = start_node(topic, user=user)
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        for number in range(4):
            source.send(topic, "k", b"%d" % number)
        sub.wait_messages(4)
        user.withdraw(*rights, topic=topic)
        if "DESCRIBE" in rights:  # the right to see its configuration would be the right to describe it
            user.withdraw("DESCRIBE_CONFIGS", topic=topic)
        node.wait(lambda: problems_of(node, topic, rights[0]), "word of the missing right")
        for number in range(4, 8):
            source.send(topic, "k", b"%d" % number)
        log = node.partitions(topic)[0]["log"]
        user.allow(*rights, topic=topic)
        sub.wait_messages(8)
        node.wait(lambda: not problems_of(node, topic, rights[0]), "an end of the problem")
        source.send(topic, "k", b"8")
        sub.wait_messages(9)
        assert [message.value for message in settled(sub)] == [b"%d" % number for number in range(9)]
        assert sub.gaps == []
        assert sub.all(events.Ended) == []
    assert node.partitions(topic)[0]["log"] == log


def test_no_right_that_comes_back_leaves_a_problem_behind_where_nothing_new_is_written(
    real_kafka: RealKafka, unique_topic: Callable[[], str], user: KafkaUser, start_node: StartNode, source: Source
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    source.send(topic, "k", b"1")
    user.allow("READ", "DESCRIBE_CONFIGS", topic=topic)
    node = start_node(topic, user=user)
    node.wait_for_topic(topic, 1)
    user.deny("READ", topic=topic)
    node.wait(lambda: problems_of(node, topic, "READ"), "word of the missing right")
    user.withdraw("READ", topic=topic)
    user.allow("READ", topic=topic)
    node.wait(lambda: not problems_of(node, topic, "READ"), "an end of the problem")
