"""The real Kafka of the tests: each fact that other tests and the node build on (leader epochs, topic ids, ...)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, IsolationLevel, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.prepared import prepared
from tests.support.require import require

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[RealKafka]:
    """One that the test may stop and kill."""
    require("java", "maven")
    with RealKafka(tmp_path / "kafka") as kafka:
        yield kafka


def produce(kafka: RealKafka, topic: str, count: int, **properties: object) -> None:
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "acks": "all", "log_level": 0}
        | {name.replace("_", "."): value for name, value in properties.items()}
    )
    for number in range(count):
        producer.produce(topic, b"%d" % number)
    assert producer.flush(20) == 0


def topic_id(kafka: RealKafka, topic: str) -> str:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    description = admin.describe_topics(TopicCollection([topic]))[topic].result(10)
    return str(description.topic_id)


def test_a_restart_keeps_data_and_raises_the_leader_epoch(own_kafka: RealKafka) -> None:
    own_kafka.create_topic("t")
    produce(own_kafka, "t", 3)
    own_kafka.restart()
    produce(own_kafka, "t", 2)
    own_kafka.kill()
    own_kafka.start()
    produce(own_kafka, "t", 1)
    records = own_kafka.read_all("t")
    assert [(r.offset, r.value) for r in records] == [
        (0, b"0"),
        (1, b"1"),
        (2, b"2"),
        (3, b"0"),
        (4, b"1"),
        (5, b"0"),
    ]
    epochs = [r.leader_epoch for r in records]
    assert epochs[0] == epochs[2] >= 0
    assert epochs[2] < epochs[3] == epochs[4] < epochs[5]


def test_a_topic_created_again_has_another_id(real_kafka: RealKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    first = topic_id(real_kafka, topic)
    assert topic_id(real_kafka, topic) == first
    produce(real_kafka, topic, 2)
    real_kafka.delete_topic(topic)
    real_kafka.create_topic(topic)
    assert topic_id(real_kafka, topic) != first
    assert real_kafka.read_all(topic) == []


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_compression_can_be_written_and_read(
    real_kafka: RealKafka, unique_topic: Callable[[], str], codec: str
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    produce(real_kafka, topic, 50, compression_type=codec, linger_ms=50)
    assert [r.value for r in real_kafka.read_all(topic)] == [b"%d" % n for n in range(50)]


def test_transactions_leave_gaps_and_aborted_ones_are_not_read(
    real_kafka: RealKafka, unique_topic: Callable[[], str]
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    producer = Producer({"bootstrap.servers": real_kafka.bootstrap, "transactional.id": topic})
    producer.init_transactions(20)
    for value, end in (
        (b"yes", producer.commit_transaction),
        (b"no", producer.abort_transaction),
        (b"also", producer.commit_transaction),
    ):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(10)
        end(20)
    # Each end of a transaction takes an offset of its own: 0 yes, 1 end, 2 no, 3 end, 4 also, 5 end.
    assert [(r.offset, r.value) for r in real_kafka.read_all(topic)] == [(0, b"yes"), (4, b"also")]
    uncommitted = real_kafka.read_all(topic, "read_uncommitted")
    assert [(r.offset, r.value) for r in uncommitted] == [(0, b"yes"), (2, b"no"), (4, b"also")]


def test_offsets_end_at_an_open_transaction_if_they_are_asked_read_committed(
    real_kafka: RealKafka, unique_topic: Callable[[], str]
) -> None:
    """Whoever begins behind what is not committed yet never gets it. AdminClient has to be told, consumers are."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    now = int(time.time() * 1000)
    properties = {"bootstrap.servers": real_kafka.bootstrap}
    plain, writer = Producer(properties), Producer({**properties, "transactional.id": topic})
    writer.init_transactions(20)
    writer.begin_transaction()
    for number, producer in enumerate((plain, writer, plain)):
        producer.produce(topic, b"", timestamp=now + number)
        assert producer.flush(10) == 0
    where = TopicPartition(topic, 0)
    admin = AdminClient(properties)

    def asked(spec: OffsetSpec, **level: IsolationLevel) -> int:
        offset: int = admin.list_offsets({where: spec}, **level)[where].result(10).offset
        return offset

    committed = {"isolation_level": IsolationLevel.READ_COMMITTED}
    assert (asked(OffsetSpec.latest()), asked(OffsetSpec.latest(), **committed)) == (3, 1)
    for number, found in ((0, (0, 0)), (1, (1, -1)), (2, (2, -1))):
        spec = OffsetSpec.for_timestamp(now + number)
        assert (asked(spec), asked(spec, **committed)) == found
    consumer = Consumer({**properties, "group.id": topic, "isolation.level": "read_committed"})
    assert consumer.get_watermark_offsets(where, timeout=10) == (0, 1)
    assert consumer.offsets_for_times([TopicPartition(topic, 0, now + 2)], timeout=10)[0].offset == -1
    consumer.close()
    writer.abort_transaction(20)


def test_partitions_can_be_added(real_kafka: RealKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic, 1)
    produce(real_kafka, topic, 1)
    real_kafka.add_partitions(topic, 3)
    producer = Producer({"bootstrap.servers": real_kafka.bootstrap})
    producer.produce(topic, b"there", partition=2)
    producer.flush(10)
    assert [(r.partition, r.value) for r in real_kafka.read_all(topic)] == [(0, b"0"), (2, b"there")]


def test_a_compacted_topic_forgets_older_values(real_kafka: RealKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    config = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.001",
        "max.compaction.lag.ms": "100",
    }
    real_kafka.create_topic(topic, config=config)
    producer = Producer({"bootstrap.servers": real_kafka.bootstrap})
    deadline = time.monotonic() + 60
    number = 0
    while True:
        producer.produce(topic, b"%d" % number, b"same key")
        assert producer.flush(10) == 0
        number += 1
        left = real_kafka.read_all(topic)
        assert left[-1].value == b"%d" % (number - 1)
        if len(left) < number:
            break
        assert time.monotonic() < deadline, "nothing was compacted"
        time.sleep(0.2)


def test_offsets_can_be_found_by_time(real_kafka: RealKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    producer = Producer({"bootstrap.servers": real_kafka.bootstrap})
    for timestamp in (1000, 2000, 3000):
        producer.produce(topic, b"x", partition=0, timestamp=timestamp)
    producer.flush(10)
    reader = Consumer({"bootstrap.servers": real_kafka.bootstrap, "group.id": "g"})
    assert [p.offset for p in reader.offsets_for_times([TopicPartition(topic, 0, 1500)], timeout=10)] == [1]
    reader.close()


def test_the_console_producer_writes_keys_and_values(real_kafka: RealKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    real_kafka.console_produce(topic, ["a:1", "b/ö:2"], separator=":")
    real_kafka.console_produce(topic, ["no key"], "--compression-codec", "zstd")
    assert [(r.key, r.value) for r in real_kafka.read_all(topic)] == [
        (b"a", b"1"),
        ("b/ö".encode(), b"2"),
        (None, b"no key"),
    ]


def test_the_perf_producer_writes_what_it_is_asked_to(real_kafka: RealKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    process = real_kafka.start_perf_producer(topic, records=500, size=64, linger_ms="2")
    report, _ = process.communicate(timeout=60)
    assert b"500 records sent" in report
    records = real_kafka.read_all(topic)
    assert len(records) == 500
    assert {len(r.value or b"") for r in records} == {64}
    assert {r.key for r in records} == {None}


def test_three_brokers_survive_the_death_of_a_leader(tmp_path: Path) -> None:
    require("java", "maven")
    with RealKafka(tmp_path / "kafka", brokers=3) as kafka:
        kafka.create_topic("t")
        produce(kafka, "t", 3)
        dead = kafka.leader("t")
        kafka.kill(dead)
        produce(kafka, "t", 2)
        assert kafka.leader("t") != dead
        kafka.start(dead)
        records = kafka.read_all("t")
        assert [r.value for r in records] == [b"0", b"1", b"2", b"0", b"1"]
        assert records[2].leader_epoch < records[3].leader_epoch


def test_it_starts_from_the_archive_of_classes(real_kafka: RealKafka) -> None:
    """Java says nothing when it does not take it, and starts at twice the cost."""
    mapped = Path(f"/proc/{real_kafka.pid()}/maps").read_text()
    assert str(prepared().archive) in mapped
