"""How far this member may trust its own judgement of others.

Most false alarms come from an accuser that is itself slow: acks lie unread in its socket while its deadlines pass
(Lifeguard, arXiv 1707.00788). Two things keep such a member from accusing others: deadlines in its running time
(mesh/running_time.py), and local health (LHA-Probe): a score that rises when probes fail without the nacks that should
have come, or when this member has to refute; probe interval and timeout are multiplied by score + 1.

Not here: who is probed (probe.py).
"""

from __future__ import annotations


class LocalHealth:
    """A score from 0 (well) to `score_max`."""

    __slots__ = ("_score_max", "score")

    def __init__(self, score_max: int) -> None:
        self.score = 0
        self._score_max = score_max

    def worse(self, by: int = 1) -> None:
        self.score = min(self._score_max, self.score + by)

    def better(self) -> None:
        self.score = max(0, self.score - 1)

    def stretch(self, duration_s: float) -> float:
        """That duration as this member should allow it."""
        return duration_s * (self.score + 1)
