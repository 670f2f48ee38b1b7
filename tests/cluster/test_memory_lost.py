"""Voters that lose their memory while the one that keeps its own lacks what they had committed: all who miss something
are told, by whatever node they ask.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.cluster import SLOTS, Cluster
from tests.support.network import Network
from tests.support.raw import Frame, Raw
from tests.support.require import require

pytestmark = [pytest.mark.slow, pytest.mark.netns]

SUBJECTS = [f"/chat/{number}" for number in range(2 * SLOTS)]


def publish_all(client: Raw, seq: int) -> dict[str, Frame]:
    """One message to each subject; the answers."""
    asked = {
        client.send("publish", subject=subject, publisher="x" * 16, seq=seq, text=str(seq)): subject
        for subject in SUBJECTS
    }
    answers: dict[str, Frame] = {}
    while len(answers) < len(asked):
        answer = client.until(lambda frame: frame.get("id") in asked)
        assert answer["op"] == "published", answer
        answers[asked[answer["id"]]] = answer
    return answers


def gaps(client: Raw, wanted: set[int]) -> dict[int, list[Frame]]:
    """What these subscriptions are told to have lost."""
    found: dict[int, list[Frame]] = {}
    client.until(lambda frame: note(frame, found) and wanted <= set(found))
    return found


def note(frame: Frame, found: dict[int, list[Frame]]) -> bool:
    if frame.get("gaps"):
        found.setdefault(frame.get("sub") or frame["id"], []).extend(frame["gaps"])
    return True


def test_a_voter_that_was_cut_off_does_not_pass_for_one_that_has_everything(tmp_path: Path) -> None:
    require("netns")
    with (
        Network("abc") as network,
        Cluster(tmp_path, "abc", network=network, settings={"client.heartbeat": "1m"}) as cluster,
        ExitStack() as stack,
    ):
        stays = stack.enter_context(Raw(cluster["a"].url))
        with Raw(cluster["b"].url) as client:
            before = publish_all(client, 1)
            asked = {stays.send("subscribe", subject=name, resume=place(before[name])) for name in SUBJECTS}
            network.cut(["a"], ["b", "c"])
            cluster["b"].wait(lambda: moved(cluster), "all slots are coordinated by b and c")
            after = publish_all(client, 2)
        for name in "bc":
            cluster[name].kill_all()
        cluster.start("bc", ready=False)
        network.heal()
        cluster.wait_agreed()
        told = [gaps(stays, asked)]
        for name in cluster.names:  # who had everything comes back, to whatever node
            client = stack.enter_context(Raw(cluster[name].url))
            asked = {client.send("subscribe", subject=one, resume=place(after[one])) for one in SUBJECTS}
            told.append(gaps(client, asked))
        for found in told:
            assert {gap["why"] for some in found.values() for gap in some} == {"memory_lost"}
        again = publish_all(client, 2)
        for subject in SUBJECTS:
            assert again[subject]["log"] != after[subject]["log"]


def place(published: Frame) -> dict[str, list[int]]:
    """After this message."""
    return {published["log"]: published["at"]}


def moved(cluster: Cluster) -> bool:
    """Whether all slots are coordinated by those that are together."""
    slots = cluster["b"].cluster_status()["cluster"]["slots"]
    return all(slot["coordinator"] in ("b", "c") and slot["accepts"] for slot in slots)
