"""Where to begin to read partitions: what Kafka is asked for that, and what follows from its answers.

    wanted -> questions, one to each broker that leads some -> answers -> StartFound, or asked again later

A partition that is new is read from its beginning. Any other from the cache's time to live ago, if the times of its
records are the log's own (`message.timestamp.type=LogAppendTime`). Otherwise they are hearsay, and it is read from a
number of records before its end. (What a compacted topic had before is in its table: node/tables/tables.py.)

All partitions that a broker leads are asked for together: a start takes as many round trips for a thousand partitions
as for one.

Not here: asking Kafka (discovery.py), reading (reader.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

import msgspec

from mesh.log import BEGINNING, Position
from node.kafka.events import StartFound, Where
from node.topics import Source

EARLIEST, LATEST = -2, -1
"""What is asked of a partition is one of these or a time in milliseconds, as in Kafka's protocol."""
NO_RECORD = -1
"""The offset that Kafka gives when there is no record of that time; librdkafka has lower ones for no answer."""
NO_LEADER = -1
FILL_RECORDS_MAX = 100_000
"""How many records before its end a partition is read from at most, where that is not decided by time."""
EPOCH_BACK = 100
"""How many records before its end a partition is read from at least: they tell from which epoch on it is known."""
REPEATS_BACK, REPEATS_BACK_MAX = 10_000, 200_000
"""Records before the first that is kept which are read where clients may publish, at least and at most."""
AGAIN_S = 0.3
"""After this a partition is asked for again whose leader could not tell."""

Offset: TypeAlias = tuple[int, int]
"""(offset, leader epoch)."""
Answers: TypeAlias = Mapping[int, Mapping[Where, Offset]]
"""By what was asked; without the partitions for which Kafka did not answer."""


class Depth(msgspec.Struct, frozen=True):
    """How far back the cache is filled."""

    ttl_s: float
    retry_window_s: float
    """So much further where clients may publish, to recognise repeats (mesh/repeats.py)."""
    records_max: int
    """More than the cache could hold."""


class StartQuestion(msgspec.Struct, frozen=True):
    """What one broker is asked for."""

    leader: int
    sources: dict[Source, bool]
    """And whether times decide, of those that are not read from their beginning."""
    since_ms: int
    """What is older is not kept, where that is decided by time."""
    warm_since_ms: int
    """What is older is not read either, to recognise repeats."""

    def wheres(self) -> dict[int, list[Where]]:
        """What to ask Kafka, for which partitions."""
        asked: dict[int, list[Where]] = {}
        for source, by_time in self.sources.items():
            wanted = [EARLIEST]
            if not source.is_new:
                wanted.append(LATEST)
                if by_time:
                    wanted.append(self.since_ms)
                if source.rule.publish:
                    wanted.append(self.warm_since_ms)
            for one in wanted:
                asked.setdefault(one, []).append((source.topic, source.partition))
        return asked


class Starts:
    """Partitions on their way to being read."""

    def __init__(self, depth: Depth) -> None:
        self._depth = depth
        self._wanted: dict[Source, float] = {}
        """And when to ask, at the earliest."""
        self._asked: set[int] = set()
        """Brokers that have not answered yet."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is wanted, or being asked for."""
        return not self._wanted and not self._asked

    def want(self, now: float, source: Source) -> None:
        """Find out where to begin to read this."""
        self._wanted[source] = now

    def questions(
        self,
        now: float,
        wall_ms: int,
        leaders: Mapping[Where, int],
        with_log_times: Collection[str],
    ) -> list[StartQuestion]:
        """What to ask now: nothing of a broker that has not answered yet.

        Args:
            wall_ms: Milliseconds since 1970.
            leaders: Of all partitions that there are now; NO_LEADER where nobody leads.
            with_log_times: Topics the times of whose records are those at which Kafka took them.
        """
        depth = self._depth
        since_ms = max(0, wall_ms - int(depth.ttl_s * 1000))
        warm_since_ms = max(0, since_ms - int(depth.retry_window_s * 1000))
        by_leader: dict[int, StartQuestion] = {}
        for source, at in [*self._wanted.items()]:
            leader = leaders.get((source.topic, source.partition), NO_LEADER)
            if now < at or leader == NO_LEADER or leader in self._asked:
                continue
            question = by_leader.setdefault(leader, StartQuestion(leader, {}, since_ms, warm_since_ms))
            question.sources[source] = source.topic in with_log_times
            del self._wanted[source]
        self._asked |= by_leader.keys()
        return [*by_leader.values()]

    def answered(self, now: float, question: StartQuestion, answers: Answers, partitions: int) -> list[StartFound]:
        """What the broker has said, be it nothing.

        Args:
            partitions: How many there are in all: they share the cache.
        """
        self._asked.discard(question.leader)
        found = []
        for source in question.sources:
            start = _start(question, source, answers, self._depth.records_max, partitions)
            if start is None:
                self._wanted[source] = now + AGAIN_S
            else:
                found.append(start)
        return found

    def forget(self, topics: Mapping[str, object]) -> None:
        """Only these topics exist: the sources of others have ended."""
        self._wanted = {source: at for source, at in self._wanted.items() if source.topic in topics}


def _start(
    question: StartQuestion, source: Source, answers: Answers, records_max: int, partitions: int
) -> StartFound | None:
    """None if an answer is missing."""
    where = (source.topic, source.partition)
    offsets = {asked: by_where[where] for asked, by_where in answers.items() if where in by_where}
    earliest, latest, since = (offsets.get(one) for one in (EARLIEST, LATEST, question.since_ms))
    if earliest is None:
        return None
    if source.is_new:
        return StartFound(source, earliest[0], earliest[0], _floor(earliest), 0)
    if latest is None:
        return None
    if not question.sources[source]:
        share = records_max // max(partitions, 1)
        offset, epoch = max(earliest[0], latest[0] - min(FILL_RECORDS_MAX, share)), None
    elif since is None:
        return None
    elif since[0] == NO_RECORD:
        # Kafka tells its leader's epoch, and what still comes may be older: it is in a transaction that is open.
        offset, epoch = max(earliest[0], latest[0] - EPOCH_BACK), None
    elif since[0] >= latest[0] - records_max:
        offset, epoch = since
    else:
        offset, epoch = latest[0] - records_max, None
    warm_until = 0
    if source.rule.publish and offset > earliest[0]:
        if (warm := offsets.get(question.warm_since_ms)) is None:
            return None
        # By time, which may be hearsay, and by position: one odd time decides neither way.
        by_time = latest[0] if warm[0] == NO_RECORD else warm[0]
        warm_until, epoch = offset, None
        offset = max(min(by_time, offset - REPEATS_BACK), offset - REPEATS_BACK_MAX, earliest[0])
    if offset == earliest[0]:
        epoch = earliest[1]
    floor = _floor(earliest) if epoch is None else _floor((offset, epoch))
    return StartFound(source, offset, earliest[0], floor, warm_until, skips_first=epoch is None)


def _floor(first: Offset) -> Position:
    """The position before the first one."""
    return (first[1], first[0] - 1) if first[0] else BEGINNING
