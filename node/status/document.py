"""The status document, at /v1/status.

Not here: the part `cluster` of it (cluster.py), people's text of it (node/commands/status.py).
"""

from __future__ import annotations

from importlib.metadata import version

from node.cluster.network import Network
from node.core import NodeCore
from node.settings import Settings
from node.status.cluster import cluster_of
from node.status.problems import cluster_problems, notes
from node.status.recent import Recent
from node.status.throughput import Throughput
from node.topics import Source
from node.workers import Workers


def document(
    settings: Settings,
    core: NodeCore,
    workers: Workers,
    network: Network | None,
    throughput: Throughput,
    problems: list[str],
    recent: Recent,
    now: float,
    uptime_s: float,
) -> dict[str, object]:
    """All of it."""
    health = core.kafka_health
    is_away = settings.uses_kafka and bool(health.error)
    is_degraded = is_away or not core.workers.ids or bool(cluster_problems(core, network))
    return {
        "node": settings.node.name,
        "version": version("whimbrel"),
        "cluster": cluster_of(settings, core, network, now, uptime_s),
        "state": _state(core, is_degraded),
        "ready": core.takes_clients,
        "uptime_s": round(uptime_s, 1),
        "problems": problems,
        "notes": notes(core),
        "recent": [{"time": at, "text": text} for at, text in recent.events],
        "clients": {name: _total(workers, name) for name in ("connections", "subscriptions")},
        "rates": {"in_per_s": round(throughput.in_per_s, 1), "out_per_s": round(throughput.out_per_s, 1)},
        "workers": _workers(workers, throughput),
        "cache": {
            "bytes": core.cache.bytes,
            "bytes_max": core.cache.config.bytes_max,
            "messages": sum(log.held for log in core.cache.logs.values()),
            "subjects": sum(len(log.subjects) for log in core.cache.logs.values()),
            "ttl_s": core.cache.config.ttl_s,
        },
        "tables": {"all": core.tables.count, "complete": core.tables.complete_count, "bytes": core.tables.bytes},
        "kafka": {
            "used": settings.uses_kafka,
            "connected": settings.uses_kafka and not health.error,
            "bootstrap": settings.kafka.bootstrap,
            "brokers": health.brokers,
            "topics": _topics(core, throughput),
        },
        "namespaces": [{"name": one.name, "value": one.value, "publish": one.publish} for one in settings.namespaces],
        "busiest": throughput.busiest,
        "publishes": {
            "accepted": core.publishing.accepted,
            "failed": core.publishing.failed_count,
            "in_flight": core.publishing.in_flight,
        },
    }


def _state(core: NodeCore, is_degraded: bool) -> str:
    if core.slots.is_leaving:
        return "draining"
    return "filling" if not core.is_ready else "degraded" if is_degraded else "ready"


def _total(workers: Workers, name: str) -> int:
    """A worker's number, over all workers."""
    return int(sum(worker.stats.get(name, 0) for worker in workers.all))


def _workers(workers: Workers, throughput: Throughput) -> list[dict[str, object]]:
    return [
        {
            "index": worker.settings.index,
            "pid": worker.pid,
            "connections": int(worker.stats.get("connections", 0)),
            "subscriptions": int(worker.stats.get("subscriptions", 0)),
            "restarts": worker.restarts,
            "messages_out_per_s": round(throughput.out_per_s_of(worker), 1),
            "loop_delay_s": round(worker.stats.get("loop_delay_s", 0.0), 4),
            "slow_clients": int(worker.stats.get("outboxes", 0)),
            "waiting_bytes": int(worker.stats.get("outbox_bytes", 0)),
        }
        for worker in workers.all
    ]


def _topics(core: NodeCore, throughput: Throughput) -> list[dict[str, object]]:
    return [
        {
            "topic": topic,
            "value": next(iter(sources.values())).rule.value,
            "publish": next(iter(sources.values())).rule.publish,
            "partitions": [_partition(core, throughput, source) for source in sources.values()],
        }
        for topic, sources in sorted(core.topics.sources.items())
    ]


def _partition(core: NodeCore, throughput: Throughput, source: Source) -> dict[str, object]:
    health = core.kafka_health
    return {
        "partition": source.partition,
        "log": source.log_id,
        "end": source.end,
        "high_watermark": health.high_watermark(source),
        "lag": health.lag(source),
        "state": "unavailable" if health.is_leaderless(source) else "live" if source.loaded else "filling",
        "messages_per_s": round(throughput.per_s_of(source.log_id), 1),
    }
