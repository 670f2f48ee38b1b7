"""Broken parts, each of which the checkers must find: a checker that has never seen a fault proves nothing.

Each breaks one rule of one shipped part and leaves all others as they are. Nothing in the product knows of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from gateway.link.events import CatchUp, FromNode, FromWorker, Live, Page
from mesh.cache.cache import CacheConfig
from mesh.log import Entry, Position, Truncation
from mesh.repeats import Repeats
from mesh.slots.election import Election
from mesh.slots.reach import Reach
from mesh.slots.slot import SlotConfig
from mesh.slots.slots import Slots
from node.attached_workers import AttachedWorkers
from node.backfill.backfill import Backfill, LogBackfill, PageLimits
from node.backfill.backfills import Backfills
from node.backfill.catch_ups import CatchUps
from node.backfill.scan import Ticketed
from node.core import NodeCore
from node.effects import Produce
from node.intake import Intake
from node.interest import WorkerId
from node.kafka import replay
from node.kafka.events import Delivered, Record
from node.topics import Source
from node.worker_queue import WorkerQueue
from tests.sim.apps.client import Client
from tests.sim.broker.threads import KafkaThreads
from tests.sim.machines.disk import Disk
from tests.sim.machines.link import Link
from tests.sim.options import (
    CLIENT_FAULTS,
    HARD,
    HOSTILE,
    KAFKA_FAULTS,
    NAMES,
    NODE_FAULTS,
    Options,
    TopicOptions,
    draw,
    draw_life,
)
from tests.sim.run import run
from tests.sim.world import World
from whimbrel.frames import GapSaid
from whimbrel.interest import Interest
from whimbrel.place import Track
from whimbrel.start import Positions, Start

ONE_LOG = "onlylog1"


@dataclass(frozen=True, kw_only=True)
class Control:
    """One of them, and what makes it show sooner."""

    world_type: type[World]
    voters: int = 3
    quorums: tuple[int, int] = (0, 0)
    tail_items_max: int = 0
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


# The cluster's own logs. R + W = N.


@dataclass(frozen=True, slots=True, kw_only=True)
class LooseConfig(SlotConfig):
    """Takes any quorums."""

    def __post_init__(self) -> None:
        pass


class AlwaysSyncedCore(NodeCore):
    """A voter that lost its memory counts at once."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for slot in self.slots.by_number:
            slot.open(ONE_LOG)
            slot.is_synced = slot.is_voter


class AlwaysSyncedWorld(World):
    core_type = AlwaysSyncedCore


class UncheckedDisk(Disk):
    """What leaves a voter is not looked at: what comes of it is to be found outside."""

    def check(self, packet: msgspec.Struct) -> None:
        pass


class ForgetfulDisk(UncheckedDisk):
    """Promises are forgotten."""

    def crashed(self) -> None:
        self._saved = {}


class ForgetfulWorld(World):
    disk_type = ForgetfulDisk


class SelfPromotion(Election):
    """Whoever thinks that the coordinator is gone takes its place, without votes."""

    def _stand(self, now: float, is_transfer: bool) -> None:
        slot = self.slot
        slot.promise(slot.promised + 1)
        self.replication.step_down()
        if not slot.incarnation:
            slot.open(ONE_LOG)
        self._win(now)


class SelfPromotedCore(NodeCore):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for election in self.slots.elections:
            election.__class__ = SelfPromotion


class SelfPromotedWorld(World):
    core_type = SelfPromotedCore


class OldAcknowledgements(Election):
    """What a new coordinator took over is committed because voters hold it, of whatever epoch."""

    def _win(self, now: float) -> None:
        slot, grants = self.slot, self._grants
        held = {name: slot.log.common(one.state.table, one.state.end) for name, one in grants.items() if one.is_synced}
        super()._win(now)
        for name, end in held.items():
            self.replication.acknowledgements.take(now, name, end)
        self.replication._advance()


class OldAcknowledgementsCore(NodeCore):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for election in self.slots.elections:
            election.__class__ = OldAcknowledgements


class OldAcknowledgementsWorld(World):
    core_type = OldAcknowledgementsCore


class AlwaysWhole(Election):
    """The best log that is left goes on under its name, whoever has lost his memory."""

    def _is_whole(self, accepted: int) -> bool:
        return True


class AlwaysWholeCore(NodeCore):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for election in self.slots.elections:
            election.__class__ = AlwaysWhole


class AlwaysWholeWorld(World):
    core_type = AlwaysWholeCore


class NoWayAround(Reach):
    """What does not get to a node directly does not get there."""

    def detours(self) -> dict[str, list[str]]:
        return {}


class NoWayAroundCore(NodeCore):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.slots.reach.__class__ = NoWayAround


class NoWayAroundWorld(World):
    core_type = NoWayAroundCore


class HopefulCore(NodeCore):
    """A promise that could not be saved counts."""

    def promises_failed(self, now: float) -> None:
        self.promises_saved(now)


class FullDisk(UncheckedDisk):
    """There is never room."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = True

    def have_room(self) -> None:
        pass


class HopefulWorld(World):
    core_type = HopefulCore
    disk_type = FullDisk


# Kafka's logs.


class Trusting(replay.Partition):
    """Whether Kafka has lost where somebody stands is not asked."""

    def measure(self, position: Position) -> Truncation | None:
        return None

    def _truncated(self, scans: list[Ticketed], low: int, high: int) -> dict[Position, Truncation]:
        return {}


class TrustingThreads(KafkaThreads):
    def _partition(self, where: tuple[str, int]) -> replay.Partition:
        return Trusting(self._consumer, *where, self._config.limits)


class TrustingWorld(World):
    threads_type = TrustingThreads


class Rash(Backfills):
    """A log that the node does not know is gone."""

    def _open(self, backfill: Backfill, sources: dict[str, Source]) -> None:
        super()._open(backfill, sources)
        backfill.give_up_unknown()


class RashCore(NodeCore):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.backfills.__class__ = Rash


class RashWorld(World):
    core_type = RashCore


class NewestFirst(Backfill):
    """A row of a table that changed after the backfill began is sent as a latest value."""

    def latest_found(self, log: LogBackfill, rows: list[tuple[str, Entry]], is_last: bool) -> None:
        super().latest_found(log, rows, is_last)
        log.buffer = rows[::-1]
        log.snapshot = bool(rows)


class NewestFirsts(Backfills):
    def _open(self, backfill: Backfill, sources: dict[str, Source]) -> None:
        backfill.__class__ = NewestFirst
        super()._open(backfill, sources)


class NewestFirstCore(NodeCore):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.backfills.__class__ = NewestFirsts


class NewestFirstWorld(World):
    core_type = NewestFirstCore


class Credulous(Intake):
    """Publishes are remembered by the times of records."""

    def apply(self, now: float, source: Source, records: Sequence[Record], read_at: float) -> None:
        for record in records:
            super().apply(record[6] / 1000, source, [record], read_at)


class CredulousCore(NodeCore):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.intake.__class__ = Credulous


class CredulousWorld(World):
    core_type = CredulousCore


# The rest of a node, the link, clients.


class ForgetsPublishes(Slots):
    """A cache is copied without the memory of publishes."""

    def cache_filled(self, now: float, slot: int, end: Position, repeats: Repeats | None = None) -> None:
        super().cache_filled(now, slot, end, None if repeats is None else Repeats(repeats.window_ms))


class ForgetsPublishesCore(NodeCore):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.slots.__class__ = ForgetsPublishes


class ForgetsPublishesWorld(World):
    core_type = ForgetsPublishesCore


# The rest of a node, the link, clients.


class NeverResyncs(AttachedWorkers):
    """A copy takes the place of a log, and its subscribers are not told to ask again."""

    def resync(self) -> None:
        pass


class NeverResyncsCore(NodeCore):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.workers.__class__ = NeverResyncs


class NeverResyncsWorld(World):
    core_type = NeverResyncsCore


class LatePagesLink(Link):
    """A page goes out behind live messages that it should precede."""

    overtaken: type[Page | Live] = Page

    def send(self, event: FromNode) -> None:
        super().send(event)
        if isinstance(event, self.overtaken) and self._rng.random() < 0.3:
            self._outgoing.pop()
            self._setting.schedule.after(0.2, self._send_late, event)

    def _send_late(self, event: FromNode) -> None:
        if self.is_open:
            super().send(event)
            self.flush()


class LateLiveLink(LatePagesLink):
    """A page goes out before live messages that were there first."""

    overtaken = Live


class LatePagesWorld(World):
    link_type = LatePagesLink


class LateLiveWorld(World):
    link_type = LateLiveLink


class OvertakingQueue(WorkerQueue):
    """A subscribe may be handled before what its worker said earlier."""

    def put(self, worker: WorkerId, packet: Sequence[FromWorker]) -> None:
        super().put(worker, packet)
        self._behind = deque((0, said) for _, said in self._behind)


class OvertakingWorld(World):
    queue_type = OvertakingQueue


class Careless(CatchUps):
    """A worker that has lost its place is taken to have everything."""

    def begin(self, worker: WorkerId, event: CatchUp) -> None:
        super().begin(worker, CatchUp(event.number, {}))


class CarelessCore(NodeCore):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.catch_ups.__class__ = Careless


class CarelessWorld(World):
    core_type = CarelessCore


class SinceForgotten(Track):
    """The client forgets from where on it has everything."""

    def subscribed(self, fresh: bool, at: Positions, waiting: Iterable[str], gaps: Iterable[GapSaid]) -> None:
        super().subscribed(fresh, at, waiting, gaps)
        self._since.clear()


class ForgetfulInterest(Interest):
    def __init__(self, subject: str, start: Start) -> None:
        super().__init__(subject, start)
        self.track = SinceForgotten()


class ForgetfulClient(Client):
    interest_type = ForgetfulInterest


class ForgetfulClientWorld(World):
    client_type = ForgetfulClient


class MixedUpThreads(KafkaThreads):
    """The producer's report of one publish is taken for that of the one produced last."""

    _last_ticket = 0

    def produce(self, effect: Produce) -> None:
        self._last_ticket = effect.ticket
        super().produce(effect)

    def _report(self, produce: Produce, partition: int, deadline: float) -> None:
        self._put(Delivered(self._last_ticket, produce.topic, partition))


class MixedUpWorld(World):
    threads_type = MixedUpThreads


def _often(*names: str) -> tuple[tuple[str, Any], ...]:
    every = {**NODE_FAULTS, **KAFKA_FAULTS, **CLIENT_FAULTS}
    return (("faults", {name: every[name] for name in names}), ("faults_per_s", 4.0))


_BUSY: tuple[tuple[str, Any], ...] = (
    ("slot_count", 1),
    ("clients", 3),
    ("subscriptions_max", 1),
    ("publishes_per_s", 20.0),
    ("safety_s", 3.0),
)
_SMALL = CacheConfig(ttl_s=1000.0, messages_per_subject=3, bytes_max=1 << 26, snapshot_ttl_s=1000.0)
_TABLE = (TopicOptions(name="k0", partitions=2, is_compacted=True, publish=True),)

# Not here, since no life that was tried shows them within some 150 seeds: a deposed coordinator that is obeyed, and a
# voter that any coordinator's log makes whole.
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
        first=14,
    ),
    "a voter counts as soon as it has started": Control(world_type=AlwaysSyncedWorld, first=110),
    "promises do not survive": Control(world_type=ForgetfulWorld, is_hostile=True, first=263),
    "whoever sees the coordinator dead takes its place": Control(world_type=SelfPromotedWorld),
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
        first=19,
    ),
    "a promise that could not be saved counts": Control(world_type=HopefulWorld, is_hostile=True, first=263),
    "the best log that is left goes on under its name": Control(world_type=AlwaysWholeWorld, life="amnesia", first=40),
    "what does not get to a node directly does not get there": Control(
        world_type=NoWayAroundWorld, life="partial", shows_as_unwell=True
    ),
    "whether Kafka has lost where a reader stands is not asked": Control(
        world_type=TrustingWorld, life="truncation", first=3
    ),
    "a log that a node does not know is gone": Control(world_type=RashWorld, life="discovery", first=35),
    "a latest value hides the messages before it": Control(
        world_type=NewestFirstWorld,
        life="discovery",
        first=9,
        changes=(("topics", _TABLE), ("pages", PageLimits(2, 400)), ("records_per_s", 25.0), ("publishes_per_s", 10.0)),
    ),
    "publishes are remembered by the times of records": Control(world_type=CredulousWorld, life="times", first=14),
    "a cache is copied without its memory of publishes": Control(
        world_type=ForgetsPublishesWorld,
        first=16,
        tail_items_max=20,
        changes=(*_BUSY, *_often("crash", "crash of a coordinator", "connection silent", "leave")),
    ),
    "a copy takes the place of a log, and nobody is told": Control(
        world_type=NeverResyncsWorld,
        first=9,
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
        first=820,
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
        first=948,
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
