"""Claims that are worth telling, each a bounded number of times.

SWIM, section 4.1 and 4.3: what is new rides on the packets that are sent anyway, what has been told least often
first, and each only about log(n) times; with overwhelming probability that reaches everybody.

Invariants:
- Of one member there is the newest claim, or its newest accusations, one per accuser.
- A packet never takes more bytes of claims than it has room for.

Not here: which claims are news (view.py), which packets there are (post.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from mesh.membership.packets import Claim, MemberState, order

MISFITS_MAX = 3
"""When so many claims have not fit in what is left of a packet, it is full."""

_encode = msgspec.msgpack.Encoder().encode

_Key: TypeAlias = tuple[str, str]
"""Member and accuser."""


def claim_bytes(claim: Claim) -> int:
    """How much room a claim takes in a packet."""
    return len(_encode(claim))


def retransmits(mult: int, members: int) -> int:
    """How often each member tells a claim: mult * ceil(log10(n + 1))."""
    return mult * math.ceil(math.log10(members + 1))


class _Told:
    __slots__ = ("bytes", "claim", "key", "times")

    def __init__(self, claim: Claim, key: _Key) -> None:
        self.claim = claim
        self.key = key
        self.bytes = claim_bytes(claim)
        self.times = 0


class GossipQueue:
    """What this member still has to tell."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, _Told]] = {}
        """By member, then by accuser if it is an accusation, else one by ""."""
        self._by_times: dict[int, dict[_Key, _Told]] = {}
        """By how often it has been told; within that, oldest first."""

    def __len__(self) -> int:
        return len(self._told)

    def put(self, claim: Claim) -> None:
        """Tell this from now on, instead of what it supersedes."""
        accuser = _accuser(claim)
        for key, told in list(self._told.get(claim.name, {}).items()):
            is_same_charge = accuser and key and order(told.claim) == order(claim)
            if key == accuser or not is_same_charge:
                self._drop(told)
        told = _Told(claim, (claim.name, accuser))
        self._told.setdefault(claim.name, {})[accuser] = told
        self._by_times.setdefault(0, {})[told.key] = told

    def take(self, room_bytes: int, times_max: int, without: list[Claim]) -> list[Claim]:
        """Fill the room with what was told least often, the newest first; of the members in `without` nothing."""
        if not self._told:
            return []
        chosen = list(self._choose(room_bytes, {claim.name for claim in without}))
        for told in chosen:
            self._drop(told)
            told.times += 1
            if told.times < times_max:
                self._told.setdefault(told.claim.name, {})[told.key[1]] = told
                self._by_times.setdefault(told.times, {})[told.key] = told
        return [told.claim for told in chosen]

    def _choose(self, room_bytes: int, without: set[str]) -> Iterator[_Told]:
        misfits = 0
        for times in sorted(self._by_times):
            for told in reversed(self._by_times[times].values()):
                if told.claim.name in without:
                    continue
                if told.bytes <= room_bytes:
                    room_bytes -= told.bytes
                    yield told
                else:
                    misfits += 1
                if misfits >= MISFITS_MAX:
                    return

    def _drop(self, told: _Told) -> None:
        name, accuser = told.key
        claims = self._told[name]
        del claims[accuser]
        if not claims:
            del self._told[name]
        bucket = self._by_times[told.times]
        del bucket[told.key]
        if not bucket:
            del self._by_times[told.times]


def _accuser(claim: Claim) -> str:
    return claim.by if claim.state is MemberState.SUSPECT else ""
