"""Links that are missing between real nodes: packets that pass one way only, TCP that does not pass, an observer that
is alone. With a majority of voters connected by any path everything goes on; and people are told what is missing.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.clients import times_of
from tests.cluster.trial import AFTER_S, KEYS, Step, Trial, longest_pause, run_trial
from tests.support.cluster import Cluster, Status
from tests.support.network import Network
from tests.support.patience import PATIENCE_S
from tests.support.raw import Frame, Raw
from tests.support.require import require

pytestmark = [pytest.mark.slow, pytest.mark.netns]

VOTERS = "abc"
RING = {("a", "b"), ("b", "c"), ("c", "a")}
STALL_MAX_S = 2.0
TURNS = 3
"""At most, until a situation moves nothing."""
NO_COORDINATOR, OUTCOME_UNKNOWN = 4014, 4012


def test_packets_pass_one_way_around_only_or_tcp_does_not_pass(tmp_path: Path) -> None:
    require("netns")
    steps: list[Step] = []

    async def scenario(trial: Trial) -> None:
        pairs = set(itertools.permutations(VOTERS, 2))
        # Of a pair of which one direction is cut, TCP has neither.
        missing = [f"node {b} does not hear node {a}" for a, b in sorted(pairs)]
        for name, cut, rule in (
            ("packets pass from a to b to c to a only", pairs - RING, {"cut": True}),
            ("packets pass from a to c to b to a only", RING, {"cut": True}),
            ("no TCP between the voters", pairs, {"cut_tcp": True}),
        ):
            for turn in range(TURNS):
                before = await trial.do(terms, trial.cluster)
                async with trial.step(name) as step:
                    network.set_many(cut, **rule)
                    await until(trial, lambda status: all(text in status["problems"] for text in missing))
                    states = {status["state"] for status in (await trial.do(trial.cluster.statuses)).values()}
                    assert states == {"degraded"}
                    network.heal()
                nothing_moved = await trial.do(terms, trial.cluster) == before
                await until(trial, lambda status: not status["problems"])
                if nothing_moved:
                    break
                # A machine may be so busy that a node seems dead; but not each time.
                assert turn < TURNS - 1, "nothing had to move"
            steps.append(step)

    with Network("abcd") as network, Cluster(tmp_path, "abcd", voters=VOTERS, network=network) as cluster:
        trial = run_trial(cluster, scenario)
    stalls = [max(step.publish_stall_s, *deliveries(trial, step)) - step.queued_s for step in steps]
    assert sorted(stalls)[1] <= STALL_MAX_S, stalls  # the machine may be busy, but not most of the time


def terms(cluster: Cluster) -> dict[int, tuple[int, str]]:
    """The epoch and the coordinator of each slot."""
    slots = cluster[VOTERS[0]].cluster_status()["cluster"]["slots"]
    return {slot["slot"]: (slot["epoch"], slot["coordinator"]) for slot in slots}


async def until(trial: Trial, is_so: Callable[[Status], bool]) -> None:
    """Wait until this is so at all nodes."""
    deadline = time.monotonic() + PATIENCE_S
    while not all(map(is_so, (found := await trial.do(trial.cluster.statuses)).values())):
        assert time.monotonic() < deadline, {name: status.get("problems") for name, status in found.items()}
        await asyncio.sleep(0.1)


def deliveries(trial: Trial, step: Step) -> list[float]:
    """The longest time in which a subscriber at a node got nothing of one of the subjects."""
    return [
        longest_pause(times_of(seen), step.begin, step.end + AFTER_S, KEYS)
        for seen in trial.chat
        if seen.name.startswith("at ")
    ]


def test_an_observer_that_is_alone_refuses_publishes_at_once_and_says_why(tmp_path: Path) -> None:
    require("netns")
    with (
        Network("abcd") as network,
        Cluster(tmp_path, "abcd", voters=VOTERS, network=network) as cluster,
        Raw(cluster["d"].url) as client,
    ):
        assert publish(client, 1)["op"] == "published"
        network.cut(["d"], VOTERS)
        began = time.monotonic()
        answers: list[tuple[Frame, float]] = []
        while not answers or answers[-1][0]["code"] != NO_COORDINATOR or answers[-1][1] > 0.5:
            assert time.monotonic() - began < PATIENCE_S, answers
            sent_at = time.monotonic()
            answers.append((publish(client, 2 + len(answers)), time.monotonic() - sent_at))
        assert {answer["code"] for answer, _ in answers} <= {NO_COORDINATOR, OUTCOME_UNKNOWN}
        assert "a, b, c cannot be reached" in answers[-1][0]["reason"]
        status = cluster["d"].cluster_status()
        assert status["state"] == "degraded"
        assert status["problems"]
        network.heal()
        healed, number = time.monotonic(), 1_000
        while publish(client, number)["op"] != "published":
            assert time.monotonic() - healed < PATIENCE_S
            number += 1
            time.sleep(0.05)


def test_udp_is_closed_and_tcp_is_open(tmp_path: Path) -> None:
    """A firewall is opened for TCP alone, before a node starts and while it runs. Right: within 10 s both nodes say so,
    with the other's address, for as long as it is so."""
    require("netns")

    def words(node: str) -> list[str]:
        found = cluster[node].cluster_status().get("problems", [])
        return [one for one in found if one.startswith("UDP does not pass")]

    def wait_for(is_so: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not is_so():
            assert time.monotonic() < deadline, [words(node) for node in "ab"]
            time.sleep(0.1)

    def both_say_it() -> bool:
        return all(
            len(said := words(node)) == 1 and f" {cluster[other].cluster_address}," in said[0]
            for node, other in ("ab", "ba")
        )

    with Network("ab") as network, Cluster(tmp_path, "ab", voters="a", network=network) as cluster:
        for restarts in (False, True):
            if restarts:
                cluster["b"].stop()
            network.set_all(cut_udp=True)
            if restarts:
                cluster["b"].start(ready=False)
            wait_for(both_say_it, 10 if not restarts else PATIENCE_S)
            network.heal()
            wait_for(lambda: not words("a") and not words("b"), PATIENCE_S)
        cluster["b"].kill_all()
        wait_for(lambda: "member_dead node=b" in cluster["a"].log.rpartition("member_alive")[2], PATIENCE_S)
        assert words("a") == [], "a node that is gone is no matter of UDP"


def publish(client: Raw, number: int) -> Frame:
    """The answer to a publish."""
    client.send("publish", subject="/chat/k", publisher="x" * 16, seq=number, text=str(number))
    return client.until(lambda frame: frame["op"] in ("published", "error"))
