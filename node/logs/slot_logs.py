"""The mesh's own logs on this node: what the slots say, into the cache and to the workers.

    replica: Opened -> a log in the cache, a source of every namespace
             CacheWanted -> catch-up from a peer: a repair where the cache has something, else a copy -> cache_filled
             Loaded -> subscriptions may read it
             Committed -> intake -> live batches
             PublishCommitted, Repeated, PublishRefused -> the publishers of this node

Not here: sockets and time (cluster/cluster.py), Kafka's logs (kafka_logs.py).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from gateway.link import codes
from gateway.link.logs import event
from mesh.cache.cache import Cache, Log
from mesh.cache.export import Import, LogHead
from mesh.cache.state_transfer import (
    BEHIND,
    StateTransfer,
    StateTransferEvent,
    TransferDone,
    TransferFailed,
    TransferPage,
)
from mesh.log import BEGINNING
from mesh.repeats import Repeats
from mesh.slots import forwarding
from mesh.slots.forwarding import PublishCommitted, PublishRefused
from mesh.slots.slot import CacheWanted, Committed, Loaded, Opened, Repeated, RoleChanged
from mesh.slots.slots import Slots, SlotsEvent
from node.topics import slot_log_id

if TYPE_CHECKING:
    from node.node import Node

log = logging.getLogger(__name__)

_REFUSALS = {
    forwarding.NO_COORDINATOR: (codes.NO_COORDINATOR, "no majority of voters can commit it now"),
    forwarding.UNKNOWN: (codes.OUTCOME_UNKNOWN, "the coordinator did not say in time whether it is committed"),
    forwarding.FULL: (codes.QUEUE_FULL, "too many publishes of this node are on their way already (publish.queue)"),
}


class _Copy:
    """A whole log on its way from a peer."""

    def __init__(self, cache: Cache, log_id: str, repeats: Repeats, head: LogHead) -> None:
        self.log = cache.open(f"{log_id} (copy)", "")
        self.repeats = repeats
        self.into = Import(cache, self.log, self.repeats, head)


class MeshLogs:
    """The slots' logs, wired to the other parts of the node."""

    def __init__(self, node: Node, replica: Slots, catch_up: StateTransfer) -> None:
        self._node = node
        self._replica = replica
        self._catch_up = catch_up
        self._copies: dict[str, _Copy] = {}
        """On their way, by log: each is put together beside the log that it is to replace."""
        self._wanted: dict[str, tuple[int, str]] = {}
        """Logs whose cache a slot waits for: the slot, and the peer that surely has it."""
        self.peers: list[str] = []
        """Living peers with links."""

    def log_of(self, log_id: str) -> Log | None:
        """A slot's log, if others may be answered from it."""
        for slot, held in zip(self._replica.by_number, self._node.topics.slots, strict=True):
            if held is not None and held.id == log_id:
                return held if slot.accepted and log_id not in self._wanted else None
        return None

    def slot_of(self, log_id: str) -> int:
        """Which slot has this log."""
        return next(n for n, held in enumerate(self._node.topics.slots) if held is not None and held.id == log_id)

    def is_mine(self, log_id: str) -> bool:
        """Whether this is the log of a slot."""
        return any(held is not None and held.id == log_id for held in self._node.topics.slots)

    # From the slots.

    def happened(self, said: SlotsEvent) -> None:
        """One event of the replica."""
        publishing = self._node.publishing
        match said:
            case Committed():
                self._committed(said)
            case Opened():
                self._opened(said)
            case Loaded():
                self._loaded(said.slot)
            case CacheWanted():
                self._want(slot_log_id(said.slot, said.incarnation), said.slot, said.peer)
            case PublishCommitted():
                held = self._node.topics.slots[said.slot]
                assert held is not None
                publishing.applied(said.publish, held.id, said.at)
            case PublishRefused():
                publishing.refused(said.publish, *_REFUSALS[said.why])
            case RoleChanged():
                event(log, "slot", 10, slot=said.slot, epoch=said.epoch, coordinator=said.coordinator or "none")
            case Repeated():
                pass  # `PublishCommitted` says it where it matters

    def _opened(self, opened: Opened) -> None:
        node, topics = self._node, self._node.topics
        before = topics.slots[opened.slot]
        held = node.cache.open(slot_log_id(opened.slot, opened.incarnation), "")
        begun, ended = topics.open_slot(opened.slot, held)
        if before is not None:
            event(log, "slot_log_ended", 30, slot=opened.slot, log=before.id, end=before.end)
            self._forget(before.id)
            node.cache.close(before)
        node.readings.topics_changed(begun, [(source, False) for source in ended])

    def _loaded(self, slot: int) -> None:
        held = self._node.topics.slots[slot]
        assert held is not None
        if held.id in self._wanted:
            self._forget(held.id)  # it came by the log after all
        for source in self._node.topics.of_slot(slot):
            if not source.loaded:
                source.loaded = True
                readings = self._node.readings
                (readings.log_opened if source.is_new else readings.log_loaded)(source)
                source.is_new = False

    def _committed(self, committed: Committed) -> None:
        held = self._node.topics.slots[committed.slot]
        assert held is not None
        self._node.hand_out(self._node.intake.commit(held, committed.entries, committed.end))

    # Catching up.

    def retry(self) -> None:
        """Ask once more for what a slot still waits for."""
        for log_id, (slot, peer) in [*self._wanted.items()]:
            if not self._catch_up.is_asking(log_id):
                self._want(log_id, slot, peer)

    def _want(self, log_id: str, slot: int, peer: str) -> None:
        held = self._node.topics.slots[slot]
        assert held is not None
        assert held.id == log_id
        self._wanted[log_id] = (slot, peer)
        after = held.end if held.end > BEGINNING else None
        self._ask(log_id, after, peer)

    def _ask(self, log_id: str, after: tuple[int, int] | None, peer: str) -> None:
        peers = [peer, *(one for one in self.peers if one != peer)]
        self._catch_up.ask(time.monotonic(), log_id, after, peers)

    def caught_up(self, said: StateTransferEvent) -> None:
        """One event of a catch-up of a slot's log."""
        if said.log not in self._wanted:
            return
        slot, peer = self._wanted[said.log]
        held = self._node.topics.slots[slot]
        assert held is not None
        match said:
            case TransferPage(is_repair=True):
                self._replica.by_number[slot].repeats.restore(said.part.repeats)
                batches = self._node.intake.repair(held, self._node.topics.of_slot(slot), said.part.entries)
                self._node.hand_out(batches)
            case TransferPage():
                if said.head is not None:
                    self._void(said.log)
                    config = self._replica.config
                    repeats = Repeats(config.retry_window_ms, config.repeats_max)
                    self._copies[said.log] = _Copy(self._node.cache, said.log, repeats, said.head)
                self._copies[said.log].into.take(time.monotonic(), said.part)
            case TransferDone():
                if said.is_repair:
                    self._node.cache.advance(held, said.head.end)
                    self._replica.by_number[slot].repeats.forget_before(said.head.oldest_publish)
                    self._filled(said.log, held)
                else:
                    self._copied(said.log, slot, held)
            case TransferFailed():
                self._void(said.log)
                if said.why == BEHIND:  # this cache has all that there is
                    self._filled(said.log, held)
                elif said.is_repair:
                    event(log, "slot_copied_anew", slot=slot, why=said.why)
                    self._ask(said.log, None, peer)

    def _filled(self, log_id: str, held: Log, repeats: Repeats | None = None) -> None:
        slot, _ = self._wanted.pop(log_id)
        self._replica.cache_filled(time.monotonic(), slot, held.end, repeats)

    def _copied(self, log_id: str, slot: int, held: Log) -> None:
        """A copy is complete: it takes the place of the log here.

        Nothing can say what lies between the two. So whoever was live in the log resumes, and is told then what is
        missing, if anything is.
        """
        copy = self._copies[log_id]
        copy.into.finish()
        if copy.log.end <= held.end and held.end > BEGINNING:
            self._void(log_id)
            self._filled(log_id, held)
            return
        node = self._node
        del self._copies[log_id]
        node.cache.close(held)
        node.cache.rename(copy.log, log_id)
        node.topics.slots[slot] = copy.log
        for source in node.topics.of_slot(slot):
            source.log = copy.log
        if any(source.loaded for source in node.topics.of_slot(slot)):
            node.workers.resync()
        self._filled(log_id, copy.log, copy.repeats)

    def _void(self, log_id: str) -> None:
        copy = self._copies.pop(log_id, None)
        if copy is not None:
            self._node.cache.close(copy.log)

    def _forget(self, log_id: str) -> None:
        self._catch_up.cancel(time.monotonic(), log_id)
        self._wanted.pop(log_id, None)
        self._void(log_id)
