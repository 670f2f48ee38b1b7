"""Publishing through the node into a real Kafka: what is acknowledged is there, and reaches subscribers once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.records import Record
from node.publish_mark import mark
from tests.e2e.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.produce import Source
from tests.support.raw import Frame, Raw
from tests.support.subscriber import Subscriber, as_record, live_subscriber, of_record, settled
from whimbrel import BlockingClient
from whimbrel.start import After

pytestmark = pytest.mark.slow


@pytest.fixture
def topic(real_kafka: RealKafka, unique_topic: Callable[[], str]) -> str:
    name = f"pub-{unique_topic()}"
    real_kafka.create_topic(name, 3)
    return name


def own(headers: tuple[tuple[str, bytes | None], ...]) -> dict[str, bytes | None]:
    return {name: value for name, value in headers if name.startswith("whimbrel-")}


def shown(record: Record) -> tuple[object, ...]:
    """The record as clients get it: without Whimbrel's own headers."""
    found = of_record(record)
    return (*found[:5], tuple(pair for pair in record.headers if not pair[0].startswith("whimbrel-")), found[6])


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_what_is_acknowledged_is_in_kafka(node: RunningNode, real_kafka: RealKafka, topic: str, encoding: str) -> None:
    headers = [("a", b"1"), ("a", b"\xff"), ("null", None)]
    values: list[tuple[dict[str, object], bytes | None]] = [
        ({"json": {"qty": 2}}, b'{"qty": 2}'),
        ({"json_text": '{"n": 1.10, "n":1e3}'}, b'{"n": 1.10, "n":1e3}'),
        ({"text": "ü🐦\x00"}, "ü🐦\x00".encode()),
        ({"data": b"\xff\x00"}, b"\xff\x00"),
        ({"text": ""}, b""),
        ({"tombstone": True}, None),
    ]
    with (
        live_subscriber(node, topic, f"/{topic}/*", 3, encoding=encoding) as sub,
        live_subscriber(node, topic, f"/{topic}", 3, encoding=encoding) as unkeyed,
        BlockingClient(node.url, encoding=encoding) as client,
    ):
        answers = {}
        for subject in (f"/{topic}/k/1", f"/{topic}/%FF%2A", f"/{topic}/", f"/{topic}"):
            for value, _ in values:
                published = client.publish(subject, headers=headers, **value)
                assert published.at is not None
                answers[int(published.log.partition(".")[0]), published.at[1]] = (subject, published)
        records = real_kafka.read_all(topic)
        assert [(r.partition, r.offset) for r in records] == sorted(answers)
        sequences = set()
        for record in records:
            subject, published = answers[record.partition, record.offset]
            assert published.at == (max(record.leader_epoch, 0), record.offset)
            assert record.key == {f"/{topic}/k/1": b"k/1", f"/{topic}/%FF%2A": b"\xff*", f"/{topic}/": b""}.get(subject)
            assert [pair for pair in record.headers if not pair[0].startswith("whimbrel-")] == headers
            sequences.add((own(record.headers)["whimbrel-publisher"], own(record.headers)["whimbrel-seq"]))
        assert len(sequences) == len(records)
        for key in (b"k/1", b"\xff*", b"", None):
            assert [r.value for r in records if r.key == key] == [value for _, value in values]
        sub.wait_messages(3 * len(values))
        unkeyed.wait_messages(len(values))
        assert sorted(map(as_record, sub.messages + unkeyed.messages)) == sorted(map(shown, records))


def publish(raw: Raw, topic: str, publisher: str, seq: int, **value: object) -> Frame:
    keys: dict[str, Any] = {"subject": f"/{topic}/k", "publisher": publisher, "seq": seq, **(value or {"json": seq})}
    return raw.ask("publish", **keys)


def test_the_same_publish_again(start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str]) -> None:
    """On the same connection, through another worker, and after the node was killed: one outcome, seen once."""
    topic = unique_topic()
    real_kafka.create_topic(topic, 3)
    node = start_node(real_kafka.bootstrap, topic, publish=topic, workers=2)
    publisher = secrets.token_urlsafe(16)
    with live_subscriber(node, topic, f"/{topic}/*", 3) as sub:
        with Raw(node.url) as raw:
            first = [publish(raw, topic, publisher, seq) for seq in range(5)]
            again = [publish(raw, topic, publisher, seq) for seq in range(5)]
            raw.send("publish", subject=f"/{topic}/k", publisher=publisher, seq=5, json=5)  # both at once
            twice = publish(raw, topic, publisher, 5)
        assert {answer["op"] for answer in first + again + [twice]} == {"published"}
        outcomes = [(answer["log"], answer["at"]) for answer in first]
        assert [(answer["log"], answer["at"]) for answer in again] == outcomes
        outcomes.append((twice["log"], twice["at"]))

        raws: list[Raw] = []
        try:

            def another_asks() -> bool:
                """Whether there are clients at both workers then; one of them may still be starting."""
                raws.append(Raw(node.url))
                answer = publish(raws[-1], topic, publisher, 3)
                assert (answer["log"], answer["at"]) == outcomes[3]
                return all(one["connections"] for one in node.status()["workers"])

            node.wait(another_asks, "clients of both workers")
        finally:
            for one in raws:
                one.__exit__()

        node.kill()
        node.start()
        with Raw(node.url) as raw:
            for seq in range(6):
                answer = publish(raw, topic, publisher, seq)
                assert (answer["op"], answer["log"], answer["at"]) == ("published", *outcomes[seq])
            after = publish(raw, topic, publisher, 6)
        sub.wait_messages(7)
        assert [m.value for m in settled(sub)] == [b"%d" % seq for seq in range(7)]
        assert [(m.log, list(m.at)) for m in sub.messages] == [*outcomes, (after["log"], after["at"])]
        assert not sub.gaps
    with Subscriber(node.url, f"/{topic}/*", start=_after(outcomes[0][0])) as history:
        history.wait_messages(7)
        assert [m.value for m in settled(history, 0.2)] == [b"%d" % seq for seq in range(7)]


def test_a_repeat_that_reached_kafka_is_dropped_live_and_replayed(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str]
) -> None:
    """As when the first acknowledgement was lost together with the node that would have remembered it."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    node = start_node(
        real_kafka.bootstrap, topic, publish=topic, settings={"cache.ttl": "500ms", "cache.snapshot_ttl": "500ms"}
    )
    source = Source(real_kafka.bootstrap)

    attempts = count()

    def repeat(seq: int) -> None:
        headers, _ = mark(("p" * 16, seq, f"/{topic}/k"), f"boot-{next(attempts)}")
        source.send(topic, "k", b"%d" % seq, headers=headers)

    with live_subscriber(node, topic, f"/{topic}/k") as sub:
        for seq in (0, 1, 0, 1, 2, 0):
            repeat(seq)
        source.send(topic, "k", b"no publish", headers=[("whimbrel-publisher", b"p" * 16)])
        sub.wait_messages(4)
        assert [m.value for m in settled(sub, 0.2)] == [b"0", b"1", b"2", b"no publish"]
        log = sub.messages[0].log
        node.wait(lambda: node.status()["cache"]["messages"] == 0, "a cold cache")
        for killed in (False, True):
            if killed:
                node.kill()
                node.start()
            for start, wanted in ((-1, [b"0", b"1", b"2", b"no publish"]), (1, [b"2", b"no publish"])):
                with Subscriber(node.url, f"/{topic}/k", start=_after(log, start)) as replayed:
                    replayed.wait_messages(len(wanted))
                    assert [m.value for m in settled(replayed, 0.2)] == wanted
        with Raw(node.url) as raw:
            answer = publish(raw, topic, "p" * 16, 1)
            assert (answer["op"], answer["at"]) == ("published", [0, 1])


def _after(log: str, seq: int = -1) -> After:
    return After({log: (0, seq)})


def test_publishes_that_are_refused(
    node: RunningNode, real_kafka: RealKafka, topic: str, unique_topic: Callable[[], str]
) -> None:
    with Raw(node.url) as raw:
        publisher = secrets.token_urlsafe(16)
        other = unique_topic()
        real_kafka.create_topic(other)
        node.wait_for_topic(other, 1)
        assert publish(raw, other, publisher, 0)["code"] == 4313
        assert publish(raw, "nowhere", publisher, 0)["code"] == 4313  # the node's mapping is `*`
        assert publish(raw, topic, publisher, 0, text="x" * 2_000_000)["code"] == 4314
        assert raw.ask("publish", subject=f"/{topic}/*", publisher=publisher, seq=1, json=1)["code"] == 4310
        assert raw.ask("publish", subject=f"/{topic}/%41", publisher=publisher, seq=1, json=1)["code"] == 4310
        assert raw.ask("publish", subject=f"/{topic}/k", publisher="short", seq=1, json=1)["code"] == 4318
        headers = [["whimbrel-seq", "1"]]
        assert publish(raw, topic, publisher, 1, json=1, headers=headers)["code"] == 4318
        assert publish(raw, topic, publisher, 2)["op"] == "published"
    assert [(r.value, own(r.headers)["whimbrel-seq"]) for r in real_kafka.read_all(topic)] == [(b"2", b"2")]
    assert real_kafka.read_all(other) == []


def test_a_publish_to_what_is_not_mapped_or_does_not_exist(start_node: StartNode, real_kafka: RealKafka) -> None:
    node = start_node(real_kafka.bootstrap, "mapped-*", publish="mapped-*", settings={"publish.timeout": "1s"})
    with Raw(node.url) as raw:
        assert publish(raw, "elsewhere", "p" * 16, 0)["code"] == 4311
        answer = raw.ask("publish", 4, subject="/mapped-none/k", publisher="p" * 16, seq=1, json=1)
        assert (answer["op"], answer["code"]) == ("error", 4311)


def test_records_without_a_key_keep_their_publishers_order(
    node: RunningNode, real_kafka: RealKafka, topic: str
) -> None:
    with live_subscriber(node, topic, f"/{topic}", 3) as sub, Raw(node.url) as raw:
        publishers = [f"publisher-number-{n}" for n in range(6)]  # their partitions differ (node/kafka/producer.py)
        requests: set[int] = set()
        for seq in range(20):
            for publisher in publishers:
                text = f"{publisher} {seq}"
                requests.add(raw.send("publish", subject=f"/{topic}", publisher=publisher, seq=seq, text=text))
        while requests:
            answer = raw.until(lambda frame: frame.get("id") in requests)
            assert answer["op"] == "published"
            requests.remove(answer["id"])
        sub.wait_messages(120)
        for publisher in publishers:
            mine = [m for m in sub.messages if (m.text or "").startswith(publisher)]
            assert [m.text for m in mine] == [f"{publisher} {seq}" for seq in range(20)]
            assert len({m.log for m in mine}) == 1
        assert len({m.log for m in sub.messages}) > 1
