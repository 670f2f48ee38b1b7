"""What a node says of its cluster (`cluster` in `/v1/status`), as text for people.

Keys that are missing are taken as nothing: a newer command can ask an older node.

Not here: the rest of the status (summary.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from node.commands.tables import table
from node.settings.units import format_duration

RANGES_MAX = 24
"""As many ranges of numbers are shown; what more there are is counted."""


class Member(msgspec.Struct, frozen=True):
    name: str = ""
    state: str = ""
    """alive, suspect, dead or left."""
    url: str | None = None
    cluster_address: str | None = None
    is_voter: bool = False
    synced: bool = False
    coordinates: int = 0
    feeds: int = 0
    delay_ms: float | None = None
    """How long what it sends to all takes to get here."""
    for_s: float = 0


class Slot(msgspec.Struct, frozen=True):
    slot: int = 0
    coordinator: str | None = None


class Feed(msgspec.Struct, frozen=True):
    topic: str = ""
    partition: int = 0
    feeder: str | None = None


class Cluster(msgspec.Struct, frozen=True):
    name: str = ""
    me: str = ""
    state: str = ""
    """alone, ok or degraded."""
    voters: list[str] = []
    commit_quorum: int = 0
    members: list[Member] = []
    slots: list[Slot] = []
    feeds: list[Feed] = []


def cluster_lines(cluster: Cluster) -> Iterator[str]:
    """State and what is wrong, members, who coordinates and who feeds what."""
    if not cluster.state:
        return
    voters = f"voters: {', '.join(cluster.voters) or 'none'}"
    yield f"mesh       {cluster.state}, {voters}; what {cluster.commit_quorum} of them hold is committed"
    for reason in _reasons(cluster):
        yield f"           {reason}"
    yield from table(
        ("member", "state", "for", "voter", "synced", "coordinates", "feeds", "delay", "cluster address", "url"),
        [_member(member, cluster.me) for member in cluster.members],
    )
    if cluster.state == "alone":
        return
    coordinated: dict[str, list[int]] = {}
    for slot in cluster.slots:
        coordinated.setdefault(slot.coordinator or "", []).append(slot.slot)
    yield from table(
        ("coordinator", "slots"),
        [(name or "NONE", _ranges(numbers)) for name, numbers in sorted(coordinated.items())],
    )
    yield from table(
        ("feeder", "topic", "partitions"), [(name or "NONE", *rest) for name, *rest in _fed(cluster.feeds)]
    )


def _reasons(cluster: Cluster) -> Iterator[str]:
    """Why the cluster is not as it should be."""
    members = {member.name: member for member in cluster.members}
    counting = 0
    for name in cluster.voters:
        voter = members.get(name)
        if voter is None:
            yield f"voter {name} has not been seen"
        elif voter.state != "alive":
            yield f"voter {name} has been {voter.state} for {_for(voter)}"
        elif not voter.synced:
            yield f"voter {name} has not re-synced: it does not count"
        else:
            counting += 1
    if counting < cluster.commit_quorum:
        yield f"{counting} voters count, {cluster.commit_quorum} must: nothing can be committed"
    without = [slot.slot for slot in cluster.slots if slot.coordinator is None]
    if without:
        yield f"no coordinator: slots {_ranges(without)}"
    for feeder, topic, partitions in _fed(cluster.feeds):
        if not feeder:
            yield f"no feeder: {topic} {partitions}"


def _member(member: Member, me: str) -> tuple[str, ...]:
    return (
        f"{member.name} (this)" if member.name == me else member.name,
        member.state,
        _for(member),
        "yes" if member.is_voter else "no",
        "yes" if member.synced else "NO",
        f"{member.coordinates}",
        f"{member.feeds}",
        "" if member.delay_ms is None else f"{member.delay_ms:,.1f} ms",
        member.cluster_address or "",
        member.url or "",
    )


def _for(member: Member) -> str:
    return format_duration(float(round(member.for_s)))


def _fed(feeds: Iterable[Feed]) -> list[tuple[str, str, str]]:
    """Feeder, topic, partitions; the feeder is empty where there is none."""
    fed: dict[tuple[str, str], list[int]] = {}
    for feed in feeds:
        fed.setdefault((feed.feeder or "", feed.topic), []).append(feed.partition)
    return [(*key, _ranges(numbers)) for key, numbers in sorted(fed.items())]


def _ranges(numbers: Iterable[int]) -> str:
    """`0-3, 7`."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number <= ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [f"{first}" if first == last else f"{first}-{last}" for first, last in ranges[:RANGES_MAX]]
    more = sum(last - first + 1 for first, last in ranges[RANGES_MAX:])
    return ", ".join(shown) + (f" and {more} more" if more else "")
