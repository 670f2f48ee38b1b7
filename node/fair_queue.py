"""Whose turn it is among many who want work done: of those who wait, the one for whom least has been done.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): each has a virtual time that advances with the cost of its work,
and the queue's own is that of whoever had the last turn. Who comes back after a pause begins there, so nobody saves up
turns, and who asks for much does not get more of them by going and coming again.

Not here: what the work is (backfill/backfills.py).
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")


LEFT_MAX = 64
"""Entries of those who have left that may lie about beside as many as wait."""


class FairQueue(Generic[T]):
    """Names of those who wait, each at most once."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, T]] = []
        """Virtual time, number, name; also of those who have left."""
        self._waiting: dict[T, int] = {}
        """The numbers that count."""
        self._spent: dict[T, int] = {}
        """Virtual times of those who are ahead of the queue, or were lately."""
        self._now = 0
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, one: T) -> None:
        """Have it wait for a turn; it must not be waiting already."""
        self._number += 1
        self._waiting[one] = self._number
        if len(self._heap) > 2 * len(self._waiting) + LEFT_MAX:
            self._heap = [entry for entry in self._heap if self._waiting.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (max(self._spent.get(one, 0), self._now), self._number, one))

    def discard(self, one: T) -> None:
        """Have it wait no longer, if it does."""
        self._waiting.pop(one, None)

    def pop(self) -> T:
        """The one that has had least; among equals, the one that has waited longest."""
        while True:
            at, number, one = heapq.heappop(self._heap)
            if self._waiting.get(one) == number:
                del self._waiting[one]
                self._now = at
                return one

    def charge(self, one: T, cost: int) -> None:
        """The turn that it had last has cost so much."""
        self._spent[one] = self._now + cost

    def forget_paid(self) -> None:
        """Forget those that are not ahead of the queue; call it occasionally."""
        if not self._waiting:
            self._now = max(self._spent.values(), default=self._now)
        self._spent = {one: spent for one, spent in self._spent.items() if spent > self._now}
