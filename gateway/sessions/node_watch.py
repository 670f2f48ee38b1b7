"""Whether the worker's node still speaks and listens. One that lives and says nothing (stopped, or stuck) serves nobody
until it speaks again; one that takes nothing any more is lost, as one whose process has ended.

Silence counts only while this worker runs, and has done all that the node has said before: what it still owes is why
the node may have cut it off, and says nothing more for now.

Not here: what becomes of the clients then (farewell.py).
"""

from __future__ import annotations

from mesh.running_time import RunningTime

LINK_BYTES_MAX = 128 * 1024 * 1024
"""Of events that the node does not take. Publishes alone are kept below that (publishing.py)."""


class NodeWatch:
    """Looked at with each tick."""

    def __init__(self, now: float, silent_s: float) -> None:
        self.is_silent = False
        self._silent_s = silent_s
        self._running = RunningTime()
        self._heard_at = now
        self._heard_s = self._running.advance(now)
        """When that was, in the time that this process has run."""

    def tick(self, now: float, heard_at: float, is_behind: bool) -> bool:
        """Whether it has just fallen silent.

        Args:
            heard_at: When something came from it last.
            is_behind: Not everything that has come is done.
        """
        now_s = self._running.advance(now)
        if heard_at != self._heard_at or is_behind:
            self._heard_at, self._heard_s = heard_at, now_s
        was_silent, self.is_silent = self.is_silent, now_s - self._heard_s > self._silent_s
        return self.is_silent and not was_silent

    def takes_nothing(self, waiting_bytes: int) -> bool:
        """Whether so much waits for it that it is lost."""
        return waiting_bytes > LINK_BYTES_MAX
