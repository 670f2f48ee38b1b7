"""Broken parts, each of which breaks one rule of one shipped part and leaves all others as they are.

Nothing in the product knows of them.

Not here: in which lives each of them shows (controls.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.link.events import CatchUp, FromNode, FromWorker, Live, Page
from mesh.log import Entry, Position, Truncation
from mesh.repeats import Repeats
from mesh.slots.election import Election
from mesh.slots.reach import Reach
from mesh.slots.replication import Append, Replication, StartEpoch
from mesh.slots.slot import Role, SlotConfig
from mesh.slots.slots import Slots
from node.attached_workers import AttachedWorkers
from node.backfill.backfill import Backfill
from node.backfill.backfills import Backfills
from node.backfill.catch_ups import CatchUps
from node.backfill.log_backfill import LogBackfill
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
from tests.sim.world import World
from whimbrel.frames import GapSaid
from whimbrel.interest import Interest
from whimbrel.place import Track
from whimbrel.start import Positions, Start

ONE_LOG = "onlylog1"


def world_with(broken: type, where: Callable[[NodeCore], Iterable[Any]]) -> type[World]:
    """A world whose nodes have a broken part where the shipped one is."""

    class Core(NodeCore):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            for part in where(self):
                part.__class__ = broken

    class BrokenWorld(World):
        core_type = Core

    return BrokenWorld


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


SelfPromotedWorld = world_with(SelfPromotion, lambda core: core.slots.elections)


class OldAcknowledgements(Election):
    """What a new coordinator took over is committed because voters hold it, of whatever epoch."""

    def _win(self, now: float) -> None:
        slot, grants = self.slot, self._grants
        held = {name: slot.log.common(one.state.table, one.state.end) for name, one in grants.items() if one.is_synced}
        super()._win(now)
        for name, end in held.items():
            self.replication.acknowledgements.take(now, name, end)
        self.replication._advance()


OldAcknowledgementsWorld = world_with(OldAcknowledgements, lambda core: core.slots.elections)


class OwnWord(Replication):
    """What a voter holds is committed, though the coordinator and it are two of three that it takes."""

    def _acknowledge(self) -> None:
        super()._acknowledge()
        self._commit_to(self.slot.log.end)


OwnWordWorld = world_with(OwnWord, lambda core: core.slots.replications)


class Obedient(Replication):
    """A voter that has voted for another goes on to take what its old coordinator appends."""

    def _append(self, now: float, sender: str, boot: str, packet: Append) -> None:
        slot = self.slot
        promised, coordinator = slot.promised, slot.coordinator
        if packet.epoch == slot.accepted and slot.role is Role.FOLLOWER and self.copying is None:
            slot.promised, slot.coordinator = slot.accepted, sender
        super()._append(now, sender, boot, packet)
        slot.promised, slot.coordinator = promised, coordinator


ObedientWorld = world_with(Obedient, lambda core: core.slots.replications)


class Hasty(Replication):
    """Any coordinator's log makes a voter whole, also as it was before the voter lost its memory."""

    def _start(self, now: float, sender: str, boot: str, packet: StartEpoch) -> None:
        super()._start(now, sender, boot, msgspec.structs.replace(packet, boot=self.slot.boot))


HastyWorld = world_with(Hasty, lambda core: core.slots.replications)


class AlwaysWhole(Election):
    """The best log that is left goes on under its name, whoever has lost his memory."""

    def _is_whole(self, accepted: int) -> bool:
        return True


AlwaysWholeWorld = world_with(AlwaysWhole, lambda core: core.slots.elections)


class NoWayAround(Reach):
    """What does not get to a node directly does not get there."""

    def detours(self) -> dict[str, list[str]]:
        return {}


NoWayAroundWorld = world_with(NoWayAround, lambda core: [core.slots.reach])


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


RashWorld = world_with(Rash, lambda core: [core.backfills])


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


NewestFirstWorld = world_with(NewestFirsts, lambda core: [core.backfills])


class Credulous(Intake):
    """Publishes are remembered by the times of records."""

    def apply(self, now: float, source: Source, records: Sequence[Record], read_at: float) -> None:
        for record in records:
            super().apply(record[6] / 1000, source, [record], read_at)


CredulousWorld = world_with(Credulous, lambda core: [core.intake])


class ForgetsPublishes(Slots):
    """A cache is copied without the memory of publishes."""

    def cache_filled(self, now: float, slot: int, end: Position, repeats: Repeats | None = None) -> None:
        super().cache_filled(now, slot, end, None if repeats is None else Repeats(repeats.window_ms))


ForgetsPublishesWorld = world_with(ForgetsPublishes, lambda core: [core.slots])


# The rest of a node, the link, clients.


class NeverResyncs(AttachedWorkers):
    """A copy takes the place of a log, and its subscribers are not told to ask again."""

    def resync(self) -> None:
        pass


NeverResyncsWorld = world_with(NeverResyncs, lambda core: [core.workers])


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


CarelessWorld = world_with(Careless, lambda core: [core.catch_ups])


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
