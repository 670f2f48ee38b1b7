"""Metrics for Prometheus: one table of names, kinds and meanings, filled from the cores' plain numbers on request.

Limits stand beside what they limit (`..._max`), so that an alert can compare them.

Not here: counting (each core counts for itself), HTTP (gateway/http/site.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mesh.transport.links import LinkStats
from node.cluster.cluster import Cluster
from node.parts import Parts
from node.status.observed import Observed

_NODE: list[tuple[str, str, str, Callable[[Parts], float]]] = [
    ("records", "counter", "Records read from Kafka", lambda parts: parts.intake.records),
    ("records_unmapped", "counter", "Records that could not be mapped", lambda parts: parts.intake.unmapped),
    ("repeats_dropped", "counter", "Repeated publishes dropped", lambda parts: parts.intake.repeats_dropped),
    ("replay_records", "counter", "Records read back from Kafka for resumes",
     lambda parts: 0 if parts.bridge is None else parts.bridge.replay.records),
    ("replay_queue", "gauge", "Questions waiting for a replay thread",
     lambda parts: 0 if parts.bridge is None else parts.bridge.replay.queue),
    ("cache_bytes", "gauge", "Memory of the cache, by its own estimate", lambda parts: parts.cache.bytes),
    ("cache_bytes_max", "gauge", "Limit: cache.bytes", lambda parts: parts.cache.config.bytes_max),
    ("cache_messages", "gauge", "Messages in the cache", lambda parts: sum(x.held for x in parts.cache.logs.values())),
    ("cache_messages_per_subject_max", "gauge", "Limit: cache.messages_per_subject",
     lambda parts: parts.cache.config.messages_per_subject),
    ("cache_subjects", "gauge", "Subjects in the cache",
     lambda parts: sum(len(log.subjects) for log in parts.cache.logs.values())),
    ("cache_evicted_by_age", "counter", "Messages that left by age", lambda parts: parts.cache.evicted_by_age),
    ("cache_evicted_by_count", "counter", "Messages that left by their subject's limit",
     lambda parts: parts.cache.evicted_by_count),
    ("cache_evicted_by_bytes", "counter", "Messages that left by the cache's limit",
     lambda parts: parts.cache.evicted_by_bytes),
    ("subscribes", "counter", "Subscriptions begun or resumed", lambda parts: parts.readings.begun),
    ("readings", "gauge", "Subscriptions on their way to live", lambda parts: len(parts.readings)),
    ("gaps", "counter", "Gaps told to clients", lambda parts: parts.readings.gaps_told),
    ("interest", "gauge", "Subjects and patterns that workers want", lambda parts: len(parts.interest)),
    ("publishes_accepted", "counter", "Publishes confirmed", lambda parts: parts.publishing.accepted),
    ("publishes_failed", "counter", "Publishes refused or failed", lambda parts: parts.publishing.failed_count),
    ("publishes_in_flight", "gauge", "Publishes without an outcome yet", lambda parts: parts.publishing.in_flight),
    ("publishes_in_flight_max", "gauge", "Limit: publish.queue", lambda parts: parts.publishing.config.in_flight_max),
    ("publish_retries", "counter", "Publishes recognised as retries",
     lambda parts: parts.publishing.retries_recognised),
    ("link_cut_offs", "counter", "Times that a worker's queue was full", lambda parts: parts.workers.cut_offs),
    ("link_queue_max", "gauge", "Limit: packets waiting for a worker", lambda parts: parts.settings.link.queue_max),
    ("replay_messages_max", "gauge", "Limit: replay.messages", lambda parts: parts.settings.replay.messages_max),
    ("client_connections_max", "gauge", "Limit: client.connections",
     lambda parts: parts.settings.client.connections_max),
    ("client_subscriptions_max", "gauge", "Limit: client.subscriptions",
     lambda parts: parts.settings.client.subscriptions_max),
    ("client_publishes_max", "gauge", "Limit: client.publishes", lambda parts: parts.settings.client.publishes_max),
    ("client_frame_bytes_max", "gauge", "Limit: client.frame_bytes",
     lambda parts: parts.settings.client.frame_bytes_max),
    ("client_outbox_bytes_max", "gauge", "Limit: client.outbox_bytes",
     lambda parts: parts.settings.client.outbox_bytes_max),
]  # fmt: skip

_CLUSTER: list[tuple[str, str, str, Callable[[Cluster], float]]] = [
    ("members_alive", "gauge", "Living nodes, this one included", lambda one: len(one.peers) + 1),
    ("slots_coordinated", "gauge", "Slots that this node coordinates", lambda one: len(one.replica.coordinated)),
    (
        "slots_without_coordinator",
        "gauge",
        "Slots in which nothing can be committed, as far as this node knows",
        lambda one: sum(not slot.accepts for slot in one.replica.by_number),
    ),
    ("slots_synced", "gauge", "1 while this node holds the log of every slot", lambda one: one.replica.is_synced),
    (
        "elections_won",
        "counter",
        "Elections that this node won",
        lambda one: sum(election.elections_won for election in one.replica.elections),
    ),
    (
        "slot_repairs",
        "counter",
        "Answers to questions for missed items",
        lambda one: sum(replication.repairs for replication in one.replica.replications),
    ),
    (
        "forwards_pending",
        "gauge",
        "Publishes of this node that are not committed yet",
        lambda one: one.replica.forwarding.pending,
    ),
    ("forwards_pending_max", "gauge", "Limit: publish.queue", lambda one: one.replica.forwarding.config.pending_max),
    ("logs_fed", "gauge", "Kafka partitions that this node reads for all", lambda one: one.feed.feeding_count),
    ("feed_records", "counter", "Records that came from other nodes", lambda one: one.feeding.fed),
    ("feed_repairs", "counter", "Holes in the feed that were repaired", lambda one: one.feed.repairs),
    ("feed_takeovers", "counter", "Partitions taken over from other nodes", lambda one: one.feed.takeovers),
    ("catch_up_pages", "counter", "Pages of peers' caches received", lambda one: one.catch_up.pages_received),
    ("transfers_asked", "gauge", "Logs that this node is copying from peers", lambda one: one.catch_up.asking_count),
    (
        "transfers_served",
        "gauge",
        "Copies that peers are making of this node's logs",
        lambda one: one.catch_up.serving_count,
    ),
    (
        "membership_health",
        "gauge",
        "Lifeguard's local health: 0 (well) to 7",
        lambda one: 0 if one.members is None else one.members.local_health,
    ),
    (
        "paused_s",
        "counter",
        "For how long, in all, this node stood still",
        lambda one: 0 if one.members is None else one.members.paused_s,
    ),
    ("peer_scans_answered", "counter", "Questions of peers answered from the cache", lambda one: one.scan.answered),
    ("tick_late_s", "gauge", "How late the mesh's tick was at most since the last second", lambda one: one.late_s),
]
_LINK: list[tuple[str, str, Callable[[LinkStats], float]]] = [
    ("messages_in", "Messages from other nodes", lambda stats: stats.messages_in),
    ("messages_out", "Messages to other nodes", lambda stats: stats.messages_out),
    ("bytes_in", "Bytes from other nodes", lambda stats: stats.bytes_in),
    ("bytes_out", "Bytes to other nodes", lambda stats: stats.bytes_out),
    ("lost", "Broadcasts missed", lambda stats: stats.lost.total()),
    ("dropped", "Messages not sent because a peer's queue was full", lambda stats: stats.dropped.total()),
    ("refused", "Messages from strangers, or not understood", lambda stats: stats.refused.total()),
]
_WORKER: list[tuple[str, str, str]] = [
    ("connections", "gauge", "Clients connected"),
    ("subscriptions", "gauge", "Subscriptions held"),
    ("subjects", "gauge", "Different subjects and patterns subscribed to"),
    ("handshakes", "counter", "Upgrades to WebSocket"),
    ("refused", "counter", "Handshakes and requests refused"),
    ("http_requests", "counter", "HTTP requests"),
    ("messages_out", "counter", "Live messages sent, once per recipient"),
    ("bytes_out", "counter", "Bytes sent to clients"),
    ("publishes", "counter", "Publishes received"),
    ("bad_frames", "counter", "Frames that broke the protocol"),
    ("slow_consumers", "counter", "Clients closed because their outbox was full"),
    ("idle_closed", "counter", "Clients closed because they were silent"),
    ("closed", "counter", "Connections ended"),
    ("resyncs", "counter", "Times that the link had lost something"),
    ("authorizer_failures", "counter", "Times that the authorizer itself failed"),
    ("outboxes", "gauge", "Clients that something waits for"),
    ("outbox_bytes", "gauge", "Bytes that wait for slow clients"),
    ("loop_delay_s", "gauge", "How late the loop ran in the last second"),
]


class _Collector(Collector):
    def __init__(self, parts: Parts, observed: Observed) -> None:
        self._parts = parts
        self._observed = observed

    def collect(self) -> Iterator[Metric]:
        parts, observed = self._parts, self._observed
        for name, kind, meaning, value in (
            ("ready", "gauge", "1 once the cache has been filled", observed.ready),
            ("kafka_connected", "gauge", "1 while Kafka answers", not observed.kafka_error),
            ("kafka_read_errors", "counter", "Errors while reading Kafka", observed.read_errors),
        ):
            yield _metric(kind, f"whimbrel_{name}", meaning, (), [((), float(value))])
        for name, kind, meaning, read in _NODE:
            yield _metric(kind, f"whimbrel_{name}", meaning, (), [((), float(read(parts)))])
        if (cluster := parts.cluster) is not None:
            for name, kind, meaning, found in _CLUSTER:
                yield _metric(kind, f"whimbrel_cluster_{name}", meaning, (), [((), float(found(cluster)))])
            if cluster.transport is not None:
                stats = cluster.transport.stats
                for name, meaning, count in _LINK:
                    yield _metric("counter", f"whimbrel_mesh_{name}", meaning, (), [((), float(count(stats)))])
        for name, kind, meaning in _WORKER:
            rows = [((str(one.settings.index),), one.stats.get(name, 0.0)) for one in parts.workers.all]
            yield _metric(kind, f"whimbrel_worker_{name}", meaning, ("worker",), rows)
        restarts = [((str(one.settings.index),), float(one.restarts)) for one in parts.workers.all]
        yield _metric("counter", "whimbrel_worker_restarts", "Times that a worker died", ("worker",), restarts)
        sources = [source for topic in parts.topics.sources.values() for source in topic.values()]
        labels = ("topic", "partition")
        lags = [((one.topic, str(one.partition)), lag) for one in sources if (lag := observed.lag(one)) is not None]
        yield _metric("gauge", "whimbrel_kafka_lag", "Records not read yet", labels, lags)
        loaded = [((one.topic, str(one.partition)), float(one.loaded)) for one in sources]
        yield _metric("gauge", "whimbrel_kafka_loaded", "1 once read to its end", labels, loaded)


def render(parts: Parts, observed: Observed) -> bytes:
    """The document at /metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(parts, observed))
    return generate_latest(registry)


def _metric(
    kind: str, name: str, meaning: str, labels: tuple[str, ...], rows: Sequence[tuple[tuple[str, ...], float]]
) -> Metric:
    family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, meaning, labels=labels)
    for values, number in rows:
        family.add_metric(list(values), number)
    return family
