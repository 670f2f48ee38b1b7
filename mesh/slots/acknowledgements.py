"""What a coordinator knows of how far the others hold its log, in its own epoch.

Acknowledgements are cumulative and count from one start (boot) of a node only: a process that was restarted holds
nothing of what the one before it acknowledged.

Not here: what follows from them (replication.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.slots.slot import NEVER, NodeName

DELAY_EVERY_S = 1.0
"""Delays are measured about this often."""


class Acknowledgements:
    """Of one slot. Empty unless this node coordinates it."""

    def __init__(self, me: NodeName, fresh_s: float) -> None:
        """Begin empty.

        Args:
            fresh_s: A node that has acknowledged nothing for longer does not count towards a quorum.
        """
        self._me = me
        self._fresh_s = fresh_s
        self.clear()

    def clear(self) -> None:
        """This node coordinates no more."""
        self.delay_s: dict[NodeName, float] = {}
        """How long each node took to acknowledge what was sent last."""
        self._ends: dict[NodeName, int] = {}
        self._at: dict[NodeName, float] = {}
        self._boots: dict[NodeName, str] = {}
        self._began_at = NEVER
        self._sent: tuple[int, float] = (0, NEVER)
        """An end that was sent, and when: delays are measured by it."""

    # Inputs.

    def begin(self, now: float, end: int, boots: dict[NodeName, str]) -> None:
        """This node coordinates a log up to `end`. `boots`: the starts of the voters that have voted for it."""
        self.clear()
        self._ends[self._me] = end
        self._boots = dict(boots)
        self._began_at = now

    def append(self, now: float, end: int) -> None:
        """This node's own log goes up to `end` now, and that is being sent."""
        self._ends[self._me] = end
        if now - self._sent[1] >= DELAY_EVERY_S:
            self._sent = (end, now)

    def boot_of(self, sender: NodeName, boot: str) -> str:
        """From which start of a node acknowledgements count: from this one if none is known."""
        return self._boots.setdefault(sender, boot)

    def take(self, now: float, sender: NodeName, end: int) -> bool:
        """A node holds the log up to `end`; whether that is further than before."""
        self._at[sender] = now
        before = self._ends.get(sender, -1)
        if end <= before:
            return False
        self._ends[sender] = end
        if 0 <= before < self._sent[0] <= end:
            self.delay_s[sender] = now - self._sent[1]
        return True

    def restart(self, sender: NodeName, boot: str) -> None:
        """A node begins to copy the log, in this start of it: what it acknowledged before counts no more."""
        self._ends.pop(sender, None)
        self._boots[sender] = boot

    # Questions.

    def has_quorum(self, now: float, voters: Sequence[NodeName], count: int) -> bool:
        """Whether so many voters have acknowledged something lately; at the beginning they have time to."""
        return now - self._began_at < self._fresh_s or sum(self._is_fresh(now, voter) for voter in voters) >= count

    def end_of(self, now: float, name: NodeName) -> int | None:
        """Up to where a node holds the log, if it has acknowledged recently."""
        return self._ends.get(name) if self._is_fresh(now, name) else None

    def has_others(self, voters: Sequence[NodeName]) -> bool:
        """Whether anybody else than these has acknowledged anything."""
        return any(name not in voters for name in self._ends)

    def held_by(self, voters: Sequence[NodeName], count: int) -> int:
        """Up to where so many voters hold the log; -1 if fewer have said anything."""
        return sorted((self._ends.get(voter, -1) for voter in voters), reverse=True)[count - 1]

    def _is_fresh(self, now: float, name: NodeName) -> bool:
        return name == self._me or now - self._at.get(name, NEVER) <= self._fresh_s
