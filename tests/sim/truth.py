"""The oracle: what each slot's log must be, worked out beside the cluster from what its nodes hold and tell.

It never asks a node what is true. It holds, always:

 1. At most one node coordinates a slot in an epoch.
 2. One position of a log has one item, on every node, committed or not.
 3. A log goes on under its name while any voter surely holds it.

and while fewer than W voters lost their memory at once (`is_broken` is false):

 4. Every node tells the same items in the same order, leaves out none, and never one publish twice.
 5. What is told was held by W voters in one epoch.
 6. What was acknowledged is in the log, where that was said, and the log has no other name until the end.
 7. What was refused as never sent is not in the log.

Not here: looking into the nodes (watch.py), what one subscriber gets (readers.py).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TypeAlias

from mesh.log import Position
from mesh.slots.slot_log import Item

Publish: TypeAlias = tuple[str, int]


class Violation(AssertionError):
    """A promise was broken; the text says which, where and by whom."""


class LogTruth:
    """One log of one slot."""

    def __init__(self, slot: int, incarnation: str, commit_quorum: int) -> None:
        self.slot = slot
        self.incarnation = incarnation
        self.items: dict[Position, tuple[Publish, bytes | None, int]] = {}
        self.order: list[Position] = []
        """Of the items that count: committed, and no repeats."""
        self.at: dict[Publish, Position] = {}
        self.subjects: dict[str, list[Position]] = {}
        self.commit = 0
        self._commit_quorum = commit_quorum
        self._held: dict[int, dict[str, int]] = {}
        """Epoch -> voter -> up to which index it held that epoch's log."""

    def item(self, at: Position, item: Item, who: str) -> None:
        """A node holds this item there (rule 2)."""
        found = ((item.publisher, item.number), item.value, item.clock)
        known = self.items.setdefault(at, found)
        if known != found:
            raise Violation(f"two items at {self.incarnation} {at}: {known} and, on {who}, {found}")

    def hold(self, voter: str, epoch: int, end: int) -> None:
        """A voter holds that epoch's log up to here."""
        held = self._held.setdefault(epoch, {})
        if end > held.get(voter, -1):
            held[voter] = end

    def commits(self, end: int, who: str) -> None:
        """A node counts this much as committed (rule 5)."""
        if end > self.commit:
            for held in self._held.values():
                if sum(one >= end for one in held.values()) >= self._commit_quorum:
                    self.commit = end
                    return
            raise Violation(f"{who} counts slot {self.slot} up to {end} as committed, which too few voters ever held")

    def tell(self, after: Position, at: Position, item: Item, who: str) -> None:
        """A node that has told up to `after` tells this (rule 4)."""
        publish = (item.publisher, item.number)
        index = bisect_right(self.order, after)
        if index < len(self.order):
            if self.order[index] != at:
                raise Violation(f"{who} tells {publish} at {at} of slot {self.slot}; due was {self.order[index]}")
        elif publish in self.at:
            raise Violation(
                f"{who} tells {publish} at {at} of slot {self.slot}, which is a repeat of {self.at[publish]}"
            )
        else:
            self.order.append(at)
            self.at[publish] = at
            self.subjects.setdefault(item.subject, []).append(at)

    def skip(self, after: Position, end: Position, who: str) -> None:
        """A node says that after what it has told nothing more comes up to `end`."""
        index = bisect_right(self.order, after)
        if index < len(self.order) and self.order[index] <= end:
            raise Violation(f"{who} leaves out {self.order[index]} of slot {self.slot}")


class Oracle:
    """All slots."""

    def __init__(self, commit_quorum: int) -> None:
        self.commit_quorum = commit_quorum
        self.is_broken = False
        """W voters have lost their memory at once: what was committed may be gone."""
        self.acked: dict[Publish, tuple[int, str, Position]] = {}
        self.never: dict[Publish, None] = {}
        """Publishes that must not come any more."""
        self._logs: dict[tuple[int, str], LogTruth] = {}
        self._names: dict[int, str] = {}
        self._coordinators: dict[tuple[int, int], str] = {}

    def log(self, slot: int, incarnation: str) -> LogTruth:
        found = self._logs.get((slot, incarnation))
        if found is None:
            found = self._logs[slot, incarnation] = LogTruth(slot, incarnation, self.commit_quorum)
        return found

    def current(self, slot: int) -> LogTruth | None:
        """The log that the slot has."""
        name = self._names.get(slot)
        return None if name is None else self.log(slot, name)

    @property
    def logs(self) -> list[LogTruth]:
        """All that there ever were."""
        return [*self._logs.values()]

    def coordinates(self, slot: int, epoch: int, who: str) -> None:
        """Rule 1."""
        known = self._coordinators.setdefault((slot, epoch), who)
        if known != who:
            raise Violation(f"{known} and {who} both coordinate slot {slot} in epoch {epoch}")

    def opens(self, slot: int, incarnation: str, holder: str, who: str) -> bool:
        """A log begins (True) or is met again. `holder`: a voter that surely holds the one before (rules 3 and 6)."""
        known = self._names.get(slot)
        if known == incarnation or (slot, incarnation) in self._logs:
            return False
        if known is not None and self.log(slot, known).commit:
            if holder:
                raise Violation(f"{who} begins another log of slot {slot} though {holder} holds the one before")
            if not self.is_broken:
                raise Violation(f"{who} begins another log of slot {slot} though not all memory was lost")
        self._names[slot] = incarnation
        self.log(slot, incarnation)
        return True

    def tells(self, log: LogTruth, after: Position, at: Position, item: Item, who: str) -> None:
        """A node tells an item."""
        log.item(at, item, who)
        if (item.publisher, item.number) in self.never:
            raise Violation(f"{who} tells {item.publisher} {item.number}, which was refused as never sent")
        if not self.is_broken:
            log.tell(after, at, item, who)

    def acks(self, slot: int, incarnation: str, publish: Publish, at: Position, who: str) -> None:
        """A node tells a publisher that it is safe (rule 6)."""
        if self.is_broken:
            return
        stands = self.log(slot, incarnation).at.get(publish)
        if stands != at:
            raise Violation(f"{who} acknowledges {publish} at {at}; it stands at {stands}")
        self.acked[publish] = (slot, incarnation, at)

    def check_end(self) -> None:
        """At the end of a run: whatever was acknowledged is in the log."""
        if self.is_broken:
            return
        for publish, (slot, incarnation, _) in self.acked.items():
            if self._names[slot] != incarnation:
                raise Violation(f"{publish} was acknowledged, and its log is gone")
