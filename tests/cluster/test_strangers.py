"""A node with another key than its cluster: both sides say so, with addresses, as long as it is so and no longer."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, ClusterNode
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.slow

OVER_S = 10.0
KEY_FILE = "cluster.key"


def test_a_wrong_cluster_key_is_told_by_both_sides_until_it_is_put_right(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, "abc", voters="a")
    right_key = (tmp_path / KEY_FILE).read_text()
    a, b, c = cluster.nodes.values()
    try:
        cluster.start("ab")
        (tmp_path / KEY_FILE).write_text(secrets.token_hex(32))
        c.start(ready=False)
        wait_for_strangers({a: [c], b: [c], c: [a, b]})
        for node, others in ((a, [c]), (b, [c]), (c, [a, b])):
            assert sorted(lines(node)) == sorted(one.cluster_address for one in others), "one line for each"

        c.kill_all()
        gone_at = time.monotonic()
        wait_for_strangers({a: [], b: []})
        assert time.monotonic() - gone_at < OVER_S

        (tmp_path / KEY_FILE).write_text(right_key)
        cluster.start("c")
        wait_for_strangers({a: [], b: [], c: []})
    finally:
        for node in cluster.nodes.values():
            node.end()


def wait_for_strangers(expected: dict[ClusterNode, list[ClusterNode]]) -> None:
    """Wait until each of these nodes tells of the others that are with it, by their addresses, and of no more."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        problems = {node: told(node) for node in expected}
        if all(
            len(problems[node]) == len(others)
            and all(any(o.cluster_address in p for p in problems[node]) for o in others)
            for node, others in expected.items()
        ):
            return
        assert time.monotonic() < deadline, {node.name: found for node, found in problems.items()}
        time.sleep(0.1)


def told(node: ClusterNode) -> list[str]:
    return [
        text
        for text in node.cluster_status().get("problems", ["no answer"])
        if "cluster.key" in text or text == "no answer"
    ]


def lines(node: ClusterNode) -> list[str]:
    """The addresses of its log lines about strangers."""
    return [found[1] for found in re.finditer(r" stranger address=(\S+)", node.log)]
