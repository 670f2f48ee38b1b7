"""Times in records are those of producers: what a resume gets, and what a node has at first, goes by position."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from loadtest.kafka.broker import RealKafka
from tests.field.conftest import StartNode
from tests.support.produce import Source
from tests.support.subscriber import Subscriber, live_subscriber, settled
from whimbrel.start import Resume

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]

DAY_MS = 86_400_000
NOW_MS = int(time.time() * 1000)
TIMES = {
    "of now": [NOW_MS],
    "30 days old": [NOW_MS - 30 * DAY_MS],
    "in the future": [NOW_MS + 300 * DAY_MS],
    "one odd one amid others": [NOW_MS, NOW_MS, NOW_MS + 300 * DAY_MS, NOW_MS],
    "an old one amid others": [NOW_MS, NOW_MS, 1, NOW_MS],
}


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES.keys())
def test_a_resume_after_a_restart(
    real_kafka: RealKafka, unique_topic: Callable[[], str], start_node: StartNode, source: Source, times: list[int]
) -> None:
    """Whatever the records say of their times: all that was missed comes, and it was in the cache from the start."""
    topic = unique_topic()
    real_kafka.create_topic(topic, config={"retention.ms": "-1", "message.timestamp.after.max.ms": f"{1000 * DAY_MS}"})

    def send(numbers: range) -> None:
        for number in numbers:
            source.add(topic, "k", b"%d" % number, timestamp=times[number % len(times)])
        source.flush()

    send(range(5))
    node = start_node(topic)
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        sub.wait_messages(1)
        place = sub.subscription.place
    node.stop()
    send(range(5, 10))
    node.start()
    assert node.status()["cache"]["messages"] == 10
    with Subscriber(node.url, f"/{topic}/k", start=Resume(place)) as resumed:
        resumed.wait_messages(5)
        assert [message.value for message in settled(resumed)] == [b"%d" % number for number in range(5, 10)]
        assert resumed.gaps == []
