"""How Kafka is, as far as this node knows: whether it answers, and what of it cannot be read now.

Not here: which topics there are (node/topics.py), the other sentences for people (node/status/problems.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from node.effects import WARNING, Effects
from node.kafka.events import Found, Where
from node.settled import Settled
from node.topics import Source

UNREACHABLE_TOLD_EVERY_S = 60.0
CALM_S = 8.0
"""After this time a partition counts as flowing: a new connection may answer once, and then no more."""
WITHOUT_IDS_TEXT = (
    "Kafka gives topics no ids: one that is deleted, created again and written as far as the old one was at the last "
    "look (kafka.metadata_interval), all before the next, is taken for the same log: what stands before that is missed"
)
"""For people."""


class KafkaHealth:
    """Changed by what Kafka's threads say."""

    def __init__(self, now: float, effects: Effects) -> None:
        self._effects = effects
        self.brokers: list[str] = []
        self.error = "Kafka has not answered yet"
        """Why Kafka is away; empty while it answers."""
        self.since = now
        """Since when it is away, or has been answering."""
        self.leaderless: set[Where] = set()
        """Partitions that nobody can read at the moment."""
        self.unsure: set[str] = set()
        """Topics that exist, but have not been identified yet."""
        self.undescribed: frozenset[str] = frozenset()
        """Topics of which it is not known whether they are compacted: this node may not see their configuration."""
        self.read_errors = 0
        self.read_error = ""
        """The last one."""
        self.read_error_at = now
        self.forbidden: frozenset[str] = frozenset()
        """Topics that this node may not describe."""
        self.unreadable: set[Where] = set()
        """Partitions that this node may not read."""
        self.lacks_ids = False
        """Kafka gives no topic ids."""
        self._ends: dict[Where, tuple[int, int]] = {}
        """(high watermark, last stable offset)."""
        self._read_to: dict[Where, int] = {}
        """Up to which offset (exclusive) there was nothing more to be read."""
        self._held: dict[Where, tuple[int, float]] = {}
        """Last stable offsets that are below the high watermark, and since when each is where it is."""
        self.producer_error = ""
        """Why nothing can be published into Kafka; empty as far as that is not known."""
        self._unpublished: dict[str, tuple[float, str]] = {}
        """Topics whose last publish Kafka did not answer for: when that was, and why."""
        self._producer_since = now
        self._producer_told_at: float | None = None
        """When the log was last told so; None while publishing is well."""
        self._told_at: float | None = None
        """When the log was last told that Kafka is away; None while it is not."""
        self._stalled: dict[Where, tuple[float, float | None]] = {}
        """Partitions for which Kafka does not answer this node's own reader, since when, and since when it seems to
        again."""
        self._without_start: dict[Where, str] = {}
        """Partitions of which Kafka does not tell where to begin to read, and what it says instead."""
        self._failing: dict[Where, str] = {}
        """Partitions for which Kafka gives this node's own reader an error."""
        self._stalls = Settled[frozenset[Where]](frozenset())

    # Inputs.

    def unreachable(self, now: float, reason: str) -> None:
        """Kafka did not answer."""
        if not self.error:
            self.since = now
        self.error = reason or "no answer"
        if self._told_at is None or now - self._told_at >= UNREACHABLE_TOLD_EVERY_S:
            self._told_at = now
            self._effects.log("kafka_unreachable", WARNING, for_s=round(now - self.since), reason=self.error)

    def found(self, now: float, found: Found) -> None:
        """Kafka answered."""
        if self._told_at is not None:
            self._told_at = None
            self._effects.log("kafka_reached", after_s=round(now - self.since))
        if self.error:
            self.since = now
        self.error = ""
        self.brokers = found.brokers
        self.leaderless = found.leaderless
        self.unsure = found.unsure
        if found.forbidden - self.forbidden:
            self._effects.log("topics_forbidden", WARNING, topics=sorted(found.forbidden), right="DESCRIBE")
        self.forbidden = found.forbidden
        if found.lacks_ids and not self.lacks_ids:
            self._effects.log("topics_without_ids", text=WITHOUT_IDS_TEXT)
        self.lacks_ids = found.lacks_ids
        if found.undescribed > self.undescribed:
            self._effects.log("configuration_not_seen", WARNING, topics=sorted(found.undescribed))
        self.undescribed = found.undescribed

    def failed(self, now: float, text: str) -> None:
        """Reading something failed; it is tried again."""
        self.read_errors += 1
        self.read_error = text
        self.read_error_at = now

    def watermarks(self, now: float, ends: dict[Where, tuple[int, int]]) -> None:
        """How far the partitions go that this node reads: (high watermark, last stable offset)."""
        self._ends.update(ends)
        held = {}
        for where, (high, stable) in ends.items():
            if stable < high:
                before = self._held.get(where)
                held[where] = before if before is not None and before[0] == stable else (stable, now)
        self._held = held

    def reached(self, source: Source, offset: int) -> None:
        """Nothing more can be read of a partition before this offset, nor is there any refusal."""
        self._read_to[source.topic, source.partition] = offset
        self.allowed(source)

    def flow(self, now: float, stalled: Iterable[Where], flowing: Iterable[Where]) -> None:
        """Kafka has ceased to answer this node's own reader for some partitions, or answers again."""
        for where in stalled:
            since, flows_since = self._stalled.get(where, (now, None))
            self._stalled[where] = (since if _is_unsure(now, flows_since) else now, None)
        for where in flowing:
            if where in self._stalled:
                self._stalled[where] = (self._stalled[where][0], now)

    def not_read(self, source: Source) -> None:
        """This node does not read a partition any more."""
        self.allowed(source)

    def start_unknown(self, source: Source, reason: str) -> None:
        """Kafka does not tell where to begin to read a partition; it is asked again."""
        self._without_start[source.topic, source.partition] = reason

    def start_found(self, source: Source) -> None:
        """Kafka has told."""
        self._without_start.pop((source.topic, source.partition), None)

    def read_failed(self, source: Source, text: str) -> None:
        """Kafka gave an error instead of records, and none or the end of the partition since."""
        self._failing[source.topic, source.partition] = text

    def log_stalls(self) -> None:
        """Once a second: log which partitions have stalled, or flow again, and stay so."""
        before = self._stalls.told
        if not self._stalls.look(frozenset(where for where, (_, flows) in self._stalled.items() if flows is None)):
            return
        if stalled := self._stalls.told - before:
            self._effects.log("kafka_stalled", partitions=len(stalled), first=min(stalled))
        if ended := before - self._stalls.told:
            self._effects.log("kafka_flowing", partitions=len(ended))

    def not_allowed(self, source: Source) -> None:
        """Kafka does not let this node read a partition."""
        where = (source.topic, source.partition)
        if where not in self.unreadable:
            self.unreadable.add(where)
            self._effects.log("partition_forbidden", WARNING, topic=where[0], partition=where[1], right="READ")

    def allowed(self, source: Source) -> None:
        """Kafka lets this node read a partition."""
        where = (source.topic, source.partition)
        self.unreadable.discard(where)
        self._failing.pop(where, None)
        self._stalled.pop(where, None)

    def not_published(self, now: float, topic: str, reason: str) -> None:
        """Kafka did not say in time that it has a publish."""
        self._unpublished[topic] = (now, reason)

    def published(self, topic: str) -> None:
        """Kafka has one."""
        if self._unpublished:
            self._unpublished.pop(topic, None)

    def producer_state(self, now: float, error: str) -> None:
        """Kafka does not let this node publish, or (no error) it does."""
        if error and not self.producer_error:
            self._producer_since = now
        self.producer_error = error
        if not error:
            if self._producer_told_at is not None:
                self._producer_told_at = None
                self._effects.log("producer_well", after_s=round(now - self._producer_since))
        elif self._producer_told_at is None or now - self._producer_told_at >= UNREACHABLE_TOLD_EVERY_S:
            self._producer_told_at = now
            self._effects.log("producer_failed", WARNING, for_s=round(now - self._producer_since), reason=error)

    def forget(self, source: Source) -> None:
        """A log has ended."""
        where = (source.topic, source.partition)
        for known in (self._ends, self._read_to, self._held, self._without_start):
            known.pop(where, None)
        self.allowed(source)

    # Questions.

    def is_leaderless(self, source: Source) -> bool:
        """Whether the partition has no leader, so that it cannot be read."""
        return (source.topic, source.partition) in self.leaderless

    def missing_right(self, topic: str) -> str:
        """The right that Kafka wants this node's user to have, and it has not: DESCRIBE, READ; empty if none is known.

        Kafka's names.
        """
        if topic in self.forbidden:
            return "DESCRIBE"
        return "READ" if any(one == topic for one, _ in self.unreadable) else ""

    def is_forbidden(self, source: Source) -> bool:
        """Whether this node may not read a partition."""
        return source.topic in self.forbidden or (source.topic, source.partition) in self.unreadable

    def unread(self, now: float, after_s: float) -> dict[str, list[Where]]:
        """Why partitions are not read at the moment that are to be, other than for lack of a leader or a right.

        Args:
            after_s: How long Kafka need not answer a reader.
        """
        by_reason: dict[str, list[Where]] = {}
        for where, text in self._without_start.items():
            by_reason.setdefault(f"Kafka does not tell where to begin to read: {text}", []).append(where)
        for where, text in self._failing.items():
            by_reason.setdefault(f"it cannot be read: {text}", []).append(where)
        for where, (since, flows_since) in self._stalled.items():
            if now - since >= after_s and _is_unsure(now, flows_since) and where not in self._failing:
                by_reason.setdefault("Kafka does not answer whoever reads it here", []).append(where)
        forbidden = self.leaderless | self.unreadable
        shown = {
            reason: sorted(where for where in wheres if where not in forbidden and where[0] not in self.forbidden)
            for reason, wheres in by_reason.items()
        }
        return {reason: wheres for reason, wheres in shown.items() if wheres}

    def unpublished(self, now: float, within_s: float) -> list[tuple[str, float, str]]:
        """Topics whose last publish failed, not longer ago than this: topic, seconds ago, why."""
        return [
            (topic, now - at, reason)
            for topic, (at, reason) in sorted(self._unpublished.items())
            if now - at < within_s
        ]

    def hanging(self, now: float, after_s: float) -> list[tuple[Where, int, int]]:
        """Partitions that a hanging transaction holds up: (last stable offset, high watermark)."""
        return [
            (where, stable, self._ends[where][0])
            for where, (stable, since) in sorted(self._held.items())
            if now - since >= after_s
        ]

    def high_watermark(self, source: Source) -> int | None:
        """Kafka's; what has been read since it was last told counts too. None while it is not known."""
        ends = self._ends.get((source.topic, source.partition))
        return None if ends is None or source.log is None else max(ends[0], source.log.end[1] + 1)

    def lag(self, source: Source) -> int | None:
        """Offsets that could be read and have not been; None while that is not known."""
        where = (source.topic, source.partition)
        ends = self._ends.get(where)
        if ends is None or source.log is None:
            return None
        return max(0, ends[1] - max(source.log.end[1] + 1, self._read_to.get(where, 0)))


def _is_unsure(now: float, flows_since: float | None) -> bool:
    return flows_since is None or now - flows_since < CALM_S


def forbidden_text(topic: str, right: str) -> str:
    """What people are told of a topic that this node may not read."""
    return f"Kafka does not let this node read topic {topic!r}: its user lacks the right {right} on it"
