"""Which gateway workers stand still: processes that live and say nothing (stopped, or in an endless callback).

A worker that is still starting has not spoken yet, and is not watched.

Not here: which time counts (gateway/link/silence.py), killing and replacing a worker (workers.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.link.silence import ProcessSilence
from node.interest import WorkerId

SILENT_S = 3.0
"""A worker sends its `Stats` every second (gateway/link/events.py)."""
TICK_COUNTS_MAX_S = 0.1
"""Two ticks of the node."""


class Standstill:
    """Knows for how long each worker has said nothing."""

    def __init__(self) -> None:
        self._silences: dict[WorkerId, ProcessSilence] = {}

    def joined(self, now: float, worker: WorkerId) -> None:
        """The worker has spoken for the first time."""
        self._silences[worker] = ProcessSilence(now, TICK_COUNTS_MAX_S)

    def heard(self, worker: WorkerId) -> None:
        """A packet of this worker was received. Nothing happens if it was said to stand still."""
        if worker in self._silences:
            self._silences[worker].heard()

    def gone(self, worker: WorkerId) -> None:
        """Its process has ended."""
        self._silences.pop(worker, None)

    def tick(self, now: float, waited_s: Mapping[WorkerId, float]) -> list[WorkerId]:
        """About every 50 ms: workers that stand still, each once.

        Args:
            waited_s: How long each has waited for a processor, in all.
        """
        for worker, silence in self._silences.items():
            silence.tick(now, waited_s[worker])
        found = [worker for worker, silence in self._silences.items() if silence.seconds >= SILENT_S]
        for worker in found:
            del self._silences[worker]
        return found
