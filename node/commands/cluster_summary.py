"""The cluster as a node sees it (`cluster` in `/v1/status`), as text for people.

Missing keys have defaults: a newer command can ask an older node.

Not here: the rest of the status (summary.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import msgspec

from node.commands.tables import table
from node.settings.units import format_duration

RANGES_MAX = 24
"""The most ranges of numbers that are shown; the rest is only counted."""


class MemberStatus(msgspec.Struct, frozen=True):
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
    """How long it took to hold what this node sent last as a coordinator."""
    for_s: float = 0


class SlotStatus(msgspec.Struct, frozen=True):
    slot: int = 0
    coordinator: str | None = None
    accepts: bool | None = None
    """Whether it accepts publishes now; an older node does not say."""


class FeedStatus(msgspec.Struct, frozen=True):
    topic: str = ""
    partition: int = 0
    feeder: str | None = None


class ClusterStatus(msgspec.Struct, frozen=True):
    name: str = ""
    me: str = ""
    state: str = ""
    """alone, ok or degraded."""
    voters: list[str] = []
    commit_quorum: int = 0
    members: list[MemberStatus] = []
    slots: list[SlotStatus] = []
    feeds: list[FeedStatus] = []


def cluster_lines(cluster: ClusterStatus) -> Iterator[str]:
    """State, what is wrong, members, coordinators and feeders. Nothing for a node without a mesh."""
    if not cluster.state or not (cluster.members or cluster.slots):
        return
    voters = f"voters: {', '.join(cluster.voters) or 'none'}"
    yield f"mesh       {cluster.state}, {voters}; what {cluster.commit_quorum} of them hold is committed"
    can_commit = len(_counting(cluster)) >= cluster.commit_quorum
    taking = {slot.slot for slot in cluster.slots if _takes(slot, can_commit)}
    for reason in _reasons(cluster, taking):
        yield f"           {reason}"
    yield from table(
        ("member", "state", "for", "voter", "synced", "coordinates", "feeds", "delay", "cluster address", "url"),
        [_member(member, cluster, taking) for member in cluster.members],
    )
    if cluster.state == "alone":
        return
    yield "DELAY: until the member held what this node sent last as a coordinator; ?: nothing was sent yet"
    coordinated: dict[str, list[int]] = {}
    for slot in cluster.slots:
        last = slot.coordinator if slot.slot in taking else f"{slot.coordinator} (last)" if slot.coordinator else ""
        coordinated.setdefault(last or "", []).append(slot.slot)
    yield from table(
        ("coordinator", "slots"),
        [(name or "NONE", _ranges(numbers)) for name, numbers in sorted(coordinated.items())],
    )
    yield from table(
        ("feeder", "topic", "partitions"), [(name or "NONE", *rest) for name, *rest in _fed(cluster.feeds)]
    )


def _counting(cluster: ClusterStatus) -> set[str]:
    """Voters whose copies and votes count now."""
    counting = (member.name for member in cluster.members if member.state == "alive" and member.synced)
    return {*counting} & {*cluster.voters}


def _takes(slot: SlotStatus, can_commit: bool) -> bool:
    """Whether a coordinator accepts publishes for the slot now."""
    return slot.coordinator is not None and (can_commit if slot.accepts is None else slot.accepts)


def _reasons(cluster: ClusterStatus, taking: Collection[int]) -> Iterator[str]:
    """What is wrong with the cluster."""
    members = {member.name: member for member in cluster.members}
    counting = len(_counting(cluster))
    for name in cluster.voters:
        voter = members.get(name)
        if voter is None:
            yield f"voter {name} has not been seen"
        elif voter.state != "alive":
            yield f"voter {name} has been {voter.state} for {_for(voter)}"
        elif not voter.synced:
            yield f"voter {name} has not re-synced: it does not count"
    if counting < cluster.commit_quorum:
        yield f"{counting} voters count, {cluster.commit_quorum} must: nothing can be committed"
    not_taking = [slot.slot for slot in cluster.slots if slot.slot not in taking]
    if not_taking:
        which = f": all but {_ranges(not_taking)}" if taking else ""
        yield f"{len(taking)} of {len(cluster.slots)} slots take publishes now{which}"
    for feeder, topic, partitions in _fed(cluster.feeds):
        if not feeder:
            yield f"no feeder: {topic} {partitions}"


def _member(member: MemberStatus, cluster: ClusterStatus, taking: Collection[int]) -> tuple[str, ...]:
    coordinates = sum(slot.coordinator == member.name for slot in cluster.slots if slot.slot in taking)
    return (
        f"{member.name} (this)" if member.name == cluster.me else member.name,
        member.state,
        _for(member),
        "yes" if member.is_voter else "no",
        "yes" if member.synced else "NO",
        f"{coordinates if cluster.slots else member.coordinates}",
        f"{member.feeds}",
        "-" if member.name == cluster.me else "?" if member.delay_ms is None else f"{member.delay_ms:,.1f} ms",
        member.cluster_address or "",
        member.url or "",
    )


def _for(member: MemberStatus) -> str:
    return format_duration(float(round(member.for_s)))


def _fed(feeds: Iterable[FeedStatus]) -> list[tuple[str, str, str]]:
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
