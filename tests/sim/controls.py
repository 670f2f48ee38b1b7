"""Controls: a broken part each, and the lives in which the checkers must find it.

A checker that has never seen a fault proves nothing.

Not here: the parts themselves (broken_parts.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mesh.cache.cache import CacheConfig
from node.backfill.backfill import PageLimits
from tests.sim.broken_parts import (
    AlwaysSyncedWorld,
    AlwaysWholeWorld,
    CarelessWorld,
    CredulousWorld,
    ForgetfulClientWorld,
    ForgetfulWorld,
    ForgetsPublishesWorld,
    HastyWorld,
    HopefulWorld,
    LateLiveWorld,
    LatePagesWorld,
    LooseConfig,
    MixedUpWorld,
    NeverResyncsWorld,
    NewestFirstWorld,
    NoWayAroundWorld,
    ObedientWorld,
    OldAcknowledgementsWorld,
    OvertakingWorld,
    OwnWordWorld,
    RashWorld,
    SelfPromotedWorld,
    TrustingWorld,
)
from tests.sim.options import (
    FAULTS,
    HARD,
    HOSTILE,
    NAMES,
    Options,
    TopicOptions,
    draw,
    draw_life,
)
from tests.sim.run import run
from tests.sim.world import World


@dataclass(frozen=True, kw_only=True)
class Control:
    """One of them, and what makes it show sooner."""

    world_type: type[World]
    voters: int = 3
    quorums: tuple[int, int] = (0, 0)
    tail_items_max: int = 0
    range_items_max: int = 0
    is_loose: bool = False
    is_hostile: bool = False
    is_own: bool = True
    """About the cluster's own logs: every life has some."""
    has_kafka: bool = False
    """Every life has a topic that clients publish to."""
    changes: tuple[tuple[str, Any], ...] = ()
    """Of the options."""
    life: str = ""
    """Every life is one of this kind (options.LIVES), as it is drawn."""
    shows_as_unwell: bool = False
    """What it breaks is that all gets well again."""
    first: int = 0
    """From this seed on it shows soon: for tests."""

    def options(self, seed: int) -> Options:
        """What the seed means, a little adapted."""
        if self.life:
            return replace(draw_life(seed, self.life), **dict(self.changes))
        drawn = draw(seed)
        names = NAMES[: self.voters]
        slots = replace(
            drawn.slots,
            voters=names,
            commit_quorum=self.voters // 2 + 1,
            elect_quorum=self.voters // 2 + 1,
            tail_items_max=self.tail_items_max or drawn.slots.tail_items_max,
            range_items_max=self.range_items_max or drawn.slots.range_items_max,
        )
        if self.is_loose:
            slots = LooseConfig(
                voters=names, commit_quorum=self.quorums[0], elect_quorum=self.quorums[1],
                tail_items_max=slots.tail_items_max,
            )  # fmt: skip
        changes: dict[str, Any] = dict(self.changes)
        if self.is_hostile:
            changes |= {"traffic": HOSTILE, "faults": HARD, "faults_per_s": 4.0}
        if self.is_own:
            own = {"has_namespace": True, "topics": (), "workers": 1, "clients": 2, "publishes_per_s": 10.0}
            changes = own | changes
        if self.has_kafka:
            changes["topics"] = (TopicOptions(name="k0", partitions=1, is_compacted=False, publish=True),)
        return replace(drawn, names=names, slots=slots, is_safe=True, is_failover=False, **changes)


def seeds_to_catch(control: Control, first: int, most: int) -> tuple[int, str]:
    """How many seeds it takes, and what was found; nothing if it was not."""
    for taken in range(most):
        result = run(first + taken, None, control.world_type, control.options(first + taken))
        if result.problem and result.is_about_liveness == control.shows_as_unwell:
            return taken + 1, result.problem
    return most, ""


def _often(*names: str) -> tuple[tuple[str, Any], ...]:
    return (("faults", {name: FAULTS[name] for name in names}), ("faults_per_s", 4.0))


_BUSY: tuple[tuple[str, Any], ...] = (
    ("slot_count", 1),
    ("clients", 3),
    ("subscriptions_max", 1),
    ("publishes_per_s", 20.0),
    ("safety_s", 3.0),
)
_DELIBERATE = (*_BUSY, ("safety_s", 8.0), ("heals_per_s", 0.01))
_LATE = replace(HOSTILE, late=0.2, late_max_s=1.5)
_SMALL = CacheConfig(ttl_s=1000.0, messages_per_subject=3, bytes_max=1 << 26, snapshot_ttl_s=1000.0)
_TABLE = (TopicOptions(name="k0", partitions=2, is_compacted=True, publish=True),)

CONTROLS = {
    "two copies, elections by a majority of five (R + W = N)": Control(
        world_type=World,
        voters=5,
        quorums=(2, 3),
        is_loose=True,
        changes=(
            *_BUSY,
            ("safety_s", 8.0),
            ("heals_per_s", 0.01),
            *_often("coordinator reaches one other", "cut"),
        ),
        first=46,
    ),
    "a voter counts as soon as it has started": Control(world_type=AlwaysSyncedWorld, first=23),
    "promises do not survive": Control(world_type=ForgetfulWorld, is_hostile=True, first=539),
    "whoever sees the coordinator dead takes its place": Control(world_type=SelfPromotedWorld),
    "a deposed coordinator is obeyed": Control(
        world_type=ObedientWorld,
        voters=5,
        first=34,
        changes=(*_DELIBERATE, *_often("coordinator heard late"), ("faults_per_s", 0.5)),
    ),
    "any coordinator's log makes a voter whole": Control(
        world_type=HastyWorld,
        first=26,
        range_items_max=3,
        changes=(
            *_DELIBERATE,
            ("traffic", _LATE),
            ("safety_s", 12.0),
            *_often("voter starts anew twice"),
            ("faults_per_s", 1.0),
        ),
    ),
    "old acknowledgements commit what was taken over": Control(
        world_type=OldAcknowledgementsWorld,
        voters=5,
        changes=(
            *_BUSY,
            ("safety_s", 8.0),
            ("heals_per_s", 0.01),
            *_often("coordinator reaches one other", "one-way cut", "crash between effects"),
            ("faults_per_s", 2.0),
        ),
        first=23,
    ),
    "a voter's own word commits where it takes three": Control(world_type=OwnWordWorld, voters=5, changes=_BUSY),
    "a promise that could not be saved counts": Control(world_type=HopefulWorld, is_hostile=True, first=539),
    "the best log that is left goes on under its name": Control(world_type=AlwaysWholeWorld, life="amnesia", first=4),
    "what does not get to a node directly does not get there": Control(
        world_type=NoWayAroundWorld, life="partial", shows_as_unwell=True
    ),
    "whether Kafka has lost where a reader stands is not asked": Control(
        world_type=TrustingWorld, life="truncation", first=7
    ),
    "a log that a node does not know is gone": Control(world_type=RashWorld, life="discovery", first=9),
    "a latest value hides the messages before it": Control(
        world_type=NewestFirstWorld,
        life="discovery",
        first=9,
        changes=(("topics", _TABLE), ("pages", PageLimits(2, 400)), ("records_per_s", 25.0), ("publishes_per_s", 10.0)),
    ),
    "publishes are remembered by the times of records": Control(world_type=CredulousWorld, life="times", first=14),
    "a cache is copied without its memory of publishes": Control(
        world_type=ForgetsPublishesWorld,
        first=11,
        tail_items_max=20,
        changes=(*_BUSY, *_often("crash", "crash of a coordinator", "connection silent", "leave")),
    ),
    "a copy takes the place of a log, and nobody is told": Control(
        world_type=NeverResyncsWorld,
        first=74,
        tail_items_max=20,
        changes=(
            *_BUSY,
            ("heartbeat_s", 0.1),
            ("cache", _SMALL),
            ("is_roomy", False),
            *_often("cut", "one-way cut", "split", "pause"),
        ),
    ),
    "a page overtakes live messages": Control(
        world_type=LateLiveWorld,
        voters=1,
        changes=(("heartbeat_s", 0.1), ("clients", 4), *_often("client subscribes anew", "connection cut")),
    ),
    "live messages overtake a page": Control(
        world_type=LatePagesWorld,
        voters=1,
        changes=(("heartbeat_s", 0.1), *_often("client subscribes anew", "connection cut")),
    ),
    "a subscribe overtakes what was said earlier": Control(
        world_type=OvertakingWorld,
        voters=1,
        changes=(("heartbeat_s", 0.1), *_often("client subscribes anew", "connection cut")),
        first=824,
    ),
    "a worker is not caught up": Control(
        world_type=CarelessWorld, changes=(("link_packets_max", 3), *_often("worker stalls", "connection cut"))
    ),
    "a client forgets from where on it has everything": Control(
        world_type=ForgetfulClientWorld,
        is_own=False,
        has_kafka=True,
        changes=(
            ("has_namespace", False),
            ("publishes_per_s", 10.0),
            *_often("partition added", "connection cut", "client crashes", "client stalled", "crash"),
        ),
        first=698,
    ),
    "a producer's report is taken for another publish's": Control(
        world_type=MixedUpWorld,
        is_own=False,
        has_kafka=True,
        changes=(
            ("has_namespace", False),
            ("publishes_per_s", 30.0),
            ("workers", 1),
            *_often("partition without a leader", "no Kafka for a node", "another leader"),
        ),
        first=102,
    ),
}
