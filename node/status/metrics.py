"""Metrics for Prometheus: one table of names, kinds and meanings, filled from the cores' plain numbers on request.

Units are in the names (`_seconds`, `_bytes`). Limits stand beside what they limit (`..._max`), so that an alert can
compare them. The figures of processes have the names of Prometheus' own libraries, with a label for which process.

Not here: counting (each core counts for itself), HTTP (gateway/http/site.py).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

import confluent_kafka
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gateway.link.events import CLOSES
from mesh.histogram import Histogram
from mesh.membership.packets import MembershipStats, MemberState
from mesh.transport.links import LinkStats
from node.audit.audit import Auditors, AuditorThread
from node.cluster.network import Network
from node.core import NodeCore
from node.kafka.kafka import KafkaThreads
from node.settings import Settings
from node.status.problems import cluster_problems
from node.workers import QUEUE_BYTES_MAX, Workers

_NODE: list[tuple[str, str, str, Callable[[NodeCore], float]]] = [
    ("records", "counter", "Records read from Kafka", lambda core: core.intake.records),
    ("records_unmapped", "counter", "Records that could not be mapped", lambda core: core.intake.unmapped),
    ("repeats_dropped", "counter", "Repeated publishes dropped", lambda core: core.intake.repeats_dropped),
    ("cache_bytes", "gauge", "Memory of the cache, by its own estimate", lambda core: core.cache.bytes),
    ("cache_bytes_max", "gauge", "Limit: cache.bytes", lambda core: core.cache.config.bytes_max),
    ("cache_messages", "gauge", "Messages in the cache", lambda core: sum(x.held for x in core.cache.logs.values())),
    ("cache_messages_per_subject_max", "gauge", "Limit: cache.messages_per_subject",
     lambda core: core.cache.config.messages_per_subject),
    ("cache_subjects", "gauge", "Subjects in the cache",
     lambda core: sum(len(log.subjects) for log in core.cache.logs.values())),
    ("cache_evicted_by_age", "counter", "Messages that left by age", lambda core: core.cache.evicted_by_age),
    ("cache_evicted_by_count", "counter", "Messages that left by their subject's limit",
     lambda core: core.cache.evicted_by_count),
    ("cache_evicted_by_bytes", "counter", "Messages that left by the cache's limit",
     lambda core: core.cache.evicted_by_bytes),
    ("tables", "gauge", "Partitions of compacted topics", lambda core: core.tables.count),
    ("tables_complete", "gauge", "Those whose latest values are all in the store",
     lambda core: core.tables.complete_count),
    ("tables_bytes", "gauge", "The store of latest values", lambda core: core.tables.bytes),
    ("tables_begun_anew", "counter", "Tables that could not be trusted", lambda core: core.tables.rebuilt),
    ("table_changes_read", "counter", "Changes read from Kafka to fill tables", lambda core: core.tables.changes_read),
    ("subscribes", "counter", "Subscriptions begun or resumed", lambda core: core.backfills.begun),
    ("backfills", "gauge", "Subscriptions on their way to live", lambda core: len(core.backfills)),
    ("interest", "gauge", "Subjects and patterns that workers want", lambda core: len(core.interest)),
    ("publishes_accepted", "counter", "Publishes confirmed", lambda core: core.publishing.accepted),
    ("publishes_failed", "counter", "Publishes refused or failed", lambda core: core.publishing.failed_count),
    ("publishes_in_flight", "gauge", "Publishes without an outcome yet", lambda core: core.publishing.in_flight),
    ("publishes_in_flight_max", "gauge", "Limit: publish.queue", lambda core: core.publishing.config.in_flight_max),
    ("publish_retries", "counter", "Publishes recognised as retries",
     lambda core: core.publishing.retries_recognised),
]  # fmt: skip

_LIMITS: list[tuple[str, str, Callable[[Settings], float]]] = [
    ("tables_bytes_max", "Limit: cache.table_bytes", lambda settings: settings.cache.table_bytes_max),
    ("link_queue_bytes_max", "Limit: bytes waiting for a worker", lambda _: QUEUE_BYTES_MAX),
    ("replay_messages_max", "Limit: replay.messages", lambda settings: settings.replay.messages_max),
    ("client_connections_max", "Limit: client.connections",
     lambda settings: settings.client.connections_max),
    ("client_subscriptions_max", "Limit: client.subscriptions",
     lambda settings: settings.client.subscriptions_max),
    ("client_publishes_max", "Limit: client.publishes", lambda settings: settings.client.publishes_max),
    ("client_frame_bytes_max", "Limit: client.frame_bytes",
     lambda settings: settings.client.frame_bytes_max),
    ("client_outbox_bytes_max", "Limit: client.outbox_bytes",
     lambda settings: settings.client.outbox_bytes_max),
]  # fmt: skip

_DURATIONS: list[tuple[str, str, Callable[[NodeCore], Histogram]]] = [
    ("publish_seconds", "From when a publish came in until it was confirmed", lambda core: core.publishing.publish_s),
    ("read_back_seconds", "From a question for Kafka's history to its answer", lambda core: core.durations.read_back_s),
    ("cluster_commit_seconds", "From when a publish came in until it was seen to be committed",
     lambda core: core.slots.forwarding.commit_s),
    ("cluster_replication_seconds", "How far other nodes are behind what this one coordinates, once a second",
     lambda core: core.durations.replication_s),
]  # fmt: skip

_CLUSTER: list[tuple[str, str, str, Callable[[NodeCore], float]]] = [
    ("members_alive", "gauge", "Living nodes, this one included", lambda core: len(core.peers.alive())),
    ("slots_coordinated", "gauge", "Slots that this node coordinates", lambda core: len(core.slots.coordinated)),
    (
        "slots_without_coordinator",
        "gauge",
        "Slots in which nothing can be committed, as far as this node knows",
        lambda core: sum(not slot.accepts for slot in core.slots.by_number),
    ),
    ("slots_synced", "gauge", "1 while this node holds the log of every slot", lambda core: core.slots.is_synced),
    (
        "elections_won",
        "counter",
        "Elections that this node won",
        lambda core: sum(election.elections_won for election in core.slots.elections),
    ),
    (
        "slot_repairs",
        "counter",
        "Answers to questions for missed items",
        lambda core: sum(replication.repairs for replication in core.slots.replications),
    ),
    (
        "slot_memory_losses",
        "counter",
        "Slot logs begun anew though a voter still held one that may have been incomplete",
        lambda core: sum(election.memory_losses for election in core.slots.elections),
    ),
    (
        "slot_packets_refused",
        "counter",
        "Packets about slots that were refused",
        lambda core: core.slots.packets_refused,
    ),
    (
        "slot_packets_relayed",
        "counter",
        "Packets passed on to nodes that miss a link",
        lambda core: core.slots.detours.relayed,
    ),
    (
        "forwards_pending",
        "gauge",
        "Publishes of this node that are not committed yet",
        lambda core: core.slots.forwarding.pending,
    ),
    ("forwards_pending_max", "gauge", "Limit: publish.queue", lambda core: core.slots.forwarding.config.pending_max),
    ("logs_fed", "gauge", "Kafka partitions that this node reads for all", lambda core: core.feed.feeding_count),
    ("feed_records", "counter", "Records that came from other nodes", lambda core: core.kafka_logs.fed),
    ("feed_repairs", "counter", "Holes in the feed that were repaired", lambda core: core.feed.repairs),
    ("feed_takeovers", "counter", "Partitions taken over from other nodes", lambda core: core.feed.takeovers),
    ("transfer_pages", "counter", "Pages of peers' caches received", lambda core: core.transfer.pages_received),
    ("transfers_asked", "gauge", "Logs that this node is copying from peers", lambda core: core.transfer.asking_count),
    (
        "transfers_served",
        "gauge",
        "Copies that peers are making of this node's logs",
        lambda core: core.transfer.serving_count,
    ),
    ("peer_scans_answered", "counter", "Questions of peers answered from the cache", lambda core: core.scan.answered),
]
_LINK: list[tuple[str, str, Callable[[LinkStats], float]]] = [
    ("messages_in", "Messages from other nodes", lambda stats: stats.messages_in),
    ("messages_out", "Messages to other nodes", lambda stats: stats.messages_out),
    ("bytes_in", "Bytes from other nodes", lambda stats: stats.bytes_in),
    ("bytes_out", "Bytes to other nodes", lambda stats: stats.bytes_out),
    ("lost", "Broadcasts missed", lambda stats: stats.lost.total()),
    ("dropped", "Messages not sent because a peer's queue was full", lambda stats: stats.dropped.total()),
    ("refused", "Messages from strangers, or not understood", lambda stats: stats.refused.total()),
    ("oversized", "Packets that were too large to send", lambda stats: stats.oversized),
    ("kicks", "Links made anew because nothing came over them", lambda stats: stats.kicks.total()),
]
_MEMBERSHIP: list[tuple[str, str, Callable[[MembershipStats], int]]] = [
    ("probes_failed", "Probes that were not answered", lambda stats: stats.probes_failed),
    ("declared_dead", "Nodes that this one declared dead", lambda stats: stats.declared_dead),
    ("refuted", "Accusations that this node denied", lambda stats: stats.refuted),
]
_WORKER: list[tuple[str, str, str]] = [
    ("connections", "gauge", "Clients connected"),
    ("connections_max", "gauge", "Limit: client.connections, or less if fewer files may be open"),
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
    ("expired", "counter", "Clients closed because their token had expired"),
    ("revoked", "counter", "Clients closed because their token had been revoked"),
    ("audit_dropped", "counter", "Events for auditors that found no room"),
    ("authorizer_failures", "counter", "Times that the authorizer itself failed"),
    ("limited_connects", "counter", "Connections refused by limits.address_…"),
    ("limited_identities", "counter", "Connections refused by limits.identity_…"),
    ("limited_publishes", "counter", "Publishes put off by limits.publishes"),
    ("limited_subscribes", "counter", "Subscribes put off by limits.subscribes"),
    ("limited_bytes", "counter", "Times that a client was not read for a while by limits.bytes"),
    ("tls_handshakes", "counter", "Handshakes of TLS"),
    ("tls_failures", "counter", "Handshakes of TLS that failed"),
    ("outboxes", "gauge", "Clients that something waits for"),
    ("outbox_bytes", "gauge", "Bytes that wait for slow clients"),
    ("loop_delay_seconds", "gauge", "How late the loop ran in the last second"),
]
_AUDITOR: list[tuple[str, str, str, Callable[[AuditorThread], float]]] = [
    ("events", "counter", "Events that an auditor has taken", lambda one: one.written),
    ("dropped", "counter", "Events that an auditor has not had", lambda one: one.dropped),
    ("waiting", "gauge", "Events that wait for an auditor", lambda one: one.queue.waiting),
]
GAP_REASONS = ("retention", "replay_limit", "log_gone", "truncated", "memory_lost", "unreadable")
"""They are there with 0 before the first gap, or Prometheus would not see that one as a rise."""
_STAT_OF = {"loop_delay_seconds": "loop_delay_s"}
"""Where a worker calls something otherwise."""


class Metrics(Collector):
    """The document at /metrics, collected with each request."""

    def __init__(
        self,
        settings: Settings,
        core: NodeCore,
        workers: Workers,
        kafka: KafkaThreads | None,
        network: Network | None,
        audit: Auditors | None,
    ) -> None:
        self._settings = settings
        self._core = core
        self._workers = workers
        self._kafka = kafka
        self._network = network
        self._audit = audit
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self.tick_late_s = 0.0
        """How late the core's tick was at most in the last second."""

    def render(self) -> bytes:
        """In the text format of Prometheus."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield from self._node()
        yield from self._cluster()
        yield from self._worker()
        yield from self._partitions()
        yield from self._processes()
        yield from self._auditors()

    def _node(self) -> Iterator[Metric]:
        core, kafka = self._core, self._kafka
        for name, kind, meaning, value in (
            ("ready", "gauge", "1 while the cache is filled and clients are taken", core.takes_clients),
            ("kafka_connected", "gauge", "1 while Kafka answers", not core.kafka_health.error),
            ("kafka_read_errors", "counter", "Errors while reading Kafka", core.kafka_health.read_errors),
            ("replay_records", "counter", "Records read back from Kafka for resumes",
             kafka.replay_records if kafka is not None else 0),
            ("replay_queue", "gauge", "Questions waiting for a replay thread",
             kafka.replay_queue if kafka is not None else 0),
            ("link_cut_offs", "counter", "Times that a worker did not keep up and was cut off", self._workers.cut_offs),
            ("link_queue_bytes", "gauge", "Bytes waiting for workers", self._workers.queue_bytes),
        ):  # fmt: skip
            yield _metric(kind, f"whimbrel_{name}", meaning, (), [((), float(value))])
        build = InfoMetricFamily("whimbrel_build", "What this node is made of")
        librdkafka, _ = confluent_kafka.libversion()
        parts = {"version": version("whimbrel"), "python": platform.python_version(), "librdkafka": librdkafka}
        build.add_metric([], parts)
        yield build
        degraded = bool(core.kafka_health.error and self._settings.uses_kafka)
        degraded = degraded or bool(cluster_problems(core, self._network))
        yield _metric("gauge", "whimbrel_degraded", "1 while the status says so", (), [((), float(degraded))])
        gaps_told = dict.fromkeys(GAP_REASONS, 0) | core.backfills.gaps_told
        gaps = [((why,), float(count)) for why, count in gaps_told.items()]
        yield _metric("counter", "whimbrel_gaps", "Gaps told to clients", ("reason",), gaps)
        for name, kind, meaning, read in _NODE:
            yield _metric(kind, f"whimbrel_{name}", meaning, (), [((), float(read(core)))])
        for name, meaning, duration in _DURATIONS:
            taken = duration(core)
            histogram = HistogramMetricFamily(f"whimbrel_{name}", meaning)
            histogram.add_metric([], taken.buckets(), taken.sum)
            yield histogram
        for name, meaning, limit in _LIMITS:
            yield _metric("gauge", f"whimbrel_{name}", meaning, (), [((), float(limit(self._settings)))])

    def _cluster(self) -> Iterator[Metric]:
        if not self._core.slots.by_number:
            return
        for name, kind, meaning, found in _CLUSTER:
            yield _metric(kind, f"whimbrel_cluster_{name}", meaning, (), [((), float(found(self._core)))])
        states = {self._settings.node.name: MemberState.ALIVE}
        states |= {name: peer.state for name, peer in self._core.peers.all.items()}
        member_rows = [((name, one.word), float(one is state)) for name, state in states.items() for one in MemberState]
        meaning = "1 for the state in which this node takes a member to be"
        yield _metric("gauge", "whimbrel_cluster_member_state", meaning, ("member", "state"), member_rows)
        late = "How late the tick was at most in the last second"
        yield _metric("gauge", "whimbrel_cluster_tick_late_seconds", late, (), [((), self.tick_late_s)])
        if self._network is not None:
            membership, stats = self._network.membership, self._network.stats
            meaning = "Lifeguard's local health: 0 (well) to 7"
            yield _metric(
                "gauge", "whimbrel_cluster_membership_health", meaning, (), [((), float(membership.local_health))]
            )
            meaning = "For how long, in all, this node stood still"
            yield _metric("counter", "whimbrel_cluster_paused_seconds", meaning, (), [((), membership.paused_s)])
            for name, meaning, counted in _MEMBERSHIP:
                rows = [((), float(counted(membership.stats)))]
                yield _metric("counter", f"whimbrel_cluster_{name}", meaning, (), rows)
            for name, meaning, count in _LINK:
                yield _metric("counter", f"whimbrel_mesh_{name}", meaning, (), [((), float(count(stats)))])
            meaning, refused = "Datagrams of other nodes that could not be read", self._network.datagrams_refused
            yield _metric("counter", "whimbrel_mesh_datagrams_refused", meaning, (), [((), float(refused))])

    def _worker(self) -> Iterator[Metric]:
        workers = self._workers.all
        for name, kind, meaning in _WORKER:
            stat = _STAT_OF.get(name, name)
            rows = [((str(one.settings.index),), one.stats.get(stat, 0.0)) for one in workers]
            yield _metric(kind, f"whimbrel_worker_{name}", meaning, ("worker",), rows)
        delivery = HistogramMetricFamily(
            "whimbrel_delivery_delay_seconds",
            "Live messages, per recipient: from when this node had read them until they were written to the client",
            labels=("worker",),
        )
        for one in workers:
            delivery.add_metric([str(one.settings.index)], one.delivery.buckets(), one.delivery.sum)
        yield delivery
        restarts = [((str(one.settings.index),), float(one.restarts)) for one in workers]
        yield _metric("counter", "whimbrel_worker_restarts", "Times that a worker died", ("worker",), restarts)

        closes = [
            ((str(one.settings.index), name.removeprefix(CLOSES)), count)
            for one in workers
            for name, count in one.stats.items()
            if name.startswith(CLOSES)
        ]
        meaning = "Connections that the worker ended, by close code"
        yield _metric("counter", "whimbrel_worker_closes", meaning, ("worker", "code"), closes)

    def _auditors(self) -> Iterator[Metric]:
        if self._audit is None:
            return
        for name, kind, meaning, read in _AUDITOR:
            rows = [((one.name,), float(read(one))) for one in self._audit.threads]
            yield _metric(kind, f"whimbrel_audit_{name}", meaning, ("auditor",), rows)

    def _processes(self) -> Iterator[Metric]:
        """CPU, memory, descriptors and start of this process and of its workers'."""
        pids: dict[str, Callable[[], int | str]] = {"node": lambda: "self"}
        for one in self._workers.all:
            if one.pid:
                pids[f"worker {one.settings.index}"] = lambda pid=one.pid: pid  # type: ignore[misc]
        families: dict[str, Metric] = {}
        for process, pid in pids.items():
            for family in ProcessCollector(pid=pid, registry=None).collect():
                joined = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    joined.add_sample(sample.name, {"process": process}, sample.value)
        yield from families.values()

    def _partitions(self) -> Iterator[Metric]:
        sources = [source for topic in self._core.topics.sources.values() for source in topic.values()]
        labels = ("topic", "partition")
        lag = self._core.kafka_health.lag
        lags = [((one.topic, str(one.partition)), float(behind)) for one in sources if (behind := lag(one)) is not None]
        yield _metric("gauge", "whimbrel_kafka_lag", "Records not read yet", labels, lags)
        loaded = [((one.topic, str(one.partition)), float(one.loaded)) for one in sources]
        yield _metric("gauge", "whimbrel_kafka_loaded", "1 once read to its end", labels, loaded)
        is_forbidden = self._core.kafka_health.is_forbidden
        forbidden = [((one.topic, str(one.partition)), float(is_forbidden(one))) for one in sources]
        yield _metric("gauge", "whimbrel_kafka_forbidden", "1 while Kafka does not let it be read", labels, forbidden)


def _metric(
    kind: str, name: str, meaning: str, labels: tuple[str, ...], rows: Sequence[tuple[tuple[str, ...], float]]
) -> Metric:
    family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, meaning, labels=labels)
    for values, number in rows:
        family.add_metric(list(values), number)
    return family
