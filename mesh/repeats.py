"""Which entries of a log repeat an earlier publish.

A publisher that got no answer sends the same (publisher, seq) for the same subject again, perhaps through another node,
so a log can hold it twice. An entry is a repeat if the same publish stands earlier in the same log and is still
remembered, and it is another attempt. (The same attempt twice is a copy that somebody else has made.) A publish is
remembered for at least the window by a clock that nobody else can set. That is the log's own clock for a slot
(mesh/slots/slot_log.py), and this node's for a log of Kafka's, from when the node learned of the entry: times in
records are hearsay. A publisher tries again for less than the window, so all nodes drop the same entries, provided that
each has read the log from before the first entry that it shows, or has got the memory of a node that did.

Not here: answering the retry itself (node/publishing.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import TypeAlias

from mesh.log import Position

PublishKey: TypeAlias = tuple[str, int, str]
"""Publisher, its seq and the subject name a publish, however often it is sent."""

Attempt: TypeAlias = int
"""Names one of the records that a publish has become, in a log that others write into as well: Kafka's."""

Remembered: TypeAlias = tuple[PublishKey, Position, int, tuple[Attempt, ...]]
"""What, the position, when the entry was learned of, in milliseconds of the memory's clock, attempts that were seen."""

ATTEMPTS_MAX = 16
"""Of one publish that are remembered."""


class Repeats:
    """The publishes of one log within the window."""

    def __init__(self, window_ms: int, publishes_max: int = 1_000_000) -> None:
        """Begin empty.

        Args:
            publishes_max: More are not remembered, whatever the window.
        """
        self.window_ms = window_ms
        self._publishes_max = publishes_max
        self._positions: dict[PublishKey, Position] = {}
        self._order: deque[tuple[int, PublishKey]] = deque()
        self._attempts: dict[PublishKey, tuple[Attempt, ...]] = {}
        """Those that were seen, oldest first; none where attempts have no names."""

    def __len__(self) -> int:
        return len(self._positions)

    def original(self, publish: PublishKey) -> Position | None:
        """Where this publish stands in the log, if it is remembered."""
        return self._positions.get(publish)

    def admit(self, publish: PublishKey, at: Position, clock_ms: int, attempt: Attempt | None = None) -> bool:
        """Take note of the next entry of the log; False if it is a repeat and must be dropped.

        Args:
            clock_ms: Of a clock that only goes forward.
            attempt: None in a log that only nodes write into.
        """
        while self._order and (
            self._order[0][0] < clock_ms - self.window_ms or len(self._order) >= self._publishes_max
        ):
            self._forget(self._order.popleft()[1])
        if attempt is not None:
            seen = self._attempts.get(publish, ())
            if attempt in seen:
                return True
            self._attempts[publish] = (*seen, attempt)[-ATTEMPTS_MAX:]
        if publish in self._positions:
            return False
        self._positions[publish] = at
        self._order.append((clock_ms, publish))
        return True

    def forget_after(self, at: Position) -> None:
        """Kafka has lost what stands after a position: it can be published again."""
        while self._order and self._positions[self._order[-1][1]] > at:
            self._forget(self._order.pop()[1])

    # For another node (mesh/cache/export.py).

    def copy(self) -> Repeats:
        """A copy of the memory."""
        copy = Repeats(self.window_ms, self._publishes_max)
        copy._positions, copy._order = self._positions.copy(), self._order.copy()
        copy._attempts = self._attempts.copy()
        return copy

    @property
    def oldest(self) -> Position | None:
        """Where the oldest publish that is remembered stands."""
        return self._positions[self._order[0][1]] if self._order else None

    def rows(self, first: int, most: int) -> list[Remembered]:
        """What is remembered, oldest first, from a number on."""
        order = islice(self._order, first, first + most)
        return [(publish, self._positions[publish], time, self._attempts.get(publish, ())) for time, publish in order]

    def count_up_to(self, at: Position) -> int:
        """How many of those that are remembered stand at or before a position."""
        count = len(self._order)
        for _, publish in reversed(self._order):
            if self._positions[publish] <= at:
                break
            count -= 1
        return count

    def restore(self, rows: Iterable[Remembered], clock_ms: int | None = None) -> None:
        """Add what another node remembers, in order: all of it, or what follows the memory of this node.

        Args:
            clock_ms: When this node learns of it, where the other's clock is not this one's.
        """
        for publish, at, learned_ms, attempts in rows:
            if publish not in self._positions:
                if attempts:
                    self._attempts[publish] = attempts
                self._positions[publish] = at
                self._order.append((learned_ms if clock_ms is None else clock_ms, publish))

    def forget_before(self, oldest: Position | None) -> None:
        """Remember no more than another node whose oldest is this: repeats that it dropped made it forget, too."""
        while self._order and (oldest is None or self._positions[self._order[0][1]] < oldest):
            self._forget(self._order.popleft()[1])

    def _forget(self, publish: PublishKey) -> None:
        del self._positions[publish]
        self._attempts.pop(publish, None)
