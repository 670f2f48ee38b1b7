"""Whole clusters on a simulated network: who is found dead, who never is, and that views agree again."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections import Counter
from random import Random

import pytest

from loadtest.mesh.membership_simulated import Cluster, Weather, address_of
from mesh.membership.membership import RIVAL_OVER_S
from mesh.membership.packets import MemberState, NameTaken
from mesh.membership.strangers import OVER_AFTER_S
from tests.support.seeds import seeds

AGREE_WITHIN_S = 5.0
PATHS = ("refuted", "confirmed", "declared_dead", "retries", "views_differed", "names_raised", "nacks_sent")
"""Of recovery; all are to be taken."""
BAD = Weather(delay_mean_s=0.02, loss=0.3, duplicate=0.1)


def formed(seed: int, size: int, weather: Weather | None = None) -> tuple[Cluster, list[str], Random]:
    cluster = Cluster(seed, weather or Weather())
    names = [f"n{i}" for i in range(size)]
    cluster.start_all(names)
    cluster.run_until(lambda: not cluster.disagreement(), AGREE_WITHIN_S)
    rng = Random(seed)
    cluster.run(3 + rng.random())
    return cluster, names, rng


def agree(cluster: Cluster) -> float:
    took = cluster.run_until(lambda: not cluster.disagreement(), AGREE_WITHIN_S)
    assert cluster.wrongly_dead() == []
    return took


@pytest.mark.parametrize("size", [2, 3, 5, 50])
@pytest.mark.parametrize("seed", seeds(1, 3))
def test_a_killed_member_is_dead_everywhere_and_nobody_else_is(size: int, seed: int) -> None:
    cluster, names, rng = formed(seed, size)
    killed = rng.choice(names)
    at = cluster.now
    cluster.kill(killed)
    cluster.run(9)
    found = cluster.when(killed, MemberState.DEAD, at)
    assert len(found) == size - 1
    assert max(found.values()) - at < (4.5 if size <= 5 else 8.0)
    assert min(found.values()) - at > 2.0
    assert cluster.wrongly_dead() == []
    assert cluster.disagreement() == ""


@pytest.mark.parametrize("seed", seeds(2, 10))
def test_on_a_lossless_network_nobody_is_accused(seed: int) -> None:
    cluster, *_ = formed(seed, 5, Weather(delay_mean_s=0.01, duplicate=0.2))
    cluster.run(60)
    assert cluster.total("suspected") == 0


@pytest.mark.parametrize("seed", seeds(2, 6))
def test_with_a_third_of_all_datagrams_lost_nobody_is_given_up(seed: int) -> None:
    cluster, *_ = formed(seed, 5)
    cluster.weather = BAD
    cluster.run(60)
    assert cluster.total("refuted") > 0  # it was bad enough to matter
    assert cluster.wrongly_dead() == []
    cluster.weather = Weather()
    agree(cluster)


@pytest.mark.parametrize("size", [3, 5, 50])
@pytest.mark.parametrize("seed", seeds(1, 3))
def test_a_split_heals_by_itself(size: int, seed: int) -> None:
    cluster, names, rng = formed(seed, size)
    cluster.split(rng.sample(names, rng.randrange(1, size)))
    cluster.run(25 + rng.random())
    assert all(len(process.membership.alive) < size for process in cluster.processes.values())
    cluster.heal()
    agree(cluster)


@pytest.mark.parametrize("seed", seeds(2, 6))
def test_a_member_cut_off_one_way_is_not_given_up_while_others_reach_it(seed: int) -> None:
    cluster, names, _ = formed(seed, 5)
    cluster.cut(names[1], names[2])
    cluster.faulted.clear()
    cluster.run(30)
    assert cluster.wrongly_dead() == []
    cluster.heal()
    agree(cluster)


@pytest.mark.parametrize("hears", [True, False])
@pytest.mark.parametrize("seed", seeds(2, 4))
def test_a_member_that_nobody_hears_or_that_hears_nobody_comes_back(hears: bool, seed: int) -> None:
    cluster, names, rng = formed(seed, 5)
    victim = rng.choice(names)
    for other in names:
        if other != victim:
            cluster.cut(*((victim, other) if hears else (other, victim)))
    cluster.run(15 + rng.random())
    cluster.heal()
    agree(cluster)


@pytest.mark.parametrize("paused_s", [1.0, 3.0, 20.0])
@pytest.mark.parametrize("seed", seeds(2, 4))
def test_a_paused_process_is_admitted_again_and_accuses_nobody(paused_s: float, seed: int) -> None:
    cluster, names, rng = formed(seed, 5)
    victim = rng.choice(names)
    cluster.pause(victim)
    cluster.run(paused_s)
    given_up = cluster.when(victim, MemberState.DEAD)
    assert len(given_up) == (4 if paused_s > 5 else len(given_up) if paused_s > 2 else 0)
    seen = len(cluster.events)
    cluster.resume(victim)
    agree(cluster)
    cluster.run(5)
    by_victim = [event for _, observer, event in cluster.events[seen:] if observer == victim]
    assert by_victim == []


@pytest.mark.parametrize("down_s", [0.0, 1.5, 3.0, 10.0])
@pytest.mark.parametrize("joins", [True, False])
def test_a_process_started_again_under_its_name_replaces_the_old_one(down_s: float, joins: bool) -> None:
    for seed in range(3):
        cluster, names, rng = formed(seed, 4)
        victim = rng.choice(names)
        others = [name for name in names if name != victim]
        cluster.kill(victim)
        cluster.run(down_s)
        cluster.start(victim, others if joins else [])
        took = agree(cluster)
        assert took < (1.0 if joins else 2.5)
        assert not any(isinstance(event, NameTaken) for _, _, event in cluster.events)


def test_a_rolling_restart_of_all_heals_every_time() -> None:
    cluster, names, _ = formed(1, 5)
    for _ in range(3):
        for name in names:
            cluster.kill(name)
            cluster.start(name, [other for other in names if other != name])
            agree(cluster)


def test_all_started_again_at_once_find_each_other() -> None:
    cluster, names, _ = formed(1, 5)
    for name in names:
        cluster.kill(name)
    cluster.start_all(names, seeds=1)
    agree(cluster)


def test_members_that_were_never_told_of_each_other_are_joined_by_a_common_address() -> None:
    cluster = Cluster(1)
    cluster.start("a", ["c"])
    cluster.start("b", ["c"])
    cluster.run(10)
    assert cluster.processes["a"].membership.alive == ["a"]
    cluster.start("c")
    agree(cluster)


def test_a_leave_is_known_everywhere_and_nobody_was_suspect() -> None:
    cluster, names, _ = formed(1, 50)
    at = cluster.now
    cluster.leave(names[7])
    cluster.run(3)
    assert len(cluster.when(names[7], MemberState.LEFT, at)) == 49
    assert cluster.total("suspected") == 0


def test_of_two_living_processes_of_one_name_the_later_is_told_and_there_is_no_endless_fight() -> None:
    cluster, *_ = formed(1, 3)
    cluster.start("elsewhere", ["n0"], called="n1")
    cluster.run(20)
    told = [(who, event.boot) for _, who, event in cluster.events if isinstance(event, NameTaken)]
    assert told == [("elsewhere", "n1.1")]
    assert cluster.total("names_raised") <= 6
    seen = cluster.processes["n0"].membership.members["n1"]
    before = (seen.boot, seen.incarnation)
    assert seen.boot == "n1.1"
    cluster.run(20)
    assert (seen.boot, seen.incarnation) == before
    later = cluster.processes["elsewhere"].membership
    assert later.rival == address_of("n1")
    cluster.kill("n1")
    cluster.run(RIVAL_OVER_S + 5)
    assert later.rival == ""


def test_a_stranger_with_recorded_datagrams_changes_nothing() -> None:
    cluster, names, rng = formed(1, 3)
    recorded: list[tuple[str, bytes]] = []
    cluster.tap = lambda sender, receiver, datagram: recorded.append((receiver, datagram))
    cluster.run(5)
    cluster.tap = None
    cluster.kill("n2")
    cluster.run(6)
    seen = len(cluster.events)
    states = [process.membership.members["n2"].state for process in cluster.processes.values()]
    for _ in range(3):
        for _, datagram in recorded:
            for name in cluster.processes:  # to whom it was meant, and to others
                cluster.inject(name, datagram)
        cluster.run(1)
    assert states == [MemberState.DEAD] * 2
    assert [process.membership.members["n2"].state for process in cluster.processes.values()] == states
    assert cluster.events[seen:] == []
    opened = sum(process.link.seal.rejected["replayed"] for process in cluster.processes.values())
    assert opened > 100
    assert rng
    assert names


def test_datagrams_recorded_before_a_restart_change_nothing_after_it() -> None:
    cluster, *_ = formed(1, 3)
    recorded: list[bytes] = []
    cluster.tap = lambda sender, receiver, datagram: recorded.append(datagram) if receiver == "n1" else None
    cluster.run(5)
    cluster.tap = None
    for name in ("n0", "n1", "n2"):
        cluster.kill(name)
    again = cluster.start("n1")
    answers: list[bytes] = []
    cluster.tap = lambda sender, receiver, datagram: answers.append(datagram)
    for datagram in recorded:
        cluster.inject("n1", datagram)
    cluster.run(5)
    assert again.membership.alive == ["n1"]
    assert again.link.seal.stats.opened == 0
    assert len(answers) == len(recorded)  # one `who` each


def test_nodes_of_another_cluster_at_the_same_addresses_stay_strangers() -> None:
    cluster, *_ = formed(1, 3)
    stranger = cluster.start("x", ["n0", "n1"], cluster="other")
    cluster.run(10)
    assert stranger.membership.alive == ["x"]
    assert cluster.processes["n0"].membership.alive == ["n0", "n1", "n2"]
    assert stranger.link.seal.stats.answered == stranger.link.seal.stats.opened == 0
    n0 = cluster.processes["n0"]
    assert n0.link.seal.rejected["wrong_digest"] > 3
    assert n0.link.strangers(cluster.now) == [address_of("x")]
    assert stranger.link.strangers(cluster.now) == [address_of("n0"), address_of("n1")]
    cluster.kill("x")
    cluster.run(OVER_AFTER_S + 0.1)
    assert n0.link.strangers(cluster.now) == []


def faulty_run(seed: int) -> tuple[int, Cluster]:
    """One cluster through everything; the digest is of all datagrams and events."""
    cluster, names, rng = formed(seed, rng_size(seed))
    digest = 0

    def tap(sender: str, receiver: str, datagram: bytes) -> None:
        nonlocal digest
        digest = zlib.crc32(f"{sender} {receiver} {cluster.now!r}".encode() + datagram, digest)

    cluster.tap = tap
    cluster.weather = Weather(
        delay_mean_s=rng.choice([0.001, 0.02]), loss=rng.choice([0.0, 0.1, 0.3]), duplicate=rng.choice([0.0, 0.2])
    )
    for _ in range(6):
        match rng.randrange(5):
            case 0:
                cluster.split(rng.sample(names, rng.randrange(1, len(names))))
            case 1:
                victim = rng.choice(names)
                if victim in cluster.processes:
                    cluster.kill(victim)
            case 2:
                for name in names:
                    if name not in cluster.processes:
                        cluster.start(name, rng.sample(names, 2))
            case 3:
                running = [p for p in cluster.processes.values() if not p.is_paused]
                if running:
                    cluster.pause(rng.choice(running).name)
            case _:
                for process in list(cluster.processes.values()):
                    if process.is_paused:
                        cluster.resume(process.name)
        cluster.run(rng.random() * 6)
    cluster.heal()
    cluster.weather = Weather()
    for process in list(cluster.processes.values()):
        if process.is_paused:
            cluster.resume(process.name)
    for name in names:
        if name not in cluster.processes:
            cluster.start(name, [other for other in names if other != name])
    return digest, cluster


def rng_size(seed: int) -> int:
    return Random(f"size {seed}").choice([2, 3, 5, 8])


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in (20, 40))])
def test_after_any_faults_views_agree_within_five_seconds(first: int) -> None:
    taken: Counter[str] = Counter()
    for seed in range(first, first + 20):
        _, cluster = faulty_run(seed)
        cluster.run(AGREE_WITHIN_S)
        assert cluster.disagreement() == "", f"seed {seed}"
        cluster.run(8)
        assert cluster.disagreement() == "", f"seed {seed}"
        for path in PATHS:
            taken[path] += cluster.total(path)
    assert all(taken[path] > 0 for path in PATHS), taken  # or else this says nothing


def test_one_seed_is_one_run_whatever_the_hash_seed() -> None:
    code = (
        "from tests.mesh.membership.test_membership_sim import faulty_run; print([faulty_run(s)[0] for s in range(3)])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(printed) == 1
