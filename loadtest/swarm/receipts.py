"""Latencies of many thousands of messages per second, exact to 1.6 %, that add up over processes and machines. A core.

Locust itself keeps whole milliseconds, which is too coarse for a node that takes one.

Not here: when a message was sent (loadtest/payload.py), thresholds (limits.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

_BITS = 7


class Receipts:
    """How many messages took how many microseconds."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts: Counter[int] = Counter(counts or {})

    def add(self, us: int) -> None:
        """One more. Below 0 (clocks differ) it is 0."""
        us = max(us, 0)
        shift = us.bit_length() - _BITS
        self._counts[us >> shift << shift if shift > 0 else us] += 1

    def merge(self, counts: Mapping[int, int]) -> None:
        """Those of another process, from its `take`."""
        for us, count in counts.items():
            self._counts[int(us)] += count

    def take(self) -> dict[int, int]:
        """All so far, and begin anew."""
        counts, self._counts = dict(self._counts), Counter()
        return counts

    @property
    def counts(self) -> Mapping[int, int]:
        """Messages by microseconds, rounded down."""
        return self._counts

    @property
    def total(self) -> int:
        return self._counts.total()

    def ms(self, share: float) -> float | None:
        """A percentile in milliseconds; None if there is nothing."""
        wanted, so_far = share * self.total, 0
        for us in sorted(self._counts):
            so_far += self._counts[us]
            if so_far >= wanted:
                return us / 1000
        return None
