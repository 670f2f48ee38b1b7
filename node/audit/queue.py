"""What waits for one auditor, bounded: the hub puts, the auditor's thread takes, neither waits for the other.

Not here: the thread (audit.py).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Batch(NamedTuple):
    """Events that came together."""

    size: int
    """How many there are."""
    events: bytes
    """As in `gateway.link.events.Audited`."""


class AuditQueue:
    """Counters that one side writes only; both may read all of them."""

    def __init__(self, events_max: int) -> None:
        self._events_max = events_max
        self._batches: deque[Batch] = deque()
        self._put = 0
        self._taken = 0
        self.dropped = 0
        """For lack of room."""

    @property
    def waiting(self) -> int:
        """Events."""
        return self._put - self._taken

    def put(self, batch: Batch) -> bool:
        """Whether there was room: a batch that is larger than all of it finds some when nothing else waits."""
        if self.waiting and self.waiting + batch.size > self._events_max:
            self.dropped += batch.size
            return False
        self._put += batch.size
        self._batches.append(batch)
        return True

    def take(self) -> Batch | None:
        """The oldest, if there is any; it waits until `done`."""
        return self._batches.popleft() if self._batches else None

    def done(self, batch: Batch) -> None:
        """The auditor has had it."""
        self._taken += batch.size
