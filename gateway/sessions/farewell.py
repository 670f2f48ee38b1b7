"""Sends all clients away, not all in one instant: they all come to other workers.

Not here: closing (subscribing.py), waiting until they are gone (gateway/worker.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.sessions.session import Session


class Farewell:
    """Of the sessions that there are when it begins."""

    def __init__(self, now: float, sessions: Iterable[Session], code: int, reason: str, spread_s: float) -> None:
        self.code, self.reason = code, reason
        self._left = [*sessions]
        self._count = len(self._left)
        self._begun, self._spread_s = now, spread_s

    def due(self, now: float) -> list[Session]:
        """Whose turn has come since it was asked last; some of them may be gone by themselves."""
        stay = max(0.0, 1 - (now - self._begun) / self._spread_s)
        keep = int(self._count * stay)
        due = self._left[keep:]
        del self._left[keep:]
        return due
