"""What is changed about a Kafka while a node reads it: topics made anew in another shape, clocks, passwords, quotas,
addresses. Each test begins with the situation; what is right stands in its assertions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.ports import free_port
from loadtest.kafka.users import KafkaUser
from tests.field.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.produce import Source
from tests.support.subscriber import Subscriber, assert_exactly, live_subscriber, settled
from whimbrel import Latest, Resume, events
from whimbrel.start import Place

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]


def set_password(kafka: RealKafka, user: KafkaUser, password: str) -> None:
    credential = UserScramCredentialUpsertion(
        user.name, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), password.encode()
    )
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.alter_user_scram_credentials([credential])[user.name].result(30)


def test_a_topic_made_anew_with_other_partitions_while_clients_are_there(
    real_kafka: RealKafka, unique_topic: Callable[[], str], start_node: StartNode
) -> None:
    """A topic of four partitions is deleted and made again with two, then with six: a client that is live has all of
    each, and one that comes back with a place in the first is told what ended."""
    topic = unique_topic()
    real_kafka.create_topic(topic, 4)
    node = start_node(topic)
    with live_subscriber(node, topic, f"/{topic}/*", 4) as sub:
        total = 0
        place: Place = {}
        for partitions in (4, 2, 6):
            if total:
                real_kafka.delete_topic(topic)
                real_kafka.create_topic(topic, partitions)
            source = Source(real_kafka.bootstrap)
            for number in range(24):
                source.add(topic, f"k{number}", b"of %d" % partitions)
            source.flush()
            # A producer that does not know yet that the topic is another one may repeat what Kafka has taken.
            records = real_kafka.read_all(topic)
            before, total = total, total + len(records)
            sub.wait_messages(total)
            assert_exactly(settled(sub, 0.2)[before:], records)
            assert {record.value for record in records} == {b"of %d" % partitions}
            place = place or sub.subscription.place
        logs = node.wait_for_topic(topic, 6)
        sub.wait(lambda one: set(one.subscription.place) == set(logs), "place in the last topic only")
        with Subscriber(node.url, f"/{topic}/*", start=Resume(place)) as resumed:
            resumed.wait_live(logs).wait_messages(len(records))
            assert_exactly(settled(resumed, 0.2), real_kafka.read_all(topic))
            assert resumed.gaps == [], "it had all of the first; of the second nobody knows any more"


def test_a_topic_whose_times_are_the_brokers_from_now_on(
    real_kafka: RealKafka, unique_topic: Callable[[], str], start_node: StartNode, source: Source
) -> None:
    """`message.timestamp.type` is changed from CreateTime to LogAppendTime: those who are there, who resume and who
    come after a restart get every record, with the time that Kafka has for it."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    node = start_node(topic, settings={"cache.ttl": "10s"})
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        for number in range(5):
            source.send(topic, "k", b"%d" % number, timestamp=1_000_000 + number)
        sub.wait_messages(5)
        place = sub.subscription.place
        entry = ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin = AdminClient({"bootstrap.servers": real_kafka.bootstrap})
        admin.incremental_alter_configs([resource])[resource].result(30)
        for number in range(5, 10):
            source.send(topic, "k", b"%d" % number, timestamp=1_000_000 + number)
        sub.wait_messages(10)
        assert_exactly(settled(sub, 0.2), real_kafka.read_all(topic))
    node.stop()
    node.start()
    with Subscriber(node.url, f"/{topic}/*", start=Resume(place)) as resumed:
        resumed.wait_messages(5)
        assert_exactly(settled(resumed, 0.2), real_kafka.read_all(topic)[5:])
        assert not resumed.gaps


def test_tombstones_of_keys_that_never_were(
    real_kafka: RealKafka, unique_topic: Callable[[], str], start_node: StartNode, source: Source
) -> None:
    """A compacted topic begins with tombstones of keys nobody has seen, of no key's bytes that are text, and of the
    empty key: they are delivered as what they are, and the table has no trace of them."""
    topic = unique_topic()
    real_kafka.create_topic(topic, config={"cleanup.policy": "compact"})
    keys = (b"never", b"\xff\xfe\x00", b"", b"a/b", b"x" * 900)
    for key in keys:
        source.send(topic, key, None)
    node = start_node(topic, settings={"cache.bytes": "64KiB"})
    with live_subscriber(node, topic, f"/{topic}/*", start=Latest()) as sub:
        for key in keys:
            source.send(topic, key, None)
        source.send(topic, b"there", b"1")
        sub.wait_messages(5)
        told = {m.key: m.value for m in settled(sub, 0.2)}
        assert {key: told.get(key, b"absent") for key in keys if len(key) < 900} == dict.fromkeys(keys[:4])
        assert told[b"there"] == b"1"
    with Subscriber(node.url, f"/{topic}/*", start=Latest()) as later:
        later.wait(lambda one: one.live_logs, "live").wait_messages(1)
        assert [m.key for m in settled(later, 0.2)] == [b"there"]


def test_a_password_that_is_changed(
    own_kafka: RealKafka, start_node: StartNode, unique_topic: Callable[[], str]
) -> None:
    """The password of the node's user is another one, and the broker restarts: the node serves what it has and says
    why it reads nothing; when the old one is right again it goes on where it was, without a restart."""
    topic = unique_topic()
    kafka = own_kafka
    kafka.create_topic(topic)
    user = kafka.add_user()
    user.allow("READ", "WRITE", "DESCRIBE_CONFIGS", topic=topic)
    node = start_node(topic, user=user, publish=topic)
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        Source(kafka.bootstrap).send(topic, "k", b"before")
        sub.wait_messages(1)
        set_password(kafka, user, "another one, of tomorrow")
        kafka.stop()
        kafka.start()
        kafka.wait_ready()
        Source(kafka.bootstrap).send(topic, "k", b"meanwhile")
        node.wait(lambda: "uthentication" in str(node.status()["problems"]), "why nothing is read")
        with Subscriber(node.url, f"/{topic}/k", start=Latest()) as other:
            other.wait_messages(1)
        set_password(kafka, user, user.properties["sasl.password"])
        sub.wait_messages(2)
        assert_exactly(settled(sub, 0.2), kafka.read_all(topic))
        assert not sub.gaps
        node.wait(lambda: node.status()["problems"] == [], "end of the problem")


def test_quotas_that_let_little_through(
    real_kafka: RealKafka, unique_topic: Callable[[], str], user: KafkaUser, start_node: StartNode
) -> None:
    """Kafka throttles the node's user to 200 KB/s: what is more comes later, all of it, and nobody is told of a loss
    or that Kafka is away."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    user.allow("READ", "DESCRIBE_CONFIGS", topic=topic)
    quota = (
        "--bootstrap-server",
        real_kafka.bootstrap,
        "--alter",
        "--entity-type",
        "users",
        "--entity-name",
        user.name,
    )
    real_kafka.tool("kafka.admin.ConfigCommand", *quota, "--add-config", "consumer_byte_rate=200000")
    node = start_node(topic, user=user)
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        source = Source(real_kafka.bootstrap)
        for number in range(200):
            source.add(topic, f"k{number}", b"x" * 10_000)
        source.flush()
        sub.wait_messages(200)
        assert_exactly(settled(sub, 0.2), real_kafka.read_all(topic))
        assert not sub.gaps
        assert not sub.all(events.Reconnecting)


def test_brokers_that_tell_an_address_at_which_they_are_not(
    own_kafka: RealKafka, unique_topic: Callable[[], str], tmp_path: Path
) -> None:
    """The node reaches the bootstrap address, and the broker says it is elsewhere, where nobody listens (advertised
    listeners that were forgotten): the node runs, the reason has that address in it, and it is not ready with a topic
    that it could not even look at."""
    topic = unique_topic()
    own_kafka.create_topic(topic)
    nowhere = free_port()
    own_kafka.stop()
    own_kafka._properties["advertised.listeners"] = f"PLAINTEXT://127.0.0.1:{nowhere},USERS://127.0.0.1:{nowhere}"
    own_kafka._server_properties(1)
    own_kafka.start()
    node = RunningNode(tmp_path, own_kafka.bootstrap, topic)
    try:
        node.start(ready=False)
        node.wait(lambda: f"127.0.0.1:{nowhere}" in str(node.status()["problems"]), "that address in a problem")
        assert not node.status()["ready"]
    finally:
        node.__exit__(None)
