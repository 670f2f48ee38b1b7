"""Who a node thinks is alive: the real membership over the simulated network, or rumours.

Rumours are worse than SWIM will ever be: deaths are noticed late or very late, living nodes are given up for a while,
and no two nodes need agree. Whatever they say, nothing may go wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from mesh.membership.config import MembershipConfig
from mesh.membership.link import MembershipLink
from mesh.membership.membership import Membership
from mesh.membership.seal import Seal

KEY = b"the simulated cluster"


class Members(Protocol):
    """What a process needs of either."""

    def receive(self, now: float, address: str, datagram: bytes) -> None: ...

    def tick(self, now: float) -> None: ...

    def leave(self, now: float) -> None: ...

    def take_sends(self) -> list[tuple[str, bytes]]: ...

    def alive(self) -> Sequence[str]: ...


class Swim:
    """The real one. A node's address is its name."""

    def __init__(self, now: float, me: str, boot: str, others: Sequence[str], rng: Random) -> None:
        address = f"{me}:1"
        membership = Membership(me, address, boot, b"", MembershipConfig(), rng)
        self._link = MembershipLink(membership, Seal(KEY, "sim", me, boot))
        self._link.join(now, [f"{other}:1" for other in others])

    def receive(self, now: float, address: str, datagram: bytes) -> None:
        self._link.receive(now, f"{address}:1", datagram)

    def tick(self, now: float) -> None:
        self._link.tick(now)

    def leave(self, now: float) -> None:
        self._link.leave(now)

    def take_sends(self) -> list[tuple[str, bytes]]:
        self._link.take_events()
        return [(address.removesuffix(":1"), datagram) for address, datagram in self._link.take_sends()]

    def alive(self) -> Sequence[str]:
        return self._link.membership.alive


class Rumours:
    """Late and sometimes wrong."""

    def __init__(self, me: str, others: Sequence[str], reaches: Callable[[str, str], bool], rng: Random) -> None:
        self._me = me
        self._reaches = reaches
        self._rng = rng
        self._patience_s = {other: rng.uniform(0.2, 3.0) for other in others}
        self._seen_at: dict[str, float] = {}
        self._dead = dict.fromkeys(others, 0.0)
        """Name -> until when at least."""

    def accuse(self, now: float, name: str, seconds: float) -> None:
        """Give up one that lives."""
        if name != self._me:
            self._dead[name] = now + seconds

    def receive(self, now: float, address: str, datagram: bytes) -> None:
        pass

    def tick(self, now: float) -> None:
        for other, patience_s in self._patience_s.items():
            if self._reaches(self._me, other) and self._reaches(other, self._me):
                self._seen_at[other] = now
                if other in self._dead and now >= self._dead[other]:
                    del self._dead[other]
            elif now - self._seen_at.get(other, 0.0) > patience_s and other not in self._dead:
                self._dead[other] = now + self._rng.uniform(0.0, 0.5)
                self._patience_s[other] = self._rng.uniform(0.2, 3.0)

    def leave(self, now: float) -> None:
        pass

    def take_sends(self) -> list[tuple[str, bytes]]:
        return []

    def alive(self) -> Sequence[str]:
        return [self._me, *(other for other in self._patience_s if other not in self._dead)]
