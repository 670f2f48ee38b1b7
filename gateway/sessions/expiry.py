"""When clients' tokens expire: a notice in time, then the end, unless they renew.

Times are those of tokens: seconds since 1970, by the clock that the shell reads.

Not here: what a renewal does (requests.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from gateway.sessions.session import GONE, Session
from whimbrel_server import Identity

NOTICE_S = 30.0
"""How long before its end a token's client is told; at most a third of the time that is left when it comes."""
_SWEPT_MIN = 1000
"""Entries of clients that are gone, or have renewed, leave when there are twice as many as were current last."""


class Due(NamedTuple):
    """A client whose token ends, in so many seconds; 0 or less: it has ended."""

    session: Session
    left_s: float


class _Entry(NamedTuple):
    at: float
    number: int
    session: Session
    identity: Identity


class Expiry:
    """Every client whose identity expires."""

    def __init__(self, token_life_s: float) -> None:
        """Begin without any.

        Args:
            token_life_s: How long a token may live from when it is shown.
        """
        self.wall_s = 0.0
        """The time, as `due` was told last."""
        self._token_life_s = token_life_s
        self._entries: list[_Entry] = []
        self._swept_at = _SWEPT_MIN
        """With so many entries those that are stale are taken out."""
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._entries)

    def why_not(self, identity: Identity) -> str:
        """Why a token of this lifetime is not accepted; empty if it is."""
        if identity.expires_at is None or not self.wall_s or identity.expires_at <= self.wall_s + self._token_life_s:
            return ""
        return f"the token lives longer than {self._token_life_s:g} s (authorizer.token_life)"

    def add(self, session: Session) -> None:
        """The client has been let in, or has renewed its token."""
        expires_at = session.identity.expires_at
        if expires_at is not None:
            notice_s = min(NOTICE_S, max(expires_at - self.wall_s, 0.0) / 3) if self.wall_s else NOTICE_S
            self._put(session, expires_at - notice_s)

    def due(self, wall_s: float) -> Iterator[Due]:
        """Those to be told, and those whose time is over."""
        self.wall_s = wall_s
        while self._entries and self._entries[0].at <= wall_s:
            entry = heappop(self._entries)
            expires_at = entry.identity.expires_at
            assert expires_at is not None
            if _is_current(entry):
                if expires_at > wall_s:
                    self._put(entry.session, expires_at)
                yield Due(entry.session, expires_at - wall_s)

    def _put(self, session: Session, at: float) -> None:
        self._last_number += 1
        heappush(self._entries, _Entry(at, self._last_number, session, session.identity))
        if len(self._entries) >= self._swept_at:
            self._entries = [entry for entry in self._entries if _is_current(entry)]
            heapify(self._entries)
            self._swept_at = max(2 * len(self._entries), _SWEPT_MIN)


def _is_current(entry: _Entry) -> bool:
    return entry.session.state != GONE and entry.session.identity is entry.identity
