"""What happens in the node itself, for auditors: what was read back from Kafka, what left the cache, how it is.

Not here: what happens to clients (gateway/sessions/trail.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

from mesh.cache.cache import Cache
from node.backfill.questions import KafkaQuestion, Scan

NodeEvent: TypeAlias = tuple[int, str, str, Mapping[str, object]]


class Insides:
    """Of one node."""

    def __init__(self, now: float, kinds: Collection[str], stats_s: float) -> None:
        self._has_cache = "cache" in kinds
        self._stats_s = stats_s if "stats" in kinds else 0.0
        self._stats_at = now + stats_s
        self._evicted = {"age": 0, "count": 0, "bytes": 0}

    def asked_kafka(self, wall_ms: int, question: KafkaQuestion) -> Iterator[NodeEvent]:
        """The cache did not have what a client wants."""
        if self._has_cache and isinstance(question, Scan):
            source = question.source
            fields = {"subject": question.subject, "log": source.log_id, "partition": source.partition}
            more = {"after": question.after, "until": question.until}
            yield wall_ms, "cache", "read_back", fields | more

    def second(self, now: float, wall_ms: int, cache: Cache, stats: Mapping[str, float]) -> Iterator[NodeEvent]:
        """Once a second: what was evicted from the cache, and periodically the figures of the node."""
        evicted = {"age": cache.evicted_by_age, "count": cache.evicted_by_count, "bytes": cache.evicted_by_bytes}
        gone = {why: count - self._evicted[why] for why, count in evicted.items() if count > self._evicted[why]}
        self._evicted = evicted
        if gone and self._has_cache:
            yield wall_ms, "cache", "evicted", gone
        if self._stats_s and now >= self._stats_at:
            self._stats_at = max(self._stats_at + self._stats_s, now)
            yield wall_ms, "stats", "node", stats
