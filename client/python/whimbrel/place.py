"""What one subscription remembers, and what that decides about each message: PROTOCOL section 7, rules 1 to 8.

Invariants:
- A message is handed over at most once, and only when nothing before it in its subject and log is missing.
- `place` never covers a message that was neither handed over nor stated to be missing.

Not here: what is sent as a consequence (subscriptions.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from whimbrel.frames import GapSaid
from whimbrel.start import Place, Position, Positions

CHAIN_MAX = 100_000
"""Subjects remembered per log before rule 8 forgets them."""


class Verdict(Enum):
    """What to do with a message."""

    HAND_OVER = "hand over"
    REPEAT = "repeat"
    MISSING = "one before it is missing"


class Track:
    """Place, live logs, and what proves that nothing is missing."""

    def __init__(self, chain_max: int = CHAIN_MAX) -> None:
        self.place: Place = {}
        self.live: set[str] = set()
        self._since: Positions = {}
        self._chain: dict[str, dict[str, Position]] = {}
        self._newest: Positions = {}
        """Per log, the latest position in `_chain`."""
        self._chain_max = chain_max

    def subscribed(self, fresh: bool, at: Positions, waiting: Iterable[str], gaps: Iterable[GapSaid]) -> None:
        """Rule 1."""
        self.place = dict.fromkeys(waiting) | at
        self.live.clear()
        self._since = dict(at) if fresh else at | self._since
        for gap in gaps:
            self.gap(gap)

    def take_snapshot(self, log: str, subject: str, at: Position) -> bool:
        """Rule 2: whether to hand it over."""
        had = self._chain.get(log, {}).get(subject)
        if had is not None and had >= at:
            return False
        self._remember(log, subject, at)
        return True

    def take(self, log: str, subject: str, at: Position, prev: Position | None) -> Verdict:
        """Rules 3 and 7. After MISSING the caller resumes from `place`."""
        since = self._since.get(log)
        seen = self._chain.get(log, {}).get(subject, since)
        if seen is not None:
            if since is not None and since > seen:
                seen = since
            if seen >= at:
                return Verdict.REPEAT
            if prev is not None and prev > seen:
                self.place[log] = seen
                return Verdict.MISSING
        self._remember(log, subject, at)
        self._advance(log, at)
        return Verdict.HAND_OVER

    def now_live(self, at: Positions) -> None:
        """Rule 4."""
        for log, position in at.items():
            self.live.add(log)
            self._advance(log, position)
            self._since.setdefault(log, position)

    def heartbeat(self, at: Positions) -> bool:
        """Rule 5: whether the place has moved."""
        before = dict(self.place)
        for log, position in at.items():
            if log in self.live:
                self._advance(log, position)
        return self.place != before

    def gap(self, gap: GapSaid) -> None:
        """Rule 6."""
        if gap.end is None:
            self.ended(gap.log)
        else:
            self._forget_chain(gap.log)
            self.place[gap.log] = self._since[gap.log] = gap.end

    def ended(self, log: str) -> None:
        """Rule 6."""
        self._forget_chain(log)
        self.place.pop(log, None)
        self._since.pop(log, None)
        self.live.discard(log)

    def trim(self, log: str) -> None:
        """Rule 8, when much is remembered of a log. Not while snapshots may come again: only the chain knows them.

        A message after the place may have been handed over (when another subject's was found missing): then the
        chain is still needed to recognise it.
        """
        place = self.place.get(log)
        if len(self._chain.get(log, ())) > self._chain_max and place is not None and self._newest[log] <= place:
            self._since[log] = place
            self._forget_chain(log)

    def _remember(self, log: str, subject: str, at: Position) -> None:
        self._chain.setdefault(log, {})[subject] = at
        if at > self._newest.get(log, at):
            self._newest[log] = at
        else:
            self._newest.setdefault(log, at)

    def _advance(self, log: str, at: Position) -> None:
        place = self.place.get(log)
        if place is None or at > place:
            self.place[log] = at

    def _forget_chain(self, log: str) -> None:
        self._chain.pop(log, None)
        self._newest.pop(log, None)
