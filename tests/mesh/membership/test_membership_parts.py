"""The parts of membership one by one: suspicion, local health, running time, gossip, configuration, the view."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from mesh.membership.config import MembershipConfig
from mesh.membership.gossip import GossipQueue, claim_bytes, retransmits
from mesh.membership.local_health import LocalHealth
from mesh.membership.packets import Claim, Member, MemberChanged, MembershipStats, MemberState
from mesh.membership.suspicion import Suspicion, suspicion_range_s
from mesh.membership.view import View
from mesh.running_time import STEP_S_MAX, RunningTime

CONFIG = MembershipConfig()
ALIVE, SUSPECT, DEAD, LEFT = MemberState


def claim(name: str, state: MemberState = ALIVE, incarnation: int = 0, by: str = "", boot: str = "1") -> Claim:
    return Claim(name, state, incarnation, boot, f"{name}:1", b"", by or name)


class TestSuspicion:
    def test_few_members_wait_for_nobody(self) -> None:
        for members in (2, 3):
            assert Suspicion(10.0, "b", CONFIG, members).deadline == 12.0

    def test_each_further_accuser_shortens_it_by_the_formula(self) -> None:
        suspicion = Suspicion(10.0, "b", CONFIG, 5)
        assert suspicion.deadline == 10 + 12
        assert suspicion.confirm("c")
        assert suspicion.deadline == pytest.approx(10 + 12 - 10 * math.log(2) / math.log(3))
        assert suspicion.confirm("d")
        assert suspicion.deadline == pytest.approx(12.0)

    def test_only_distinct_accusers_count_and_not_more_than_are_needed(self) -> None:
        suspicion = Suspicion(10.0, "b", CONFIG, 9)
        assert not suspicion.confirm("b")
        assert suspicion.confirm("c")
        assert not suspicion.confirm("c")
        assert suspicion.confirm("d")
        assert not suspicion.confirm("e")
        assert suspicion.deadline == pytest.approx(12.0)

    def test_it_is_longer_among_more_members(self) -> None:
        assert suspicion_range_s(CONFIG, 10) == (2.0, 12.0)
        assert suspicion_range_s(CONFIG, 100) == (4.0, 24.0)


class TestLocalHealth:
    def test_it_stays_within_its_bounds_and_stretches(self) -> None:
        health = LocalHealth(7)
        health.better()
        assert (health.score, health.stretch(0.5)) == (0, 0.5)
        health.worse(3)
        assert (health.score, health.stretch(0.5)) == (3, 2.0)
        health.worse(9)
        assert health.score == 7
        health.better()
        assert health.score == 6

    def test_a_pause_counts_as_one_late_tick(self) -> None:
        time = RunningTime()
        assert time.advance(1000.0) == 0.0
        assert time.advance(1000.05) == pytest.approx(0.05)
        assert time.read(1000.1) == pytest.approx(0.1)
        assert time.advance(1060.05) == pytest.approx(0.05 + STEP_S_MAX)
        assert time.paused_s == pytest.approx(60 - STEP_S_MAX)

    def test_a_clock_that_jumps_back_changes_nothing(self) -> None:
        time = RunningTime()
        time.advance(1000.0)
        assert time.read(5.0) == 0.0
        assert time.advance(5.0) == 0.0
        assert time.advance(5.05) == pytest.approx(0.05)


class TestGossip:
    def test_a_claim_is_told_so_often_and_no_more(self) -> None:
        queue = GossipQueue()
        queue.put(claim("a"))
        told = [queue.take(1000, 4, []) for _ in range(6)]
        assert told == [[claim("a")]] * 4 + [[], []]
        assert not queue

    def test_the_limit_grows_with_the_logarithm(self) -> None:
        assert [retransmits(4, n) for n in (1, 3, 9, 10, 99, 100, 500)] == [4, 4, 4, 8, 8, 12, 12]

    def test_what_was_told_least_comes_first_and_of_that_the_newest(self) -> None:
        queue = GossipQueue()
        size = claim_bytes(claim("a"))
        queue.put(claim("a"))
        queue.put(claim("b"))
        assert queue.take(size, 4, []) == [claim("b")]
        queue.put(claim("c"))
        assert queue.take(2 * size, 4, []) == [claim("c"), claim("a")]
        assert queue.take(3 * size, 4, []) == [claim("a"), claim("c"), claim("b")]

    def test_a_packet_is_never_filled_beyond_its_room(self) -> None:
        queue = GossipQueue()
        for i in range(100):
            queue.put(claim(f"member{i}"))
        assert sum(map(claim_bytes, queue.take(1000, 4, []))) <= 1000

    def test_a_newer_claim_takes_the_place_of_the_old_one(self) -> None:
        queue = GossipQueue()
        queue.put(claim("a"))
        queue.put(claim("a", incarnation=1))
        assert queue.take(1000, 4, []) == [claim("a", incarnation=1)]

    def test_accusations_of_different_members_are_told_side_by_side(self) -> None:
        queue = GossipQueue()
        accusations = [claim("a", SUSPECT, by="b"), claim("a", SUSPECT, by="c")]
        queue.put(claim("a"))
        for accusation in accusations:
            queue.put(accusation)
        assert queue.take(1000, 4, []) == accusations[::-1]
        queue.put(claim("a", SUSPECT, 1, by="d"))
        assert queue.take(1000, 4, []) == [claim("a", SUSPECT, 1, by="d")]
        queue.put(claim("a", incarnation=2))
        assert queue.take(1000, 4, []) == [claim("a", incarnation=2)]

    def test_of_those_who_are_told_anyway_nothing_is_added(self) -> None:
        queue = GossipQueue()
        queue.put(claim("a"))
        assert queue.take(1000, 4, [claim("a", DEAD)]) == []
        assert len(queue) == 1


class TestConfig:
    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("probe_interval_s", 0, "must be more than 0"),
            ("probe_timeout_s", 0.3, "at most half of probe_interval_s"),
            ("gossip_interval_s", 0.6, "at most probe_interval_s"),
            ("forget_after_s", 5.0, "at least ten times"),
            ("indirect_probes", -1, "must be more than 0"),
        ],
    )
    def test_relations_are_checked(self, name: str, value: float, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            MembershipConfig(**{name: value})  # type: ignore[arg-type]

    def test_no_confirmations_and_no_stretching_are_allowed(self) -> None:
        MembershipConfig(confirmations=0, health_max=0)


def view() -> View:
    return View(Member("me", ALIVE, 0, "1", "me:1", b"", 0.0), CONFIG, MembershipStats())


class TestView:
    @pytest.mark.parametrize(
        ("low", "high"),
        [
            (claim("a"), claim("a", SUSPECT)),
            (claim("a", SUSPECT), claim("a", DEAD)),
            (claim("a", DEAD), claim("a", LEFT)),
            (claim("a", LEFT), claim("a", incarnation=1)),
            (claim("a", DEAD), claim("a", boot="2")),
            (claim("a", boot="2"), claim("a", incarnation=1, boot="1")),
        ],
    )
    def test_the_higher_claim_is_believed_whatever_comes_first(self, low: Claim, high: Claim) -> None:
        for first, second in ((low, high), (high, low)):
            seen = view()
            seen.apply(0.0, first)
            seen.apply(0.0, second)
            assert seen.members["a"].claim(high.by) == high

    def test_changes_are_told_with_what_was_before(self) -> None:
        seen = view()
        for said in (claim("a"), claim("a", SUSPECT), claim("a", incarnation=1), claim("a", incarnation=2)):
            assert seen.apply(0.0, said)
        changes = [(event.state, event.previous) for event in seen.take_events()]
        assert changes == [(ALIVE, None), (SUSPECT, ALIVE), (ALIVE, SUSPECT)]  # a mere incarnation is no change

    def test_another_boot_address_or_meta_is_a_change(self) -> None:
        seen = view()
        seen.apply(0.0, claim("a"))
        seen.take_events()
        seen.apply(1.0, claim("a", incarnation=1, boot="2"))
        seen.apply(2.0, replace(claim("a", incarnation=2, boot="2"), meta=b"x"))
        seen.apply(3.0, replace(claim("a", incarnation=3, boot="2"), meta=b"x", address="b:2"))
        assert [(e.boot, e.meta, e.address) for e in seen.take_events()] == [
            ("2", b"", "a:1"),
            ("2", b"x", "a:1"),
            ("2", b"x", "b:2"),
        ]
        assert seen.members["a"].since == 1.0

    def test_a_suspicion_runs_out_only_while_the_member_is_suspect(self) -> None:
        seen = view()
        seen.apply(0.0, claim("a"))
        seen.apply(1.0, claim("a", SUSPECT, by="b"))
        assert seen.expired(2.9) == []
        assert seen.expired(3.0) == [claim("a", DEAD, by="me")]
        seen.apply(3.0, claim("a", incarnation=1))
        assert seen.expired(99.0) == []

    def test_views_that_agree_about_the_living_have_one_digest(self) -> None:
        one, other = view(), view()
        one.apply(0.0, claim("a"))
        one.apply(0.0, claim("b"))
        one.apply(0.0, claim("b", DEAD))
        assert one.digest != other.digest
        other.apply(0.0, claim("a"))
        assert one.digest == other.digest
        one.apply(0.0, claim("a", SUSPECT, by="b"))
        assert one.digest != other.digest

    def test_the_dead_are_forgotten_after_long_and_not_told_of_before(self) -> None:
        seen = view()
        seen.apply(0.0, claim("a"))
        seen.apply(0.0, claim("a", DEAD))
        half = CONFIG.forget_after_s / 2
        assert [c.name for c in seen.worth_telling(half - 1)] == ["me", "a"]
        assert [c.name for c in seen.worth_telling(half)] == ["me"]
        seen.forget(CONFIG.forget_after_s - 1)
        assert "a" in seen.members
        seen.forget(CONFIG.forget_after_s)
        assert list(seen.members) == ["me"]

    def test_the_living_are_counted(self) -> None:
        seen = view()
        counts = []
        for said in (claim("a"), claim("b"), claim("a", SUSPECT), claim("a", DEAD), claim("a", incarnation=1)):
            seen.apply(0.0, said)
            counts.append(seen.living)
        assert counts == [2, 3, 3, 2, 3]
        assert isinstance(seen.take_events()[0], MemberChanged)
