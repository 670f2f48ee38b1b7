"""What all users of this process have seen together; a master adds up what its workers tell.

Not here: how it travels (hooks.py), what is made of it (limits.py, report.py).
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
        self.faults: Counter[str] = Counter()
        """By kind: missing, repeated, out of order, gap."""
        self.users: set[Cuttable] = set()
        """Those that are connected, or mean to be."""

    def take(self) -> dict[str, Any]:
        """What came in since the last time, to be sent."""
        faults, self.faults = dict(self.faults), Counter()
        return {"receipts": self.receipts.take(), "faults": faults}

    def merge(self, taken: Mapping[str, Any]) -> None:
        """What a worker took."""
        self.receipts.merge(taken["receipts"])
        self.faults.update(taken["faults"])


TOTALS = Totals()
"""Of this process: Locust makes users by itself, and gives them nothing to hold it."""
