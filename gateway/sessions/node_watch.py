"""Whether the worker's node still speaks and listens. One that lives and says nothing (stopped, or stuck) serves nobody
until it speaks again; one that takes nothing any more is lost, as one whose process has ended.

Silence counts only when all is done that the node has said before: what the worker still owes is why the node may have
cut it off, and says nothing more for now.

Not here: which time counts (link/silence.py), what becomes of the clients then (farewell.py).
"""

from __future__ import annotations

from gateway.link.silence import ProcessSilence

LINK_BYTES_MAX = 128 * 1024 * 1024
"""Of events that the node does not take. Publishes alone are kept below that (publishing.py)."""


class NodeWatch:
    """Looked at with each tick."""

    def __init__(self, now: float, silent_s: float) -> None:
        self.is_silent = False
        self._silent_s = silent_s
        self._silence = ProcessSilence(now)
        self._heard_at = now

    def tick(self, now: float, heard_at: float, is_behind: bool, waited_s: float) -> bool:
        """Whether it has just fallen silent.

        Args:
            heard_at: When something came from it last.
            is_behind: Not everything that has come is done.
            waited_s: How long the node has waited for a processor, in all.
        """
        self._silence.tick(now, waited_s)
        if heard_at != self._heard_at or is_behind:
            self._heard_at = heard_at
            self._silence.heard()
        was_silent, self.is_silent = self.is_silent, self._silence.seconds > self._silent_s
        return self.is_silent and not was_silent

    def takes_nothing(self, waiting_bytes: int) -> bool:
        """Whether so much waits for it that it is lost."""
        return waiting_bytes > LINK_BYTES_MAX
