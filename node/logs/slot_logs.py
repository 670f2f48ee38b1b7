"""The slots' logs on this node: what the slots say, into the cache and to the workers.

    slots: Opened -> a log in the cache, a source of every namespace
           CacheWanted -> state transfer from a peer: a repair where the cache has something, else a copy
           Loaded -> subscriptions may read it
           Committed -> intake -> live messages
           PublishCommitted, PublishRefused -> the publishers of this node

Not here: elections, replication and commit (mesh/slots/), Kafka's logs (kafka_logs.py).
"""

from __future__ import annotations

from gateway.link import codes
from mesh.cache.cache import Cache, Log
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
from node.attached_workers import AttachedWorkers
from node.backfill.backfills import Backfills
from node.effects import DEBUG, WARNING, Effects
from node.intake import Intake
from node.logs.copy import Copies
from node.logs.lent_logs import LentLogs
from node.publishing import Publishing
from node.topics import Topics, slot_log_id

_REFUSALS = {
    forwarding.NO_COORDINATOR: (codes.NO_COORDINATOR, "it took too long to elect a coordinator"),
    forwarding.UNKNOWN: (codes.OUTCOME_UNKNOWN, "the coordinator did not say in time whether it is committed"),
    forwarding.FULL: (codes.QUEUE_FULL, "too many publishes of this node are on their way already (publish.queue)"),
}

FINAL = (Committed, PublishCommitted)
"""Events that lead to nothing more between nodes: what they lead to is for workers."""


class SlotLogs:
    """All slots of a node."""

    def __init__(
        self,
        topics: Topics,
        cache: Cache,
        intake: Intake,
        workers: AttachedWorkers,
        backfills: Backfills,
        publishing: Publishing,
        slots: Slots,
        transfer: StateTransfer,
        lent: LentLogs,
        effects: Effects,
    ) -> None:
        self._topics = topics
        self._cache = cache
        self._intake = intake
        self._workers = workers
        self._backfills = backfills
        self._publishing = publishing
        self._slots = slots
        self._transfer = transfer
        self._lent = lent
        self._effects = effects
        self._copies = Copies(cache)
        self._wanted: dict[str, tuple[int, str]] = {}
        """Logs whose cache a slot waits for: the slot, and the peer that surely has it."""
        self.peers: list[str] = []
        """Living peers with links."""

    @property
    def is_loaded(self) -> bool:
        """Whether every slot's log is here, as far as namespaces need it."""
        topics = self._topics
        return not topics.namespaces or all(
            log is not None and all(source.loaded for source in topics.of_slot(number))
            for number, log in enumerate(topics.slots)
        )

    # From the slots.

    def slot_event(self, now: float, event: SlotsEvent) -> None:
        """What has happened in a slot."""
        match event:
            case Committed():
                self._intake.commit(now, self._log(event.slot), event.entries, event.end)
            case PublishCommitted():
                self._publishing.applied(event.publish, self._log(event.slot).id, event.at)
            case Opened():
                self._opened(now, event)
            case Loaded():
                self._loaded(now, event.slot)
            case CacheWanted():
                self._want(now, slot_log_id(event.slot, event.incarnation), event.slot, event.peer)
            case PublishRefused():
                code, text = _REFUSALS[event.why]
                obstacle = self._slots.obstacle(event.slot) if event.why == forwarding.NO_COORDINATOR else None
                self._publishing.refused(event.publish, code, text if obstacle is None else obstacle.text)
            case RoleChanged():
                coordinator = event.coordinator or "none"
                self._effects.log("slot", DEBUG, slot=event.slot, epoch=event.epoch, coordinator=coordinator)
            case Repeated():
                pass  # `PublishCommitted` says it where it matters

    # From peers' caches.

    def transfer_event(self, now: float, event: StateTransferEvent) -> None:
        """A log, or a part of one, on its way from a peer."""
        if event.log not in self._wanted:
            return
        slot, _ = self._wanted[event.log]
        log = self._log(slot)
        match event:
            case TransferPage(is_repair=True):
                self._slots.by_number[slot].repeats.restore(event.part.repeats)
                self._intake.repair(now, log, self._topics.of_slot(slot), event.part.entries)
            case TransferPage():
                repeats = Repeats(self._slots.config.retry_window_ms, self._slots.config.repeats_max)
                self._copies.take(now, event, "", repeats)
            case TransferDone(is_repair=True):
                self._cache.advance(log, event.head.end)
                self._slots.by_number[slot].repeats.forget_before(event.head.oldest_publish)
                self._filled(now, log)
            case TransferDone():
                self._copied(now, slot, log)
            case TransferFailed():
                self._failed(now, log, event)

    # From the clock.

    def retry(self, now: float) -> None:
        """About once a second: ask once more for what a slot still waits for."""
        for log_id, (slot, peer) in [*self._wanted.items()]:
            if not self._transfer.is_asking(log_id):
                self._want(now, log_id, slot, peer)

    # Private.

    def _log(self, slot: int) -> Log:
        log = self._topics.slots[slot]
        assert log is not None, f"slot {slot} has told of a log that it has not opened"
        return log

    def _opened(self, now: float, opened: Opened) -> None:
        before = self._topics.slots[opened.slot]
        log = self._cache.open(slot_log_id(opened.slot, opened.incarnation), "")
        begun, ended = self._topics.open_slot(opened.slot, log)
        if before is not None:
            self._effects.log("slot_log_ended", WARNING, slot=opened.slot, log=before.id, end=before.end)
            self._forget(now, before.id)
            self._cache.close(before)
        self._backfills.topics_changed(begun, [(source, False) for source in ended])

    def _loaded(self, now: float, slot: int) -> None:
        log = self._log(slot)
        if log.id in self._wanted:
            self._forget(now, log.id)  # it came by the log after all
        sources = [source for source in self._topics.of_slot(slot) if not source.loaded]
        is_begun = log.end > BEGINNING
        for source in sources:
            source.loaded = True
            (self._backfills.log_opened if source.is_new and not is_begun else self._backfills.log_loaded)(source)
        if is_begun and any(source.is_new for source in sources):
            for source in sources:
                source.live_from = BEGINNING
            self._workers.resync()  # it came with a peer's cache: live subscriptions are to have that, too
        for source in sources:
            source.is_new = False

    def _want(self, now: float, log_id: str, slot: int, peer: str) -> None:
        self._wanted[log_id] = (slot, peer)
        self._lent.incomplete.add(log_id)
        end = self._log(slot).end
        self._ask(now, log_id, end if end > BEGINNING else None, peer)

    def _ask(self, now: float, log_id: str, after: tuple[int, int] | None, peer: str) -> None:
        self._transfer.ask(now, log_id, after, [peer, *(one for one in self.peers if one != peer)])

    def _failed(self, now: float, log: Log, event: TransferFailed) -> None:
        slot, peer = self._wanted[log.id]
        self._copies.discard(log.id)
        if event.why == BEHIND:  # this cache has all that there is
            self._filled(now, log)
        elif event.is_repair:
            self._effects.log("slot_copied_anew", slot=slot, why=event.why)
            self._ask(now, log.id, None, peer)

    def _filled(self, now: float, log: Log, repeats: Repeats | None = None) -> None:
        slot, _ = self._wanted.pop(log.id)
        self._lent.incomplete.discard(log.id)
        self._slots.cache_filled(now, slot, log.end, repeats)

    def _copied(self, now: float, slot: int, log: Log) -> None:
        """A copy is complete: it takes the place of the log here.

        What lies between the two is not known. So subscriptions that were live in the log resume, and their clients are
        told then what is missing, if anything is.
        """
        copy = self._copies.finish(log.id)
        if copy.log.end <= log.end and log.end > BEGINNING:
            copy.discard()
            self._filled(now, log)
            return
        self._cache.close(log)
        copy.install()
        self._topics.replace_slot(slot, copy.log)
        if any(source.loaded for source in self._topics.of_slot(slot)):
            self._workers.resync()
        self._filled(now, copy.log, copy.repeats)

    def _forget(self, now: float, log_id: str) -> None:
        self._transfer.cancel(now, log_id)
        self._wanted.pop(log_id, None)
        self._lent.incomplete.discard(log_id)
        self._copies.discard(log_id)
