"""One partition of the model of Kafka: what is readable, and what must be."""

from __future__ import annotations

from random import Random

import pytest
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from mesh.log import BEGINNING, Position
from tests.sim.broker.cluster import ModelKafka
from tests.sim.broker.librdkafka import Admin, Clock, Consumer, Lagging
from tests.sim.broker.log import PUBLISHER, SEQ, PartitionLog, Transaction
from tests.sim.schedule import Schedule

END: Position = (1 << 30, 0)


def log_with(count: int) -> PartitionLog:
    log = PartitionLog(Schedule(), "t", 0, "0.x")
    for number in range(count):
        log.append(b"a" if number % 2 else b"b", b"%d" % number, number * 1000)
    return log


def offsets(log: PartitionLog) -> list[int]:
    return [record.offset for record in log.readable(0, 1000)]


def due(log: PartitionLog, subject: str = "/t/*") -> list[Position]:
    return [seen.at for seen in log.between(subject, BEGINNING, END) if seen.is_due]


def test_an_open_transaction_holds_readers_back_and_an_aborted_one_is_never_seen() -> None:
    log = log_with(2)
    kept, aborted = Transaction(), Transaction()
    log.append(b"a", b"kept", 0, None, kept)
    log.append(b"a", b"aborted", 0, None, aborted)
    log.append(b"a", b"plain", 0)
    assert (log.stable, log.end) == (2, 5)
    assert offsets(log) == [0, 1]
    log.finish(aborted, True, 0)
    log.finish(kept, False, 0)
    assert offsets(log) == [0, 1, 2, 4]
    assert due(log) == [(0, 0), (0, 1), (0, 2), (0, 4)]


def test_an_unclean_leader_loses_records_and_gives_their_offsets_to_others() -> None:
    log = log_with(5)
    log.elect(3)
    log.append(b"a", b"new", 9000)
    assert due(log) == [(0, 0), (0, 1), (0, 2), (1, 3)]
    assert log.by_position[0, 4].is_lost
    assert (log.end_of(0), log.end_of(1), log.epoch_at(2), log.epoch_at(3)) == (3, 4, 0, 1)


def test_what_is_compacted_or_deleted_is_not_due() -> None:
    log = log_with(4)
    log.compact()
    assert offsets(log) == [2, 3]
    log.delete_before(3)
    assert (log.low, due(log)) == (3, [(0, 3)])


def test_a_publish_that_stands_twice_is_due_once() -> None:
    log = PartitionLog(Schedule(), "t", 0, "0.x")
    headers: list[tuple[str, bytes | None]] = [(PUBLISHER, b"p"), (SEQ, b"1")]
    for _ in range(2):
        log.append(b"a", b"x", 0, headers)
    first, second = log.seen
    assert (first.is_due, second.is_due, second.is_repeat) == (True, False, True)
    log.delete_before(1)
    assert not second.is_repeat, "nobody can know of the first any more"


class Node:
    """What one node can see of a topic with two records."""

    def __init__(self) -> None:
        self.kafka = ModelKafka(Schedule(), Random(1))
        self.log = self.kafka.create("t", 1).partitions[0]
        for number in range(2):
            self.log.append(b"a", b"%d" % number, 1000 + number)
        self.clock = Clock()
        self.consumer = Consumer(self.kafka, "n", self.clock)
        self.admin = Admin(self.kafka, "n", self.clock, Lagging(self.kafka, Random(1), 0.0))


def test_a_consumer_reads_to_the_end_and_says_so_once() -> None:
    node = Node()
    node.consumer.assign([TopicPartition("t", 0, 1)])
    message = node.consumer.poll(0.1)
    assert message is not None
    assert (message.offset(), message.value(), message.leader_epoch(), message.timestamp()) == (1, b"1", 0, (1, 1001))
    end = node.consumer.poll(0.1)
    assert end is not None
    error = end.error()
    assert error is not None
    assert error.code() == KafkaError._PARTITION_EOF
    assert node.consumer.poll(0.1) is None
    assert node.clock.monotonic() == pytest.approx(0.1)


@pytest.mark.parametrize(("asks_first", "code"), [(False, KafkaError._LOG_TRUNCATION), (True, None)])
def test_truncation_is_noticed_unless_the_consumer_has_asked_before(asks_first: bool, code: int | None) -> None:
    node = Node()
    node.log.elect(1)
    for number in range(2):
        node.log.append(b"a", b"new %d" % number, 2000)
    if asks_first:
        assert node.consumer.get_watermark_offsets(TopicPartition("t", 0)) == (0, 3)
    node.consumer.assign([TopicPartition("t", 0, 2, leader_epoch=0)])
    message = node.consumer.poll(0.1)
    assert message is not None
    error = message.error()
    assert (None if error is None else error.code()) == code


def test_who_reaches_no_broker_waits_and_fails() -> None:
    node = Node()
    node.kafka.away["n"] = None
    with pytest.raises(KafkaException):
        node.consumer.get_watermark_offsets(TopicPartition("t", 0), timeout=5.0)
    assert node.clock.monotonic() == 5.0


def test_the_admin_client_tells_topics_offsets_and_configurations() -> None:
    node = Node()
    assert [*node.admin.list_topics().topics] == ["t"]
    where = TopicPartition("t", 0)
    for spec, offset in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 2), (OffsetSpec.for_timestamp(1001), 1)):
        assert node.admin.list_offsets({where: spec}, IsolationLevel.READ_COMMITTED)[where].result().offset == offset
    node.kafka.allow("t", False)
    assert not node.admin.list_topics().topics
