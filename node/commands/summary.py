"""The status of a node (`/v1/status`) as text for people.

Missing keys have defaults: a newer command can ask an older node.

Not here: asking the node (status.py), what is said of the cluster (cluster_summary.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from node.commands.cluster_summary import ClusterStatus, cluster_lines
from node.commands.tables import printable, table
from node.settings.units import format_duration


class Clients(msgspec.Struct, frozen=True):
    connections: int = 0
    subscriptions: int = 0


class Rates(msgspec.Struct, frozen=True):
    in_per_s: float = 0
    out_per_s: float = 0


class WorkerStatus(msgspec.Struct, frozen=True):
    index: int = 0
    pid: int | None = None
    connections: int = 0
    subscriptions: int = 0
    restarts: int = 0
    messages_out_per_s: float = 0
    loop_delay_s: float | None = None


class CacheStatus(msgspec.Struct, frozen=True):
    bytes: int = 0
    bytes_max: int = 0
    messages: int = 0
    subjects: int = 0
    ttl_s: float = 0


class PartitionStatus(msgspec.Struct, frozen=True):
    partition: int = 0
    log: str = ""
    end: tuple[int, int] | None = None
    """Epoch and offset of the last record read."""
    high_watermark: int | None = None
    lag: int | None = None
    state: str = ""
    messages_per_s: float = 0


class TopicStatus(msgspec.Struct, frozen=True):
    topic: str = ""
    value: str = ""
    publish: bool = False
    partitions: list[PartitionStatus] = []


class KafkaStatus(msgspec.Struct, frozen=True):
    used: bool = True
    """False for a node that is configured without Kafka."""
    connected: bool = False
    bootstrap: str = ""
    brokers: list[str] | int = 0
    topics: list[TopicStatus] = []


class NamespaceStatus(msgspec.Struct, frozen=True):
    name: str = ""
    value: str = ""
    publish: bool = False


class Busy(msgspec.Struct, frozen=True):
    subject: str = ""
    per_s: float = 0


class Publishes(msgspec.Struct, frozen=True):
    accepted: int = 0
    failed: int = 0
    in_flight: int = 0


class StatusDocument(msgspec.Struct, frozen=True):
    """The part of `/v1/status` that is shown."""

    node: str = ""
    version: str = ""
    cluster: ClusterStatus | str = ""
    """An older node gives only its name."""
    state: str = ""
    ready: bool = False
    uptime_s: float = 0
    problems: list[str] = []
    notes: list[str] = []
    clients: Clients = Clients()
    rates: Rates = Rates()
    workers: list[WorkerStatus] = []
    cache: CacheStatus = CacheStatus()
    kafka: KafkaStatus = KafkaStatus()
    namespaces: list[NamespaceStatus] = []
    busiest: list[Busy] = []
    publishes: Publishes = Publishes()


def summary(status: StatusDocument) -> str:
    """The whole status."""
    return "\n".join(printable(line).rstrip() for line in _lines(status)) + "\n"


def _lines(status: StatusDocument) -> Iterator[str]:
    up = format_duration(float(round(status.uptime_s)))
    cluster = status.cluster if isinstance(status.cluster, ClusterStatus) else ClusterStatus(status.cluster)
    yield f"node {status.node} ({status.version}), cluster {cluster.name}: {_state(status)}, up {up}"
    for problem in status.problems:
        yield f"problem: {problem}"
    for note in status.notes:
        yield f"note: {note}"
    yield ""
    rates, cache, kafka, publishes = status.rates, status.cache, status.kafka, status.publishes
    share = f" ({cache.bytes / cache.bytes_max:.0%})" if cache.bytes_max else ""
    yield f"clients    {status.clients.connections:,} connections, {status.clients.subscriptions:,} subscriptions"
    yield f"messages   {rates.in_per_s:,.0f}/s in, {rates.out_per_s:,.0f}/s out"
    yield (
        f"publishes  {publishes.accepted:,} accepted, {publishes.failed:,} failed, {publishes.in_flight:,} in flight"
    )
    yield (
        f"cache      {_mib(cache.bytes)} of {_mib(cache.bytes_max)}{share}, {cache.messages:,} messages of "
        f"{cache.subjects:,} subjects, ttl {format_duration(cache.ttl_s)}"
    )
    yield f"kafka      {_kafka(kafka)}"
    yield from cluster_lines(cluster)
    yield from table(
        ("worker", "pid", "connections", "subscriptions", "restarts", "out msg/s", "loop delay"),
        [
            (
                f"{worker.index}",
                "down" if worker.pid is None else f"{worker.pid}",
                f"{worker.connections:,}",
                f"{worker.subscriptions:,}",
                f"{worker.restarts}",
                f"{worker.messages_out_per_s:,.0f}",
                "?" if worker.loop_delay_s is None else f"{worker.loop_delay_s * 1000:,.1f} ms",
            )
            for worker in status.workers
        ],
    )
    yield from table(
        ("topic", "value", "publish", "partition", "log", "end", "high watermark", "lag", "state", "msg/s"),
        [row for topic in kafka.topics for row in _partitions(topic)],
    )
    yield from table(("busiest subject", "msg/s"), [(busy.subject, f"{busy.per_s:,.1f}") for busy in status.busiest])


def _state(status: StatusDocument) -> str:
    """The state, and whether the node serves clients if the state does not say so."""
    if status.ready:
        return "ready" if status.state in ("", "ready") else f"{status.state}, but it serves clients"
    return f"{status.state}, NOT READY" if status.state else "NOT READY"


def _kafka(kafka: KafkaStatus) -> str:
    if not kafka.used:
        return "not configured"
    if not kafka.connected and kafka.bootstrap:
        return f"NOT CONNECTED, bootstrap: {kafka.bootstrap}"
    brokers = str(kafka.brokers) if isinstance(kafka.brokers, int) else ", ".join(kafka.brokers)
    return f"{'connected' if kafka.connected else 'NOT CONNECTED'}, brokers: {brokers or 'none'}"


def _partitions(topic: TopicStatus) -> Iterator[tuple[str, ...]]:
    head = (topic.topic, topic.value, "yes" if topic.publish else "no")
    if not topic.partitions:
        yield (*head, *[""] * 5, "no partitions", "")
    for partition in topic.partitions:
        counts = (partition.high_watermark, partition.lag)
        yield (
            *head,
            f"{partition.partition}",
            partition.log,
            "?" if partition.end is None else "{},{}".format(*partition.end),
            *("?" if count is None else f"{count:,}" for count in counts),
            partition.state,
            f"{partition.messages_per_s:,.1f}",
        )


def _mib(count: int) -> str:
    return f"{count / (1 << 20):,.1f} MiB"
