"""Kafka that is not there: at the start, for a while, and in part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.ports import free_port
from node.kafka.embedded import EmbeddedKafka
from tests.e2e.conftest import StartNode
from tests.support.patience import PATIENCE_S
from tests.support.produce import Source
from tests.support.raw import Raw
from tests.support.require import require
from tests.support.subscriber import Subscriber, assert_exactly, live_subscriber, settled
from whimbrel import events
from whimbrel.start import Resume

pytestmark = pytest.mark.slow

QUICK_KAFKA = {
    "kafka.client.reconnect.backoff.max.ms": "200",
    "kafka.client.socket.connection.setup.timeout.ms": "1000",
}


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[RealKafka]:
    require("java", "maven")
    with RealKafka(tmp_path / "kafka") as kafka:
        yield kafka


@pytest.mark.real_kafka
def test_kafka_away_at_the_start_and_then_for_a_while(own_kafka: RealKafka, start_node: StartNode) -> None:
    own_kafka.create_topic("t")
    Source(own_kafka.bootstrap).send("t", "k", b"0")
    own_kafka.stop()

    node = start_node(
        own_kafka.bootstrap, "t", publish="t", ready=False, settings={**QUICK_KAFKA, "publish.timeout": "1s"}
    )
    assert node.get("/health/live")[0] == 200
    assert node.get("/health/ready")[0] == 503
    node.wait(lambda: "Kafka has not answered" in str(node.status()["problems"]), "word of it in the status")
    assert not node.status()["kafka"]["connected"]
    with Raw(node.url) as raw:
        raw.send("subscribe", subject="/t/*")
        waiting = raw.until(lambda frame: frame["op"] == "waiting")
        assert "Kafka does not answer" in waiting["why"]
        own_kafka.start()
        assert raw.until(lambda frame: frame["op"] == "subscribed")["answer"] == "fresh"
        assert raw.until(lambda frame: frame["op"] == "msg")["json"] == 0
        live = raw.until(lambda frame: frame["op"] == "live")
    node.wait(lambda: node.get("/health/ready")[0] == 200, "readiness")

    with Subscriber(node.url, "/t/*") as sub:
        sub.wait_live(live["at"])
        own_kafka.kill()
        node.wait(lambda: not node.status()["kafka"]["connected"], "notice of Kafka's absence")
        assert node.status()["state"] == "degraded"
        assert node.get("/health/ready")[0] == 200
        with Subscriber(node.url, "/t/*") as served:  # from the cache
            assert [m.value for m in served.wait_messages(1)] == [b"0"]
            served.wait_live(live["at"])
        with Raw(node.url) as raw:
            answer = raw.ask("publish", subject="/t/k", publisher="p" * 16, seq=1, json=1)
            assert answer["op"] == "error"
            assert answer["code"] in (4010, 4012)
        own_kafka.start()
        with Raw(node.url) as raw:
            deadline = time.monotonic() + PATIENCE_S
            while (answer := raw.ask("publish", subject="/t/k", publisher="p" * 16, seq=1, json=1))["op"] == "error":
                assert answer["code"] in (4010, 4012)
                assert time.monotonic() < deadline
        assert [m.value for m in sub.wait_messages(2)] == [b"0", b"1"]
        assert sub.messages[1].at == tuple(answer["at"])
        Source(own_kafka.bootstrap).send("t", "k", b"2")
        assert [m.value for m in sub.wait_messages(3)] == [b"0", b"1", b"2"]
        assert not sub.gaps
    node.wait(
        lambda: node.status()["kafka"]["connected"] and node.status()["state"] == "ready", "recovery in the status"
    )


@pytest.mark.real_kafka
def test_a_partition_without_a_leader_delays_no_other(tmp_path: Path, start_node: StartNode) -> None:
    require("java", "maven")
    with RealKafka(tmp_path / "kafka", brokers=3, properties={"offsets.topic.replication.factor": "3"}) as kafka:
        kafka.create_topic("t", 6, replicas=1)
        leaders = [kafka.leader("t", partition) for partition in range(6)]
        source = Source(kafka.bootstrap)
        for partition in range(6):
            source.add("t", f"k{partition}", b"%d" % partition, partition=partition)
        source.flush()
        before = start_node(
            kafka.bootstrap, "t", settings={**QUICK_KAFKA, "cache.ttl": "1s", "cache.snapshot_ttl": "1s"}
        )
        logs = before.wait_for_topic("t", 6)
        with Subscriber(before.url, "/t/*", start=Resume({})) as early:
            early.wait_messages(6)
            places = {m.log: (m.at[0], m.at[1] - 1) for m in early.messages}
        dead = leaders[0]
        gone = [partition for partition in range(6) if leaders[partition] == dead]
        there = [partition for partition in range(6) if leaders[partition] != dead]
        assert gone
        assert there
        before.wait(lambda: before.status()["cache"]["messages"] == 0, "a cold cache")
        kafka.kill(dead)
        before.wait(
            lambda: [one["partition"] for one in before.partitions("t") if one["state"] == "unavailable"] == gone,
            "unavailable partitions in the status",
        )

        # One node has been there all the time and has to read back from Kafka; the other starts now.
        after = start_node(kafka.bootstrap, "t", ready=False, settings=QUICK_KAFKA)
        after.wait(lambda: after.get("/health/ready")[0] == 200, "readiness without the dead partitions")
        sent: set[int] = set()
        for number, node in ((100, before), (200, after)):
            with Raw(node.url) as raw:
                subscribed = raw.ask("subscribe", subject="/t/*", resume=places)
                values = {raw.until(lambda frame: frame["op"] == "msg")["json"] for _ in [*there, *sent]}
                assert values == {*there, *sent}
                live: set[str] = set()
                while not live >= {logs[partition] for partition in there}:
                    live |= raw.until(lambda frame: frame["op"] == "live")["at"].keys()
                assert sorted(subscribed.get("waiting", [])) == sorted(logs[partition] for partition in gone)
                source = Source(kafka.bootstrap)
                source.send("t", f"k{there[0]}", b"%d" % number, partition=there[0])
                assert raw.until(lambda frame: frame["op"] == "msg")["json"] == number
                sent.add(number)
        with (
            Subscriber(after.url, "/t/*", start=Resume(places)) as sub,
            Subscriber(before.url, "/t/*", start=Resume(places)) as other,
        ):
            sub.wait_live([logs[partition] for partition in there])
            kafka.start(dead)
            for one in (sub, other):
                one.wait_live(logs)
                one.wait_messages(8)
                assert_exactly(settled(one, 0.2), kafka.read_all("t"))
                assert not one.gaps


def test_an_embedded_kafka_away_for_a_while(start_node: StartNode) -> None:
    with EmbeddedKafka({"t": 2}) as kafka:
        node = start_node(kafka.bootstrap, "t", settings={**QUICK_KAFKA, "kafka.consumer.fetch.wait.max.ms": "5"})
        source = Source(kafka.bootstrap)
        with live_subscriber(node, "t", "/t/*", 2) as sub:
            for turn in range(2):
                source.send("t", "k", b"%d" % turn)
                sub.wait_messages(turn + 1)
                kafka.broker_down()
                node.wait(lambda: not node.status()["kafka"]["connected"], "notice of Kafka's absence")
                kafka.broker_up()
                node.wait(lambda: node.status()["kafka"]["connected"], "recovery")
            assert [m.value for m in sub.messages] == [b"0", b"1"]
            assert not sub.gaps
            assert not sub.all(events.Reconnecting)


def test_no_kafka_anywhere(start_node: StartNode) -> None:
    """A node without Kafka lives, says so, and stops in good order."""
    node = start_node(f"127.0.0.1:{free_port()}", "t", ready=False)
    node.wait(lambda: "Kafka has not answered" in str(node.status()["problems"]), "word of it in the status")
    assert node.get("/health/ready")[0] == 503
    assert node.metric("whimbrel_ready") == 0
    assert node.metric("whimbrel_kafka_connected") == 0
    assert node.stop() == 0
