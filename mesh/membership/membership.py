"""Who is in the cluster, as one member sees it.

SWIM (Das, Gupta, Motivala 2002) with Lifeguard (arXiv 1707.00788). Each interval this member probes one other; a
member that answers neither directly nor through others becomes suspect, and dead if it does not refute in time. What
changes is told along with the probes and a few times more; now and then two members exchange their whole views.

    unknown --> alive <--refutes-- suspect --its time is over--> dead --refutes, or a new process--> alive
                  |                                                ^
                  +--- says so itself --> left                     +-- told by others

Beyond SWIM, so that everything heals without help:
- The dead, the left and the join addresses are tried again all the time.
- Whoever hears directly from a member that it holds for dead, does not know, or knows with another boot, exchanges
  views with it; the member hears there what is said of it, and raises its incarnation above it.
- Members whose views differ though neither has anything left to tell (the digests on ping and ack) exchange views.

Invariants:
- Only a member raises its own incarnation.
- For one incarnation, dead is final.
- A full view from another never declares a member dead: whom others consider dead is suspect here until it has had
  time to refute.
- Time during which this member did not run is nobody's fault: deadlines are in its running time (mesh/running_time.py).

Not here: who may commit (slots/election.py), authenticity (seal.py), bytes (link.py), sockets (udp.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import assert_never

from msgspec.structs import replace

from mesh.membership.config import MembershipConfig
from mesh.membership.local_health import LocalHealth
from mesh.membership.packets import (
    META_BYTES_MAX,
    Ack,
    Claim,
    Gossip,
    Member,
    MembershipEvent,
    MembershipPacket,
    MembershipStats,
    MemberState,
    Nack,
    NameTaken,
    Ping,
    PingReq,
    PushPull,
    Sender,
    order,
)
from mesh.membership.post import Post
from mesh.membership.probe import Prober
from mesh.membership.view import View
from mesh.running_time import RunningTime

RAISES_MAX = 3
"""How often this member raises its incarnation above one other boot of its name. A process that is gone cannot go on
raising its own; one that does is alive. Of two the later one began, so it gives up first and is told (NameTaken)."""
RIVAL_OVER_S = 10.0
"""Another process of this member's name is gone after this time without its claims. While it lives they come with each
exchange of views: every few seconds."""
BOOTS_MAX = 64
"""Other boots of this member's name that are remembered."""
CONTACT_INTERVAL_S = 0.5
"""Views are exchanged with one unexpected sender at most this often."""
CONTACTS_MAX = 1_000
RETRIES_PER_S = 10
"""About this many members of a large cluster try to reach the dead in one interval."""
STRETCH_FROM = 16
"""Whole views are exchanged less often among more members than this."""
LEAVE_TOLD_MAX = 20
"""Members that are told of a leave directly."""


class Membership:
    """One member. Does no I/O, reads no clock."""

    def __init__(self, me: str, address: str, boot: str, meta: bytes, config: MembershipConfig, rng: Random) -> None:
        self._config = config
        self._rng = rng
        self.stats = MembershipStats()
        self._me = Member(me, MemberState.ALIVE, 0, boot, address, meta, 0.0)
        self._view = View(self._me, config, self.stats)
        self._post = Post(self._view, config)
        self._health = LocalHealth(config.health_max)
        self._prober = Prober(self._view, self._post, self._health, config, rng, self.stats)
        self._time = RunningTime()
        self._events: list[MembershipEvent] = []
        self._is_leaving = False
        self._join: dict[str, str] = {}
        """Join address -> the member that answered there, "" while nobody has."""
        self._join_tokens: dict[int, str] = {}
        """Questions of the last round to join addresses."""
        self._boots: dict[str, int] = {}
        """Other boots of my name: how often I raised my incarnation above them."""
        self._rival = ""
        """Address of another living process of my name."""
        self._rival_at = 0.0
        self._contacts: dict[str, float] = {}
        """Address -> when views were last exchanged with an unexpected sender there."""
        self._accused: dict[str, int] = {}
        """Members that this one accuses, each with the incarnation that it accuses."""
        self._gossip_at = 0.0
        self._push_pull_at = config.push_pull_interval_s * rng.random()
        self._retry_at = config.retry_interval_s
        self._compare_at = 0.0

    # Inputs.

    def join(self, now: float, addresses: Sequence[str]) -> None:
        """Ask these for their view, and go on asking those where no living member has answered."""
        self._join = {address: "" for address in addresses if address != self._me.address}
        self._ask_join_addresses(self._time.read(now))

    def receive(self, now: float, sender: Sender, packet: MembershipPacket) -> None:
        """A packet has come."""
        time = self._time.read(now)
        if sender.name == self._me.name:
            self._receive_from_my_name(time, sender, packet)
            return
        is_accused = False
        for claim in packet.gossip:
            if isinstance(packet, PushPull):
                is_accused |= self._apply(time, self._milder(claim, sender.name), is_known_there=not packet.asks)
            else:
                is_accused |= self._apply(time, claim)
        mine = [self._me.claim(self._me.name)] if is_accused or self._is_leaving else []
        match packet:
            case Ping():
                self._answer(sender, packet, mine)
            case Ack():
                self._prober.ack(packet.seq)
            case PingReq():
                self._prober.relay(time, sender.address, packet)
            case Nack():
                self._prober.nack(packet.seq)
            case Gossip():
                pass
            case PushPull():
                self._exchange(time, sender, packet)
            case _:
                assert_never(packet)
        if is_accused and not isinstance(packet, Ping):
            self._post.tell(sender.address, mine)
        if self._is_leaving:
            return
        if not self._is_expected(sender):
            self._contact(time, sender)
        elif isinstance(packet, Ping | Ack):
            self._compare(time, sender, packet.digest)

    def tick(self, now: float) -> None:
        """Time has passed; to be called every 50 ms."""
        time = self._time.advance(now)
        if time - self._rival_at > RIVAL_OVER_S:
            self._rival = ""
        if not self._is_leaving:
            failed = self._prober.tick(time)
            if failed is not None and failed.state.is_living:
                self._accuse(time, failed)
            for death in self._view.expired(time):
                self._apply(time, death)
            if time >= self._push_pull_at:
                self._push_pull_at = time + self._stretched(self._config.push_pull_interval_s)
                self._push_pull_with_any(time)
            if time >= self._retry_at:
                self._retry_at = time + self._config.retry_interval_s
                self._retry(time)
        if time >= self._gossip_at:
            self._gossip_at = time + self._config.gossip_interval_s
            self._tell_accused()
            self._tell_some()

    def set_meta(self, now: float, meta: bytes) -> None:
        """Say something else about this member."""
        assert len(meta) <= META_BYTES_MAX
        if meta != self._me.meta and not self._is_leaving:
            self._say(self._me.incarnation + 1, meta, MemberState.ALIVE)

    def leave(self, now: float) -> None:
        """Say goodbye. Go on with `tick` for half a second, so that those hear it who are not told directly."""
        if self._is_leaving:
            return
        self._is_leaving = True
        self._say(self._me.incarnation, self._me.meta, MemberState.LEFT)
        others = self._view.others(living=True)
        for member in self._rng.sample(others, min(LEAVE_TOLD_MAX, len(others))):
            self._post.tell(member.address, [self._me.claim(self._me.name)])

    # Outputs. Take both after every input.

    def take_sends(self) -> list[tuple[str, MembershipPacket]]:
        return self._post.take_sends()

    def take_events(self) -> list[MembershipEvent]:
        events, self._events = self._events, []
        return events

    # Questions. Never change state.

    @property
    def members(self) -> Mapping[str, Member]:
        """All known members, including this one and those that are dead or have left."""
        return self._view.members

    @property
    def alive(self) -> list[str]:
        """Names of those that are alive or suspect, this one included."""
        return sorted(name for name, member in self._view.members.items() if member.state.is_living)

    @property
    def unheard(self) -> list[str]:
        """Addresses that should answer and do not: those to join by, and those of members that did not leave."""
        silent = (MemberState.SUSPECT, MemberState.DEAD)
        members = [one.address for one in self._view.members.values() if one is not self._me and one.state in silent]
        return sorted({*self._vacant(), *members})

    @property
    def local_health(self) -> int:
        """0 (well) to 7."""
        return self._health.score

    @property
    def paused_s(self) -> float:
        """For how long, in all, this member did not run."""
        return self._time.paused_s

    @property
    def rival(self) -> str:
        """Address of another live process with this member's name; empty if there is none."""
        return self._rival

    # Claims.

    def _apply(self, time: float, claim: Claim, *, is_known_there: bool = False) -> bool:
        """Take a claim; whether it accuses this member, which must then be told otherwise."""
        if claim.name == self._me.name:
            return self._about_me(time, claim)
        is_new = claim.name not in self._view.members
        if self._view.apply(time, claim):
            if is_new:
                self._prober.add(claim.name)
            if not (is_new and is_known_there):
                self._post.gossip.put(claim)  # but a newcomer does not tell all whom it has just been told of
        self._events += self._view.take_events()
        return False

    def _accuse(self, time: float, member: Member) -> None:
        self._accused[member.name] = member.incarnation
        self._apply(time, replace(member.claim(self._me.name), state=MemberState.SUSPECT))

    def _milder(self, claim: Claim, by: str) -> Claim:
        """A claim of a whole view: who is dead there is only suspect here, if it lives here."""
        member = self._view.members.get(claim.name)
        if claim.state is not MemberState.DEAD or member is None or not member.state.is_living:
            return claim
        return replace(claim, state=MemberState.SUSPECT, by=by)

    def _about_me(self, time: float, claim: Claim) -> bool:
        if claim.boot != self._me.boot:
            return self._about_my_name(time, claim)
        if claim.state is MemberState.ALIVE or self._is_leaving:
            return False
        if claim.incarnation >= self._me.incarnation:
            self.stats.refuted += 1
            self._health.worse()
            self._say(claim.incarnation + 1, self._me.meta, MemberState.ALIVE)
        return True

    def _about_my_name(self, time: float, claim: Claim) -> bool:
        """A member knows another process of this name: an earlier one, whose incarnation is exceeded, or a live one."""
        if order(claim) < order(self._me) or self._is_leaving:
            return False
        raises = self._boots.get(claim.boot, 0)
        if claim.state.is_living and raises >= RAISES_MAX:
            self._name_taken(time, claim.boot, claim.address)
            return False
        self._remember_boot(claim.boot, raises + claim.state.is_living)
        self.stats.names_raised += 1
        self._say(claim.incarnation + 1, self._me.meta, MemberState.ALIVE)
        return True

    def _name_taken(self, time: float, boot: str, address: str) -> None:
        self._rival, self._rival_at = address, time
        if self._boots.get(boot, 0) <= RAISES_MAX:
            self._remember_boot(boot, RAISES_MAX + 1)
            self._events.append(NameTaken(boot, address))

    def _remember_boot(self, boot: str, raises: int) -> None:
        self._boots[boot] = raises
        if len(self._boots) > BOOTS_MAX:
            del self._boots[next(iter(self._boots))]

    def _say(self, incarnation: int, meta: bytes, state: MemberState) -> None:
        self._post.gossip.put(self._view.set_me(incarnation, meta, state))

    # Packets.

    def _receive_from_my_name(self, time: float, sender: Sender, packet: MembershipPacket) -> None:
        if sender.boot != self._me.boot:
            self._name_taken(time, sender.boot, sender.address)
        elif isinstance(packet, PushPull) and packet.token in self._join_tokens:
            self._join.pop(self._join_tokens.pop(packet.token), None)  # an address of my own

    def _answer(self, sender: Sender, ping: Ping, mine: list[Claim]) -> None:
        if ping.target != self._me.name:
            return
        member = self._view.members.get(sender.name)
        if member is not None and member.state != MemberState.ALIVE:
            mine = [*mine, member.claim(self._me.name)]
        self._post.ack(sender.address, ping.seq, mine)

    def _exchange(self, time: float, sender: Sender, packet: PushPull) -> None:
        if packet.asks:
            self._post.push_pull(time, sender.address, packet.token, asks=False)
        elif packet.token in self._join_tokens:
            self._join[self._join_tokens[packet.token]] = sender.name

    def _is_expected(self, sender: Sender) -> bool:
        """Whether it is no surprise to hear from there."""
        member = self._view.members.get(sender.name)
        return member is not None and member.boot == sender.boot and member.state is not MemberState.DEAD

    def _contact(self, time: float, sender: Sender) -> None:
        """Exchange views with a sender that this member takes for dead, or does not know."""
        if time - self._contacts.get(sender.address, -CONTACT_INTERVAL_S) >= CONTACT_INTERVAL_S:
            if len(self._contacts) >= CONTACTS_MAX:
                self._contacts.clear()
            self._contacts[sender.address] = time
            self._ask(time, sender.address)

    def _compare(self, time: float, sender: Sender, digest: int) -> None:
        """Exchange views if they differ for another reason than news that are still on their way."""
        if digest == self._view.digest or self._post.gossip or time < self._compare_at:
            return
        self.stats.views_differed += 1
        self._compare_at = time + self._stretched(1.0)
        self._ask(time, sender.address)

    # From time to time.

    def _ask(self, time: float, address: str) -> int:
        token = self._prober.next_seq()
        self.stats.push_pulls += 1
        self._post.push_pull(time, address, token, asks=True)
        return token

    def _tell_accused(self) -> None:
        """Tell those whom I accuse directly, again and again: on a lossy network gossip alone may come too late."""
        for name, incarnation in list(self._accused.items()):
            member = self._view.members.get(name)
            if member is None or (member.state, member.incarnation) != (MemberState.SUSPECT, incarnation):
                del self._accused[name]
            elif not self._is_leaving:
                self._post.tell(member.address, [member.claim(self._me.name)])

    def _tell_some(self) -> None:
        if not self._post.gossip:
            return
        others = self._view.others(living=True)
        for member in self._rng.sample(others, min(self._config.gossip_fanout, len(others))):
            if self._post.gossip:
                self._post.tell(member.address, [])

    def _push_pull_with_any(self, time: float) -> None:
        self._view.forget(time)
        others = self._view.others(living=True)
        if others:
            self._ask(time, self._rng.choice(others).address)

    def _retry(self, time: float) -> None:
        self._ask_join_addresses(time)
        gone = self._view.others(living=False)
        # All members of a large cluster at once would drown who comes back.
        if gone and self._rng.random() * self._view.living < RETRIES_PER_S:
            for member in self._rng.sample(gone, min(self._config.retried_max, len(gone))):
                self.stats.retries += 1
                self._post.ping(member, self._prober.next_seq())

    def _ask_join_addresses(self, time: float) -> None:
        self._join_tokens = {}
        for address in self._vacant():
            self.stats.retries += 1
            self._join_tokens[self._ask(time, address)] = address

    def _vacant(self) -> list[str]:
        """Join addresses where no living member has answered."""
        living = {member.address for member in self._view.others(living=True)}
        return [
            address
            for address, name in self._join.items()
            if address not in living and not ((member := self._view.members.get(name)) and member.state.is_living)
        ]

    def _stretched(self, interval_s: float) -> float:
        return interval_s * (1 + math.log2(max(1.0, self._view.living / STRETCH_FROM)))
