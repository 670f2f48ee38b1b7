"""A real Kafka loses the end of a log: a broker that lacks it becomes the leader, and the log goes on from there.

Subscribers have had 150 records of the first epoch. Of these 120 are left, and the next epoch begins at 120.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.kafka.broker import UNCLEAN, RealKafka
from tests.e2e.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.produce import Source
from tests.support.require import require
from tests.support.subscriber import Subscriber, assert_exactly, live_subscriber
from whimbrel import events
from whimbrel.start import Resume

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]

SHORT = {"cache.ttl": "500ms", "cache.snapshot_ttl": "600ms"}
"""So that soon everything has to come from Kafka."""


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[RealKafka]:
    require("java", "maven")
    with RealKafka(tmp_path / "kafka", brokers=3) as kafka:
        kafka.create_topic("t", config=UNCLEAN, on=[1, 2])
        yield kafka


def produce(kafka: RealKafka, count: int) -> None:
    source = Source(kafka.bootstrap)
    for number in range(count):
        source.add("t", "k", b"%d" % number)
    source.flush()


def resume(node: RunningNode, kafka: RealKafka, log: str, end: int) -> None:
    """A client that has had what was lost is told so, and handed everything that came instead."""
    with Subscriber(node.url, "/t/k", start=Resume({log: (0, 149)})) as resumed:
        resumed.wait_messages(end - 120)
        records = [record for record in kafka.read_all("t") if record.offset >= 120]
        assert_exactly(resumed.messages, records)
        (gap,) = resumed.gaps
        epoch = records[0].leader_epoch
        assert (gap.log, gap.start, gap.end, gap.why) == (log, (0, 119), (epoch, 119), "truncated")
    with Subscriber(node.url, "/t/k", start=Resume({log: (0, 100)})) as whole:
        assert_exactly(whole.wait_messages(end - 101), [r for r in kafka.read_all("t") if r.offset > 100])
        assert whole.gaps == []


def test_live_cached_and_replayed(start_node: StartNode, kafka: RealKafka) -> None:
    node = start_node(kafka.bootstrap, "t")
    with live_subscriber(node, "t", "/t/k") as live:
        produce(kafka, 120)

        def lose() -> None:
            produce(kafka, 30)
            live.wait_messages(150)

        kafka.lose_tail("t", lose)
        assert live.gaps == []
        produce(kafka, 10)
        (log,) = live.live_logs
        live.wait_messages(160)
        resume(node, kafka, log, 130)
        produce(kafka, 65)
        live.wait_messages(225)
        assert [gap.why for gap in live.gaps] == ["truncated"]
        assert [message.at[1] for message in live.messages] == [*range(150), *range(120, 195)]
        assert live.all(events.Live)
        resume(node, kafka, log, 195)
    node.stop()
    cold = start_node(kafka.bootstrap, "t", settings=SHORT)
    cold.wait_for_topic("t", 1)
    cold.wait(lambda: cold.status()["cache"]["messages"] == 0, "a cold cache")
    resume(cold, kafka, log, 195)
    assert cold.metric("whimbrel_replay_records_total") >= 75


def test_replayed_where_the_log_has_not_passed_what_was_lost(start_node: StartNode, kafka: RealKafka) -> None:
    produce(kafka, 120)
    kafka.lose_tail("t", lambda: produce(kafka, 30))
    produce(kafka, 10)
    time.sleep(0.6)
    node = start_node(kafka.bootstrap, "t", settings=SHORT)
    (log,) = node.wait_for_topic("t", 1)
    resume(node, kafka, log, 130)
