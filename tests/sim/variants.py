"""Broken nodes, each of which the oracle must find: a checker that has never seen a fault proves nothing.

The first four are those of mesh.md 6.3, the others break one rule each. Nothing in the product knows of them: they
override what they break.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mesh.log import Position
from mesh.repeats import Repeats
from mesh.slots.election import Election
from mesh.slots.replication import Replication, StartEpoch
from mesh.slots.slot import Role, SlotConfig
from mesh.slots.slots import Slots
from tests.sim.cluster import Cluster
from tests.sim.disk import Disk
from tests.sim.options import HARD, HOSTILE, NAMES, Options, draw
from tests.sim.run import run

ONE_LOG = "onlylog1"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of them, and what makes it show sooner."""

    cluster_type: type[Cluster]
    voters: int = 3
    quorums: tuple[int, int] = (0, 0)
    tail_items_max: int = 0
    is_loose: bool = False
    is_hostile: bool = False
    first: int = 0
    """From this seed on it shows soon: for tests."""

    def options(self, seed: int) -> Options:
        """What the seed means, a little adapted."""
        drawn = draw(seed)
        names = NAMES[: self.voters]
        slots = replace(
            drawn.slots,
            voters=names,
            commit_quorum=self.voters // 2 + 1,
            elect_quorum=self.voters // 2 + 1,
            tail_items_max=self.tail_items_max or drawn.slots.tail_items_max,
        )
        if self.is_loose:
            slots = LooseConfig(
                voters=names, commit_quorum=self.quorums[0], elect_quorum=self.quorums[1],
                tail_items_max=slots.tail_items_max,
            )  # fmt: skip
        harder: Any = {"traffic": HOSTILE, "faults": HARD, "faults_per_s": 4.0} if self.is_hostile else {}
        return replace(drawn, names=names, slots=slots, is_safe=True, is_failover=False, **harder)


def seeds_to_catch(variant: Variant, first: int, most: int) -> tuple[int, str]:
    """How many seeds it takes, and what was found; nothing if it was not."""
    for taken in range(most):
        result = run(first + taken, None, variant.cluster_type, variant.options(first + taken))
        if result.problem and not _is_about_liveness(result.problem):
            return taken + 1, result.problem
    return most, ""


def _is_about_liveness(problem: str) -> bool:
    return "were healed" in problem or "stalled" in problem


# R + W = N.


@dataclass(frozen=True, slots=True, kw_only=True)
class LooseConfig(SlotConfig):
    """Takes any quorums."""

    def __post_init__(self) -> None:
        pass


# A voter that lost its memory counts at once (no rule 9).


class AlwaysSynced(Slots):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for slot in self.by_number:
            slot.open(ONE_LOG)
            slot.is_synced = slot.is_voter


class AlwaysSyncedCluster(Cluster):
    replica_type = AlwaysSynced


# Promises are forgotten.


class ForgetfulDisk(Disk):
    def crashed(self) -> None:
        self._saved = {}


class ForgetfulCluster(Cluster):
    disk_type = ForgetfulDisk


# Whoever thinks that the coordinator is gone takes its place (no votes).


class SelfPromotion(Election):
    def _stand(self, now: float, is_transfer: bool) -> None:
        slot = self.slot
        slot.promise(slot.promised + 1)
        self.replication.step_down()
        if not slot.incarnation:
            slot.open(ONE_LOG)
        self._win(now)


class SelfPromotedReplica(Slots):
    election_type = SelfPromotion


class SelfPromotedCluster(Cluster):
    replica_type = SelfPromotedReplica


# A coordinator of an epoch below what was promised is obeyed (no rule 8).


class Obedient(Replication):
    def _is_coordinated_by(self, now: float, sender: str, boot: str, epoch: int) -> bool:
        if epoch == self.slot.accepted and self.slot.role is Role.FOLLOWER and self.copying is None:
            self.slot.heard_at = now
            return True
        return super()._is_coordinated_by(now, sender, boot, epoch)


class ObedientReplica(Slots):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for replication in self.replications:
            replication.__class__ = Obedient


class ObedientCluster(Cluster):
    replica_type = ObedientReplica


# Any coordinator's log makes a voter whole, also as it was before the voter lost its memory (half of rule 9).


class Hasty(Replication):
    def _start(self, now: float, sender: str, boot: str, packet: StartEpoch) -> None:
        packet = StartEpoch(packet.slot, packet.epoch, packet.state, packet.commit, self.slot.boot)
        super()._start(now, sender, boot, packet)


class HastyReplica(Slots):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for replication in self.replications:
            replication.__class__ = Hasty


class HastyCluster(Cluster):
    replica_type = HastyReplica


# What a new coordinator took over is committed because voters hold it, of whatever epoch (no rule 6).


class OldAcks(Election):
    def _win(self, now: float) -> None:
        slot, grants = self.slot, self._grants
        held = {name: slot.log.common(one.state.table, one.state.end) for name, one in grants.items() if one.is_synced}
        super()._win(now)
        for name, end in held.items():
            self.replication.acknowledgements.take(now, name, end)
        self.replication._advance()


class OldAcksReplica(Slots):
    election_type = OldAcks


class OldAcksCluster(Cluster):
    replica_type = OldAcksReplica


# A cache is copied without the memory of publishes.


class ForgetsPublishes(Slots):
    def cache_filled(self, now: float, slot: int, end: Position, repeats: Repeats | None = None) -> None:
        super().cache_filled(now, slot, end, None if repeats is None else Repeats(repeats.window_ms))


class ForgetsPublishesCluster(Cluster):
    replica_type = ForgetsPublishes


VARIANTS = {
    "two copies, elections by a majority of five (R + W = N)": Variant(
        cluster_type=Cluster, voters=5, quorums=(2, 3), is_loose=True
    ),
    "a voter counts as soon as it has started (no rule 9)": Variant(cluster_type=AlwaysSyncedCluster),
    "promises do not survive": Variant(cluster_type=ForgetfulCluster, is_hostile=True, first=240),
    "whoever sees the coordinator dead takes its place": Variant(cluster_type=SelfPromotedCluster),
    "a deposed coordinator is obeyed (no rule 8)": Variant(cluster_type=ObedientCluster, first=1200),
    "any coordinator's log makes a voter whole (half of rule 9)": Variant(
        cluster_type=HastyCluster, is_hostile=True, first=1250
    ),
    "old acknowledgements commit what was taken over (no rule 6)": Variant(
        cluster_type=OldAcksCluster, voters=5, first=90
    ),
    "a cache is copied without its memory of publishes": Variant(
        cluster_type=ForgetsPublishesCluster, tail_items_max=20, first=280
    ),
}
