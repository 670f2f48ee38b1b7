"""What all users of this process have seen together; a master adds up what its workers tell.

Not here: how it travels, and gets into Locust's statistics (hooks.py); what is made of it (limits.py, report.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from loadtest.swarm.receipts import Receipts


class Cuttable(Protocol):
    """A user whose connection can be cut."""

    def cut(self) -> None: ...


class Totals:
    """Of one process, or of all."""

    def __init__(self) -> None:
        self.receipts = Receipts()
        self._fresh, self._fresh_bytes = Receipts(), 0
        """Since the last `fresh`."""
        self.faults: Counter[str] = Counter()
        """By kind: missing, repeated, out of order, gap."""
        self.users: set[Cuttable] = set()
        """Those that are connected, or mean to be."""

    def received(self, us: int, size: int) -> None:
        """A message of so many bytes, so many microseconds after it was sent."""
        self._fresh.add(us)
        self._fresh_bytes += size

    def fresh(self) -> tuple[Mapping[int, int], int]:
        """What was received since the last time: messages by microseconds, and bytes of all."""
        counts, size = self._fresh.take(), self._fresh_bytes
        self._fresh_bytes = 0
        self.receipts.merge(counts)
        return counts, size

    def take(self) -> dict[str, Any]:
        """What came in since the last time, to be sent; what `fresh` did not give yet follows later."""
        faults, self.faults = dict(self.faults), Counter()
        return {"receipts": self.receipts.take(), "faults": faults}

    def merge(self, taken: Mapping[str, Any]) -> None:
        """What a worker took."""
        self.receipts.merge(taken["receipts"])
        self.faults.update(taken["faults"])


TOTALS = Totals()
"""Of this process: Locust makes users by itself, and gives them nothing to hold it."""
