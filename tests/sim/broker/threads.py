"""Kafka's threads of one node process: the shipped discovery and replay over the model's clients, and a reader and a
producer as librdkafka's are, at the seam of node/kafka/events.py.

The reader and the producer are played, because the shipped ones are a loop and a call-back around librdkafka itself.
What a thread says comes to the core later, in the thread's order.

Not here: what the core makes of it, the clients' manners (librdkafka.py).
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from types import ModuleType
from typing import Any

from confluent_kafka import KafkaError

from gateway.link import codes
from node.backfill.scan import ReplayLimits
from node.effects import AskKafka, CancelQuestion, FindStart, LookUpTopics, Produce, ReadFrom, StopReading
from node.kafka import discovery, replay
from node.kafka.discovery import LOOK_UP_PAUSE_S
from node.kafka.events import (
    Delivered,
    EndReached,
    Flow,
    KafkaEvent,
    NotAllowed,
    NotDelivered,
    OutOfRange,
    ReadError,
    Record,
    Records,
    Watermarks,
    Where,
)
from node.kafka.starts import Depth
from tests.sim.broker import log as model
from tests.sim.broker.cluster import ModelKafka
from tests.sim.broker.librdkafka import Admin, Broken, Clock, Consumer, Lagging, readable_log

BATCH_MAX = 20
LOOK_S = 0.2
"""How often it is looked which partitions flow."""
STALL_S = 0.6
WATERMARKS_S = 1.0
WAIT_MAX_S = 1.5
"""A question that waits in vain is answered after so long at most: the model has no half answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadsConfig:
    """Of all nodes of a run."""

    limits: ReplayLimits
    depth: Depth
    metadata_interval_s: float
    metadata_lag_s: float
    publish_timeout_s: float
    tells_flow: bool
    is_mapped: Callable[[str], bool]
    named: tuple[str, ...]


class _Assigned:
    """A partition that is read."""

    __slots__ = ("checked", "end_told_at", "epoch", "is_lost", "is_refused", "is_stalled", "offset", "seen_at")

    def __init__(self, now: float, offset: int) -> None:
        self.offset = offset
        self.epoch: int | None = None
        """Of the last record: with it truncation is noticed when another broker leads."""
        self.checked = -1
        self.is_lost = False
        self.is_refused = False
        """As was last told."""
        self.end_told_at = -1
        self.seen_at = now
        self.is_stalled: bool | None = None


class _Thread:
    """What a thread has said and the node has not heard yet: in order, whatever each of it took."""

    def __init__(self) -> None:
        self.said: deque[list[KafkaEvent]] = deque()
        self.heard_at = 0.0
        """When the last of it is heard."""


class _Inbox:
    def __init__(self) -> None:
        self.events: list[KafkaEvent] = []

    def put(self, event: KafkaEvent) -> None:
        self.events.append(event)


class KafkaThreads:
    """Of one process; they die with it."""

    def __init__(
        self,
        kafka: ModelKafka,
        node: str,
        config: ThreadsConfig,
        rng: Random,
        wall_ms: Callable[[], int],
        is_running: Callable[[], bool],
        put: Callable[[KafkaEvent], None],
    ) -> None:
        self._kafka = kafka
        self._schedule = kafka.schedule
        self._node = node
        self._config = config
        self._rng = rng
        self._wall_ms = wall_ms
        self._is_running = is_running
        self._put = put
        self._is_over = False
        self._assigned: dict[tuple[str, int], _Assigned] = {}
        self._commands: deque[ReadFrom | StopReading] = deque()
        self._obeyed = 0
        self._clock = Clock()
        self._inbox = _Inbox()
        lagging = Lagging(kafka, rng, config.metadata_lag_s)
        admin = Admin(kafka, node, self._clock, lagging)
        self._consumer = Consumer(kafka, node, self._clock)
        threadless: dict[str, Any] = {"start_thread": lambda name, run: None}
        with _instead(discovery, AdminClient=lambda properties: admin, **threadless):
            self._discoverer = discovery.Discoverer(
                {},
                config.metadata_interval_s,
                config.is_mapped,
                config.named,
                config.depth,
                self._inbox,  # type: ignore[arg-type]
            )
            self._discoverer._make()
        with _instead(replay, **threadless):
            self._replay = replay.Replay({}, config.limits, self._inbox)  # type: ignore[arg-type]
        self._discovering, self._replaying = _Thread(), _Thread()
        self._looked_at = -1e9
        self._queues: dict[tuple[str, int], deque[tuple[Produce, float]]] = {}
        self._later(rng.uniform(0.0, 0.05), self._look_around, 0.0)
        self._later(rng.uniform(0.0, 0.03), self._read)
        self._later(LOOK_S, self._look_at_flow)
        self._later(WATERMARKS_S, self._tell_watermarks)

    def die(self) -> None:
        """The process is gone."""
        self._is_over = True

    def reads(self, topic: str, partition: int) -> bool:
        """Whether this node reads the partition itself."""
        return (topic, partition) in self._assigned

    def was_truncated(self, topic: str, partition: int) -> bool:
        """Whether Kafka has ever lost something of the partition."""
        log = self._kafka.partition(topic, partition)
        return log is not None and log.was_truncated

    def has(self, log_id: str) -> bool:
        """Whether this is a log of Kafka's now."""
        log = self._kafka.logs.get(log_id)
        return log is not None and not log.is_gone

    # Effects.

    def look_up_topics(self, effect: LookUpTopics) -> None:
        self._discoverer.look_up(effect.number)

    def find_start(self, effect: FindStart) -> None:
        self._discoverer.find_start(effect.source)

    def read_from(self, effect: ReadFrom) -> None:
        self._commands.append(effect)

    def stop_reading(self, effect: StopReading) -> None:
        self._commands.append(effect)

    def ask(self, effect: AskKafka) -> None:
        self._replay.ask(effect.ticket, effect.question)
        self._later(self._rng.uniform(0.001, 0.03), self._answer)

    def cancel(self, effect: CancelQuestion) -> None:
        self._replay.cancel(effect.ticket)

    def produce(self, effect: Produce) -> None:
        topic = self._kafka.topics.get(effect.topic)
        count = len(topic.partitions) if topic is not None else 1
        if effect.key is None:
            by = zlib.crc32(effect.publisher.encode()) % (effect.partitions or count)
        else:
            by = zlib.crc32(effect.key) % count
        where = (effect.topic, by)
        queue = self._queues.setdefault(where, deque())
        queue.append((effect, self._kafka.now + self._config.publish_timeout_s))
        if len(queue) == 1:
            self._later(self._rng.uniform(0.001, 0.01), self._send, where)

    # Discovery and replay.

    def _look_around(self, look_at: float) -> None:
        now, discoverer = self._kafka.now, self._discoverer
        is_asked = discoverer._look_up > discoverer._looked_up and now - self._looked_at >= LOOK_UP_PAUSE_S
        if now >= look_at or is_asked or not discoverer.is_idle:
            with self._time(self._discovering):
                if now >= look_at or is_asked:
                    self._looked_at = now
                    is_found = discoverer._look()
                    look_at = now + (self._config.metadata_interval_s if is_found else 0.5)
                discoverer._find_starts()  # asks
                discoverer._find_starts()  # tells: the model answers at once
        self._later(0.07, self._look_around, look_at)

    def _answer(self) -> None:
        if not self._replay._waiting:
            return
        where, questions = next(iter(self._replay._waiting.items()))
        del self._replay._waiting[where]
        with self._time(self._replaying):
            self._replay._answer(self._partition(where), questions)
        if self._replay._waiting:
            self._later(self._rng.uniform(0.001, 0.03), self._answer)

    def _partition(self, where: tuple[str, int]) -> replay.Partition:
        return replay.Partition(self._consumer, *where, self._config.limits)

    @contextmanager
    def _time(self, thread: _Thread) -> Iterator[None]:
        """The thread works; what it says comes after what it has waited for."""
        self._clock.wall_s = self._wall_ms() / 1000
        self._clock.begun_s, self._clock.waited_s = self._kafka.now, 0.0
        with _instead(discovery, time=self._clock), _instead(replay, time=self._clock):
            yield
        events, self._inbox.events = self._inbox.events, []
        if events:
            now = self._kafka.now
            wait_s = min(self._clock.waited_s, self._rng.uniform(0.2, WAIT_MAX_S))
            thread.heard_at = max(thread.heard_at, now + wait_s + self._rng.uniform(0.0, 0.003))
            thread.said.append(events)
            self._later(thread.heard_at - now, self._tell, thread)

    def _tell(self, thread: _Thread) -> None:
        for event in thread.said.popleft():
            self._put(event)

    # Reading.

    def _read(self) -> None:
        while self._commands:
            self._obey(self._commands.popleft())
        records: list[Record] = []
        behind: list[KafkaEvent] = []
        for (topic, partition), assigned in self._assigned.items():
            if assigned.is_lost:
                continue
            try:
                log = readable_log(self._kafka, self._node, topic, partition)
            except Broken as broken:
                is_refused = broken.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
                if is_refused and not assigned.is_refused:
                    behind.append(NotAllowed(self._obeyed, topic, partition))
                elif not is_refused and self._rng.random() < 0.05:
                    behind.append(ReadError(broken.error.str(), (topic, partition)))
                assigned.is_refused = is_refused
                continue
            assigned.is_refused = False
            assigned.seen_at = self._kafka.now
            if self._is_lost(log, assigned):
                assigned.is_lost = True
                behind.append(OutOfRange(self._obeyed, topic, partition))
                continue
            found = log.readable(assigned.offset, BATCH_MAX)
            records += [_record(topic, partition, record) for record in found]
            if found:
                assigned.offset, assigned.epoch = found[-1].offset + 1, found[-1].epoch
            if len(found) < BATCH_MAX:
                assigned.offset = max(assigned.offset, log.stable)
                if assigned.end_told_at != assigned.offset:
                    assigned.end_told_at = assigned.offset
                    behind.append(EndReached(self._obeyed, topic, partition, assigned.offset))
        if records:
            self._put(Records(self._obeyed, records, 200 * len(records), self._kafka.now))
        for reached in behind:
            self._put(reached)
        self._later(self._rng.uniform(0.01, 0.06), self._read)

    def _obey(self, command: ReadFrom | StopReading) -> None:
        where = (command.topic, command.partition)
        self._assigned.pop(where, None)
        if isinstance(command, ReadFrom):
            self._assigned[where] = _Assigned(self._kafka.now, command.offset)
        self._obeyed = command.generation

    def _is_lost(self, log: model.PartitionLog, assigned: _Assigned) -> bool:
        """Whether the next offset is not there, as far as librdkafka can tell."""
        if assigned.epoch is not None and assigned.checked != log.epoch:
            assigned.checked = log.epoch
            if log.end_of(assigned.epoch) < assigned.offset:
                return True
        return not log.low <= assigned.offset <= log.end

    def _look_at_flow(self) -> None:
        stalled: list[Where] = []
        flowing: list[Where] = []
        for where, assigned in self._assigned.items():
            is_stalled = self._kafka.now - assigned.seen_at > STALL_S
            if is_stalled != assigned.is_stalled:
                assigned.is_stalled = is_stalled
                (stalled if is_stalled else flowing).append(where)
        if (stalled or flowing) and self._config.tells_flow:
            self._put(Flow(self._obeyed, stalled, flowing))
        self._later(LOOK_S, self._look_at_flow)

    def _tell_watermarks(self) -> None:
        ends = {}
        for where in self._assigned:
            log = self._kafka.partition(*where)
            if log is not None and self._node not in self._kafka.away:
                ends[where] = (log.end, log.stable)
        self._put(Watermarks(ends))
        self._later(WATERMARKS_S, self._tell_watermarks)

    # Producing.

    def _send(self, where: tuple[str, int]) -> None:
        queue = self._queues[where]
        while queue:
            produce, deadline = queue[0]
            if self._kafka.now >= deadline:
                queue.popleft()
                self._put(NotDelivered(produce.ticket, codes.OUTCOME_UNKNOWN, "timed out"))
                continue
            try:
                log = readable_log(self._kafka, self._node, *where)
            except Broken as broken:
                refusal = _refusal(broken)
                if refusal:
                    queue.popleft()
                    self._put(NotDelivered(produce.ticket, refusal, str(broken)))
                    continue
                self._later(0.1, self._send, where)
                return
            queue.popleft()
            headers = [*produce.headers]
            self._kafka.publish(log, produce.key, produce.value, self._wall_ms(), headers)
            self._later(self._rng.uniform(0.001, 0.02), self._report, produce, where[1], deadline)

    def _report(self, produce: Produce, partition: int, deadline: float) -> None:
        if self._node not in self._kafka.away:
            self._put(Delivered(produce.ticket, produce.topic, partition))
        elif self._kafka.now >= deadline:
            self._put(NotDelivered(produce.ticket, codes.OUTCOME_UNKNOWN, "timed out"))
        else:
            self._later(0.1, self._report, produce, partition, deadline)

    # Time.

    def _later(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        self._schedule.after(seconds, self._run, call, args)

    def _run(self, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self._is_over:
            return
        if not self._is_running():
            self._later(0.05, call, *args)
            return
        call(*args)


def _record(topic: str, partition: int, record: model.Record) -> Record:
    return topic, partition, record.offset, record.epoch, record.key, record.value, record.time, record.headers


def _refusal(broken: Broken) -> int:
    """The code that a publish is refused with at once; 0: the producer tries again."""
    return {
        KafkaError.UNKNOWN_TOPIC_OR_PART: codes.NOT_MAPPED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED: codes.FORBIDDEN,
    }.get(broken.error.code(), 0)


@contextmanager
def _instead(module: ModuleType, **names: Any) -> Iterator[None]:
    """While this lasts, a module has other things under some of its names."""
    before = {name: getattr(module, name) for name in names}
    for name, value in names.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
