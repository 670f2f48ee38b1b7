"""What a node knows of its links to the others, and which of the messages that come in it takes.

A message counts if it comes from a peer in the process that we know it in (name and boot), if it is under the name
that the connection belongs to, and if the peer is not cut off. What a peer puts on its PUB socket is numbered
(`link_seq`), so that what gets lost on the way is seen: ZeroMQ drops silently what does not fit into a queue.

Invariants:
- No message of a process that is not in `peers` is taken, nor one under another name than its connection's.
- `lost` counts each number of a PUB link that did not come while the link was up, once.
- A link is up if and only if something came over it since it was opened.

Not here: sockets (transport.py), repair of what was lost (the receivers of packets), who is alive
(membership/membership.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.transport.wire import Envelope, P


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer is. Another boot or address is another process, with new links."""

    boot: str
    router_address: str
    """`host:port`, an IPv6 address in brackets."""
    pub_address: str
    public: bytes = b""
    """The CURVE key that its sockets have, as it says, 32 bytes; empty if it does not say."""


@dataclass(slots=True)
class LinkStats:
    """Counts since the start. Those by peer go on when the peer restarts."""

    lost: Counter[str] = field(default_factory=Counter)
    """Messages that a peer put on its PUB socket and that did not come here."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Messages to a peer that found its queue full or no connection."""
    kicks: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """Messages that came and did not count, by reason: wire, name, process; and `key`: connections."""
    cut: int = 0
    """Messages in or out that fell to a cut."""
    oversized: int = 0
    """Packets of ours that were too large to send."""
    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    """A broadcast is one."""
    bytes_out: int = 0


class _Link:
    __slots__ = ("address", "heard_at", "is_up", "link_seq")

    def __init__(self, now: float, address: PeerAddress) -> None:
        self.address = address
        self.heard_at = now
        self.is_up = False
        self.link_seq = 0
        """The last number that came; 0: none yet of this process."""


class Links:
    """The peers of one node."""

    def __init__(self, me: str) -> None:
        self.stats = LinkStats()
        self._me = me
        self._links: dict[str, _Link] = {}
        self._cut: frozenset[str] = frozenset()
        self._cut_until = 0.0

    def change(self, now: float, peers: Mapping[str, PeerAddress]) -> tuple[list[str], list[str]]:
        """Know these peers from now on; returns whose links to close, and then whose to open."""
        wanted = {name: address for name, address in peers.items() if name != self._me}
        closing = [name for name, link in self._links.items() if wanted.get(name) != link.address]
        for name in closing:
            del self._links[name]
        opening = [name for name in wanted if name not in self._links]
        for name in opening:
            self._links[name] = _Link(now, wanted[name])
        return closing, opening

    def address(self, peer: str) -> PeerAddress | None:
        """Where the peer is; None if there is no such peer."""
        link = self._links.get(peer)
        return link.address if link is not None else None

    def reopened(self, now: float, peer: str) -> None:
        """The link is new, the process at its other end is not: numbers go on, so what was missed will be counted."""
        link = self._links[peer]
        link.is_up, link.heard_at = False, now
        self.stats.kicks[peer] += 1

    def is_up(self, peer: str) -> bool:
        """Whether something came from the peer's PUB socket since the link was opened: from then on nothing is missed
        without being noticed."""
        link = self._links.get(peer)
        return link is not None and link.is_up

    def silent_s(self, now: float, peer: str) -> float:
        """For how long nothing came from the peer's PUB socket, or the link has been open if that is shorter."""
        link = self._links.get(peer)
        return now - link.heard_at if link is not None else 0.0

    def admits(self, now: float, envelope: Envelope[P], name: str | None, is_numbered: bool) -> bool:
        """Whether this message counts.

        Args:
            name: Whose connection it came over; None if that is not known.
            is_numbered: It came from a PUB socket.
        """
        if name is not None and envelope.sender != name:
            self.stats.refused["name"] += 1
            return False
        link = self._links.get(envelope.sender)
        if link is None or link.address.boot != envelope.boot:
            self.stats.refused["process"] += 1
            return False
        if self.is_cut(now, envelope.sender):
            self.stats.cut += 1
            return False
        if is_numbered:
            missed = envelope.link_seq - link.link_seq - 1
            if link.link_seq and missed > 0:
                self.stats.lost[envelope.sender] += missed
            link.link_seq = max(link.link_seq, envelope.link_seq)
            link.heard_at, link.is_up = now, True
        return True

    # Cutting off, for demonstrations and tests.

    def cut(self, peers: frozenset[str], until: float) -> None:
        """Exchange nothing with these peers until then. Replaces the cut before."""
        self._cut, self._cut_until = peers, until

    def is_cut(self, now: float, peer: str) -> bool:
        """Whether nothing may pass between the peer and this node."""
        return peer in self._cut and now < self._cut_until

    def reached(self, now: float) -> list[str] | None:
        """The peers that a broadcast may reach; None: all there are."""
        if not self._cut or now >= self._cut_until:
            return None
        return [name for name in self._links if name not in self._cut]
