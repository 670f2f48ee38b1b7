"""How Kafka is, as far as this node knows: whether it answers, and what of it cannot be read now.

Not here: which topics there are (node/topics.py), the sentences for people (node/status/problems.py).
"""

from __future__ import annotations

from node.effects import WARNING, Effects
from node.kafka.events import Found, Where
from node.topics import Source

UNREACHABLE_TOLD_EVERY_S = 60.0


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
        self._high: dict[Where, int] = {}
        self._told_at: float | None = None
        """When the log was last told that Kafka is away; None while it is not."""

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
        if found.undescribed > self.undescribed:
            self._effects.log("configuration_not_seen", WARNING, topics=sorted(found.undescribed))
        self.undescribed = found.undescribed

    def failed(self, now: float, text: str) -> None:
        """Reading something failed; it is tried again."""
        self.read_errors += 1
        self.read_error = text
        self.read_error_at = now

    def watermarks(self, high: dict[Where, int]) -> None:
        """How far partitions go."""
        self._high.update(high)

    def forget(self, source: Source) -> None:
        """A log has ended."""
        self._high.pop((source.topic, source.partition), None)

    # Questions.

    def is_leaderless(self, source: Source) -> bool:
        """Whether nobody can read this partition at the moment."""
        return (source.topic, source.partition) in self.leaderless

    def high_watermark(self, source: Source) -> int | None:
        """Kafka's; what has been read since it was last told counts too. None while it is not known."""
        high = self._high.get((source.topic, source.partition))
        return None if high is None or source.log is None else max(high, source.log.end[1] + 1)

    def lag(self, source: Source) -> int | None:
        """Records that Kafka has and the cache has not seen; None while that is not known."""
        high = self.high_watermark(source)
        return None if high is None or source.log is None else high - 1 - source.log.end[1]
