"""A compacted topic is a table: whoever subscribes to `latest` gets the latest value of every key, whatever the cache
holds, however old the node is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.users import KafkaUser
from tests.field.conftest import StartNode
from tests.support.node import RunningNode

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]

COMPACTED = {"cleanup.policy": "compact"}


def problems_of(node: RunningNode, topic: str) -> list[str]:
    return [problem for problem in node.status()["problems"] if repr(topic) in problem]


def test_without_the_right_to_see_configurations_it_is_said_that_a_topic_may_be_a_table(
    real_kafka: RealKafka, unique_topic: Callable[[], str], user: KafkaUser, start_node: StartNode
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic, config=COMPACTED)
    user.allow("READ", "DESCRIBE", topic=topic)
    user.allow("READ", "DESCRIBE", group="*")
    node = start_node(topic, user=user)
    [problem] = problems_of(node, topic)
    assert "DESCRIBE_CONFIGS" in problem
    assert "compacted = true" in problem
    user.allow("DESCRIBE_CONFIGS", topic=topic)
    node.wait(lambda: not problems_of(node, topic), "the node to see that the topic is compacted")
