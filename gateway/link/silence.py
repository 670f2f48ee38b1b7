"""For how long another process has said nothing, in time that counts: while this one ran (mesh/running_time.py), and
the other did not just wait for a processor (processor_wait.py).

Not here: how long is too long (../sessions/node_watch.py, node/standstill.py).
"""

from __future__ import annotations

from mesh.running_time import STEP_S_MAX, RunningTime


class ProcessSilence:
    """Of one process; look with each tick."""

    def __init__(self, now: float, step_s_max: float = STEP_S_MAX) -> None:
        """Begin as if it had just spoken.

        Args:
            step_s_max: At most so much of the time between two ticks counts.
        """
        self.seconds = 0.0
        self._running = RunningTime(step_s_max)
        self._ran_s = self._running.advance(now)
        self._waited_s = 0.0

    def heard(self) -> None:
        """It has spoken."""
        self.seconds = 0.0

    def tick(self, now: float, waited_s: float) -> None:
        """Time has passed.

        Args:
            waited_s: How long the other has waited for a processor, in all.
        """
        ran_s = self._running.advance(now)
        self.seconds += max(0.0, ran_s - self._ran_s - (waited_s - self._waited_s))
        self._ran_s, self._waited_s = ran_s, waited_s
