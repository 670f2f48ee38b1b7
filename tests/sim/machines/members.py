"""Who a node hears is alive: the shipped membership over the simulated network, or rumours.

Rumours are worse than membership will ever be: deaths are noticed late or very late, living nodes are given up for a
while, and no two nodes need agree. Whatever they say, nothing may go wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple, Protocol

from mesh.membership.config import MembershipConfig
from mesh.membership.link import MembershipLink
from mesh.membership.membership import Membership
from mesh.membership.packets import MemberChanged, MemberState
from mesh.membership.seal import Seal

KEY = b"the simulated cluster"


class Known(NamedTuple):
    """What a node has told of itself."""

    boot: str
    meta: bytes


class Members(Protocol):
    """What a machine needs of either."""

    def tell(self, now: float, meta: bytes) -> None:
        """What the others should know of this node."""

    def receive(self, now: float, sender: str, datagram: bytes) -> None:
        """A datagram has come."""

    def tick(self, now: float) -> None:
        """Time has passed."""

    def leave(self, now: float) -> None:
        """Say goodbye."""

    def take_sends(self) -> list[tuple[str, bytes]]:
        """Datagrams, with the nodes that they are for."""

    def take_events(self) -> list[MemberChanged]:
        """News."""


def address_of(name: str) -> str:
    """Where a node is."""
    return f"{name}:1"


class Swim:
    """The shipped one."""

    def __init__(self, me: str, boot: str, others: Sequence[str], rng: Random) -> None:
        self._others = [address_of(other) for other in others]
        membership = Membership(me, address_of(me), boot, b"", MembershipConfig(), rng)
        self._link = MembershipLink(membership, Seal(KEY, "sim", me, boot))
        self._has_joined = False

    def tell(self, now: float, meta: bytes) -> None:
        self._link.set_meta(now, meta)
        if not self._has_joined:
            self._has_joined = True
            self._link.join(now, self._others)

    def receive(self, now: float, sender: str, datagram: bytes) -> None:
        self._link.receive(now, address_of(sender), datagram)

    def tick(self, now: float) -> None:
        self._link.tick(now)

    def leave(self, now: float) -> None:
        self._link.leave(now)

    def take_sends(self) -> list[tuple[str, bytes]]:
        return [(address.removesuffix(":1"), datagram) for address, datagram in self._link.take_sends()]

    def take_events(self) -> list[MemberChanged]:
        return [event for event in self._link.take_events() if isinstance(event, MemberChanged)]


class Rumours:
    """Late and sometimes wrong."""

    def __init__(self, me: str, others: Sequence[str], hears: Callable[[str, str], Known | None], rng: Random) -> None:
        """Begin.

        Args:
            hears: What one node would hear of another just now; None: nothing.
        """
        self._me = me
        self._hears = hears
        self._rng = rng
        self._patience_s = {other: rng.uniform(0.2, 2.5) for other in others}
        self._seen_at: dict[str, float] = {}
        self._known: dict[str, Known] = {}
        self._told: dict[str, tuple[MemberState, Known]] = {}
        self._dead_until: dict[str, float] = {}
        self._events: list[MemberChanged] = []

    def accuse(self, now: float, name: str, seconds: float) -> None:
        """Give up one that lives."""
        if name in self._told:
            self._dead_until[name] = now + seconds
            self._tell(name, MemberState.DEAD)

    def tell(self, now: float, meta: bytes) -> None:
        pass

    def receive(self, now: float, sender: str, datagram: bytes) -> None:
        pass

    def tick(self, now: float) -> None:
        for other, patience_s in self._patience_s.items():
            known = self._hears(self._me, other)
            if known is not None:
                self._seen_at[other] = now
                self._known[other] = known
                if now >= self._dead_until.get(other, 0.0):
                    self._tell(other, MemberState.ALIVE)
            elif other in self._told and now - self._seen_at[other] > patience_s:
                self._patience_s[other] = self._rng.uniform(0.2, 2.5)
                self._tell(other, MemberState.DEAD)

    def leave(self, now: float) -> None:
        pass

    def take_sends(self) -> list[tuple[str, bytes]]:
        return []

    def take_events(self) -> list[MemberChanged]:
        events, self._events = self._events, []
        return events

    def _tell(self, name: str, state: MemberState) -> None:
        news, before = (state, self._known[name]), self._told.get(name)
        if news != before:
            self._told[name] = news
            boot, meta = self._known[name]
            previous = None if before is None else before[0]
            self._events.append(MemberChanged(name, state, boot, address_of(name), meta, len(self._told), previous))
