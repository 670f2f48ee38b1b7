"""The cluster as this node sees it: the part `cluster` of /v1/status.

Not here: the rest of the document (observed.py), people's text of it (node/commands/cluster_summary.py).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from mesh.slots.slot import Role, Slot
from node.cluster.cluster import Cluster
from node.parts import Parts
from node.topics import slot_log_id

ALONE, OK, DEGRADED = "alone", "ok", "degraded"


def cluster_of(parts: Parts, now: float) -> dict[str, Any]:
    """The document. A node without a mesh is a cluster of one."""
    settings, cluster = parts.settings, parts.cluster
    me = settings.node.name
    document: dict[str, Any] = {
        "name": settings.cluster.name,
        "me": me,
        "state": ALONE,
        "voters": list(settings.voters),
        "commit_quorum": len(settings.voters) // 2 + 1,
        "members": [],
        "slots": [],
        "feeds": [],
        "controls": settings.cluster.controls,
    }
    if cluster is None:
        return document
    document["commit_quorum"] = cluster.replica.config.commit_quorum
    document["state"] = ALONE if cluster.members is None else DEGRADED if problems(parts) else OK
    document["members"] = _members(parts, cluster, now)
    document["slots"] = [_slot(slot) for slot in cluster.replica.by_number]
    if settings.uses_kafka:
        document["feeds"] = [
            {"topic": source.topic, "partition": source.partition, "log": source.log_id,
             "feeder": cluster.feed.feeder(source.log_id)}
            for sources in parts.topics.sources.values() for source in sources.values()
        ]  # fmt: skip
    return document


def problems(parts: Parts) -> list[str]:
    """What a person should know of the cluster, in sentences."""
    cluster = parts.cluster
    if cluster is None or cluster.members is None:
        return []
    found = []
    replica = cluster.replica
    alive = cluster.members.alive()
    if replica.is_amnesic:
        found.append(
            "this voter does not know what it promised (its disk is new, or was lost) and takes no part until it has "
            f"heard from {', '.join(replica.missing_voters)}"
        )
    missing = [voter for voter in replica.config.voters if voter not in alive]
    if missing:
        found.append(f"of the voters {', '.join(missing)} cannot be reached")
    orphans = [slot for slot in replica.by_number if not slot.accepts]
    if orphans:
        found.append(f"{len(orphans)} of {len(replica.by_number)} slots take no publishes now")
    found += cluster.members.problems()
    return found


def _members(parts: Parts, cluster: Cluster, now: float) -> list[dict[str, Any]]:
    coordinates = Counter(slot.coordinator for slot in cluster.replica.by_number if slot.accepts)
    kafka = [source for sources in parts.topics.sources.values() for source in sources.values()]
    feeds = Counter(cluster.feed.feeder(source.log_id) for source in kafka)
    delay_s = cluster.replica.delay_s()
    voters = cluster.replica.config.voters
    seen = cluster.members.rows(now) if cluster.members is not None else []
    alone: dict[str, Any] = {"name": cluster.me, "state": "alive", "url": "", "cluster_address": "", "for_s": 0.0}
    rows = seen or [alone]
    for row in rows:
        name = row["name"]
        row["is_voter"] = name in voters
        row["coordinates"] = coordinates[name]
        row["feeds"] = feeds[name]
        row["delay_ms"] = round(delay_s[name] * 1000, 2) if name in delay_s else None
        if name == cluster.me:
            row["synced"] = cluster.replica.is_synced
        row.setdefault("synced", False)
    return rows


def _slot(slot: Slot) -> dict[str, Any]:
    return {
        "slot": slot.number,
        "log": slot_log_id(slot.number, slot.incarnation) if slot.incarnation else None,
        "epoch": slot.promised if slot.role is Role.CANDIDATE else slot.accepted,
        "coordinator": slot.coordinator or None,
        "accepts": slot.accepts,
        "end": slot.log.position(slot.log.end - 1) if slot.log.end else None,
        "commit": slot.log.position(slot.commit - 1) if slot.commit else None,
    }
