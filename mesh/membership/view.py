"""Who is in the cluster, as one member believes it: the highest claim about each name, and the accused's time.

Invariants:
- A member only goes up in the order of claims (packets.py): for one incarnation, dead is final.
- A member has a suspicion exactly while it is suspect.
- This member's own entry is changed by itself alone.

Two views with the same living members, at the same incarnations and in the same states, have the same digest.

Not here: whether a claim about this member itself is to be refuted (membership.py).
"""

from __future__ import annotations

import zlib

from msgspec.structs import replace

from mesh.membership.config import MembershipConfig
from mesh.membership.packets import Claim, Member, MemberChanged, MembershipStats, MemberState, order
from mesh.membership.suspicion import Suspicion


def _print(member: Member) -> int:
    """What a member adds to the digest: nothing unless it lives, so that forgetting the dead changes no digest."""
    if not member.state.is_living:
        return 0
    return zlib.crc32(f"{member.name} {member.boot} {member.incarnation} {member.state.value}".encode())


class View:
    """All members by name, this one included."""

    def __init__(self, me: Member, config: MembershipConfig, stats: MembershipStats) -> None:
        self._config = config
        self._stats = stats
        self.me = me
        self.members: dict[str, Member] = {me.name: me}
        self.living = 1
        """Members that are alive or suspect, this one included."""
        self.digest = _print(me)
        self._suspicions: dict[str, Suspicion] = {}
        self._events: list[MemberChanged] = []

    def set_me(self, incarnation: int, meta: bytes, state: MemberState) -> Claim:
        """Change what this member says of itself. Returns the claim, which must be spread."""
        self.digest ^= _print(self.me)
        self.me.incarnation = incarnation
        self.me.meta = meta
        self.me.state = state
        self.digest ^= _print(self.me)
        return self.me.claim(self.me.name)

    def apply(self, now: float, claim: Claim) -> bool:
        """Believe a claim about another member if it is higher than what is known; whether it was worth telling."""
        assert claim.name != self.me.name
        member = self.members.get(claim.name)
        if member is not None and order(claim) <= order(member):
            return self._confirm(claim, member)
        previous = None if member is None else member.state
        if member is None:
            member = Member(claim.name, claim.state, claim.incarnation, claim.boot, claim.address, claim.meta, now)
            self.members[claim.name] = member
            is_news = True
        else:
            is_news = self._replace(now, member, claim)
        self.living += claim.state.is_living - (previous is not None and previous.is_living)
        self.digest ^= _print(member)
        self._suspicions.pop(claim.name, None)
        if claim.state is MemberState.SUSPECT:
            self._stats.suspected += 1
            self._suspicions[claim.name] = Suspicion(now, claim.by, self._config, self.living)
        if is_news:
            self._events.append(
                MemberChanged(
                    name=member.name,
                    state=member.state,
                    boot=member.boot,
                    address=member.address,
                    meta=member.meta,
                    incarnation=member.incarnation,
                    previous=previous,
                )
            )
        return True

    def _replace(self, now: float, member: Member, claim: Claim) -> bool:
        self.digest ^= _print(member)
        is_other = (member.state, member.boot) != (claim.state, claim.boot)
        is_news = is_other or (member.address, member.meta) != (claim.address, claim.meta)
        if is_other:
            member.since = now
        member.state = claim.state
        member.incarnation = claim.incarnation
        member.boot = claim.boot
        member.address = claim.address
        member.meta = claim.meta
        return is_news

    def _confirm(self, claim: Claim, member: Member) -> bool:
        if claim.state is not MemberState.SUSPECT or order(claim) != order(member):
            return False
        confirmed = self._suspicions[member.name].confirm(claim.by)
        self._stats.confirmed += confirmed
        return confirmed

    def expired(self, now: float) -> list[Claim]:
        """The deaths of those whose time to refute is over; they are to be applied."""
        found = []
        for name, suspicion in self._suspicions.items():
            if now >= suspicion.deadline:
                self._stats.declared_dead += 1
                found.append(replace(self.members[name].claim(self.me.name), state=MemberState.DEAD))
        return found

    def forget(self, now: float) -> None:
        """Drop members that have been dead for longer than their return is waited for."""
        for name, member in list(self.members.items()):
            is_gone = not member.state.is_living and member is not self.me
            if is_gone and now - member.since >= self._config.forget_after_s:
                del self.members[name]

    def worth_telling(self, now: float) -> list[Claim]:
        """The whole view, this member first.

        The long dead are left out, or those who have forgotten them would be told of them again and again.
        """
        told = [self.me.claim(self.me.name)]
        for member in self.members.values():
            old = not member.state.is_living and now - member.since >= self._config.forget_after_s / 2
            if member is not self.me and not old:
                told.append(member.claim(self.me.name))
        return told

    def others(self, *, living: bool) -> list[Member]:
        """All other members that live, or that do not."""
        return [m for m in self.members.values() if m.state.is_living is living and m is not self.me]

    def take_events(self) -> list[MemberChanged]:
        events, self._events = self._events, []
        return events
