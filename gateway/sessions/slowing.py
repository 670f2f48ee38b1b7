"""Clients that ask faster than they may: what they ask is put off, and nothing more is read of them, until it is within
their limits. Who still asks for more after INSIST_S is closed, and told when to come back.

Invariant: what is put off of a client is what had been read of its socket at a time.

Not here: the order of requests (requests.py), limits of connections (admission.py), buckets (link/rates.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.link.rates import Meter, Rate, rate_of, retry_text
from gateway.link.settings import GatewaySettings
from gateway.sessions import frames
from gateway.sessions.session import GONE, Session
from gateway.sessions.stats import WorkerStats

INSIST_S = 30.0
"""How long a client may be slowed without a pause."""
PAUSE_S = 1.0
"""A client that has kept its limits for this time has a clean record again."""


class Pace:
    """How much one client has asked for."""

    __slots__ = ("bytes", "freed_at", "publishes", "since", "subscribes", "until")

    def __init__(self) -> None:
        self.publishes = Meter()
        self.subscribes = Meter()
        self.bytes = Meter()
        self.since = 0.0
        """Since when it is slowed, without a pause."""
        self.freed_at = -PAUSE_S
        """When it was slowed no more, the last time."""
        self.until = 0.0
        """Until when it is to wait."""


class Slowing:
    """Who is slowed."""

    def __init__(self, settings: GatewaySettings, stats: WorkerStats) -> None:
        self._publishes = rate_of(settings.limit_publishes)
        self._subscribes = rate_of(settings.limit_subscribes)
        self._bytes = rate_of(settings.limit_bytes)
        self._stats = stats
        self._paces: dict[Session, Pace] = {}
        """Of those who have asked for anything that is limited."""
        self._slowed: dict[Session, Pace] = {}

    @property
    def counts_bytes(self) -> bool:
        """Whether `took` must be called."""
        return self._bytes is not None

    def is_slowed(self, session: Session) -> bool:
        """Whether reading from this client is suspended."""
        return session in self._slowed

    def gone(self, session: Session) -> None:
        """It has ended."""
        self._paces.pop(session, None)
        self._slowed.pop(session, None)

    def puts_off(self, now: float, session: Session, frame: frames.Publish | frames.Subscribe) -> bool:
        """Whether a request that has just come has to wait."""
        rate = self._rate(frame)
        if rate is None:
            return False
        pace = self._pace(session)
        wait_s = 0.0 if session in self._slowed else _meter(pace, frame).take(now, rate)
        if not wait_s and session not in self._slowed:
            return False
        if isinstance(frame, frames.Publish):
            self._stats.limited_publishes += 1
        else:
            self._stats.limited_subscribes += 1
        if wait_s:
            self._slow(now, session, pace, wait_s)
        return True

    def is_next(self, now: float, session: Session, frame: frames.Publish | frames.Subscribe) -> bool:
        """Whether a request that was put off may be handled now."""
        rate, pace = self._rate(frame), self._pace(session)
        wait_s = _meter(pace, frame).take(now, rate) if rate is not None else 0.0
        if wait_s:
            self._slow(now, session, pace, wait_s)
        return not wait_s

    def took(self, now: float, session: Session, size: int) -> None:
        """Bytes were read from the client."""
        if self._bytes is None or session.state == GONE:
            return
        pace = self._pace(session)
        wait_s = pace.bytes.spend(now, self._bytes, size)
        if wait_s:
            self._stats.limited_bytes += 1
            self._slow(now, session, pace, wait_s)

    def due(self, now: float) -> list[Session]:
        """Those that have waited: go on with what was put off, then say `free` if nothing more has to wait."""
        return [session for session, pace in self._slowed.items() if pace.until <= now]

    def free(self, now: float, session: Session) -> None:
        """Nothing of it waits any more."""
        pace = self._slowed.pop(session, None)
        if pace is not None:
            pace.freed_at = now

    def insisting(self, now: float) -> Iterator[tuple[Session, str]]:
        """Those to be closed, and what they are told."""
        for session, pace in [*self._slowed.items()]:
            if now - pace.since > INSIST_S:
                yield session, retry_text(pace.until - now, f"faster than allowed for {INSIST_S:g} s")

    def _slow(self, now: float, session: Session, pace: Pace, wait_s: float) -> None:
        if session not in self._slowed:
            if now - pace.freed_at >= PAUSE_S:
                pace.since = now
            self._slowed[session] = pace
            pace.until = 0.0
        pace.until = max(pace.until, now + wait_s)

    def _pace(self, session: Session) -> Pace:
        pace = self._paces.get(session)
        if pace is None:
            pace = self._paces[session] = Pace()
        return pace

    def _rate(self, frame: frames.Publish | frames.Subscribe) -> Rate | None:
        return self._publishes if isinstance(frame, frames.Publish) else self._subscribes


def _meter(pace: Pace, frame: frames.Publish | frames.Subscribe) -> Meter:
    return pace.publishes if isinstance(frame, frames.Publish) else pace.subscribes
