"""Finds out what Kafka has: topics, partitions, incarnations, and where to begin to read each; in a thread.

Where to begin: a partition that is new, or whose topic is compacted, from its beginning; any other from the cache's
time to live ago (by the records' times), but no further back than the cache could hold.

What one broker says is not believed at once where that would end a log: a broker that lags behind the others does
not know a new topic or partition yet.

Not here: what follows from it (node/topics.py), reading (reader.py).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from mesh.log import BEGINNING
from node.kafka.events import Found, KafkaEvent, StartFound, Unreachable
from node.kafka.threads import Inbox, start_thread
from node.topics import Source, incarnation_of

ASK_S = 5.0
"""Longest wait for one answer of Kafka."""
CONFIGS_EVERY = 12
"""With every how many looks topics' configurations are asked for again: they, and the right to see them, may change."""
TOMBSTONES_S = 86_400.0
"""How long Kafka keeps tombstones unless it is told otherwise."""
LOOK_UP_PAUSE_S = 0.3
"""The shortest time between two looks, however often they are asked for."""
REPEATS_BACK = 10_000
"""Records before the first that is kept which are read at least where clients may publish."""
OPEN_BACK = 100
"""Records before an open transaction of which the first tells an epoch that surely comes before it."""
NO_LEADER = -1
NO_RECORD = -1
"""The offset that Kafka gives when there is no record of that time; librdkafka has lower ones for no answer."""

_GONE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.TOPIC_EXCEPTION,
}
"""What says that a topic is not there for us; anything else may pass."""
_NOT_ALLOWED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}


class Depth(msgspec.Struct, frozen=True):
    """How far back the cache is filled."""

    ttl_s: float
    retry_window_s: float
    """So much further where clients may publish, to recognise repeats (mesh/repeats.py)."""
    records_max: int
    """More than the cache could hold of one partition."""


class _Topic(msgspec.Struct, frozen=True):
    id: bytes
    """Names the incarnation."""
    partitions: int


class Discoverer:
    """The thread, as the hub sees it."""

    def __init__(
        self,
        properties: dict[str, object],
        interval_s: float,
        is_mapped: Callable[[str], bool],
        depth: Depth,
        inbox: Inbox[KafkaEvent],
    ) -> None:
        self._interval_s = interval_s
        self._is_mapped = is_mapped
        self._depth = depth
        self._inbox = inbox
        self._wanted: deque[Source] = deque()
        self._found: dict[str, _Topic] = {}
        self._absent: set[str] = set()
        """Topics that were not among those of the last answer, and are believed to exist for now."""
        self._leaders: dict[tuple[str, int], int] = {}
        self._silent: set[int] = set()
        """Brokers that have not answered since the last look: nothing of theirs is asked until the next one."""
        self._configs: dict[bytes, float | None] = {}
        """Topic id -> how long tombstones are kept, in seconds, if it is compacted."""
        self._undescribed: set[str] = set()
        self._configs_at = 0.0
        self._stopping = False
        self._look_up = self._looked_up = 0
        """Numbers of the last `LookUpTopics`, and of the last before Kafka was asked."""
        self._last_error = ""
        self._admin = AdminClient({**properties, "error_cb": self._error})
        self._thread = start_thread("kafka-discovery", self._run)

    def find_start(self, source: Source) -> None:
        """Find out where to begin to read; answered by `StartFound`, once Kafka can tell."""
        self._wanted.append(source)

    def look_up(self, number: int) -> None:
        """Look at once which topics there are; answered by a `Found` with this number."""
        self._look_up = number

    def stop(self) -> None:
        """End the thread, without waiting for an answer of Kafka."""
        self._stopping = True

    def _run(self) -> None:
        look_at = 0.0
        while not self._stopping:
            if time.monotonic() >= look_at or self._is_asked(look_at):
                look_at = time.monotonic() + (self._interval_s if self._look() else min(1.0, self._interval_s))
            if not self._begin_one():
                time.sleep(0.05)

    def _is_asked(self, look_at: float) -> bool:
        """Whether a look was asked for, and the last one was LOOK_UP_PAUSE_S ago at least."""
        since_last_s = self._interval_s - (look_at - time.monotonic())
        return self._look_up > self._looked_up and since_last_s >= LOOK_UP_PAUSE_S

    def _look(self) -> bool:
        self._looked_up = self._look_up
        try:
            metadata = self._admin.list_topics(timeout=ASK_S)
            listed = {name: topic for name, topic in metadata.topics.items() if self._is_mapped(name)}
            said = self._identify(listed, str(metadata.cluster_id or ""))
            self._describe({name: topic.id for name, topic in said.items() if topic is not None})
        except KafkaException as failure:
            self._admin.poll(0)  # calls `_error`
            self._inbox.put(Unreachable(self._last_error or failure.args[0].str()))
            return False
        self._last_error = ""
        self._found, self._absent = _believed(self._found, self._absent, said)
        self._leaders = {
            (name, partition.id): partition.leader
            for name, topic in listed.items()
            for partition in topic.partitions.values()
        }
        self._silent = {NO_LEADER}
        topics = {name: (incarnation_of(topic.id), topic.partitions) for name, topic in self._found.items()}
        leaderless = {where for where, leader in self._leaders.items() if leader < 0}
        brokers = [f"{broker.host}:{broker.port}" for broker in metadata.brokers.values()]
        unsure = {name for name, topic in said.items() if topic is None and name not in self._found}
        compacted = {
            name: tombstones_s
            for name, topic in self._found.items()
            if (tombstones_s := self._configs.get(topic.id)) is not None
        }
        undescribed = frozenset(self._undescribed & self._found.keys())
        self._inbox.put(Found(brokers, topics, leaderless, unsure, self._looked_up, compacted, undescribed))
        return True

    def _error(self, error: KafkaError) -> None:
        """What librdkafka says of its connections: more to the point than the request that fails because of it."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._last_error = error.str()

    def _identify(self, listed: dict[str, Any], cluster_id: str) -> dict[str, _Topic | None]:
        """The topics and what names their incarnations: Kafka's topic id; where there are none, the cluster's id.

        None: it exists, but Kafka does not say more just now.
        """
        said: dict[str, _Topic | None] = {}
        for name, topic in listed.items():
            if topic.error is None:
                said[name] = _Topic(f"{cluster_id}/{name}".encode(), len(topic.partitions))
            elif topic.error.code() not in _GONE:
                said[name] = None
        named = [name for name, topic in said.items() if topic is not None]
        if not named or cluster_id.startswith("mockCluster"):  # librdkafka's mock cannot describe topics
            return said
        for name, future in self._admin.describe_topics(TopicCollection(named), request_timeout=ASK_S).items():
            try:
                described = future.result()
                said[name] = _Topic(str(described.topic_id).encode(), len(described.partitions))
            except KafkaException as failure:
                said[name] = None
                if failure.args[0].code() in _GONE:
                    del said[name]
        return said

    def _describe(self, ids: dict[str, bytes]) -> None:
        """Learn which topics are compacted: of new ones at once, of the others now and then."""
        if time.monotonic() >= self._configs_at:
            self._configs_at = time.monotonic() + CONFIGS_EVERY * self._interval_s
            wanted = [*ids]
        else:
            wanted = [name for name, id in ids.items() if id not in self._configs and name not in self._undescribed]
        wanted = [name for name in wanted if not ids[name].startswith(b"mockCluster")]  # it has no configurations
        if not wanted:
            return
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in wanted]
        for resource, future in self._admin.describe_configs(resources, request_timeout=ASK_S).items():
            name = resource.name
            try:
                answer = _result(future)
            except KafkaException as failure:
                if failure.args[0].code() in _NOT_ALLOWED:
                    self._undescribed.add(name)
                    self._configs.pop(ids[name], None)
                elif failure.args[0].code() not in _GONE and ids[name] not in self._configs:
                    raise
                continue
            self._undescribed.discard(name)
            tombstones = answer.get("delete.retention.ms")
            tombstones_s = TOMBSTONES_S if tombstones is None else int(tombstones.value) / 1000
            self._configs[ids[name]] = tombstones_s if "compact" in answer["cleanup.policy"].value else None

    def _begin_one(self) -> bool:
        """Answer one question; False if there is none that Kafka can answer now."""
        for _ in range(len(self._wanted)):
            source = self._wanted.popleft()
            if source.topic not in self._found:
                continue  # it has ended
            leader = self._leaders.get((source.topic, source.partition), NO_LEADER)
            if leader in self._silent:
                self._wanted.append(source)
                continue
            try:
                self._inbox.put(self._where(source))
                return True
            except TimeoutError:
                self._silent.add(leader)
            except KafkaException:
                pass
            self._wanted.append(source)
            return False
        return False

    def _where(self, source: Source) -> StartFound:
        earliest, epoch = self._offset(source, OffsetSpec.earliest())
        if source.is_new or source.is_table:
            return StartFound(source, earliest, earliest, (epoch, earliest - 1) if earliest else BEGINNING, 0)
        latest = self._offset(source, OffsetSpec.latest())
        oldest_kept = max(earliest, latest[0] - self._depth.records_max)
        since, epoch = self._since(source, self._depth.ttl_s, earliest, latest)
        is_unknown = since == latest[0] > earliest and self._has_open_transaction(source, latest[0])
        if is_unknown:
            since, epoch = max(earliest, since - OPEN_BACK), 0
        offset = max(since, oldest_kept)
        floor = (epoch, offset - 1) if offset else BEGINNING
        if not source.rule.publish or offset == earliest:
            return StartFound(source, offset, earliest, floor, 0, skips_first=offset > (0 if is_unknown else since))
        # Times in records are hearsay: by position, too, so far back that publishes which come again are recognised.
        back_s = self._depth.ttl_s + self._depth.retry_window_s
        back = max(min(self._since(source, back_s, earliest, latest)[0], offset - REPEATS_BACK), oldest_kept)
        return StartFound(source, back, earliest, (0, back - 1) if back else BEGINNING, offset, skips_first=back > 0)

    def _since(self, source: Source, age_s: float, earliest: int, latest: tuple[int, int]) -> tuple[int, int]:
        """(offset, leader epoch) of the first record that is not older than this, by the records' times."""
        offset, epoch = self._offset(source, OffsetSpec.for_timestamp(max(0, int((time.time() - age_s) * 1000))))
        if offset >= 0:
            return offset, epoch
        # No record is that new. (Or Kafka cannot tell, as librdkafka's mock: it has none for any time.)
        always = self._offset(source, OffsetSpec.for_timestamp(0))[0]
        return (earliest, 0) if always < 0 < latest[0] - earliest else latest

    def _has_open_transaction(self, source: Source, stable: int) -> bool:
        """Whether something stands behind the last stable offset: it can be of a lower epoch than the leader's."""
        return self._offset(source, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)[0] > stable

    def _offset(
        self, source: Source, spec: OffsetSpec, level: IsolationLevel = IsolationLevel.READ_COMMITTED
    ) -> tuple[int, int]:
        """(offset, leader epoch); the offset is NO_RECORD if there is none.

        Args:
            level: AdminClient does not take this from `isolation.level`. Who begins behind what is not committed yet
                never gets it.

        Raises:
            TimeoutError: If the leader does not answer.
        """
        where = TopicPartition(source.topic, source.partition)
        asked = self._admin.list_offsets({where: spec}, isolation_level=level, request_timeout=ASK_S)
        answer = _result(asked[where])
        if answer.offset < NO_RECORD:
            raise TimeoutError
        epoch = answer.leader_epoch
        return answer.offset, epoch if epoch is not None and epoch >= 0 else 0


def _believed(
    before: dict[str, _Topic], absent: set[str], said: dict[str, _Topic | None]
) -> tuple[dict[str, _Topic], set[str]]:
    """The topics to go by after another answer, and those of them that it did not have.

    A topic is gone when two answers in a row do not have it. Within an incarnation partitions are never removed.
    """
    found: dict[str, _Topic] = {}
    for name, topic in said.items():
        known = before.get(name)
        if topic is None:
            if known is not None:
                found[name] = known
        elif known is not None and known.id == topic.id:
            found[name] = _Topic(topic.id, max(topic.partitions, known.partitions))
        else:
            found[name] = topic
    missing = {name for name in before if name not in said and name not in absent}
    return found | {name: before[name] for name in missing}, missing


def _result(future: Future[Any]) -> Any:
    return future.result(timeout=2 * ASK_S)
