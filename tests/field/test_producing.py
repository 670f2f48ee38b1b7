"""Publishing into a Kafka that has limits, lacks topics, or does not let this node write."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.users import KafkaUser
from tests.field.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.patience import PATIENCE_S
from tests.support.queued import queued_between, queued_s
from tests.support.raw import Frame, Raw
from tests.support.require import require

pytestmark = pytest.mark.slow

PUBLISHER = "a-publisher-of-its-own"


def publish_all(raw: Raw, subject: str, texts: list[str], publisher: str = PUBLISHER) -> list[Frame]:
    """Publish them at once; the answers in order."""
    requests = [
        raw.send("publish", subject=subject, publisher=publisher, seq=seq, text=text) for seq, text in enumerate(texts)
    ]
    answers: dict[int, Frame] = {}
    while len(answers) < len(requests):
        frame = raw.until(lambda frame: frame["op"] in ("published", "error"))
        answers[frame["id"]] = frame
    return [answers[request] for request in requests]


def texts_in(kafka: RealKafka, topic: str) -> list[str]:
    return [(record.value or b"").decode() for record in kafka.read_all(topic)]


def set_limit(kafka: RealKafka, topic: str, limit: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(30)


@pytest.mark.parametrize("may_describe", [True, False])
def test_many_publishes_into_a_topic_with_a_low_limit(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str], user: KafkaUser, may_describe: bool
) -> None:
    """A topic takes 10 KB at once, and 200 messages of 1 KB come together. Right: all are taken, in order, whether or
    not this node may describe the topic's configuration; what does not fit by itself is refused, it alone."""
    topic = unique_topic()
    real_kafka.create_topic(topic, 1, {"max.message.bytes": "10240"})
    user.allow("READ", "WRITE", *(["DESCRIBE_CONFIGS"] if may_describe else []), topic=topic)
    node = start_node(topic, user=user, publish=topic, settings={"kafka.producer.linger.ms": "50"})
    texts = [f"{n} {'x' * 1000}" for n in range(200)]
    with Raw(node.url) as raw:
        assert {answer["op"] for answer in publish_all(raw, f"/{topic}/k", texts)} == {"published"}
        again = [f"{n} {'y' * (20_000 if n == 5 else 1000)}" for n in range(10)]
        answers = publish_all(raw, f"/{topic}/k", again, "another-publisher-x")
        assert [answer.get("code") for answer in answers] == [4314 if n == 5 else None for n in range(10)]
    written = texts_in(real_kafka, topic)
    if may_describe:
        assert written[:200] == texts
    assert sorted(written) == sorted(texts + again[:5] + again[6:])


def test_a_limit_that_is_lowered_and_one_above_the_producers_own(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str]
) -> None:
    """A topic's limit is 4 MB, then 4 KB. Right: a message of 2 MB is taken before; many small ones after it."""
    topic = unique_topic()
    real_kafka.create_topic(topic, 1, {"max.message.bytes": "4000000"})
    node = start_node(topic, publish=topic, settings={"client.frame_bytes": "8MiB", "kafka.producer.linger.ms": "50"})
    with Raw(node.url) as raw:
        assert publish_all(raw, f"/{topic}/k", ["x" * 2_000_000])[0]["op"] == "published"
        set_limit(real_kafka, topic, 4096)
        answers = publish_all(raw, f"/{topic}/k", [f"{n} {'y' * 1000}" for n in range(50)], "another-publisher-x")
        assert {answer["op"] for answer in answers} == {"published"}
        (refused,) = publish_all(raw, f"/{topic}/k", ["z" * 5000], "a-third-publisher-x")
        assert refused["code"] == 4314
    assert len(texts_in(real_kafka, topic)) == 51


def test_a_topic_that_does_not_exist(start_node: StartNode, real_kafka: RealKafka, unique_topic: Any) -> None:
    """A client publishes into a topic that does not exist, under a glob. Right: a final error within a second, besides
    what processes queue for a processor; where the mapping says `create`, the topic is created and has the message."""
    name = unique_topic()
    mapping = f'[{{name = "new-{name}*", publish = true, create = true}}, {{name = "*", publish = true}}]'
    node = start_node(mapping)
    with Raw(node.url) as raw:
        processes = (os.getpid(), node.process.pid, real_kafka.pid())
        began, before = time.monotonic(), queued_s(processes)
        (answer,) = publish_all(raw, f"/typo-{name}/k", ["1"])
        took_s = time.monotonic() - began - queued_between(before, queued_s(processes))
        assert (answer["code"], took_s < 1.0) == (4311, True), (answer, took_s)
        assert f"no topic 'typo-{name}'" in answer["reason"]
        answers = publish_all(raw, f"/new-{name}/k", ["1", "2"])
        assert [answer["op"] for answer in answers] == ["published"] * 2
    assert texts_in(real_kafka, f"new-{name}") == ["1", "2"]
    topics = AdminClient({"bootstrap.servers": real_kafka.bootstrap}).list_topics(timeout=PATIENCE_S).topics
    assert f"typo-{name}" not in topics


@pytest.mark.real_kafka
def test_brokers_that_create_topics_by_themselves(tmp_path: Path) -> None:
    """The brokers create whatever is asked for, and Kafka comes up after the node and the publish. Right: a typing
    error makes no topic all the same."""
    require("java", "maven")
    with RealKafka(tmp_path / "kafka", properties={"auto.create.topics.enable": "true"}) as kafka:
        kafka.create_topic("there")
        kafka.stop()
        node = RunningNode(tmp_path, kafka.bootstrap, "*", publish="*", settings={"publish.timeout": "8s"})
        try:
            node.start(ready=False)
            with Raw(node.url) as raw:
                request = raw.send("publish", subject="/typo/k", publisher=PUBLISHER, seq=0, text="1")
                kafka.start()
                node.wait(lambda: node.get("/health/ready")[0] == 200, "readiness")
                right = raw.send("publish", subject="/there/k", publisher=PUBLISHER, seq=1, text="1")
                answers: dict[int, str] = {}
                while len(answers) < 2:  # where Kafka takes long to start, the first has failed before
                    frame = raw.until(lambda frame: frame.get("id") in (request, right))
                    answers[frame["id"]] = frame["op"]
                assert answers == {request: "error", right: "published"}
        finally:
            node.__exit__(None)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        assert admin.list_topics(timeout=PATIENCE_S).topics.keys() - {"__consumer_offsets"} == {"there"}


def test_credentials_that_may_only_read(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str], user: KafkaUser
) -> None:
    """The mapping allows publishing, and Kafka does not. Right: every publish is refused at once as forbidden, the
    status says so for as long as it is so, and Kafka is not asked again and again; once it is allowed it works."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    user.allow("READ", topic=topic)
    node = start_node(topic, user=user, publish=topic)
    node.wait(lambda: "nothing can be published into Kafka" in str(node.status()["problems"]), "word of it")
    with Raw(node.url) as raw:
        began = time.monotonic()
        answers = publish_all(raw, f"/{topic}/k", [str(n) for n in range(20)])
        assert {answer["code"] for answer in answers} == {4312}, answers
        assert time.monotonic() - began < 5.0, "a publish that is tried again and again takes its timeout"
        assert node.log.count("producer_failed") == 1
        user.allow("WRITE", topic=topic)
        node.wait(
            lambda: publish_all(raw, f"/{topic}/k", ["late"], "a-publisher-that-waits")[0]["op"] == "published",
            "publish that is taken",
        )
    node.wait(lambda: "nothing can be published" not in str(node.status()["problems"]), "end of the problem")


def test_one_topic_that_may_not_be_written(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str], user: KafkaUser
) -> None:
    """Of two topics Kafka lets this node write one. Right: the other is refused at once, and harms nothing."""
    mine, other = f"w-{unique_topic()}", f"w-{unique_topic()}"
    for topic in (mine, other):
        real_kafka.create_topic(topic)
        user.allow("READ", "DESCRIBE_CONFIGS", topic=topic)
    user.allow("WRITE", topic=mine)
    node = start_node(f"{mine},{other}", user=user, publish=f"{mine},{other}")
    with Raw(node.url) as raw:
        for n in range(5):
            assert publish_all(raw, f"/{other}/k", ["1"], f"a-publisher-number-{n}")[0]["code"] == 4312
            assert publish_all(raw, f"/{mine}/k", ["1"], f"a-publisher-number-{n}")[0]["op"] == "published"
        assert node.status()["problems"] == []


def test_nobody_may_publish(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str], user: KafkaUser
) -> None:
    """The credentials may only read, and no mapping allows publishing. Right: no producer, nothing to be seen of it,
    and no consumer group that would need a right of its own."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    user.allow("READ", "DESCRIBE_CONFIGS", topic=topic)
    node = start_node(topic, user=user)
    names = set()
    for thread in Path(f"/proc/{node.process.pid}/task").glob("*/comm"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
            names.add(thread.read_text().strip())
    assert "kafka-producer" not in names
    node.wait_for_topic(topic, 1)
    # Both readers, the live one and that for what the cache has not, have asked for their group by now, if they do.
    with Raw(node.url) as raw:
        raw.send("subscribe", subject=f"/{topic}/*", **{"from": {"time": 0}})
        raw.until(lambda frame: frame["op"] == "live")
    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert node.status()["problems"] == []
        time.sleep(0.2)
