"""Which entries of a log repeat an earlier publish.

A publisher that got no answer sends the same (publisher, seq) again, perhaps through another node, so a log can
hold it twice. An entry is a repeat if the same publish stands earlier in the same log, not older than the window by
the entries' own times. That depends on nothing but the log, so every node drops the same entries, provided
that it has read the log from one window before the first entry that it shows.

Not here: answering the retry itself (node/publishing.py).
"""

from __future__ import annotations

from collections import deque

from mesh.log import Position

PUBLISHER_HEADER = "whimbrel-publisher"
SEQ_HEADER = "whimbrel-seq"


class Repeats:
    """The publishes of one log within the window."""

    def __init__(self, window_ms: int, publishes_max: int = 1_000_000) -> None:
        """Begin empty.

        Args:
            publishes_max: More are not remembered, whatever the window.
        """
        self.window_ms = window_ms
        self._publishes_max = publishes_max
        self._positions: dict[tuple[str, int], Position] = {}
        self._order: deque[tuple[int, tuple[str, int]]] = deque()

    def __len__(self) -> int:
        return len(self._positions)

    def original(self, publish: tuple[str, int]) -> Position | None:
        """Where this publish stands in the log, if it is remembered."""
        return self._positions.get(publish)

    def admit(self, publish: tuple[str, int], at: Position, time: int) -> bool:
        """Take note of the next entry of the log; False if it is a repeat and must be dropped."""
        while self._order and (self._order[0][0] < time - self.window_ms or len(self._order) >= self._publishes_max):
            del self._positions[self._order.popleft()[1]]
        if publish in self._positions:
            return False
        self._positions[publish] = at
        self._order.append((time, publish))
        return True
