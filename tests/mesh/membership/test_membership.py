"""The core of membership: what goes in, what exactly comes out."""

from __future__ import annotations

from random import Random

import pytest

from mesh.membership.config import MembershipConfig
from mesh.membership.gossip import claim_bytes
from mesh.membership.membership import BOOTS_MAX, Membership
from mesh.membership.packets import (
    CLAIMS_BYTES_MAX,
    Ack,
    Claim,
    Gossip,
    MemberChanged,
    MembershipPacket,
    MemberState,
    Nack,
    NameTaken,
    Ping,
    PingReq,
    PushPull,
    Sender,
)

ALIVE, SUSPECT, DEAD, LEFT = MemberState
QUIET = MembershipConfig(push_pull_interval_s=1e6, retry_interval_s=1e6, forget_after_s=1e9)
"""Only probes and gossip."""


def claim(name: str, state: MemberState = ALIVE, incarnation: int = 0, by: str = "", boot: str = "1") -> Claim:
    return Claim(name, state, incarnation, boot, f"{name}:1", b"", by or name)


def from_(name: str, boot: str = "1") -> Sender:
    return Sender(name, boot, f"{name}:1")


class Me:
    """A member called `me`, its clock, and what it sent."""

    def __init__(self, *others: str, config: MembershipConfig = QUIET) -> None:
        self.core = Membership("me", "me:1", "1", b"", config, Random(7))
        self.now = 100.0
        self.core.tick(self.now)
        self.hear("x", PushPull(0, False, [claim(other) for other in others]), quietly=True)
        self.core.take_events()

    def hear(self, name: str, packet: MembershipPacket, boot: str = "1", *, quietly: bool = False) -> None:
        self.core.receive(self.now, from_(name, boot), packet)
        if quietly:
            self.core.take_sends()

    def sends(self) -> list[tuple[str, MembershipPacket]]:
        return self.core.take_sends()

    def run(self, duration_s: float) -> list[tuple[str, MembershipPacket]]:
        """What is sent meanwhile."""
        sent = []
        for _ in range(round(duration_s / 0.05)):
            self.now += 0.05
            self.core.tick(self.now)
            sent += self.core.take_sends()
        return sent

    def run_until_ping(self, to: str) -> Ping:
        for _ in range(100):
            for address, packet in self.run(0.05):
                if isinstance(packet, Ping):
                    if address == f"{to}:1":
                        return packet
                    self.answer(packet)
        raise AssertionError(f"{to} is not probed")

    def answer(self, ping: Ping) -> None:
        self.hear(ping.target, Ack(ping.seq, self.core._view.digest, []), quietly=True)

    def states(self) -> dict[str, tuple[str, int]]:
        return {name: (m.state.word, m.incarnation) for name, m in self.core.members.items()}

    def changes(self) -> list[tuple[str, str]]:
        return [(e.name, e.state.word) for e in self.core.take_events() if isinstance(e, MemberChanged)]


def test_every_member_is_probed_once_per_round() -> None:
    me = Me("a", "b", "c", "d")
    probed = []
    for _ in range(160):
        for address, packet in me.run(0.05):
            assert isinstance(packet, Ping)
            probed.append(address)
            me.answer(packet)
    rounds = [sorted(probed[i : i + 4]) for i in range(0, len(probed) - 3, 4)]
    assert len(rounds) >= 3
    assert all(r == ["a:1", "b:1", "c:1", "d:1"] for r in rounds)
    assert probed[:4] != probed[4:8]  # shuffled again


def test_a_ping_is_answered_and_changes_nothing() -> None:
    me = Me("a")
    me.hear("a", Ping(5, "me", me.core._view.digest, []))
    assert me.sends() == [("a:1", Ack(5, me.core._view.digest, []))]
    assert me.core.take_events() == []


def test_a_ping_for_somebody_else_is_not_answered() -> None:
    me = Me("a")
    me.hear("a", Ping(5, "you", me.core._view.digest, []))
    assert me.sends() == []


def test_no_ack_leads_to_ping_req_then_to_suspicion() -> None:
    me = Me("a", "b")
    ping = me.run_until_ping("a")
    asked = [(address, p) for address, p in me.run(0.25) if isinstance(p, PingReq)]
    assert asked == [("b:1", PingReq(ping.seq, "a", "a:1", []))]
    me.hear("b", Nack(ping.seq, []), quietly=True)
    told = me.run(0.4)
    assert me.states()["a"] == ("suspect", 0)
    assert ("b:1", Gossip([claim("a", SUSPECT, by="me")])) in told
    assert me.core.local_health == 0  # the nack came: it is not me
    assert me.changes() == [("a", "suspect")]


def test_a_missing_nack_is_held_against_oneself() -> None:
    me = Me("a", "b")
    me.run_until_ping("a")
    me.run(0.55)
    assert me.core.local_health == 1
    assert me.core.stats.nacks_missed == 1


def test_the_accused_is_told_by_its_accuser_until_it_refutes() -> None:
    me = Me("a", "b")
    ping = me.run_until_ping("a")
    me.hear("b", Nack(ping.seq, []), quietly=True)
    accusation = claim("a", SUSPECT, by="me")
    told = [p for to, p in me.run(1.5) if to == "a:1" and isinstance(p, Gossip) and p.gossip[:1] == [accusation]]
    assert len(told) >= 4
    me.hear("a", Gossip([claim("a", incarnation=1)]), quietly=True)
    assert not any(accusation in p.gossip for _, p in me.run(1.0))


def test_one_whom_others_accuse_is_left_to_them() -> None:
    me = Me("a", "b", "c", "d", "e", "f", "g")
    me.hear("b", Gossip([claim("a", SUSPECT, by="b")]), quietly=True)
    assert len([to for to, p in me.run(1.5) if to == "a:1" and isinstance(p, Gossip)]) <= 4


def test_bad_health_stretches_the_probes() -> None:
    me = Me("a", "b")
    me.core._health.worse(3)
    me.run_until_ping("a")
    assert not any(isinstance(p, PingReq) for _, p in me.run(0.7))  # 4 x 0.2 s
    assert any(isinstance(p, PingReq) for _, p in me.run(0.2))
    me.run(1.0)
    assert me.states()["a"] == ("alive", 0)  # 4 x 0.5 s
    me.run(0.2)
    assert me.states()["a"] == ("suspect", 0)


def test_an_ack_through_another_saves_the_probe() -> None:
    me = Me("a", "b")
    ping = me.run_until_ping("a")
    me.run(0.3)
    me.hear("b", Ack(ping.seq, 0, []), quietly=True)
    me.run(0.3)
    assert me.states()["a"] == ("alive", 0)


def test_a_suspect_is_dead_when_its_time_is_over() -> None:
    me = Me("a", "b")
    me.hear("b", Gossip([claim("a", SUSPECT, by="b")]), quietly=True)
    me.run(1.95)
    assert me.states()["a"] == ("suspect", 0)
    me.run(0.1)
    assert me.states()["a"] == ("dead", 0)
    assert me.core.alive == ["b", "me"]
    assert me.core.stats.declared_dead == 1


def test_a_suspect_hears_so_on_the_probe() -> None:
    me = Me("a", "b")
    me.hear("b", Gossip([claim("a", SUSPECT, by="b")]), quietly=True)
    assert me.run_until_ping("a").gossip[0] == claim("a", SUSPECT, by="me")


def test_a_suspect_that_asks_hears_so_on_the_ack() -> None:
    me = Me("a", "b")
    me.hear("b", Gossip([claim("a", SUSPECT, by="b")]), quietly=True)
    me.hear("a", Ping(1, "me", me.core._view.digest, []))
    ack = me.sends()[0][1]
    assert isinstance(ack, Ack)
    assert claim("a", SUSPECT, by="me") in ack.gossip


def test_a_higher_incarnation_refutes_and_the_same_does_not() -> None:
    me = Me("a", "b")
    me.hear("b", Gossip([claim("a", SUSPECT, by="b")]), quietly=True)
    me.hear("b", Gossip([claim("a")]), quietly=True)
    assert me.states()["a"] == ("suspect", 0)
    me.hear("b", Gossip([claim("a", incarnation=1)]), quietly=True)
    assert me.states()["a"] == ("alive", 1)
    me.run(30)
    assert ("a", "dead") not in me.changes()[:2]


def test_one_that_refuted_during_its_probe_is_not_accused_again() -> None:
    me = Me("a", "b")
    me.run_until_ping("a")
    me.run(0.3)
    me.hear("a", Gossip([claim("a", incarnation=1)]), quietly=True)
    me.run(0.25)
    assert me.core.stats.probes_failed == 1
    assert me.states()["a"] == ("alive", 1)


def test_an_accusation_of_me_is_refuted_at_once_to_the_accuser() -> None:
    me = Me("a", "b")
    me.hear("a", Ping(3, "me", me.core._view.digest, [claim("me", SUSPECT, 4, by="b")]))
    to, ack = me.sends()[0]
    assert to == "a:1"
    assert isinstance(ack, Ack)
    assert ack.gossip[0] == claim("me", ALIVE, 5)
    assert (me.core.stats.refuted, me.core.local_health) == (1, 1)


@pytest.mark.parametrize("state", [SUSPECT, DEAD, LEFT])
def test_every_false_claim_about_me_is_refuted(state: MemberState) -> None:
    me = Me("a")
    me.hear("a", Gossip([claim("me", state, 0, by="b")]))
    assert ("a:1", Gossip([claim("me", ALIVE, 1)])) in me.sends()


def test_an_old_accusation_is_answered_without_raising_again() -> None:
    me = Me("a")
    me.hear("a", Gossip([claim("me", SUSPECT, 4, by="b")]), quietly=True)
    me.hear("a", Gossip([claim("me", SUSPECT, 4, by="b")]))
    assert ("a:1", Gossip([claim("me", ALIVE, 5)])) in me.sends()
    assert me.core.stats.refuted == 1


def test_confirmations_shorten_the_suspicion() -> None:
    for accusers, lasts_s in (("b", 12.0), ("bc", 12 - 10 * 0.6309), ("bcd", 2.0)):
        me = Me("a", "b", "c", "d", "e", "f")
        for by in accusers:
            me.hear("b", Gossip([claim("a", SUSPECT, by=by)]), quietly=True)
        suspicion = me.core._view._suspicions["a"]
        assert suspicion.deadline - me.core._time.read(me.now) == pytest.approx(lasts_s, abs=0.01)


def test_a_confirmation_is_told_on() -> None:
    me = Me("a", "b", "c", "d", "e")
    for by in "bc":
        me.hear(by, Gossip([claim("a", SUSPECT, by=by)]), quietly=True)
    told = [p for _, p in me.run(0.25) if isinstance(p, Gossip)]
    assert {c.by for c in told[0].gossip if c.state is SUSPECT} == {"b", "c"}


def test_relaying_forwards_the_ack_or_says_nack() -> None:
    me = Me("a", "b")
    me.hear("b", PingReq(77, "a", "a:1", []))
    (to, ping), *rest = me.sends()
    assert (to, rest) == ("a:1", [])
    assert isinstance(ping, Ping)
    assert not any(isinstance(p, Nack) for _, p in me.run(0.1))
    assert ("b:1", Nack(77, [])) in me.run(0.1)
    me.hear("a", Ack(ping.seq, me.core._view.digest, []))
    assert me.sends() == [("b:1", Ack(77, me.core._view.digest, []))]


def test_a_whole_view_kills_nobody() -> None:
    me = Me("a", "b")
    me.hear("b", PushPull(0, False, [claim("a", DEAD, by="c")]), quietly=True)
    assert me.states()["a"] == ("suspect", 0)
    me.hear("b", Gossip([claim("a", DEAD, by="c")]), quietly=True)
    assert me.states()["a"] == ("dead", 0)


def test_a_whole_view_does_tell_of_the_dead_that_nobody_here_knew() -> None:
    me = Me("b")
    me.hear("b", PushPull(0, False, [claim("a", DEAD, by="b"), claim("c", LEFT)]), quietly=True)
    assert me.changes() == [("a", "dead"), ("c", "left")]


def test_whoever_asks_for_the_view_gets_it() -> None:
    me = Me("a")
    me.hear("b", PushPull(9, True, [claim("b")]))
    [(to, packet)] = me.sends()
    assert to == "b:1"
    assert packet == PushPull(9, False, [claim("me"), claim("a", by="me"), claim("b", by="me")])


def test_a_large_view_is_split_and_the_part_that_asks_goes_last() -> None:
    me = Me(*(f"member-number-{i}" for i in range(100)))
    me.core.join(me.now, ["seed:1"])
    parts = [p for _, p in me.sends() if isinstance(p, PushPull)]
    assert len(parts) > 3
    assert [part.asks for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].gossip[0] == claim("me")
    assert len({c.name for part in parts for c in part.gossip}) == 101


def test_a_stranger_that_pings_is_asked_for_its_view_but_not_all_the_time() -> None:
    me = Me("a")
    for _ in range(3):
        me.hear("z", Ping(1, "me", 0, []))
    sent = me.sends()
    assert [type(p) for _, p in sent] == [Ack, PushPull, Ack, Ack]
    me.run(0.6)
    me.hear("z", Ping(1, "me", 0, []))
    assert [type(p) for _, p in me.sends()] == [Ack, PushPull]


def test_one_held_for_dead_that_speaks_gets_the_view() -> None:
    me = Me("a", "b")
    me.hear("b", Gossip([claim("a", DEAD, by="b")]), quietly=True)
    me.hear("a", Ping(1, "me", 0, []))
    asked = [p for _, p in me.sends() if isinstance(p, PushPull)]
    assert claim("a", DEAD, by="me") in asked[0].gossip


def test_views_that_differ_are_exchanged_when_nothing_is_left_to_tell() -> None:
    me = Me("a")
    me.run_until_ping("a")
    me.hear("a", Ping(1, "me", 12345, []))
    assert any(isinstance(p, PushPull) and p.asks for _, p in me.sends())
    me.hear("a", Ping(2, "me", 12345, []))
    assert not any(isinstance(p, PushPull) for _, p in me.sends())
    assert me.core.stats.views_differed == 1


def test_the_dead_are_tried_again_and_told_so() -> None:
    me = Me("a", config=MembershipConfig())
    me.hear("a", Gossip([claim("b"), claim("b", DEAD)]), quietly=True)
    pings = [p for to, p in me.run(1.2) if to == "b:1" and isinstance(p, Ping)]
    assert pings
    assert claim("b", DEAD, by="me") in pings[0].gossip


def test_join_addresses_are_asked_until_a_member_answers_there() -> None:
    me = Me(config=MembershipConfig())
    me.core.join(me.now, ["me:1", "seed.example:1"])
    asked = [p for to, p in me.sends() + me.run(3.0) if isinstance(p, PushPull) and to == "seed.example:1"]
    assert len(asked) in (3, 4)
    me.hear("a", PushPull(asked[-1].token, False, [claim("a")]), quietly=True)
    assert not any(to == "seed.example:1" for to, _ in me.run(3.0))
    me.hear("b", Gossip([claim("a", DEAD)]), quietly=True)
    assert any(to == "seed.example:1" for to, _ in me.run(1.1))


def test_a_join_address_that_turns_out_to_be_mine_is_dropped() -> None:
    me = Me(config=MembershipConfig())
    me.core.join(me.now, ["localhost:1"])
    [(_, asked)] = me.sends()
    me.hear("me", asked)
    assert me.sends() == []
    assert not any(to == "localhost:1" for to, _ in me.run(3.0))


def test_meta_goes_around_with_a_raised_incarnation() -> None:
    me = Me("a")
    me.core.set_meta(me.now, b"new")
    told = [p for _, p in me.run(0.25) if isinstance(p, Gossip)]
    assert told[0].gossip == [Claim("me", ALIVE, 1, "1", "me:1", b"new", "me")]
    me.core.set_meta(me.now, b"new")
    assert me.states()["me"] == ("alive", 1)


def test_leaving_is_told_directly_and_not_refuted() -> None:
    me = Me("a", "b")
    me.core.leave(me.now)
    left = claim("me", LEFT)
    assert sorted(me.sends()) == [("a:1", Gossip([left])), ("b:1", Gossip([left]))]
    me.hear("a", Gossip([claim("me", SUSPECT, 9, by="b")]), quietly=True)
    me.hear("a", Ping(1, "me", 0, []))
    [(_, ack)] = me.sends()
    assert isinstance(ack, Ack)
    assert ack.gossip == [left]
    assert not any(isinstance(p, Ping) for _, p in me.run(3.0))


def test_a_member_that_left_is_not_probed() -> None:
    me = Me("a")
    me.hear("a", Gossip([claim("a", LEFT)]), quietly=True)
    assert me.changes() == [("a", "left")]
    assert not any(isinstance(p, Ping) for _, p in me.run(3.0))


def test_what_is_remembered_of_an_earlier_process_of_mine_is_raised_above() -> None:
    me = Me()
    me.hear("a", PushPull(0, False, [claim("a"), claim("me", ALIVE, 6, boot="old")]))
    assert me.states()["me"] == ("alive", 7)
    assert ("a:1", Gossip([claim("me", ALIVE, 7)])) in [(to, Gossip(p.gossip[:1])) for to, p in me.sends()]
    assert me.core.take_events() == [MemberChanged("a", ALIVE, "1", "a:1", b"", 0, None)]


def test_a_process_that_goes_on_raising_my_name_is_told_of_once() -> None:
    me = Me("a")
    for incarnation in range(0, 40, 2):
        me.hear("a", Gossip([claim("me", ALIVE, incarnation, boot="rival")]), quietly=True)
    assert me.core.take_events() == [NameTaken("rival", "me:1")]
    assert me.states()["me"] == ("alive", 5)


def test_a_packet_under_my_own_name_is_told_of_once_and_changes_nothing() -> None:
    me = Me("a")
    before = me.states()
    for _ in range(3):
        me.core.receive(me.now, Sender("me", "rival", "z:1"), Gossip([claim("a", DEAD)]))
    assert me.core.take_events() == [NameTaken("rival", "z:1")]
    assert (me.states(), me.sends()) == (before, [])


def test_the_boots_that_are_remembered_are_bounded() -> None:
    me = Me("a")
    for i in range(3 * BOOTS_MAX):
        me.hear("a", Gossip([claim("me", ALIVE, i * 2, boot=f"old{i}")]), quietly=True)
    assert len(me.core._boots) == BOOTS_MAX


def test_a_pause_of_mine_is_not_held_against_others() -> None:
    me = Me("a", "b")
    me.run_until_ping("a")
    me.hear("b", Gossip([claim("b", incarnation=1)]), quietly=True)
    me.now += 60
    me.core.tick(me.now)
    assert [state for state, _ in me.states().values()] == ["alive", "alive", "alive"]
    assert me.core.paused_s == pytest.approx(59.8, abs=0.1)


def test_all_packets_stay_within_their_room_even_with_the_longest_names() -> None:
    me = Me("a")
    for i in range(20):
        name = f"{i:02}".ljust(64, "x")
        told = Claim(name, SUSPECT, 2**40, "b" * 32, "h" * 123 + ":1234", b"m" * 512, "y" * 64)
        me.hear("a", Gossip([told]))
    packets = [p for _, p in [*me.sends(), *me.run(5.0)]]
    assert max(len(p.gossip) for p in packets) >= 1
    assert max(sum(map(claim_bytes, p.gossip)) for p in packets) <= CLAIMS_BYTES_MAX
