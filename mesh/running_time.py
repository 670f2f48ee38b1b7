"""Time in which this process ran, by its ticks: what silence of others is measured in.

What comes while a process stands still (SIGSTOP, a stalled loop, a VM that moves), or is starved by a busy machine, is
only unread: whoever measures on a clock takes its own sleep for another's. A pause counts as one late tick, however
long it is, and so does a jump of the clock.

Not here: whose silence it is (membership/membership.py; of workers, node/standstill.py; of a worker's node,
gateway/sessions/node_watch.py).
"""

from __future__ import annotations

STEP_S_MAX = 0.2
"""Running time between two ticks is at most this; ticks are due every 50 ms."""


class RunningTime:
    """The monotonic clock, less the time in which this member did not run."""

    __slots__ = ("_seen", "_step_s_max", "_time", "paused_s")

    def __init__(self, step_s_max: float = STEP_S_MAX) -> None:
        self._step_s_max = step_s_max
        self._time = 0.0
        self._seen: float | None = None
        self.paused_s = 0.0
        """How much of the clock's time has not counted."""

    def read(self, now: float) -> float:
        """The running time between two ticks."""
        if self._seen is None:
            return self._time
        return self._time + min(max(0.0, now - self._seen), self._step_s_max)

    def advance(self, now: float) -> float:
        """The running time at a tick."""
        if self._seen is not None:
            step = max(0.0, now - self._seen)
            self._time += min(step, self._step_s_max)
            self.paused_s += max(0.0, step - self._step_s_max)
        self._seen = now
        return self._time
