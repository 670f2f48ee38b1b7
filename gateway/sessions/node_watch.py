"""Whether the worker's node still speaks and listens. One that lives and says nothing (stopped, or stuck) serves nobody
until it speaks again; one that takes nothing any more is lost, as one whose process has ended.

Not here: what becomes of the clients then (farewell.py).
"""

from __future__ import annotations

LINK_BYTES_MAX = 128 * 1024 * 1024
"""Of events that the node does not take. Publishes alone are kept below that (publishing.py)."""


class NodeWatch:
    """Looked at with each tick."""

    def __init__(self, now: float, silent_s: float, tick_s: float) -> None:
        self.is_silent = False
        self._silent_s = silent_s
        self._tick_s = tick_s
        self._ticked = self._excused_at = now

    def tick(self, now: float, heard_at: float) -> bool:
        """Whether it has just fallen silent.

        Args:
            heard_at: When something came from it last.
        """
        if now - self._ticked - self._tick_s > self._silent_s / 2:
            self._excused_at = now  # this process stood still itself
        self._ticked = now
        was_silent, self.is_silent = self.is_silent, now - max(heard_at, self._excused_at) > self._silent_s
        return self.is_silent and not was_silent

    def takes_nothing(self, waiting_bytes: int) -> bool:
        """Whether so much waits for it that it is lost."""
        return waiting_bytes > LINK_BYTES_MAX
