"""Claims that are worth telling, each a bounded number of times.

SWIM, section 4.1 and 4.3: what is new rides on the packets that are sent anyway, what has been told least often
first, and each only about log(n) times; with overwhelming probability that reaches everybody.

Invariants:
- Of one member there is the newest claim, or its newest accusations, one per accuser.
- A packet never takes more bytes of claims than it has room for.

Not here: which claims are news (membership_view.py), which packets there are (membership_post.py).
"""

from __future__ import annotations

import math

import msgspec

from mesh.membership_packets import Claim, MemberState

_encode = msgspec.msgpack.Encoder().encode


def claim_bytes(claim: Claim) -> int:
    """How much room a claim takes in a packet."""
    return len(_encode(claim))


def retransmits(mult: int, members: int) -> int:
    """How often each member tells a claim: mult * ceil(log10(n + 1))."""
    return mult * math.ceil(math.log10(members + 1))


class _Told:
    __slots__ = ("bytes", "claim", "number", "times")

    def __init__(self, claim: Claim, number: int) -> None:
        self.claim = claim
        self.bytes = claim_bytes(claim)
        self.times = 0
        self.number = number


class GossipQueue:
    """What this member still has to tell."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], _Told] = {}
        """By member, and by accuser if it is an accusation."""
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, claim: Claim) -> None:
        """Tell this from now on, instead of what it supersedes."""
        accuser = claim.by if claim.state is MemberState.SUSPECT else ""
        for key, told in list(self._waiting.items()):
            same_charge = accuser and key[1] and told.claim.incarnation == claim.incarnation
            if key[0] == claim.name and not (same_charge and told.claim.boot == claim.boot):
                del self._waiting[key]
        self._number += 1
        self._waiting[claim.name, accuser] = _Told(claim, self._number)

    def take(self, room_bytes: int, times_max: int, without: list[Claim]) -> list[Claim]:
        """Fill the room with what was told least often, the newest first; `without` is told already."""
        if not self._waiting:
            return []
        taken = []
        named = {claim.name for claim in without}
        for told in sorted(self._waiting.values(), key=lambda told: (told.times, -told.number)):
            if told.bytes > room_bytes or told.claim.name in named:
                continue
            room_bytes -= told.bytes
            taken.append(told.claim)
            told.times += 1
            if told.times >= times_max:
                accuser = told.claim.by if told.claim.state is MemberState.SUSPECT else ""
                del self._waiting[told.claim.name, accuser]
        return taken
