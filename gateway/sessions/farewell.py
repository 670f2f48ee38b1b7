"""Closes all sessions with a reason, spread over some time, because all these clients connect to other workers.

Not here: closing (subscribing.py), waiting until they are gone (gateway/worker.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.link import codes
from gateway.sessions.session import Session


class Away(NamedTuple):
    """The reason that clients are told, and over how many seconds they are closed."""

    code: int
    reason: str
    spread_s: float


NODE_SILENT = Away(codes.NODE_LOST, "the node process does not answer", 1.0)
NODE_LOST = Away(codes.NODE_LOST, "the worker lost its node process", 1.0)
SHUTTING_DOWN = Away(codes.DRAINING, "the server is shutting down", 1.0)


class Farewell:
    """Closes the sessions that exist when it begins."""

    def __init__(self, now: float, sessions: Iterable[Session], away: Away) -> None:
        self.away = away
        self._left = [*sessions]
        self._count = len(self._left)
        self._begun = now

    def due(self, now: float) -> list[Session]:
        """The sessions to close now; some of them may be gone already."""
        stay = max(0.0, 1 - (now - self._begun) / self.away.spread_s)
        keep = int(self._count * stay)
        due = self._left[keep:]
        del self._left[keep:]
        return due
