"""How far this member may trust its own judgement of others.

Most false alarms come from an accuser that is itself slow: acks lie unread in its socket while its deadlines pass
(Lifeguard, arXiv 1707.00788). Two things keep such a member from accusing others:

- Local health (LHA-Probe): a score that rises when probes fail without the nacks that should have come, or when
  this member has to refute; probe interval and timeout are multiplied by score + 1.
- Running time: deadlines are measured in time during which this member ran. A pause (SIGSTOP, a stalled loop, a VM
  that moves) counts as one late tick, whatever its length, and so does a jump of the clock.

Not here: who is probed (probe.py).
"""

from __future__ import annotations

STEP_S_MAX = 0.2
"""Running time between two ticks is at most this; ticks are due every 50 ms."""


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


class RunningTime:
    """The monotonic clock, less the time in which this member did not run."""

    __slots__ = ("_seen", "_time", "paused_s")

    def __init__(self) -> None:
        self._time = 0.0
        self._seen: float | None = None
        self.paused_s = 0.0
        """How much of the clock's time has not counted."""

    def read(self, now: float) -> float:
        """The running time between two ticks."""
        if self._seen is None:
            return self._time
        return self._time + min(max(0.0, now - self._seen), STEP_S_MAX)

    def advance(self, now: float) -> float:
        """The running time at a tick."""
        if self._seen is not None:
            step = max(0.0, now - self._seen)
            self._time += min(step, STEP_S_MAX)
            self.paused_s += max(0.0, step - STEP_S_MAX)
        self._seen = now
        return self._time
