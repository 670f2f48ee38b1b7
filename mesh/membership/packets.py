"""What members tell each other: claims about members, and the packets that carry them.

A claim says in which state a member is, at which of its incarnations. All claims about one name are totally ordered
by (incarnation, boot, state), and everybody keeps the highest, so that views agree whatever the order of arrival:
a higher incarnation beats any state (only the member itself raises it); at one incarnation suspect beats alive, dead
beats suspect, and left (which a member says of itself) beats dead. The boot stands in between only to make the order
total when two processes have used one name; the one that lives raises its incarnation above the other.

Every claim is complete (address and meta included), so that it is of use to one who has never heard of the member.

Not here: who is believed (view.py), datagrams (seal.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, TypeAlias

import msgspec

NAME_BYTES_MAX = 64
BOOT_BYTES_MAX = 32
ADDRESS_BYTES_MAX = 128
META_BYTES_MAX = 512

CLAIMS_BYTES_MAX = 1_000
"""Of claims in one packet: with the longest head of a packet and of the seal this makes less than 1,400 bytes."""

Name = Annotated[str, msgspec.Meta(pattern=rf"^[!-~]{{1,{NAME_BYTES_MAX}}}$")]
Boot = Annotated[str, msgspec.Meta(pattern=rf"^[!-~]{{1,{BOOT_BYTES_MAX}}}$")]
Address = Annotated[str, msgspec.Meta(pattern=rf"^[!-~]{{1,{ADDRESS_BYTES_MAX}}}$")]
"""host:port or [IPv6]:port."""
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]


class MemberState(IntEnum):
    """The numbers are the protocol, and their order is which claim wins. Append only."""

    ALIVE = 0
    SUSPECT = 1
    """Accused: did not answer a probe; dead unless it refutes in time."""
    DEAD = 2
    LEFT = 3

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def is_living(self) -> bool:
        """Whether it still counts as being there: a suspect does, until it is dead."""
        return self <= MemberState.SUSPECT


class Claim(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What one member says of another."""

    name: Name
    state: MemberState
    incarnation: Count
    boot: Boot
    address: Address
    meta: Annotated[bytes, msgspec.Meta(max_length=META_BYTES_MAX)]
    by: Name
    """Who says so first: accusations of different members confirm each other."""


class Member(msgspec.Struct):
    """A member as this one sees it."""

    name: str
    state: MemberState
    incarnation: int
    boot: str
    address: str
    meta: bytes
    since: float
    """When it came into this state, or appeared with this boot (in this member's running time)."""

    def claim(self, by: str) -> Claim:
        return Claim(self.name, self.state, self.incarnation, self.boot, self.address, self.meta, by)


def order(said: Claim | Member) -> tuple[int, str, int]:
    """The order of claims about one name; the highest is believed."""
    return said.incarnation, said.boot, said.state


# Packets.


class Ping(msgspec.Struct, array_like=True, tag="p", frozen=True, gc=False):
    """Are you there, and are you `target`? Answered with Ack."""

    seq: Count
    target: Name
    digest: Count
    """Of the sender's view: whose differs needs a push_pull."""
    gossip: list[Claim]


class Ack(msgspec.Struct, array_like=True, tag="a", frozen=True, gc=False):
    """The target of ping or ping_req number `seq` is there."""

    seq: Count
    digest: Count
    gossip: list[Claim]


class PingReq(msgspec.Struct, array_like=True, tag="r", frozen=True, gc=False):
    """Ping the target for me. Answered with Ack, or with Nack when it does not answer you either."""

    seq: Count
    target: Name
    address: Address
    gossip: list[Claim]


class Nack(msgspec.Struct, array_like=True, tag="n", frozen=True, gc=False):
    """I am there, the target of your ping_req `seq` does not answer (Lifeguard, LHA-Probe)."""

    seq: Count
    gossip: list[Claim]


class Gossip(msgspec.Struct, array_like=True, tag="g", frozen=True, gc=False):
    """Claims, unasked."""

    gossip: list[Claim]


class PushPull(msgspec.Struct, array_like=True, tag="x", frozen=True, gc=False):
    """A part of the sender's whole view. The part that asks is answered with the receiver's."""

    token: Count
    """Of the question; the answer has the same."""
    asks: bool
    gossip: list[Claim]


class Carried(msgspec.Struct, array_like=True, tag="c", frozen=True, gc=False):
    """Something of another kind, that has only its way in common with membership."""

    payload: bytes


MembershipPacket: TypeAlias = Ping | Ack | PingReq | Nack | Gossip | PushPull
Payload: TypeAlias = MembershipPacket | Carried
"""Of a datagram."""


class Sender(msgspec.Struct, frozen=True, gc=False):
    """From whom and from where a packet came, as the seal has proven it."""

    name: str
    boot: str
    address: str


# Events.


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """Another member has another state, boot, address or meta."""

    name: str
    state: MemberState
    boot: str
    address: str
    meta: bytes
    incarnation: int
    previous: MemberState | None
    """None: it was not known."""


@dataclass(frozen=True, slots=True)
class NameTaken:
    """Another living process goes by this member's name: this one should end. Told once per boot of the other.

    Where two share a name, the one that came later is told, and the cluster goes on believing in the earlier one.
    """

    boot: str
    address: str


MembershipEvent: TypeAlias = MemberChanged | NameTaken


class MembershipStats(msgspec.Struct):
    """Counters since the start."""

    probes: int = 0
    probes_failed: int = 0
    ping_reqs: int = 0
    nacks_sent: int = 0
    nacks_missed: int = 0
    suspected: int = 0
    """Suspicions that began at this member, its own and those that others told it."""
    confirmed: int = 0
    declared_dead: int = 0
    """Suspicions that ran out here."""
    refuted: int = 0
    """Accusations of this member that it denied."""
    push_pulls: int = 0
    """Asked by this member."""
    views_differed: int = 0
    retries: int = 0
    """Pings of the dead and questions to join addresses."""
    names_raised: int = 0
    """Incarnations raised because another process had used this member's name."""
