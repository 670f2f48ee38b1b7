"""Who feeds which Kafka log, as this node has heard it, and who should.

A feeder says so by beacons and by batches; it counts as *fresh* for `silence_s` after each, or until a beacon of it no
longer names the log: it has given it up. Who should feed a log is the first of its *order*: the living in rank
(placement.py), without those who are about to leave.

Not here: what a node does about it (feed.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mesh.log import Position
from mesh.placement import rank


class Feeder:
    """A feeder of one log."""

    __slots__ = ("at", "boot", "end")

    def __init__(self, boot: str, end: Position) -> None:
        self.boot = boot
        self.end = end
        self.at = 0.0


class Feeders:
    """All logs, also those that are not open here."""

    def __init__(self, me: str, silence_s: float) -> None:
        self.me = me
        self.is_leaving = False
        """Whether this node is about to stop."""
        self.alive: list[str] = [me]
        self.changed_at = 0.0
        """When it last changed who is alive."""
        self._silence_s = silence_s
        self._heard: dict[str, dict[str, Feeder]] = {}
        self._leaving: dict[str, tuple[str, float]] = {}
        """Name -> its boot, and since when."""
        self._orders: dict[str, list[str]] = {}

    def members(self, now: float, alive: Sequence[str]) -> bool:
        """Who is alive; whether that is news. The dead are heard no more."""
        alive = sorted({self.me, *alive})
        if alive == self.alive:
            return False
        self.alive = alive
        self.changed_at = now
        self._leaving = {name: since for name, since in self._leaving.items() if name in alive}
        self._heard = {
            log: {name: one for name, one in heard.items() if name in alive} for log, heard in self._heard.items()
        }
        self._orders.clear()
        return True

    def resign(self) -> None:
        """This node is about to stop."""
        self.is_leaving = True
        self._orders.clear()

    def hear(self, now: float, sender: str, boot: str, log: str, end: Position) -> Feeder:
        """A feeder has this end."""
        heard = self._heard.setdefault(log, {})
        one = heard.get(sender)
        if one is None or one.boot != boot:
            one = heard[sender] = Feeder(boot, end)
        one.end = max(one.end, end)
        one.at = now
        return one

    def given_up(self, sender: str, named: Iterable[str]) -> list[str]:
        """A beacon names these logs; those that its sender was known to feed, and feeds no more."""
        still = dict.fromkeys(named)
        gone = [log for log, heard in self._heard.items() if sender in heard and log not in still]
        for log in gone:
            del self._heard[log][sender]
        return gone

    def hear_leaving(self, now: float, sender: str, boot: str, is_leaving: bool) -> None:
        """A feeder says whether it is about to stop."""
        known = self._leaving.get(sender)
        if is_leaving and (known is None or known[0] != boot):
            self._leaving[sender] = (boot, now)
            self._orders.clear()
        elif known is not None and not is_leaving:
            del self._leaving[sender]
            self._orders.clear()

    def forget(self, now: float) -> None:
        """Forget who is not fresh."""
        self._heard = {log: fresh for log in self._heard if (fresh := self.fresh(now, log))}

    def fresh(self, now: float, log: str) -> dict[str, Feeder]:
        """The feeders of a log that have been heard lately."""
        return {name: one for name, one in self._heard.get(log, {}).items() if one.at > now - self._silence_s}

    def fresh_until(self, now: float, log: str) -> float | None:
        """When the last of the fresh ones will not be so any more."""
        return max((one.at + self._silence_s for one in self.fresh(now, log).values()), default=None)

    def left_since(self, name: str) -> float | None:
        """Since when a node is about to stop; None if it is not."""
        known = self._leaving.get(name)
        return None if known is None else known[1]

    def order(self, log: str) -> list[str]:
        """Who is to feed a log, best first."""
        order = self._orders.get(log)
        if order is None:
            order = self._orders[log] = [name for name in rank(log, self.alive) if not self._is_leaving(name)]
        return order

    def place(self, log: str, silent: str) -> int:
        """How many are to take over a log before this node, when `silent` is its last feeder."""
        order = [name for name in self.order(log) if name != silent]
        return order.index(self.me) if self.me in order else len(order)

    def is_better(self, log: str, name: str) -> bool:
        """Whether another node is to feed a log rather than this one."""
        return self.best(log, [self.me, name]) == name

    def best(self, log: str, names: Iterable[str]) -> str | None:
        """Who of these is to feed a log; None if they are none."""
        ranked = rank(log, names)
        return next((name for name in ranked if not self._is_leaving(name)), ranked[0] if ranked else None)

    def _is_leaving(self, name: str) -> bool:
        return self.is_leaving if name == self.me else name in self._leaving
