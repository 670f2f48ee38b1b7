"""Finds out what Kafka has: topics, partitions, configurations, and where to begin to read; in a thread.

Not here: what is to be believed of it (known_topics.py), where to begin (starts.py), what follows (node/topics.py),
reading (reader.py).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any

import msgspec
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from mesh.log import Position
from node.kafka.errors import is_lasting, silence_of
from node.kafka.events import Found, KafkaEvent, StartUnknown, Unreachable, Where
from node.kafka.known_topics import Description, KnownTopics, Silence
from node.kafka.making import made
from node.kafka.starts import EARLIEST, LATEST, NO_LEADER, NO_RECORD, Depth, Offset, StartQuestion, Starts
from node.kafka.threads import Inbox, start_thread
from node.kafka.tokens import TokenSource
from node.topics import Source, incarnation_of

ASK_S = 5.0
"""Longest wait for one answer of Kafka."""
CONFIGS_EVERY = 12
"""In how many looks topics' configurations are requested once: they, and the right to see them, may change."""
TOMBSTONES_S = 86_400.0
"""How long Kafka keeps tombstones unless it is told otherwise."""
LOOK_UP_PAUSE_S = 0.3
"""The shortest time between two looks, however often they are asked for."""
MAKE_PAUSE_S = 1.0
ANEW_S = 30.0
"""How long there is no answer before the client is made anew. One was seen, after its broker had stood still for some
seconds, that got "Broker transport failure" for ever, while the node's other clients read on.
"""
TURN_S = 0.02
"""Between two looks at what is wanted and what has been answered."""
MOCK = "mockCluster"
"""How the id of librdkafka's mock cluster begins, which can describe neither topics nor configurations."""

_SPECS = {EARLIEST: OffsetSpec.earliest(), LATEST: OffsetSpec.latest()}


class _Config(msgspec.Struct, frozen=True):
    """The parts of a topic's configuration that matter here."""

    tombstones_s: float | None
    """How long tombstones are kept, if it is compacted."""
    has_log_times: bool
    """The times of its records are those at which Kafka took them."""


class Discoverer:
    """The thread, as the hub sees it."""

    def __init__(
        self,
        properties: dict[str, object],
        interval_s: float,
        is_mapped: Callable[[str], bool],
        named: Collection[str],
        depth: Depth,
        inbox: Inbox[KafkaEvent],
    ) -> None:
        """Start the thread.

        Args:
            is_mapped: Whether a topic concerns this node.
            named: Topics that the configuration names in full.
        """
        self._interval_s = interval_s
        self._is_mapped = is_mapped
        self._inbox = inbox
        self._wanted: deque[Source] = deque()
        self._topics = KnownTopics(named)
        self._starts = Starts(depth)
        self._asked: list[tuple[StartQuestion, dict[int, dict[TopicPartition, Future[Any]]]]] = []
        self._told: dict[Source, str] = {}
        """Why it is not known where to begin to read some, as was told."""
        self._leaders: dict[Where, int] = {}
        self._configs: dict[bytes, _Config] = {}
        """By topic id."""
        self._undescribed: set[str] = set()
        self._configs_at = 0.0
        self._stopping = False
        self._look_up = self._looked_up = 0
        """Numbers of the last `LookUpTopics`, and of the last before Kafka was asked."""
        self._last_error = ""
        self._properties = {**properties, "error_cb": self._error}
        self._admin: Any = None
        self._thread = start_thread("kafka-discovery", self._run)

    def find_start(self, source: Source) -> None:
        """Find out where to begin to read; answered by `StartFound`, once Kafka can tell."""
        self._wanted.append(source)

    @property
    def is_idle(self) -> bool:
        """Whether no start is wanted that is not known."""
        return not self._wanted and self._starts.is_idle

    def look_up(self, number: int) -> None:
        """Look at once which topics there are; answered by a `Found` with this number."""
        self._look_up = number

    def stop(self) -> None:
        """End the thread, without waiting for an answer of Kafka."""
        self._stopping = True

    def _run(self) -> None:
        look_at = 0.0
        while self._admin is None and not self._stopping:
            self._make()
        answered_at = time.monotonic()
        while not self._stopping:
            if time.monotonic() >= look_at or self._is_asked(look_at):
                is_found, now = self._look(), time.monotonic()
                is_sure = is_found and not self._topics.is_in_doubt
                look_at = now + (self._interval_s if is_sure else min(1.0, self._interval_s))
                if is_found:
                    answered_at = now
                elif now - answered_at >= ANEW_S:
                    self._make()
                    answered_at = time.monotonic()
            self._find_starts()
            time.sleep(TURN_S)

    def _make(self) -> None:
        """Make the client, here in the thread: that waits for a token, if one is needed."""
        try:
            self._admin = made(AdminClient, self._properties)
        except KafkaException as failure:
            source = self._properties.get("oauth_cb")
            problem = source.problem if isinstance(source, TokenSource) else ""
            self._inbox.put(Unreachable(problem or failure.args[0].str()))
            time.sleep(MAKE_PAUSE_S)

    def _is_asked(self, look_at: float) -> bool:
        """Whether a look was asked for, and the last one was LOOK_UP_PAUSE_S ago at least."""
        since_last_s = self._interval_s - (look_at - time.monotonic())
        return self._look_up > self._looked_up and since_last_s >= LOOK_UP_PAUSE_S

    def _error(self, error: KafkaError) -> None:
        """What librdkafka says of its connections: more to the point than the request that fails because of it."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._last_error = error.str()

    # What there is.

    def _look(self) -> bool:
        self._looked_up = self._look_up
        topics = self._topics
        try:
            metadata = self._admin.list_topics(timeout=ASK_S)
            listed = {name: topic for name, topic in metadata.topics.items() if self._is_mapped(name)}
            topics.take(self._said(listed, str(metadata.cluster_id or "")))
            topics.measured(self._ends(topics.to_measure()))
            self._describe({name: topic.id for name, topic in topics.found.items() if name not in topics.forbidden})
        except KafkaException as failure:
            self._admin.poll(0)  # calls `_error`
            self._inbox.put(Unreachable(self._last_error or failure.args[0].str()))
            return False
        self._last_error = ""
        self._leaders = {
            (name, partition.id): partition.leader
            for name, topic in listed.items()
            for partition in topic.partitions.values()
        }
        self._starts.forget(topics.found)
        self._told = {source: reason for source, reason in self._told.items() if source.topic in topics.found}
        configs = {
            name: config for name, topic in topics.found.items() if (config := self._configs.get(topic.id)) is not None
        }
        found = Found(
            brokers=[f"{broker.host}:{broker.port}" for broker in metadata.brokers.values()],
            topics={name: (incarnation_of(topic.id), topic.partitions) for name, topic in topics.found.items()},
            leaderless={where for where, leader in self._leaders.items() if leader == NO_LEADER},
            unsure=topics.unsure,
            look_up=self._looked_up,
            compacted={name: one.tombstones_s for name, one in configs.items() if one.tombstones_s is not None},
            undescribed=frozenset(self._undescribed & topics.found.keys()),
            forbidden=frozenset(topics.forbidden),
            lacks_ids=topics.lacks_ids,
            recreated=frozenset(topics.recreated),
        )
        self._inbox.put(found)
        return True

    def _said(self, listed: Mapping[str, Any], cluster_id: str) -> dict[str, Description]:
        """What Kafka says of each topic that concerns this node."""
        topics = self._topics
        said: dict[str, Description] = {}
        if cluster_id.startswith(MOCK):
            for name in topics.to_describe(listed):
                said[name] = Silence.ABSENT
                if name in listed:
                    said[name] = topics.identify(cluster_id, name, "", len(listed[name].partitions))
            return said
        wanted = topics.to_describe(listed)
        if not wanted:
            return said
        for name, future in self._admin.describe_topics(TopicCollection(wanted), request_timeout=ASK_S).items():
            try:
                described = future.result()
                said[name] = topics.identify(cluster_id, name, str(described.topic_id), len(described.partitions))
            except KafkaException as failure:
                if failure.args[0].code() < 0:
                    raise  # librdkafka's own: no broker has answered, so nothing is known of any topic
                said[name] = silence_of(failure.args[0].code())
        return said

    def _ends(self, wheres: Collection[Where]) -> dict[Where, Position]:
        """Where partitions end, of those whose leaders tell."""
        if not wheres:
            return {}
        asked = {TopicPartition(*where): _SPECS[LATEST] for where in wheres}
        answers = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=ASK_S
        )
        return {where: (epoch, offset) for where, (offset, epoch) in _offsets(answers, {}).items()}

    def _describe(self, ids: dict[str, bytes]) -> None:
        """Learn how topics are configured: new ones at once, the others now and then."""
        if time.monotonic() >= self._configs_at:
            self._configs_at = time.monotonic() + CONFIGS_EVERY * self._interval_s
            wanted = [*ids]
        else:
            wanted = [name for name, id in ids.items() if id not in self._configs and name not in self._undescribed]
        wanted = [name for name in wanted if not ids[name].startswith(MOCK.encode())]
        if not wanted:
            return
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in wanted]
        for resource, future in self._admin.describe_configs(resources, request_timeout=ASK_S).items():
            name = resource.name
            try:
                answer = _result(future)
            except KafkaException as failure:
                error = failure.args[0]
                if silence_of(error.code()) is Silence.ABSENT:
                    continue
                if is_lasting(error):
                    self._undescribed.add(name)
                    self._configs.pop(ids[name], None)
                elif ids[name] not in self._configs:
                    raise
                continue
            self._undescribed.discard(name)
            self._configs[ids[name]] = _config(answer)

    # Where to begin.

    def _find_starts(self) -> None:
        """Ask for what is wanted, and tell what has been answered."""
        now = time.monotonic()
        while self._wanted:
            self._starts.want(now, self._wanted.popleft())
        with_log_times = {
            name
            for name, topic in self._topics.found.items()
            if (config := self._configs.get(topic.id)) is not None and config.has_log_times
        }
        wall_ms = int(time.time() * 1000)
        self._asked += [
            (question, self._ask(question))
            for question in self._starts.questions(now, wall_ms, self._leaders, with_log_times)
        ]
        partitions = sum(topic.partitions for topic in self._topics.found.values())
        asked, self._asked = self._asked, []
        for question, futures in asked:
            if not all(future.done() for by_where in futures.values() for future in by_where.values()):
                self._asked.append((question, futures))
                continue
            reasons: dict[Where, str] = {}
            answers = {one: _offsets(by_where, reasons) for one, by_where in futures.items()}
            starts = self._starts.answered(now, question, answers, partitions)
            for start in starts:
                self._told.pop(start.source, None)
                self._inbox.put(start)
            for source in question.sources.keys() - {start.source for start in starts}:
                self._tell(source, reasons.get((source.topic, source.partition), "no answer"))

    def _tell(self, source: Source, reason: str) -> None:
        """Say, once, why it is not known where to begin to read something."""
        if self._told.get(source) != reason:
            self._told[source] = reason
            self._inbox.put(StartUnknown(source, reason))

    def _ask(self, question: StartQuestion) -> dict[int, dict[TopicPartition, Future[Any]]]:
        asked = {}
        for one, wheres in question.wheres().items():
            spec = _SPECS.get(one) or OffsetSpec.for_timestamp(one)
            asked[one] = self._admin.list_offsets(
                {TopicPartition(*where): spec for where in wheres},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=ASK_S,
            )
        return asked


def _offsets(answers: Mapping[TopicPartition, Future[Any]], reasons: dict[Where, str]) -> dict[Where, Offset]:
    """What Kafka has told, without what it has not: the reason for that goes into `reasons`."""
    offsets: dict[Where, Offset] = {}
    for where, future in answers.items():
        try:
            answer = future.result()
        except KafkaException as failure:  # its leader is another one now, or does not answer, or we may not ask
            reasons[where.topic, where.partition] = failure.args[0].str()
            continue
        if answer.offset >= NO_RECORD:
            epoch = answer.leader_epoch
            offsets[where.topic, where.partition] = (answer.offset, epoch if epoch is not None and epoch >= 0 else 0)
    return offsets


def _config(answer: Mapping[str, Any]) -> _Config:
    """Brokers that only speak Kafka's protocol may leave out any key: then it is as Kafka has it by default."""
    policy = answer.get("cleanup.policy")
    tombstones = answer.get("delete.retention.ms")
    times = answer.get("message.timestamp.type")
    return _Config(
        (TOMBSTONES_S if tombstones is None else int(tombstones.value) / 1000)
        if policy is not None and "compact" in policy.value
        else None,
        times is not None and times.value == "LogAppendTime",
    )


def _result(future: Future[Any]) -> Any:
    """The answer.

    Raises:
        KafkaException: There is none; also where librdkafka does not even say so in time.
    """
    try:
        return future.result(timeout=2 * ASK_S)
    except TimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "Kafka did not answer")) from None
