"""Probing: one member after the other, in an order that is shuffled for every round.

SWIM 4.3 (round robin: every member is probed within one round, whatever the luck) and Lifeguard's LHA-Probe:

    ping ---- no ack within the timeout ----> ping_req to a few others ---- no ack until the interval's end ----> failed
                                              (which answer ack, or nack: "I am there, it is not")

A nack that does not come says more about this member than about the target: its health gets worse by one for each.

Not here: what a failed probe means (membership.py), what pings carry (post.py).
"""

from __future__ import annotations

from random import Random

import msgspec

from mesh.membership.config import MembershipConfig
from mesh.membership.local_health import LocalHealth
from mesh.membership.packets import Member, MembershipStats, MemberState, PingReq
from mesh.membership.post import Post
from mesh.membership.view import View

NACK_SHARE = 0.8
"""A relay says nack after this share of the probe timeout, so that it arrives before the prober gives up."""
RELAYED_MAX = 1_000
"""Pings for others that may be open at once."""


class _Probe(msgspec.Struct):
    seq: int
    target: str
    boot: str
    incarnation: int
    indirect_at: float
    ends_at: float
    nacks_expected: int = 0
    nacks: int = 0
    is_indirect: bool = False


class _Relayed(msgspec.Struct):
    address: str
    """Of who asked."""
    seq: int
    """Its number there."""
    nack_at: float
    ends_at: float
    is_nacked: bool = False


class Prober:
    """The probe under way, the order of the next ones, and pings for others."""

    def __init__(
        self,
        view: View,
        post: Post,
        health: LocalHealth,
        config: MembershipConfig,
        rng: Random,
        stats: MembershipStats,
    ) -> None:
        self._view = view
        self._post = post
        self._health = health
        self._config = config
        self._rng = rng
        self._stats = stats
        self._seq = 0
        self._round: list[str] = []
        """Whom to probe, the next one last."""
        self._probe: _Probe | None = None
        self._next_at: float | None = None
        self._relayed: dict[int, _Relayed] = {}

    def next_seq(self) -> int:
        """A number that no other question of this member has."""
        self._seq += 1
        return self._seq

    def add(self, name: str) -> None:
        """Put a new member at a random place of the round (SWIM 4.3)."""
        self._round.insert(self._rng.randrange(len(self._round) + 1), name)

    def tick(self, now: float) -> Member | None:
        """Go on; returns a member that did not answer its probe."""
        self._tick_relayed(now)
        if self._next_at is None:
            # The first probe comes at a random time, so that members started together do not probe together.
            self._next_at = now + self._rng.random() * self._config.probe_interval_s
        failed = None
        probe = self._probe
        if probe is not None and now >= probe.ends_at:
            failed = self._fail(probe)
        elif probe is not None and not probe.is_indirect and now >= probe.indirect_at:
            self._ask_others(probe)
        if self._probe is None and now >= self._next_at:
            self._start(now)
        return failed

    def ack(self, seq: int) -> None:
        """The question with this number was answered by its target."""
        if self._probe is not None and self._probe.seq == seq:
            self._probe = None
            self._health.better()
        relayed = self._relayed.pop(seq, None)
        if relayed is not None:
            self._post.ack(relayed.address, relayed.seq, [])

    def nack(self, seq: int) -> None:
        """One that was asked to ping says that it is there and the target does not answer."""
        if self._probe is not None and self._probe.seq == seq:
            self._probe.nacks += 1

    def relay(self, now: float, address: str, asked: PingReq) -> None:
        """Ping for another member."""
        if len(self._relayed) >= RELAYED_MAX:
            return
        seq = self.next_seq()
        timeout_s = self._config.probe_timeout_s
        self._relayed[seq] = _Relayed(
            address, asked.seq, now + timeout_s * NACK_SHARE, now + self._config.probe_interval_s
        )
        self._post.ping_for(asked.address, seq, asked.target)

    def _start(self, now: float) -> None:
        target = self._next_target()
        interval_s = self._health.stretch(self._config.probe_interval_s)
        self._next_at = now + interval_s
        if target is None:
            return
        self._stats.probes += 1
        self._probe = _Probe(
            seq=self.next_seq(),
            target=target.name,
            boot=target.boot,
            incarnation=target.incarnation,
            indirect_at=now + self._health.stretch(self._config.probe_timeout_s),
            ends_at=now + interval_s,
        )
        self._post.ping(target, self._probe.seq)

    def _next_target(self) -> Member | None:
        for _ in range(2):
            while self._round:
                member = self._view.members.get(self._round.pop())
                if member is not None and member is not self._view.me and member.state.is_living:
                    return member
            self._round = [member.name for member in self._view.others(living=True)]
            self._rng.shuffle(self._round)
        return None

    def _ask_others(self, probe: _Probe) -> None:
        probe.is_indirect = True
        target = self._view.members.get(probe.target)
        if target is None:
            return
        others = [m for m in self._view.others(living=True) if m.state is MemberState.ALIVE and m.name != probe.target]
        relays = self._rng.sample(others, min(self._config.indirect_probes, len(others)))
        for relay in relays:
            self._post.ping_req(relay.address, probe.seq, target)
        probe.nacks_expected = len(relays)
        self._stats.ping_reqs += len(relays)

    def _fail(self, probe: _Probe) -> Member | None:
        self._probe = None
        self._stats.probes_failed += 1
        missed = max(0, probe.nacks_expected - probe.nacks)
        self._stats.nacks_missed += missed
        self._health.worse(missed if probe.nacks_expected else 1)
        target = self._view.members.get(probe.target)
        if target is None or (target.boot, target.incarnation) != (probe.boot, probe.incarnation):
            return None  # it was started again, or has refuted, while it was being asked
        return target

    def _tick_relayed(self, now: float) -> None:
        for seq, relayed in list(self._relayed.items()):
            if not relayed.is_nacked and now >= relayed.nack_at:
                relayed.is_nacked = True
                self._stats.nacks_sent += 1
                self._post.nack(relayed.address, relayed.seq)
            if now >= relayed.ends_at:
                del self._relayed[seq]
