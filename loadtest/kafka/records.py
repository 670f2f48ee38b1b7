"""An independent reader: everything in a topic, straight from Kafka, to compare with what clients got."""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition


@dataclass(frozen=True, slots=True, order=True)
class Record:
    """A record as it stands in Kafka; ordered by partition and offset."""

    partition: int
    offset: int
    leader_epoch: int
    """-1 when Kafka did not say."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int
    """-1 when there is none."""


def read_all(bootstrap: str, topic: str, isolation: str = "read_committed", timeout_s: float = 30) -> list[Record]:
    """Every record that is in the topic now, by partition and offset.

    Args:
        isolation: read_committed or read_uncommitted.

    Raises:
        TimeoutError: If the end of all partitions is not reached in time.
        KafkaException: If Kafka refuses.
    """
    deadline = time.monotonic() + timeout_s
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "read-all",  # required by the library; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
            "fetch.wait.max.ms": 5,
            "log_level": 0,
        }
    )
    try:
        partitions = sorted(reader.list_topics(topic, timeout=timeout_s).topics[topic].partitions)
        reader.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        return _read(reader, set(partitions), topic, deadline)
    finally:
        reader.close()


def _read(reader: Consumer, unfinished: set[int], topic: str, deadline: float) -> list[Record]:
    found: list[Record] = []
    while unfinished:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the end of {topic} partitions {sorted(unfinished)} was not reached")
        for message in reader.consume(1000, 0.05):
            error = message.error()
            if error is None:
                if message.partition() in unfinished:
                    found.append(_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition())
    return sorted(found, key=lambda record: (record.partition, record.offset))


def _record(message: Message) -> Record:
    kind, timestamp_ms = message.timestamp()
    epoch = message.leader_epoch()
    return Record(
        partition=message.partition(),
        offset=message.offset(),
        leader_epoch=-1 if epoch is None else epoch,
        key=message.key(),
        value=message.value(),
        headers=tuple(message.headers() or ()),
        timestamp_ms=timestamp_ms if kind else -1,
    )
