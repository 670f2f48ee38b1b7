"""The packets that a member sends, each filled up with gossip and none larger than a datagram may be.

Not here: when what is sent (membership.py, probe.py).
"""

from __future__ import annotations

from mesh.membership.config import MembershipConfig
from mesh.membership.gossip import GossipQueue, claim_bytes, retransmits
from mesh.membership.packets import (
    CLAIMS_BYTES_MAX,
    Ack,
    Claim,
    Gossip,
    Member,
    MembershipPacket,
    MemberState,
    Nack,
    Ping,
    PingReq,
    PushPull,
)
from mesh.membership.view import View


class Post:
    """What is on its way out, and what is still to be told."""

    def __init__(self, view: View, config: MembershipConfig) -> None:
        self._view = view
        self._mult = config.retransmit_mult
        self._sends: list[tuple[str, MembershipPacket]] = []
        self.gossip = GossipQueue()

    def ping(self, member: Member, seq: int) -> None:
        """Ask a member whether it is there."""
        self.ping_for(member.address, seq, member.name)

    def ack(self, address: str, seq: int, first: list[Claim]) -> None:
        self._put(address, Ack(seq, self._view.digest, self._fill(first)))

    def ping_req(self, relay: str, seq: int, target: Member) -> None:
        self._put(relay, PingReq(seq, target.name, target.address, self._fill([])))

    def ping_for(self, address: str, seq: int, target: str) -> None:
        """Ask a member that is perhaps known only to another.

        If it is accused it hears so here first, and can refute at once (Lifeguard's buddy system).
        """
        member = self._view.members.get(target)
        is_fine = member is None or member.state is MemberState.ALIVE
        accusation = [] if member is None or is_fine else [member.claim(self._view.me.name)]
        self._put(address, Ping(seq, target, self._view.digest, self._fill(accusation)))

    def nack(self, address: str, seq: int) -> None:
        self._put(address, Nack(seq, self._fill([])))

    def tell(self, address: str, first: list[Claim]) -> None:
        """Send these claims, with other gossip that is due."""
        self._put(address, Gossip(self._fill(first)))

    def push_pull(self, now: float, address: str, token: int, *, asks: bool) -> None:
        """Send the whole view in parts. The part with this member itself goes last and is the one that asks.

        The seal keeps only the last packet for somebody whose boot it has yet to learn, and that must be this one.
        """
        parts: list[list[Claim]] = [[]]
        room = CLAIMS_BYTES_MAX
        for claim in self._view.worth_telling(now):
            size = claim_bytes(claim)
            if size > room:
                parts.append([])
                room = CLAIMS_BYTES_MAX
            parts[-1].append(claim)
            room -= size
        for index in range(len(parts) - 1, -1, -1):
            self._put(address, PushPull(token, asks and index == 0, parts[index]))

    def take_sends(self) -> list[tuple[str, MembershipPacket]]:
        sends, self._sends = self._sends, []
        return sends

    def _fill(self, first: list[Claim]) -> list[Claim]:
        """Those that must be told and fit, then gossip."""
        told = []
        room = CLAIMS_BYTES_MAX
        for claim in first:
            size = claim_bytes(claim)
            if size <= room:
                told.append(claim)
                room -= size
        return told + self.gossip.take(room, retransmits(self._mult, self._view.living), told)

    def _put(self, address: str, packet: MembershipPacket) -> None:
        self._sends.append((address, packet))
