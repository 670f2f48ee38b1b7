"""The cluster's own invariants, looked at after every turn of a node, from what it holds and has committed:

 1. At most one node coordinates a slot in an epoch.
 2. One position of a log has one item, on every node, committed or not.
 3. A log goes on under its name (while fewer than W voters lost their memory at once).
 4. What counts as committed was held by W voters in one epoch (while fewer than W lost their memory at once).
 5. Every queue is within its limit.

It also knows which voters hold in memory all that was ever committed: what may be lost without harm.

Not here: what applications are handed (reader.py), which finds what comes of a broken invariant, but later.
"""

from __future__ import annotations

from mesh.log import Position
from mesh.slots.forwarding import FORWARD_ITEMS_MAX
from mesh.slots.replication import EARLY_MAX
from mesh.slots.slot import Role, Slot
from mesh.slots.slot_log import Item, SlotLog
from mesh.slots.slots import Slots
from tests.sim.checkers.violation import Violation

Found = tuple[str, int, bytes | None, int]


class _LogTruth:
    """One log of one slot."""

    def __init__(self, slot: int, incarnation: str, commit_quorum: int) -> None:
        self.slot = slot
        self.incarnation = incarnation
        self.commit = 0
        self._items: dict[Position, Found] = {}
        self._commit_quorum = commit_quorum
        self._held: dict[int, dict[str, int]] = {}
        """Epoch -> voter -> up to which index it held that epoch's log."""

    def item(self, at: Position, item: Item, who: str) -> None:
        """A node holds this item there."""
        found = (item.publisher, item.number, item.value, item.clock)
        known = self._items.setdefault(at, found)
        if known != found:
            raise Violation(f"two items at {self.incarnation} {at}: {known} and, on {who}, {found}")

    def hold(self, voter: str, epoch: int, end: int) -> None:
        """A voter holds that epoch's log up to here."""
        held = self._held.setdefault(epoch, {})
        held[voter] = max(end, held.get(voter, -1))

    def commits(self, end: int, who: str) -> None:
        """A node counts this much as committed."""
        if end > self.commit:
            for held in self._held.values():
                if sum(one >= end for one in held.values()) >= self._commit_quorum:
                    self.commit = end
                    return
            raise Violation(f"{who} counts slot {self.slot} up to {end} as committed, which too few voters ever held")


class _Seen:
    """What one slot of one process was when it was looked at last."""

    __slots__ = ("accepted", "commit", "end", "log")

    def __init__(self) -> None:
        self.log: SlotLog | None = None
        self.accepted = self.end = self.commit = 0


class SlotsWatch:
    """All processes of a run."""

    def __init__(self, commit_quorum: int) -> None:
        self.is_broken = False
        """W voters have lost their memory at once."""
        self._commit_quorum = commit_quorum
        self._seen: dict[tuple[str, int], _Seen] = {}
        self._logs: dict[tuple[int, str], _LogTruth] = {}
        self._names: dict[int, str] = {}
        self._coordinators: dict[tuple[int, int, str], str] = {}
        self._whole: dict[str, set[int]] = {}
        """Process -> slots of which it has had, at some time since it started, all that was committed then."""

    @property
    def has_commits(self) -> bool:
        """Whether there is anything to lose."""
        return any(log.commit for log in self._logs.values())

    @property
    def current(self) -> dict[int, str]:
        """The incarnation of each slot's log."""
        return dict(self._names)

    def committed(self, slot: int, incarnation: str) -> int:
        """Up to where a log was ever committed."""
        return self._log(slot, incarnation).commit if incarnation else 0

    def started(self, name: str, boot: str, slots: Slots) -> None:
        """A process begins."""
        self._whole[boot] = set()
        for slot in slots.by_number:
            self._seen[boot, slot.number] = _Seen()

    def is_whole(self, boot: str, slots: Slots) -> bool:
        """Whether this process holds in memory all that it ever acknowledged."""
        return len(self._whole[boot]) == len(slots.by_number)

    def look(self, name: str, boot: str, slots: Slots) -> None:
        """After a turn."""
        for slot in slots.by_number:
            seen, log = self._seen[boot, slot.number], slot.log
            is_same = log is seen.log and slot.accepted == seen.accepted
            if is_same and log.end == seen.end and slot.commit == seen.commit:
                continue
            self._opened(slot, boot)
            if not is_same and slot.role is Role.COORDINATOR:
                self._coordinates(slot, name)
            truth = self._log(slot.number, slot.incarnation)
            first = seen.end if is_same and log.end >= seen.end else log.base
            for at, item in log.between(max(first, log.base), log.end):
                truth.item(at, item, boot)
            if slot.is_voter and slot.accepted:
                truth.hold(name, slot.accepted, log.end)
            if not self.is_broken:
                truth.commits(slot.commit, boot)
            if slot.accepted and log.end >= truth.commit:
                self._whole[boot].add(slot.number)
            seen.log, seen.accepted, seen.end, seen.commit = log, slot.accepted, log.end, slot.commit
        self._bounds(boot, slots)

    # Private.

    def _coordinates(self, slot: Slot, who: str) -> None:
        # Once all voters have lost their disks, too, epochs begin anew, with another log.
        epoch = (slot.number, slot.accepted, slot.incarnation if self.is_broken else "")
        known = self._coordinators.setdefault(epoch, who)
        if known != who:
            raise Violation(f"{known} and {who} both coordinate slot {slot.number} in epoch {slot.accepted}")

    def _opened(self, slot: Slot, who: str) -> None:
        number, incarnation = slot.number, slot.incarnation
        before = self._names.get(number)
        if not incarnation or incarnation == before or (number, incarnation) in self._logs:
            return
        if before is not None and self._log(number, before).commit and not self.is_broken:
            raise Violation(f"{who} begins another log of slot {number} though not all memory was lost")
        self._names[number] = incarnation

    def _log(self, slot: int, incarnation: str) -> _LogTruth:
        found = self._logs.get((slot, incarnation))
        if found is None:
            found = self._logs[slot, incarnation] = _LogTruth(slot, incarnation, self._commit_quorum)
        return found

    def _bounds(self, boot: str, slots: Slots) -> None:
        config, forwarding = slots.config, slots.forwarding
        if forwarding.pending > forwarding.config.pending_max:
            raise Violation(f"{boot} has {forwarding.pending} publishes waiting")
        for slot, replication in zip(slots.by_number, slots.replications, strict=True):
            uncommitted = slot.log.end - slot.commit
            # A node takes what a packet has though it goes beyond; and a new coordinator has what it took over.
            most = 2 * (config.uncommitted_max + FORWARD_ITEMS_MAX)
            if uncommitted > most or len(slot.log.items) > max(config.tail_items_max, uncommitted) + most:
                raise Violation(f"{boot} keeps {len(slot.log.items)} items of slot {slot.number}")
            if len(replication._early) > EARLY_MAX:
                raise Violation(f"{boot} keeps {len(replication._early)} early appends")
