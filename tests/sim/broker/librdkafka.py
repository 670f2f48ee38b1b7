"""Consumer and AdminClient of the model, as far as the node's threads use them, with librdkafka's manners.

- Consumers read and ask what is committed; AdminClient has to be told so with every question.
- With the epoch of what came before, `assign` checks for truncation; not once the same consumer has asked for
  watermarks or times (librdkafka 2.x).
- `auto.offset.reset` is `error`: an offset that is not there is an error of the partition.
- Whatever waits lets the thread's clock run (`Clock`): a question of a thread is answered at one instant of the
  simulation, and its answer arrives later by what was waited for.

Not here: what is asked and why (node/kafka/replay.py, node/kafka/discovery.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from types import SimpleNamespace
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import ConfigResource, OffsetSpec

from tests.sim.broker.cluster import ModelKafka, Topic
from tests.sim.broker.log import PartitionLog, Record

FAR = 1 << 60


class Clock:
    """What a thread takes for the module `time`; only waiting makes it go on."""

    def __init__(self) -> None:
        self.waited_s = 0.0
        """Since the thread was last looked at."""
        self.begun_s = 0.0
        """When that was."""
        self.wall_s = 0.0
        """The machine's time of day."""

    def monotonic(self) -> float:
        return self.begun_s + self.waited_s

    def time(self) -> float:
        return self.wall_s + self.waited_s

    def sleep(self, seconds: float) -> None:
        self.waited_s += seconds


class Message:
    """A record, or an error of a partition, as a consumer hands it out."""

    __slots__ = ("_error", "_partition", "_record", "_topic")

    def __init__(self, topic: str, partition: int, record: Record | None, error: KafkaError | None = None) -> None:
        self._topic = topic
        self._partition = partition
        self._record = record
        self._error = error

    def error(self) -> KafkaError | None:
        return self._error

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        assert self._record is not None
        return self._record.offset

    def leader_epoch(self) -> int:
        assert self._record is not None
        return self._record.epoch

    def key(self) -> bytes | None:
        assert self._record is not None
        return self._record.key

    def value(self) -> bytes | None:
        assert self._record is not None
        return self._record.value

    def timestamp(self) -> tuple[int, int]:
        assert self._record is not None
        return 1, self._record.time

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        assert self._record is not None
        return self._record.headers

    def __len__(self) -> int:
        return 0 if self._record is None else len(self._record.value or b"")


class Broken(Exception):
    """Why a partition cannot be read now."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.error = KafkaError(code, text)


class Consumer:
    """One that reads one partition at a time, for questions."""

    def __init__(self, kafka: ModelKafka, node: str, clock: Clock) -> None:
        self._kafka = kafka
        self._node = node
        self._clock = clock
        self._where: TopicPartition | None = None
        self._offset = 0
        self._has_asked = False
        self._eof_told = False

    def get_watermark_offsets(self, where: TopicPartition, timeout: float = -1.0) -> tuple[int, int]:
        self._has_asked = True
        log = self._ask(where, timeout)
        return log.low, log.stable

    def offsets_for_times(self, wheres: list[TopicPartition], timeout: float = -1.0) -> list[TopicPartition]:
        self._has_asked = True
        answers = []
        for where in wheres:
            log = self._ask(where, timeout)
            found = log.offset_since(where.offset, log.stable)
            answers.append(TopicPartition(where.topic, where.partition, -1 if found is None else found[0]))
        return answers

    def assign(self, wheres: list[TopicPartition]) -> None:
        [self._where] = wheres
        self._offset = self._where.offset
        self._eof_told = False

    def unassign(self) -> None:
        self._where = None

    def poll(self, timeout: float) -> Message | None:
        found = self.consume(1, timeout)
        return found[0] if found else None

    def consume(self, count: int, timeout: float) -> list[Message]:
        if self._where is None:
            self._clock.sleep(timeout)
            return []
        where = self._where
        topic, partition = where.topic, where.partition
        try:
            log = readable_log(self._kafka, self._node, topic, partition)
        except Broken as broken:
            if broken.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                return [Message(topic, partition, None, broken.error)] if timeout else []
            self._clock.sleep(timeout)
            return []
        epoch = where.leader_epoch if where.leader_epoch is not None and not self._has_asked else -1
        if epoch >= 0 and log.end_of(epoch) < self._offset:
            self._where = None
            return [Message(topic, partition, None, KafkaError(KafkaError._LOG_TRUNCATION, "log truncation"))]
        if not log.low <= self._offset <= log.end:
            self._where = None
            return [Message(topic, partition, None, KafkaError(KafkaError._AUTO_OFFSET_RESET, "offset out of range"))]
        records = log.readable(self._offset, count)
        if records:
            self._offset = records[-1].offset + 1
            self._eof_told = False
            return [Message(topic, partition, record) for record in records]
        if not self._eof_told:
            self._eof_told = True
            return [Message(topic, partition, None, KafkaError(KafkaError._PARTITION_EOF, "no more messages"))]
        self._clock.sleep(timeout)
        return []

    def close(self) -> None:
        self._where = None

    def _ask(self, where: TopicPartition, timeout: float) -> PartitionLog:
        try:
            return readable_log(self._kafka, self._node, where.topic, where.partition)
        except Broken as broken:
            self._clock.sleep(timeout)
            raise KafkaException(broken.error) from broken


def readable_log(kafka: ModelKafka, node: str, topic: str, partition: int) -> PartitionLog:
    """The partition, if this node can read it now.

    Raises:
        Broken: If it cannot.
    """
    if node in kafka.away:
        raise Broken(KafkaError._TRANSPORT, "all brokers are down")
    found = kafka.topics.get(topic)
    log = kafka.partition(topic, partition)
    if found is None or log is None:
        raise Broken(KafkaError.UNKNOWN_TOPIC_OR_PART, "no such partition")
    if not found.is_allowed:
        raise Broken(KafkaError.TOPIC_AUTHORIZATION_FAILED, "topic authorization failed")
    if not log.has_leader:
        raise Broken(KafkaError.LEADER_NOT_AVAILABLE, "nobody leads the partition")
    return log


class Answer:
    """A future that is done."""

    def __init__(self, value: Any = None, error: KafkaError | None = None) -> None:
        self._value = value
        self._error = error

    def done(self) -> bool:
        return True

    def result(self, timeout: float | None = None) -> Any:
        if self._error is not None:
            raise KafkaException(self._error)
        return self._value


class Lagging:
    """What a broker that lags behind knows of the topics: as it was a while ago."""

    def __init__(self, kafka: ModelKafka, rng: Random, lag_s: float) -> None:
        self._kafka = kafka
        self._rng = rng
        self._lag_s = lag_s

    def topics(self) -> dict[str, tuple[Topic, int]]:
        """Name -> (topic, how many partitions are known)."""
        horizon = self._kafka.now - (self._rng.uniform(0.0, self._lag_s) if self._lag_s else 0.0)
        found: dict[str, tuple[Topic, int]] = {}
        for name, topic in self._kafka.topics.items():
            count = sum(at <= horizon for at in topic.grown_at.values())
            if count:
                found[name] = (topic, count)
        return found


class Admin:
    """AdminClient of one node."""

    def __init__(self, kafka: ModelKafka, node: str, clock: Clock, lagging: Lagging) -> None:
        self._kafka = kafka
        self._node = node
        self._clock = clock
        self._lagging = lagging

    def poll(self, timeout: float) -> int:
        return 0

    def list_topics(self, timeout: float = -1.0) -> Any:
        self._reach(timeout)
        topics = {}
        for name, (topic, count) in self._lagging.topics().items():
            if not topic.is_allowed:
                continue  # a list of all has only what may be seen
            partitions = {
                log.number: SimpleNamespace(id=log.number, leader=1 if log.has_leader else -1)
                for log in topic.partitions[:count]
            }
            topics[name] = SimpleNamespace(error=None, partitions=partitions)
        brokers = {1: SimpleNamespace(host="kafka", port=9092)}
        return SimpleNamespace(topics=topics, cluster_id="model", brokers=brokers)

    def describe_topics(self, wanted: TopicCollection, request_timeout: float = -1.0) -> dict[str, Answer]:
        known = self._lagging.topics()
        answers: dict[str, Answer] = {}
        for name in wanted.topic_names:
            if name not in known:
                answers[name] = Answer(error=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "no such topic"))
                continue
            topic, count = known[name]
            if topic.is_allowed:
                answers[name] = Answer(SimpleNamespace(topic_id=topic.id, partitions=topic.partitions[:count]))
            else:
                answers[name] = Answer(error=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not allowed"))
        return answers

    def list_offsets(
        self,
        wanted: dict[TopicPartition, Any],
        isolation_level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
        request_timeout: float = -1.0,
    ) -> dict[Any, Answer]:
        is_committed = isolation_level is IsolationLevel.READ_COMMITTED
        return {where: self._offset(where, spec, is_committed, request_timeout) for where, spec in wanted.items()}

    def describe_configs(self, wanted: Iterable[ConfigResource], request_timeout: float = -1.0) -> dict[Any, Answer]:
        self._reach(request_timeout)
        answers = {}
        for resource in wanted:
            topic = self._kafka.topics.get(resource.name)
            if topic is None:
                answers[resource] = Answer(error=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "no such topic"))
            elif not topic.is_allowed:
                answers[resource] = Answer(error=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not allowed"))
            else:
                policy = "compact" if topic.is_compacted else "delete"
                values = {"cleanup.policy": policy, "message.timestamp.type": "CreateTime"}
                answers[resource] = Answer({name: SimpleNamespace(value=value) for name, value in values.items()})
        return answers

    def _offset(self, where: TopicPartition, spec: Any, is_committed: bool, timeout: float) -> Answer:
        try:
            log = readable_log(self._kafka, self._node, where.topic, where.partition)
        except Broken as broken:
            self._clock.waited_s = max(self._clock.waited_s, timeout)  # whatever is asked together
            return Answer(error=broken.error)
        end = log.stable if is_committed else log.end
        match type(spec):
            case kind if kind is type(OffsetSpec.earliest()):
                offset, epoch = log.low, log.epoch_at(log.low)
            case kind if kind is type(OffsetSpec.latest()):
                offset, epoch = end, log.epoch
            case _:
                offset, epoch = log.offset_since(spec.timestamp, end) or (-1, -1)
        return Answer(SimpleNamespace(offset=offset, leader_epoch=epoch))

    def _reach(self, timeout: float) -> None:
        if self._node in self._kafka.away:
            self._clock.sleep(timeout)
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "all brokers are down"))
