"""Making a slot's log equal to another node's: what a new coordinator does with the best log among those that voted
for it, and every replica with the log of a new coordinator.

What both have in common stays. The rest is fetched and kept aside; only when all of it is here does it take the
place of what this node had beyond the common part, and only then is the log that of the other's epoch. So a node's
claim (accepted epoch, end) is true at every instant, also if the copying is broken off. When the other has let go of
what this node lacks, its cache is copied first (CacheWanted), and the log then begins where that ends.

Not here: why a log is copied (election.py, replication.py), copying a cache (cache/state_transfer.py).
"""

from __future__ import annotations

import msgspec

from mesh.log import Position
from mesh.slots.slot import NEVER, CacheWanted, NodeName, Slot
from mesh.slots.slot_log import EpochTable, Item, SlotLog


class LogState(msgspec.Struct, array_like=True, gc=False):
    """What a log holds, for someone who is to copy it."""

    incarnation: str
    table: EpochTable
    base: int
    end: int
    clock: int


class Fetch(msgspec.Struct, array_like=True, tag="fetch", gc=False):
    """Asks a node that is ahead for items from index `first` on."""

    slot: int
    epoch: int
    first: int


class Range(msgspec.Struct, array_like=True, tag="range", gc=False):
    """Answers `Fetch`. `commit` only counts when the sender coordinates `epoch`."""

    slot: int
    epoch: int
    first: int
    items: list[Item]
    commit: int


class Trimmed(msgspec.Struct, array_like=True, tag="trimmed", gc=False):
    """Answers `Fetch`: the sender has let go of what is below `base`."""

    slot: int
    epoch: int
    base: int


def state_of(slot: Slot) -> LogState:
    """This node's log, for others."""
    log = slot.log
    return LogState(slot.incarnation, list(log.table), log.base, log.end, log.clock)


class Copying:
    """One copying on its way."""

    def __init__(self, slot: Slot, epoch: int, source: NodeName, state: LogState) -> None:
        """Begin; `step` says what to ask next.

        Args:
            epoch: In which the copy is to be accepted.
        """
        self._slot = slot
        self.epoch = epoch
        self.source = source
        self._state = state
        self._items: list[Item] = []
        self._asked_at = NEVER
        self._first = 0
        """Index of the first item that is copied; what is below stays as it is here."""
        self._is_from_cache = False
        self.waits_for_cache = False
        if state.incarnation != slot.incarnation:
            slot.open(state.incarnation)  # all voters have agreed that items of the one before are lost (election.py)
        self._first = slot.log.common(state.table, state.end)
        if self._first < max(state.base, slot.log.base):
            self._want_cache()
        else:
            # Else W voters lost their memory at once. An observer that has what is lost goes on from what is not.
            assert self._first >= slot.commit or not slot.is_voter, (self._first, slot.commit)

    @property
    def is_done(self) -> bool:
        """Whether everything is here."""
        return not self.waits_for_cache and self._first + len(self._items) >= self._state.end

    def step(self, now: float) -> None:
        """Ask for what is missing, again if there was no answer."""
        if self.is_done or self.waits_for_cache or now - self._asked_at < self._slot.config.retry_s:
            return
        self._asked_at = now
        first = self._first + len(self._items)
        self._slot.send(self.source, Fetch(self._slot.number, self.epoch, first))

    def receive(self, now: float, sender: NodeName, packet: Range | Trimmed) -> None:
        """The source has answered."""
        if sender != self.source or packet.epoch != self.epoch or self.waits_for_cache:
            return
        if isinstance(packet, Trimmed):
            if self._first + len(self._items) < packet.base:
                self._items.clear()
                self._want_cache()
        elif packet.first == self._first + len(self._items):
            self._items += packet.items[: self._state.end - packet.first]
            self._asked_at = NEVER
            self.step(now)

    def cache_filled(self, now: float, end: Position) -> None:
        """The cache has everything up to this position, which is committed."""
        if self.waits_for_cache:
            self.waits_for_cache = False
            self._is_from_cache = True
            # If the coordinator has committed more since than its log had when the copying began: that log's end.
            self._first = _reader(self._state).index_of(end) + 1
            self.step(now)

    def finish(self) -> None:
        """Everything is here: this is the log now."""
        slot, state = self._slot, self._state
        if self._is_from_cache:
            slot.log = SlotLog(self._first, state.table, state.clock)
            slot.commit = self._first
        slot.commit = min(slot.commit, self._first)
        slot.log.adopt(self._first, self._items, state.table, state.clock)
        slot.accepted, slot.is_author = self.epoch, False
        slot.is_synced = slot.is_synced or slot.is_voter

    def _want_cache(self) -> None:
        self.waits_for_cache = True
        self._slot.out.events.append(CacheWanted(self._slot.number, self._slot.incarnation, self.source))


def _reader(state: LogState) -> SlotLog:
    """A log without items that can translate the positions of another."""
    log = SlotLog(state.base, state.table)
    log.end = state.end
    return log
