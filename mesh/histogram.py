"""How long something took, in counts that add up over time and over nodes, as Prometheus wants them. A core.

Not here: names and meanings for people (node/status/metrics.py).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets: from a commit in a quick network to a timeout."""


class Histogram:
    """Counts of durations in seconds."""

    __slots__ = ("counts", "sum")

    def __init__(self, counts: Sequence[int] = (), sum: float = 0.0) -> None:
        self.counts = [*counts] or [0] * (len(SECONDS) + 1)
        """By bucket; the last one has no upper bound."""
        self.sum = sum

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count a duration, `times` times."""
        self.counts[bisect_left(SECONDS, seconds)] += times
        self.sum += seconds * times

    def buckets(self) -> list[tuple[str, float]]:
        """Each upper bound with the number of durations up to it, as Prometheus writes them."""
        so_far, found = 0, []
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self.counts, strict=True):
            so_far += count
            found.append((bound, float(so_far)))
        return found
