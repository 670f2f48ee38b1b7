"""How long an accused member has to refute.

Lifeguard's dynamic suspicion (arXiv 1707.00788, section IV-B): the timeout begins long and shrinks with each
confirmation, that is, each distinct further accuser:

    timeout = max - (max - min) * ln(c + 1) / ln(k + 1)        c confirmations of the k that are expected

One sick member that accuses everybody is confirmed by nobody, so those it accuses have long to answer; a member
that is really gone is soon accused by several.

Not here: what a death means (view.py).
"""

from __future__ import annotations

import math

from mesh.membership.config import MembershipConfig


def suspicion_range_s(config: MembershipConfig, members: int) -> tuple[float, float]:
    """The shortest and the longest suspicion among so many members."""
    shortest = config.suspicion_mult * max(1.0, math.log10(max(1, members))) * config.probe_interval_s
    return shortest, shortest * config.suspicion_max_mult


class Suspicion:
    """One accused member's time, at one of its incarnations."""

    __slots__ = ("_accusers", "_expected", "_longest_s", "_shortest_s", "_started")

    def __init__(self, now: float, by: str, config: MembershipConfig, members: int) -> None:
        self._started = now
        self._accusers = [by]
        self._shortest_s, self._longest_s = suspicion_range_s(config, members)
        # Where fewer others (than the accuser and the accused) could confirm, no confirmation is expected.
        self._expected = config.confirmations if members - 2 >= config.confirmations else 0

    def confirm(self, by: str) -> bool:
        """Count one more accuser; whether that was news worth telling."""
        if by in self._accusers or len(self._accusers) > self._expected:
            return False
        self._accusers.append(by)
        return True

    @property
    def deadline(self) -> float:
        """When the member is dead."""
        if self._expected == 0:
            return self._started + self._shortest_s
        shrunk = math.log(len(self._accusers)) / math.log(self._expected + 1)
        return self._started + self._longest_s - (self._longest_s - self._shortest_s) * shrunk
