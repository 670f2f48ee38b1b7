"""One wheel of deadlines for all connections of a worker: hello, heartbeats, the end of a close.

Time is counted in ticks. An item is due once, at the tick it was last scheduled for: scheduling again replaces, and
nothing is ever cancelled, the entry that no longer counts is dropped when its tick comes.

Not here: the clock (worker.py), what is due (sessions/sessions.py; worker.py for the end of a close).
"""

from __future__ import annotations

import math
from typing import Generic, Protocol, TypeVar

NEVER = -1
"""The `wake` of an item that waits for nothing."""


class Sleeper(Protocol):
    """What a wheel can hold: it carries its own tick."""

    wake: int


Item = TypeVar("Item", bound=Sleeper)


class Wheel(Generic[Item]):
    """Items by the tick at which they are due."""

    def __init__(self, now: float, tick_s: float) -> None:
        self._start = now
        self._tick_s = tick_s
        self._tick = 0
        self._due: dict[int, list[Item]] = {}

    def schedule(self, now: float, item: Item, delay_s: float) -> None:
        """Make the item due after `delay_s`, never earlier, at most two ticks later; instead of what it waited for."""
        tick = max(math.ceil((now - self._start + delay_s) / self._tick_s), self._tick + 1)
        item.wake = tick
        self._due.setdefault(tick, []).append(item)

    def advance(self, now: float) -> list[Item]:
        """Everything that is due; it is no longer on the wheel."""
        found = []
        last = int((now - self._start) / self._tick_s)
        while self._tick < last:
            self._tick += 1
            for item in self._due.pop(self._tick, ()):
                if item.wake == self._tick:
                    item.wake = NEVER
                    found.append(item)
        return found
