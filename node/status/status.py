"""What a node tells of itself over HTTP: readiness, the status document, metrics.

Not here: HTTP (gateway/http/site.py: workers ask for these over the link).
"""

from __future__ import annotations

import logging
import time

import msgspec

from gateway.link.events import Query, Reply
from gateway.link.logs import event
from node.audit.audit import Auditors
from node.cluster.network import Network
from node.core import NodeCore
from node.kafka.kafka import KafkaThreads
from node.settings import Settings
from node.status.document import document
from node.status.metrics import Metrics
from node.status.problems import Problems, missing_topics
from node.status.recent import Observation, Recent
from node.status.throughput import Throughput
from node.workers import Workers

log = logging.getLogger(__name__)

_TOTALS = ("connections", "subscriptions", "handshakes", "refused", "messages_out", "bytes_out", "closed")
"""Of all workers, in what auditors are told."""


class NodeStatus:
    """Looks at the parts of a node; changes nothing."""

    def __init__(
        self,
        settings: Settings,
        core: NodeCore,
        workers: Workers,
        kafka: KafkaThreads | None,
        network: Network | None,
        audit: Auditors | None,
    ) -> None:
        now = time.monotonic()
        self._settings = settings
        self._core = core
        self._workers = workers
        self._network = network
        self._metrics = Metrics(settings, core, workers, kafka, network, audit)
        self._rates = Throughput(now, core, workers)
        self._problems = Problems(settings, core, workers, network, audit)
        self._recent = Recent()
        self._started_at = now
        self._unmapped = 0
        self._missing_told: set[str] = set()
        """Topics that were said once not to exist."""

    def second(self, now: float, tick_late_s: float) -> None:
        """Once a second."""
        self._metrics.tick_late_s = tick_late_s
        self._rates.second(now)
        self._problems.second(now)
        self._recent.second(time.time_ns() // 1_000_000, self._observe())
        if missing := [one for one in missing_topics(self._settings, self._core) if one not in self._missing_told]:
            self._missing_told.update(missing)
            event(log, "topics_missing", logging.WARNING, topics=missing)
        intake = self._core.intake
        if intake.unmapped > self._unmapped:
            count, self._unmapped = intake.unmapped - self._unmapped, intake.unmapped
            event(log, "records_unmapped", logging.WARNING, count=count, last=intake.unmapped_last)

    def figures(self) -> dict[str, float]:
        """The figures that auditors get periodically."""
        core = self._core
        return {
            **{name: sum(one.stats.get(name, 0) for one in self._workers.all) for name in _TOTALS},
            "in_per_s": round(self._rates.in_per_s, 1),
            "out_per_s": round(self._rates.out_per_s, 1),
            "records": core.intake.records,
            "publishes_accepted": core.publishing.accepted,
            "publishes_failed": core.publishing.failed_count,
            "cache_bytes": core.cache.bytes,
            "members_alive": len(core.peers.alive()),
        }

    def _observe(self) -> Observation:
        core = self._core
        return Observation(
            ready=core.is_ready,
            kafka_error=core.kafka_health.error if self._settings.uses_kafka else "",
            members={name: peer.state.word for name, peer in core.peers.all.items()},
            coordinators={slot.number: slot.coordinator for slot in core.slots.by_number if slot.accepts},
            restarts={worker.settings.index: worker.restarts for worker in self._workers.all},
        )

    def reply(self, query: Query) -> Reply:
        """The answer to a worker's question."""
        now = time.monotonic()
        match query.what:
            case "ready":
                is_ready = self._core.takes_clients
                body = {"ready": is_ready, "problems": self._problems.now(now)}
                return Reply(query.rid, 200 if is_ready else 503, "application/json", msgspec.json.encode(body))
            case "status":
                body = document(
                    self._settings, self._core, self._workers, self._network, self._rates, self._problems.now(now),
                    self._recent, now, now - self._started_at,
                )  # fmt: skip
                return Reply(query.rid, 200, "application/json", msgspec.json.encode(body))
            case "metrics":
                return Reply(query.rid, 200, "text/plain; version=0.0.4; charset=utf-8", self._metrics.render())
        return Reply(query.rid, 404, "text/plain; charset=utf-8", b"not known\n")
