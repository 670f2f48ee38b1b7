"""Whatever can be in a topic reaches subscribers, exactly as an independent reader finds it in Kafka."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from loadtest.kafka.broker import RealKafka
from tests.support.node import RunningNode
from tests.support.produce import Source
from tests.support.subscriber import Subscriber, assert_exactly, live_subscriber, settled
from whimbrel import BlockingClient, SubscribeError
from whimbrel.start import Last, Resume, Since
from whimbrel.subjects import from_key

pytestmark = pytest.mark.slow

ODD_KEYS = [
    b"",
    b"a",
    b"a/b/c",
    b"/",
    b"//",
    b"a/",
    b"/a",
    b"%",
    b"%41",
    b"%zz",
    b"*",
    b"a/*",
    b"a/*/b",
    b"\x00",
    b"\x1f\x7f\n\t",
    b"\xff\xfe",
    b"a\xc3",
    b"\xed\xa0\x80",
    "häß/日本/🐦".encode(),
    b'"quote\\',
    b"x" * 900,
    b".",
    b"..",
    b" ",
]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_every_key_has_its_subject(
    node: RunningNode, real_kafka: RealKafka, source: Source, unique_topic: Callable[[], str], encoding: str
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic, 3)
    with live_subscriber(node, topic, f"/{topic}/*", 3, encoding=encoding) as sub:
        for number in range(2):
            for key in [*ODD_KEYS, None]:
                source.add(topic, key, b"%d" % number)
        source.flush()
        sub.wait_messages(2 * len(ODD_KEYS))
        records = real_kafka.read_all(topic)
        assert len(records) == 2 * len(ODD_KEYS) + 2
        assert_exactly(settled(sub, 0.1), [record for record in records if record.key is not None])
    for key in [*ODD_KEYS, None]:
        with Subscriber(node.url, from_key(topic, key), start=Last(10), encoding=encoding) as one:
            one.wait_messages(2)
            assert_exactly(one.messages, [record for record in records if record.key == key])


def test_a_tombstone_is_delivered_and_deletes_the_latest_value(
    node: RunningNode, real_kafka: RealKafka, source: Source, unique_topic: Callable[[], str]
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        source.add(topic, "a", b"1")
        source.add(topic, "b", b"2")
        source.add(topic, "a", None)
        source.flush()
        messages = sub.wait_messages(3)
        of_a = [m for m in messages if m.key == b"a"]
        assert [(m.value, m.tombstone) for m in of_a] == [(b"1", False), (None, True)]
        assert of_a[1].prev == of_a[0].at
    with Subscriber(node.url, f"/{topic}/*") as later:
        later.wait_live(sub.live_logs)
        assert [(m.subject[-1], m.value, m.snapshot) for m in later.messages] == [("b", b"2", True)]
    source.send(topic, "a", b"3")
    with Subscriber(node.url, f"/{topic}/a") as again:
        assert [m.value for m in again.wait_messages(1)] == [b"3"]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_headers_and_times(
    node: RunningNode, real_kafka: RealKafka, source: Source, unique_topic: Callable[[], str], encoding: str
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic, config={"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**62)})
    headers = [
        ("name", b"value"),
        ("name", b"again"),
        ("binary", b"\x00\xff\x80"),
        ("null", None),
        ("empty", b""),
        ("", b"no name"),
        ("ü", "ü🐦".encode()),
        ("quote", b'"\\'),
    ]
    with live_subscriber(node, topic, f"/{topic}/k", encoding=encoding) as sub:
        source.add(topic, "k", headers=headers, timestamp=1)
        source.add(topic, "k", headers=[], timestamp=4_000_000_000_000)
        source.flush()
        sub.wait_messages(2)
        assert_exactly(sub.messages, real_kafka.read_all(topic))
        assert [m.time for m in sub.messages] == [1, 4_000_000_000_000]
        assert sub.messages[0].headers == headers
    with Subscriber(node.url, f"/{topic}/k", start=Last(2), encoding=encoding) as history:
        history.wait_messages(2)
        assert_exactly(history.messages, real_kafka.read_all(topic))


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_values_come_as_the_mapping_says_or_as_the_next_that_fits(
    node: RunningNode, real_kafka: RealKafka, source: Source, unique_topic: Callable[[], str], encoding: str
) -> None:
    values: list[tuple[bytes, str, str]] = [
        (b'{"a": [1, 2.50, "\\u00e9"],\n "a":1e400}', "json", "text"),
        (b"123456789012345678901234567890.10", "json", "text"),
        (b' "x" ', "json", "text"),
        (b"null", "json", "text"),
        (b"", "text", "text"),
        (b"{broken", "text", "text"),
        (b"NaN", "text", "text"),
        (b"{} {}", "text", "text"),
        (b"[" * 3000 + b"]" * 3000, "text", "text"),
        ("ü\u2028🐦\x00".encode(), "text", "text"),
        (b"\xff\x00\xfe", "bytes", "bytes"),
        (b'"\xff"', "bytes", "bytes"),
    ]
    for prefix, kind_of in (
        ("", lambda value: value[1]),
        ("text-", lambda value: value[2]),
        ("bytes-", lambda value: "bytes"),
    ):
        topic = prefix + unique_topic()
        real_kafka.create_topic(topic)
        with live_subscriber(node, topic, f"/{topic}/k", encoding=encoding) as sub:
            for value in values:
                source.add(topic, "k", value[0])
            source.flush()
            sub.wait_messages(len(values))
            assert_exactly(sub.messages, real_kafka.read_all(topic))
            assert [m.content.kind for m in sub.messages] == [kind_of(value) for value in values]


def test_every_compression(node: RunningNode, real_kafka: RealKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        for codec in codecs:
            one = Source(real_kafka.bootstrap, compression_type=codec, linger_ms=50)
            for number in range(100):
                one.add(topic, f"{codec}{number % 3}", b'{"n": %d}' % number)
            one.flush()
        sub.wait_messages(100 * len(codecs))
        assert_exactly(sub.messages, real_kafka.read_all(topic))


@pytest.mark.parametrize("kind", ["live", "history"])
def test_transactions(node: RunningNode, real_kafka: RealKafka, unique_topic: Callable[[], str], kind: str) -> None:
    """Aborted records are never seen, open ones not yet; the offsets that are missing cut no chain."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    logs = node.wait_for_topic(topic, 1)
    producer = Producer({"bootstrap.servers": real_kafka.bootstrap, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(20)

    def transaction(value: bytes, end: Callable[[float], None] | None) -> None:
        producer.begin_transaction()
        for number in range(3):
            producer.produce(topic, value + b"%d" % number, b"k%d" % (number % 2))
        producer.flush(10)
        if end is not None:
            end(20)

    def produce() -> None:
        for number in range(4):
            transaction(b"1%d" % number, producer.commit_transaction)
            transaction(b"2%d" % number, producer.abort_transaction)

    if kind == "history":
        produce()
    with Subscriber(node.url, f"/{topic}/*", start=Since(1)) as sub:
        sub.wait_live(logs)
        if kind == "live":
            produce()
        sub.wait_messages(12)
        transaction(b"3", None)
        assert_exactly(settled(sub, 0.3), real_kafka.read_all(topic)[:12])
        producer.commit_transaction(20)
        sub.wait_messages(15)
        records = real_kafka.read_all(topic)
        assert len(records) == 15
        assert records[-1].offset > 25
        assert_exactly(sub.messages, records)
        assert [m.prev is not None for m in sub.messages].count(False) <= 2
        assert not sub.gaps
        place = sub.subscription.place
    with Subscriber(node.url, f"/{topic}/*", start=Resume(place)) as resumed:
        resumed.wait_live(logs)
        assert not settled(resumed, 0.1)
        assert not resumed.gaps


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("mapping", ["json", "bytes"])
def test_records_of_megabytes(
    node: RunningNode, real_kafka: RealKafka, unique_topic: Callable[[], str], encoding: str, mapping: str
) -> None:
    topic = ("bytes-" if mapping == "bytes" else "") + unique_topic()
    real_kafka.create_topic(topic, config={"max.message.bytes": "20000000"})
    big = Source(real_kafka.bootstrap, message_max_bytes=20_000_000)
    values = [b'"%s"' % (b"x" * size) if mapping == "json" else b"\xff" * size for size in (2_000_000, 8_000_000)]
    with live_subscriber(node, topic, f"/{topic}/k", encoding=encoding) as sub:
        for value in values:
            big.add(topic, "k", value)
            big.add(topic, "k", b"1")
        big.flush()
        sub.wait_messages(4, 30)
        assert_exactly(sub.messages, real_kafka.read_all(topic))
    with Subscriber(node.url, f"/{topic}/*", start=Last(4), encoding=encoding) as history:
        history.wait_messages(4, 30)
        assert_exactly(history.messages, real_kafka.read_all(topic))


def test_keys_that_are_too_long_are_counted_and_harm_nothing(
    node: RunningNode, real_kafka: RealKafka, source: Source, unique_topic: Callable[[], str]
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    before = node.metric("whimbrel_records_unmapped_total")
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        source.add(topic, b"x" * 2000)
        source.add(topic, b"\x00" * 600)  # 1800 bytes as a subject
        source.add(topic, b"k", b"2")
        source.flush()
        assert [m.value for m in sub.wait_messages(1)] == [b"2"]
    node.wait(lambda: node.metric("whimbrel_records_unmapped_total") == before + 2, "count of them")
    node.wait(lambda: any(topic in problem for problem in node.status()["problems"]), "word of it in the status")
    node.wait(lambda: "records_unmapped" in node.log, "word of it in the log")


def test_a_topic_without_a_mapping_is_refused(start_node: Callable[..., RunningNode], real_kafka: RealKafka) -> None:
    node = start_node(real_kafka.bootstrap, "only-*")
    with BlockingClient(node.url) as client, pytest.raises(SubscribeError, match="4311 not_mapped"):
        client.subscribe("/other/k", timeout_s=10)


def test_kafkas_own_producers(node: RunningNode, real_kafka: RealKafka, unique_topic: Callable[[], str]) -> None:
    topic, perf = unique_topic(), "bytes-" + unique_topic()
    real_kafka.create_topic(topic, 2)
    real_kafka.create_topic(perf, 2)
    with live_subscriber(node, topic, f"/{topic}/*", 2) as keyed, live_subscriber(node, perf, f"/{perf}", 2) as unkeyed:
        process = real_kafka.start_perf_producer(perf, records=3000, size=300, per_second=3000, compression_type="lz4")
        real_kafka.console_produce(topic, ["a:1", "b/ö:{}", "a:no json"], separator=":")
        assert b"3000 records sent" in process.communicate(timeout=30)[0]
        keyed.wait_messages(3)
        assert_exactly(keyed.messages, real_kafka.read_all(topic))
        unkeyed.wait_messages(3000)
        assert_exactly(unkeyed.messages, real_kafka.read_all(perf))
