"""The cluster as this node sees it: the part `cluster` of the status document.

Not here: the rest of the document (document.py), people's text of it (node/commands/cluster_summary.py).
"""

from __future__ import annotations

from collections import Counter

from mesh.membership.packets import MemberState
from mesh.placement import rank
from mesh.slots.slot import Role, Slot
from node.cluster.network import Network
from node.core import NodeCore
from node.settings import Settings
from node.status.problems import cluster_problems
from node.topics import slot_log_id

ALONE, OK, DEGRADED = "alone", "ok", "degraded"
LEFT_SHOWN_S = 60.0
"""How long a node that has left is still shown."""


def cluster_of(
    settings: Settings, core: NodeCore, network: Network | None, now: float, uptime_s: float
) -> dict[str, object]:
    """The document. A node without others is a cluster of one."""
    return {
        "name": settings.cluster.name,
        "me": settings.node.name,
        "state": ALONE if network is None else DEGRADED if cluster_problems(core, network) else OK,
        "voters": list(settings.voters),
        "commit_quorum": core.slots.config.commit_quorum,
        "members": _members(settings, core, now, uptime_s) if core.slots.by_number else [],
        "slots": [_slot(slot) for slot in core.slots.by_number],
        "feeds": [
            {"topic": source.topic, "partition": source.partition, "log": source.log_id,
             "feeder": core.feed.feeder(source.log_id)}
            for sources in core.topics.sources.values() for source in sources.values()
        ] if core.slots.by_number else [],
        "controls": settings.cluster.controls,
    }  # fmt: skip


def _members(settings: Settings, core: NodeCore, now: float, uptime_s: float) -> list[dict[str, object]]:
    coordinates = Counter(slot.coordinator for slot in core.slots.by_number if slot.accepts)
    feeds = Counter(
        core.feed.feeder(source.log_id) for sources in core.topics.sources.values() for source in sources.values()
    )
    # Where slots are when all voters are there, and have been for a while.
    placed = Counter(rank(f"slot {slot.number}", core.slots.config.voters)[0] for slot in core.slots.by_number)
    delay_s = core.slots.delay_s()
    rows = [
        {"name": settings.node.name, "state": "alive", "url": _http(core.peers.url), "for_s": round(uptime_s, 1),
         "cluster_address": core.config.cluster_address, "synced": core.slots.is_synced}
    ]  # fmt: skip
    for name, peer in core.peers.all.items():
        if peer.state is MemberState.LEFT and now - peer.since > LEFT_SHOWN_S:
            continue
        rows.append(
            {"name": name, "state": peer.state.word, "url": _http(peer.meta.url) if peer.meta else "",
             "for_s": round(now - peer.since, 1), "cluster_address": peer.address,
             "synced": peer.meta is not None and peer.meta.is_synced and peer.state.is_living}
        )  # fmt: skip
    for row in rows:
        name = str(row["name"])
        row["is_voter"] = name in core.slots.config.voters
        row["coordinates"], row["placed"] = coordinates[name], placed[name]
        row["feeds"] = feeds[name]
        row["delay_ms"] = round(delay_s[name] * 1000, 2) if name in delay_s else None
    return sorted(rows, key=lambda row: str(row["name"]))


def _http(url: str) -> str:
    return url.removesuffix("/v1/ws")


def _slot(slot: Slot) -> dict[str, object]:
    return {
        "slot": slot.number,
        "log": slot_log_id(slot.number, slot.incarnation) if slot.incarnation else None,
        "epoch": slot.promised if slot.role is Role.CANDIDATE else slot.accepted,
        "coordinator": slot.coordinator or None,
        "accepts": slot.accepts,
        "end": slot.log.position(slot.log.end - 1) if slot.log.end else None,
        "commit": slot.log.position(slot.commit - 1) if slot.commit else None,
    }
