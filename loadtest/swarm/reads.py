"""What one loop has read of all its connections and not looked at yet. A shell.

Reading goes before everything else: what a burst brought to many users is first read, and then looked at, in slices
between which the loop reads again. Else each user's time of reading would have in it the work for the others.

Each thread has a loop of its own, and so reads of its own: a callback that one loop is to make is not made by another.

Not here: reading itself, and what looks at it (sockets.py).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias
from weakref import WeakKeyDictionary

Look: TypeAlias = Callable[[float, bytes, str], None]
"""Called with when it came, what, and, if it is nothing, why the connection ended."""

BUFFER_BYTES = 1 << 16
SLICE_S = 0.0005
"""How long what was read is looked at before the loop reads again."""
WAITING_MAX = 2_000
"""Reads that wait to be looked at. With more, the process does not keep up: reading waits, too; the times say so."""


class Reads:
    """Those of a loop, in order."""

    _by_hub: ClassVar[WeakKeyDictionary[Any, Reads]] = WeakKeyDictionary()

    def __init__(self, loop: Any) -> None:
        buffer = bytearray(BUFFER_BYTES)
        self.buffers = [buffer]
        """What one read gives: a loop makes only one at a time."""
        self.view = memoryview(buffer)
        self._loop = loop
        self._idle: Any = None
        """Calls while there is nothing to read."""
        self._waiting: deque[tuple[Look, float, bytes, str]] = deque()

    @classmethod
    def of(cls, hub: Any) -> Reads:
        """Those of this hub's loop."""
        reads = cls._by_hub.get(hub)
        if reads is None:
            reads = cls._by_hub[hub] = cls(hub.loop)
        return reads

    def add(self, look: Look, arrived: float, data: bytes, why: str) -> None:
        """Have it looked at when there is nothing more to read."""
        waiting = self._waiting
        waiting.append((look, arrived, data, why))
        if len(waiting) == 1:
            if self._idle is None:  # not sooner: a loop that does not run yet lets timers end too early
                self._idle = self._loop.idle()
            self._idle.start(self._look)
        elif len(waiting) > WAITING_MAX:
            self._look()

    def _look(self) -> None:
        """Look at what was read, for a slice of time."""
        waiting, until = self._waiting, time.monotonic() + SLICE_S
        while waiting and time.monotonic() < until:
            look, arrived, data, why = waiting.popleft()
            look(arrived, data, why)
        if not waiting:
            self._idle.stop()
