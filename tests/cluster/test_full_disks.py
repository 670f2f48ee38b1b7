"""Voters whose disks are full: nobody exits and nobody forgets. What a node coordinates goes on; what would need a
promise waits and says so, and goes on once there is room.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cluster import SLOTS, Cluster
from tests.support.patience import PATIENCE_S
from tests.support.raw import Frame, Raw
from tests.support.require import require

pytestmark = [pytest.mark.slow, pytest.mark.netns]

SUBJECTS = [f"/chat/{number}" for number in range(2 * SLOTS)]
NO_COORDINATOR = 4014
PROBLEM = "cannot save what it promises"


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of its own, of 1 MB."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def fill(directory: Path) -> None:
    """Leave no room at all."""
    with (directory / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            pass


def publish(client: Raw, seq: int, subject: str) -> Frame:
    return client.ask("publish", subject=subject, publisher="x" * 16, seq=seq, text=str(seq))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_node_dies_while_all_disks_are_full(tmp_path: Path) -> None:
    require("netns")
    with (
        small_disk(tmp_path / "data-a") as a,
        small_disk(tmp_path / "data-b") as b,
        small_disk(tmp_path / "data-c") as c,
        Cluster(tmp_path, "abc") as cluster,
        Raw(cluster["a"].url) as client,
    ):
        acknowledged = {subject: publish(client, 1, subject) for subject in SUBJECTS}
        assert {answer["op"] for answer in acknowledged.values()} == {"published"}
        until(lambda: {"a", "c"} <= {cluster.coordinator(subject) for subject in SUBJECTS})
        of_dead = next(subject for subject in SUBJECTS if cluster.coordinator(subject) == "c")
        of_living = next(subject for subject in SUBJECTS if cluster.coordinator(subject) == "a")
        for disk in (a, b, c):
            fill(disk)
        cluster["c"].kill_all()
        until(lambda: all(PROBLEM in str(cluster[name].cluster_status().get("problems")) for name in "ab"))
        until(lambda: publish(client, 2, of_dead).get("code") == NO_COORDINATOR)
        assert publish(client, 2, of_living)["op"] == "published", "it coordinates this, and has promised so before"
        assert cluster["a"].is_running
        assert cluster["b"].is_running
        for disk in (a, b):
            (disk / "ballast").unlink()
        until(lambda: publish(client, 2, of_dead)["op"] == "published")
        until(lambda: not any(PROBLEM in str(cluster[name].cluster_status().get("problems")) for name in "ab"))
        with Raw(cluster["b"].url) as reader:
            for subject in SUBJECTS:
                request = reader.send("subscribe", subject=subject, **{"from": {"last": 2}})
                first = reader.until(lambda frame, sub=request: frame["op"] == "msg" and frame.get("sub") == sub)  # type: ignore[misc]
                assert (first["log"], first["at"]) == (acknowledged[subject]["log"], acknowledged[subject]["at"])
