"""Which gateway workers stand still: processes that live and say nothing (stopped, or in an endless callback).

Silence is measured in time in which this node itself ran (mesh/running_time.py). A worker that is still
starting has not spoken yet, and is not watched.

Not here: killing and replacing it (workers.py).
"""

from __future__ import annotations

from mesh.running_time import RunningTime
from node.interest import WorkerId

SILENT_S = 3.0
"""A worker sends its `Stats` every second (gateway/link/events.py)."""
TICK_COUNTS_MAX_S = 0.1
"""Two ticks of the node."""


class Standstill:
    """Knows when each worker was heard last."""

    def __init__(self, now: float) -> None:
        self._running = RunningTime(TICK_COUNTS_MAX_S)
        self._now_s = self._running.advance(now)
        """In which this node has run."""
        self._heard_at: dict[WorkerId, float] = {}

    def heard(self, worker: WorkerId) -> None:
        """A packet of this worker was received; a worker is watched from its first."""
        self._heard_at[worker] = self._now_s

    def gone(self, worker: WorkerId) -> None:
        """Its process has ended."""
        self._heard_at.pop(worker, None)

    def tick(self, now: float) -> list[WorkerId]:
        """About every 50 ms: workers that stand still, each once."""
        self._now_s = self._running.advance(now)
        found = [worker for worker, at in self._heard_at.items() if self._now_s - at >= SILENT_S]
        for worker in found:
            del self._heard_at[worker]
        return found
