"""What happens in the node itself, for auditors: what whoever runs it has done, what was read back from Kafka, what
left the cache, how it is.

Not here: what happens to clients (gateway/sessions/trail.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from math import isfinite
from typing import TypeAlias

from gateway.link import codes
from gateway.link.events import Published, Refused, Select
from gateway.link.topic_rules import Mapping as Topics
from mesh.cache.cache import Cache
from mesh.subject import topic_of
from node.backfill.questions import KafkaQuestion, Scan

NodeEvent: TypeAlias = tuple[int, str, str, Mapping[str, object]]

NO_ANSWER = "no answer yet whether the message was taken"
"""Of a publish by the admin listener, to whoever asked and to auditors."""


class Insides:
    """Of one node."""

    def __init__(self, now: float, kinds: Collection[str], stats_s: float, topics: Topics) -> None:
        self._has_access, self._has_message, self._has_cache = (one in kinds for one in ("access", "message", "cache"))
        self._topics = topics
        self._stats_s = stats_s if "stats" in kinds else 0.0
        self._stats_at = now + stats_s
        self._evicted = {"age": 0, "count": 0, "bytes": 0}

    # What the operator has done, by the admin listener.

    def operator_published(
        self, wall_ms: int, subject: str, outcome: Published | Refused | None
    ) -> Iterator[NodeEvent]:
        """A publish; `outcome` None: no answer came in time."""
        if self._has_access:
            yield wall_ms, "access", "operator", {"what": "publish", "subject": subject}
        if not (self._has_message and self._topics.is_audited(topic_of(subject))):
            return
        about: dict[str, object] = {"by": "operator", "subject": subject}
        if isinstance(outcome, Published):
            yield wall_ms, "message", "accepted", about | {"log": outcome.log, "at": outcome.at}
        else:
            code, reason = (codes.OUTCOME_UNKNOWN, NO_ANSWER) if outcome is None else (outcome.code, outcome.reason)
            yield wall_ms, "message", "refused", about | {"code": code, "reason": reason}

    def operator_disconnected(self, wall_ms: int, asked: Select, count: int) -> Iterator[NodeEvent]:
        """So many clients were closed."""
        if self._has_access:
            whom = _given(identity=asked.identity, address=asked.address, subject=asked.subject)
            yield wall_ms, "access", "operator", {"what": "disconnect", **whom, "reason": asked.close, "count": count}

    def operator_revoked(
        self, wall_ms: int, token_id: str | None, name: str | None, issued_before: float
    ) -> Iterator[NodeEvent]:
        """Tokens were revoked. `issued_before`: seconds since 1970; infinite where it does not matter."""
        if self._has_access:
            before = issued_before if isfinite(issued_before) else None
            whom = _given(token_id=token_id, identity=name, issued_before=before)
            yield wall_ms, "access", "operator", {"what": "revoke", **whom}

    # What happens by itself.

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


def _given(**criteria: object) -> dict[str, object]:
    return {name: value for name, value in criteria.items() if value is not None}
