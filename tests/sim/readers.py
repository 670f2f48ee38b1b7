"""What one subscriber must get: its subject's entries in the log's order, each once, none left out without a gap.

Not here: how it gets them (clients.py).
"""

from __future__ import annotations

from bisect import bisect_right

from mesh.log import BEGINNING, Entry, Position
from mesh.subject import is_pattern
from tests.sim.truth import LogTruth, Oracle, Violation


class Reader:
    """One subscriber, judged from outside."""

    def __init__(self, oracle: Oracle, name: str, subject: str) -> None:
        self.name = name
        self.subject = subject
        self.got_count = 0
        self._oracle = oracle
        self._at: dict[tuple[int, str], Position] = {}

    def got(self, slot: int, incarnation: str, subject: str, entry: Entry) -> None:
        """The application is given an entry."""
        self.got_count += 1
        truth = self._oracle.log(slot, incarnation)
        at = self._at.get((slot, incarnation), BEGINNING)
        if entry.at <= at:
            raise Violation(f"{self.name} gets {entry.at} of slot {slot} after {at}")
        known = truth.items.get(entry.at)
        if known is None or known[1] != entry.value:
            raise Violation(f"{self.name} gets {entry.value!r} at {entry.at} of slot {slot}, where {known} stands")
        if not self._oracle.is_broken:
            due = self._next(truth, at)
            if due != entry.at:
                raise Violation(f"{self.name} gets {entry.at} of {subject} in slot {slot}; due was {due}")
            order = truth.subjects[subject]
            index = bisect_right(order, entry.at) - 2
            before = order[index] if index >= 0 else None
            if entry.prev is not None and entry.prev != before:
                raise Violation(f"{self.name} gets {entry.at} of {subject} with prev {entry.prev}, not {before}")
        self._at[slot, incarnation] = entry.at

    def gap(self, slot: int, incarnation: str, end: Position) -> None:
        """It is told that entries up to `end` cannot be had."""
        self._at[slot, incarnation] = max(end, self._at.get((slot, incarnation), BEGINNING))

    def lacks(self, slot: int) -> Position | None:
        """The first entry of a slot that it should have and has not."""
        truth = self._oracle.current(slot)
        if truth is None or self._oracle.is_broken:
            return None
        return self._next(truth, self._at.get((slot, truth.incarnation), BEGINNING))

    def _next(self, truth: LogTruth, at: Position) -> Position | None:
        order = truth.order if is_pattern(self.subject) else truth.subjects.get(self.subject, [])
        index = bisect_right(order, at)
        return order[index] if index < len(order) else None
