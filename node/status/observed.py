"""What the node knows of itself, for people and monitors: readiness, problems, rates, the status document.

Not here: Prometheus (metrics.py), HTTP (gateway/http/site.py: workers ask for these over the link).
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from importlib.metadata import version
from typing import Any

from gateway.link.logs import event
from node.kafka.discovery import Found
from node.parts import Parts
from node.status.cluster import cluster_of
from node.status.cluster import problems as cluster_problems
from node.topics import Source

log = logging.getLogger(__name__)

BUSIEST = 10
BUSIEST_EVERY_S = 5
READ_ERROR_SHOWN_S = 10.0
UNMAPPED_SHOWN_S = 60.0
UNREACHABLE_TOLD_EVERY_S = 60.0


class Observed:
    """Observations, and the documents made of them."""

    def __init__(self, now: float) -> None:
        self.started_at = now
        self.ready = False
        """Once the cache has been filled; stays true."""
        self.high_watermarks: dict[tuple[str, int], int] = {}
        self.brokers: list[str] = []
        self.kafka_error = "Kafka has not answered yet"
        """Why Kafka is away; empty while it answers."""
        self.kafka_since = now
        self._unreachable_told_at: float | None = None
        """When the log was last told that Kafka is away; None while it is not."""
        self._missing_told: set[str] = set()
        """Topics that were said once not to exist."""
        self._ran: set[int] = set()
        """Indexes of workers that were ready at some time."""
        self.read_errors = 0
        self._read_error = ""
        self._read_error_at = now
        self._leaderless: set[tuple[str, int]] = set()
        self._unsure: set[str] = set()
        self._records = 0
        self._unmapped = 0
        self._unmapped_at: float | None = None
        self._messages_out: dict[int, float] = {}
        self._partition_counts: dict[str, int] = {}
        self.in_per_s = 0.0
        self.out_per_s = 0.0
        self._out_per_s_of: dict[int, float] = {}
        self._per_s_of: dict[str, float] = {}
        self._busiest: list[dict[str, Any]] = []
        self._seconds = 0
        self._at = now

    # Inputs.

    def kafka_unreachable(self, now: float, reason: str) -> None:
        """Kafka did not answer."""
        if not self.kafka_error:
            self.kafka_since = now
        self.kafka_error = reason or "no answer"
        if self._unreachable_told_at is None or now - self._unreachable_told_at >= UNREACHABLE_TOLD_EVERY_S:
            self._unreachable_told_at = now
            event(log, "kafka_unreachable", 30, for_s=round(now - self.kafka_since), reason=self.kafka_error)

    def kafka_found(self, now: float, found: Found) -> None:
        """Kafka answered."""
        if self._unreachable_told_at is not None:
            self._unreachable_told_at = None
            event(log, "kafka_reached", after_s=round(now - self.kafka_since))
        if self.kafka_error:
            self.kafka_since = now
        self.kafka_error = ""
        self.brokers = found.brokers
        self._leaderless = found.leaderless
        self._unsure = found.unsure

    def read_error(self, text: str) -> None:
        """Reading something failed; it is tried again."""
        self.read_errors += 1
        self._read_error = text
        self._read_error_at = time.monotonic()

    def forget(self, source: Source) -> None:
        """A log has ended."""
        self.high_watermarks.pop((source.topic, source.partition), None)
        self._partition_counts.pop(source.log_id, None)
        self._per_s_of.pop(source.log_id, None)

    def second(self, parts: Parts, now: float) -> None:
        """Once a second: rates."""
        past = max(now - self._at, 0.1)
        self._at = now
        self._seconds += 1
        self.in_per_s = (parts.intake.records - self._records) / past
        self._records = parts.intake.records
        for worker in parts.workers.all:
            total = worker.stats.get("messages_out", 0)
            before = self._messages_out.get(worker.settings.index, 0)
            rate = max(0.0, total - before) / past
            if worker.stats:
                self._ran.add(worker.settings.index)
            # Workers count once a second too: half of the one before makes up for a second with none or two counts.
            self._out_per_s_of[worker.settings.index] = (self._out_per_s_of.get(worker.settings.index, rate) + rate) / 2
            self._messages_out[worker.settings.index] = total
        self.out_per_s = sum(self._out_per_s_of.values())
        for one in parts.cache.logs.values():
            before_count = self._partition_counts.get(one.id, 0)
            self._per_s_of[one.id] = (one.appended - before_count) / past
            self._partition_counts[one.id] = one.appended
        if missing := [topic for topic in self._missing(parts) if topic not in self._missing_told]:
            self._missing_told.update(missing)
            event(log, "topics_missing", 30, topics=missing)
        if self._seconds % BUSIEST_EVERY_S == 0:
            counted, parts.intake.rates = parts.intake.rates, Counter()
            self._busiest = [
                {"subject": subject, "per_s": round(count / BUSIEST_EVERY_S, 1)}
                for subject, count in counted.most_common(BUSIEST)
            ]

    def take_unmapped(self, parts: Parts) -> int:
        """How many records could not be mapped since somebody last took them, to be logged."""
        new = parts.intake.unmapped - self._unmapped
        self._unmapped = parts.intake.unmapped
        if new:
            self._unmapped_at = time.monotonic()
        return new

    # Questions.

    def is_leaderless(self, source: Source) -> bool:
        """Whether nobody can read this partition at the moment."""
        return (source.topic, source.partition) in self._leaderless

    def why_waiting(self, parts: Parts, topic: str) -> str:
        """What a subscription that has no answer yet is waiting for."""
        if topic in parts.topics.namespaces:
            return "no coordinator is known yet: a majority of the voters must be connected"
        if self.kafka_error:
            return f"Kafka does not answer: {self.kafka_error}"
        return "the topic's partitions have not been read yet"

    def problems(self, parts: Parts) -> list[str]:
        """What a person should know, in sentences."""
        found = cluster_problems(parts)
        now = time.monotonic()
        if parts.bridge is None:
            pass
        elif self.kafka_error:
            found.append(f"Kafka has not answered for {now - self.kafka_since:.0f} s: {self.kafka_error}")
        elif self._read_error and now - self._read_error_at < READ_ERROR_SHOWN_S:
            found.append(f"reading Kafka: {self._read_error}")
        for topic, partition in sorted(self._leaderless):
            found.append(f"{topic} [{partition}] has no leader in Kafka: nobody can read it")
        found += [f"topic {topic!r} does not exist in Kafka (yet)" for topic in self._missing(parts)]
        if self._unmapped_at is not None and now - self._unmapped_at < UNMAPPED_SHOWN_S:
            records = "1 record" if parts.intake.unmapped == 1 else f"{parts.intake.unmapped} records"
            found.append(f"{records} could not be mapped; the last: {parts.intake.unmapped_last}")
        for worker in parts.workers.all:
            if not worker.stats and (worker.settings.index in self._ran or worker.restarts):
                found.append(f"worker {worker.settings.index} does not run")
        return found

    def status(self, parts: Parts) -> dict[str, Any]:
        """The document at /v1/status."""
        return {
            "node": parts.settings.node.name,
            "version": version("whimbrel"),
            "cluster": cluster_of(parts, time.monotonic()),
            "state": "filling" if not self.ready else "degraded" if self._is_degraded(parts) else "ready",
            "ready": self.ready,
            "uptime_s": round(time.monotonic() - self.started_at, 1),
            "problems": self.problems(parts),
            "clients": {name: self.total(parts, name) for name in ("connections", "subscriptions")},
            "rates": {"in_per_s": round(self.in_per_s, 1), "out_per_s": round(self.out_per_s, 1)},
            "workers": [
                {
                    "index": worker.settings.index,
                    "pid": worker.pid,
                    "connections": int(worker.stats.get("connections", 0)),
                    "subscriptions": int(worker.stats.get("subscriptions", 0)),
                    "restarts": worker.restarts,
                    "messages_out_per_s": round(self._out_per_s_of.get(worker.settings.index, 0.0), 1),
                    "loop_delay_s": round(worker.stats.get("loop_delay_s", 0.0), 4),
                }
                for worker in parts.workers.all
            ],
            "cache": {
                "bytes": parts.cache.bytes,
                "bytes_max": parts.cache.config.bytes_max,
                "messages": sum(log.held for log in parts.cache.logs.values()),
                "subjects": sum(len(log.subjects) for log in parts.cache.logs.values()),
                "ttl_s": parts.cache.config.ttl_s,
            },
            "kafka": {
                "used": parts.bridge is not None,
                "connected": parts.bridge is not None and not self.kafka_error,
                "bootstrap": parts.settings.kafka.bootstrap,
                "brokers": self.brokers,
                "topics": self._topics(parts),
            },
            "namespaces": [
                {"name": one.name, "value": one.value, "publish": one.publish} for one in parts.settings.namespaces
            ],
            "busiest": self._busiest,
            "publishes": {
                "accepted": parts.publishing.accepted,
                "failed": parts.publishing.failed_count,
                "in_flight": parts.publishing.in_flight,
            },
        }

    def _is_degraded(self, parts: Parts) -> bool:
        return bool((parts.bridge is not None and self.kafka_error) or cluster_problems(parts))

    def total(self, parts: Parts, name: str) -> int:
        """A worker's number, over all workers."""
        return int(sum(worker.stats.get(name, 0) for worker in parts.workers.all))

    def lag(self, source: Source) -> int | None:
        """Records that Kafka has and the cache has not seen; None while that is not known."""
        high = self._high(source)
        return None if high is None or source.log is None else high - 1 - source.log.end[1]

    def _high(self, source: Source) -> int | None:
        """Kafka's high watermark; what has been read since it was last told counts too."""
        high = self.high_watermarks.get((source.topic, source.partition))
        return None if high is None or source.log is None else max(high, source.log.end[1] + 1)

    def _topics(self, parts: Parts) -> list[dict[str, Any]]:
        return [
            {
                "topic": topic,
                "value": next(iter(sources.values())).rule.value,
                "publish": next(iter(sources.values())).rule.publish,
                "partitions": [self._partition(source) for source in sources.values()],
            }
            for topic, sources in sorted(parts.topics.sources.items())
        ]

    def _partition(self, source: Source) -> dict[str, Any]:
        leaderless = self.is_leaderless(source)
        return {
            "partition": source.partition,
            "log": source.log_id,
            "end": source.log.end if source.log is not None else None,
            "high_watermark": self._high(source),
            "lag": self.lag(source),
            "state": "unavailable" if leaderless else "live" if source.loaded else "filling",
            "messages_per_s": round(self._per_s_of.get(source.log_id, 0.0), 1),
        }

    def _missing(self, parts: Parts) -> list[str]:
        """Topics that are named in the configuration, not by a glob, and that Kafka does not have."""
        named = [rule.name for rule in parts.settings.topics if not set("*?") & set(rule.name)]
        has = parts.topics.sources.keys() | self._unsure
        return [name for name in named if parts.topics.known and name not in has]
