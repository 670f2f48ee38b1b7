"""How many messages each subject gets, for people who want to know the busiest.

Where many messages come, those at the beginning of each tick stand for all: to count each one takes as long as to find
who wants it.

Not here: who shows it (status/throughput.py).
"""

from __future__ import annotations

from collections import Counter

COUNTED_PER_TICK = 200
"""4,000 messages a second are counted exactly."""


class SubjectRates:
    """Counts since they were taken last."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._counted = 0
        self._passed = 0
        self._room = COUNTED_PER_TICK

    def counter(self, messages: int) -> Counter[str] | None:
        """Where to count so many messages that come together; None: others stand for them."""
        self._passed += messages
        if self._room <= 0:
            return None
        self._room -= messages
        self._counted += messages
        return self._counts

    def tick(self) -> None:
        """About every 50 ms."""
        self._room = COUNTED_PER_TICK

    def take(self, most: int) -> list[tuple[str, float]]:
        """The busiest subjects and about how many messages they had; counting starts again."""
        scale = self._passed / max(1, self._counted)
        busiest = [(subject, count * scale) for subject, count in self._counts.most_common(most)]
        self._counts, self._counted, self._passed = Counter(), 0, 0
        return busiest
