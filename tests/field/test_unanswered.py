"""A broker that answers, but not everything: what is not read for that is a problem in the status until it is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtest.kafka.broker import RealKafka
from tests.field.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.old_broker import FETCH, LIST_OFFSETS, OldBroker
from tests.support.produce import Source
from tests.support.subscriber import Subscriber

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]

QUICK = {"kafka.consumer.socket.timeout.ms": "1500", "kafka.consumer.socket.connection.setup.timeout.ms": "1000"}
"""After this librdkafka gives up waiting for an answer, and asks again."""


def problems_of(node: RunningNode, topic: str) -> list[str]:
    return [problem for problem in node.status()["problems"] if topic in problem]


@pytest.mark.parametrize(
    ("kind", "words"),
    [(LIST_OFFSETS, "does not tell where to begin to read"), (FETCH, "does not answer whoever reads it")],
    ids=["where to begin", "records"],
)
def test_a_question_that_a_broker_never_answers(
    real_kafka: RealKafka, unique_topic: Callable[[], str], start_node: StartNode, kind: int, words: str
) -> None:
    """The node is not ready, and says which partition is the reason; when the broker answers, neither is left."""
    topic = f"unanswered-{unique_topic()}"
    real_kafka.create_topic(topic)
    source = Source(real_kafka.bootstrap)
    source.send(topic, "k", b"1")
    with OldBroker(real_kafka.bootstrap, {}) as broker:
        broker.mute.add(kind)
        node = start_node(topic, bootstrap=broker.bootstrap, ready=False, settings=QUICK)
        node.wait(lambda: problems_of(node, topic), "word of it")
        assert words in problems_of(node, topic)[0]
        assert node.get("/health/ready")[0] == 503
        broker.mute.clear()
        node.wait(lambda: node.get("/health/ready")[0] == 200, "readiness")
        source.send(topic, "k", b"2")
        with Subscriber(node.url, f"/{topic}/*") as sub:
            sub.wait(lambda one: [m.value for m in one.messages][-1:] == [b"2"], "what came last")
        node.wait(lambda: not problems_of(node, topic), "an end of the problem")
