"""How much a node has sent to one of its workers that the worker has not taken yet.

It waits in ZeroMQ's queues and the kernel's, which do not say so; the worker says what it has taken
(gateway/link/events.py, `Taken`).

Not here: what follows from it (workers.py).
"""

from __future__ import annotations

from collections import deque


class LinkQueue:
    """Packets by number, from 0."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()
        """Their sizes."""
        self._taken = 0
        self.bytes = 0
        """Of all that wait."""

    def put(self, size: int) -> None:
        """A packet was sent."""
        self._waiting.append(size)
        self.bytes += size

    def taken(self, packets: int) -> None:
        """The worker has taken so many, in all."""
        while self._taken < packets and self._waiting:
            self.bytes -= self._waiting.popleft()
            self._taken += 1
