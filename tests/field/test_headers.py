"""Headers are copied, made up and broken by others: a record with them is a record like any other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtest.kafka.broker import RealKafka
from tests.field.conftest import StartNode
from tests.support import byte_headers
from tests.support.produce import Source
from tests.support.raw import Raw
from tests.support.subscriber import Subscriber, live_subscriber, settled
from whimbrel.start import Resume

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]

PUBLISHER = "p" * 16


def test_records_with_copied_headers_are_delivered(
    real_kafka: RealKafka, unique_topic: Callable[[], str], start_node: StartNode, source: Source
) -> None:
    """Copies to other keys and topics, and back to the same key: live, resumed from the cache, replayed, reloaded."""
    topic, other = unique_topic(), unique_topic()
    real_kafka.create_topic(topic)
    real_kafka.create_topic(other)
    node = start_node(f"{topic},{other}", publish=f"{topic},{other}", settings={"cache.ttl": "2s"})
    with live_subscriber(node, topic, f"/{topic}/*") as sub, live_subscriber(node, other, f"/{other}/*") as elsewhere:
        place = sub.subscription.place
        with Raw(node.url) as raw:
            assert raw.ask("publish", subject=f"/{topic}/k", publisher=PUBLISHER, seq=1, json=1)["op"] == "published"
        sub.wait_messages(1)
        [record] = real_kafka.read_all(topic)
        headers = list(record.headers)
        for key, value in (("k", b"2"), ("k", b"3"), ("l", b"4"), ("m", b"5")):
            source.send(topic, key, value, headers=headers)
            source.send(other, key, value, headers=headers)
        expected = [b"1", b"2", b"3", b"4", b"5"]
        assert [message.value for message in sub.wait_messages(5)] == expected
        assert [message.value for message in elsewhere.wait_messages(4)] == expected[1:]
        with Raw(node.url) as raw:  # the publishes that follow are the client's, whatever was copied
            for seq in (1, 2):
                answer = raw.ask("publish", subject=f"/{topic}/l", publisher=PUBLISHER, seq=seq, json=5 + seq)
                assert answer["op"] == "published"
        expected += [b"6", b"7"]
        assert [message.value for message in sub.wait_messages(7)] == expected
    for is_cold in (False, True, False):
        if is_cold:
            node.wait(lambda: node.status()["cache"]["messages"] == 0, "a cold cache")
        with Subscriber(node.url, f"/{topic}/*", start=Resume(place)) as resumed:
            resumed.wait_messages(len(expected))
            assert [message.value for message in settled(resumed)] == expected
            assert resumed.gaps == []
        if is_cold:
            node.kill()
            node.start()


def test_headers_made_up_by_others_confirm_nothing(
    real_kafka: RealKafka, unique_topic: Callable[[], str], start_node: StartNode, source: Source
) -> None:
    """Somebody has written what looks like the client's next publishes: they are written and delivered all the same."""
    topic = unique_topic()
    real_kafka.create_topic(topic, config={"message.timestamp.after.max.ms": "9223372036854775807"})
    node = start_node(topic, publish=topic)
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        with Raw(node.url) as raw:
            raw.ask("publish", subject=f"/{topic}/k", publisher=PUBLISHER, seq=1, json=1)
            [record] = real_kafka.read_all(topic)
            for seq in (2, 3):
                forged = [(name, b"%d" % seq if name == "whimbrel-seq" else value) for name, value in record.headers]
                source.send(topic, "k", b'"forged"', headers=forged, timestamp=4_000_000_000_000)
            source.send(topic, "k", b'"forged"', headers=[("whimbrel-publisher", PUBLISHER), ("whimbrel-seq", b"4")])
            sub.wait_messages(4)
            for seq in (2, 3, 4):
                answer = raw.ask("publish", subject=f"/{topic}/k", publisher=PUBLISHER, seq=seq, json=seq)
                assert answer["op"] == "published"
        found = [message.value for message in sub.wait_messages(7)]
        assert found == [b"1", *[b'"forged"'] * 3, b"2", b"3", b"4"]


def test_a_publish_that_is_sent_again_through_another_node_is_delivered_once(
    real_kafka: RealKafka, unique_topic: Callable[[], str], start_node: StartNode
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    nodes = [start_node(topic, publish=topic) for _ in range(2)]
    with (
        live_subscriber(nodes[0], topic, f"/{topic}/*") as sub,
        live_subscriber(nodes[1], topic, f"/{topic}/*") as other,
    ):
        positions = set()
        for node in nodes:
            with Raw(node.url) as raw:
                answer = raw.ask("publish", subject=f"/{topic}/k", publisher=PUBLISHER, seq=1, json=1)
                positions.add(tuple(answer["at"]))
        assert len(positions) == 1
        for one in (sub, other):
            one.wait_messages(1)
            assert len(settled(one)) == 1


def test_a_header_whose_name_is_no_text_takes_no_other_away(
    real_kafka: RealKafka, unique_topic: Callable[[], str], start_node: StartNode, source: Source
) -> None:
    """The others are shown, that one cannot be; and the node goes on."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    node = start_node(topic)
    headers = [(b"first", b"1"), (b"caf\xe9", b"2"), (b"\xff\xfe", b"3"), ("grün".encode(), b"4"), (b"", b"5")]
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        for number in range(100):  # the interpreter calls otherwise what it has called often
            source.add(topic, "k", b"%d" % number, headers=[("ok", b"6")])
        source.flush()
        byte_headers.produce(real_kafka.bootstrap, topic, b"k", b"broken", headers)
        source.send(topic, "k", b"last", headers=[("ok", b"6")])
        messages = sub.wait_messages(102)
    assert list(messages[100].headers) == [("first", b"1"), ("grün", b"4"), ("", b"5")]
    assert {tuple(message.headers) for message in messages[:100] + messages[101:]} == {(("ok", b"6"),)}
