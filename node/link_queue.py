"""What a node has sent to one of its workers and the worker has not taken yet: how much, and for how long.

It waits in ZeroMQ's queues and the kernel's, which do not say so; the worker says what it has taken
(gateway/link/events.py, `Taken`).

Not here: what follows from it (workers.py).
"""

from __future__ import annotations

from collections import deque


class LinkQueue:
    """Packets by number, from 0."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, int]] = deque()
        """When each was sent, and its size."""
        self._taken = 0
        self._taken_at = 0.0
        """When the worker took something last."""
        self.bytes = 0
        """Of all that wait."""

    def put(self, now: float, size: int) -> None:
        """A packet was sent."""
        self._waiting.append((now, size))
        self.bytes += size

    def taken(self, now: float, packets: int) -> None:
        """The worker has taken so many, in all."""
        while self._taken < packets and self._waiting:
            self.bytes -= self._waiting.popleft()[1]
            self._taken += 1
            self._taken_at = now

    def stuck_s(self, now: float) -> float:
        """How long something has waited and nothing was taken."""
        return now - max(self._waiting[0][0], self._taken_at) if self._waiting else 0.0
