"""Which tests may run beside each other under `pytest -n`: a worker takes one lane after another, and the tests of a
lane run one after another, on the same worker.

Not here: how many workers there are (Makefile).
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

SHARED = {
    "tests/hosts/": "three hosts and the cluster that is deployed to them",
    "tests/browser/test_failover.py": "a demo and a browser",
    "tests/browser/test_page.py": "a demo and a browser",
    "tests/browser/test_cluster.py": "a browser",
    "tests/browser/test_signin.py": "a browser",
    "tests/e2e/test_publish.py": "a real Kafka and a node",
    "tests/e2e/test_records.py": "a real Kafka and a node",
    "tests/e2e/test_resume.py": "a real Kafka and a node",
    "tests/e2e/test_slow.py": "a real Kafka and a node",
    "tests/e2e/test_topics.py": "a real Kafka and a node",
    "tests/kafka/test_users.py": "a real Kafka and its users",
    "tests/field/": "a real Kafka and its users",
    "tests/client/test_js_sdk.py": "what npm has installed in client/js",
    "tests/client/test_packages.py": "what npm has installed in client/js",
}
"""Lanes of tests that share something costly, by the beginning of their names. The longest lanes come first."""

APART = ("tests/chaos/", "tests/cluster/", "tests/sim/test_simulation.py")
"""Tests that share nothing and are long: each has a lane of its own. All other files are a lane each."""

LONG = (
    "tests/e2e/",
    "tests/monitoring/",
    "tests/demo/test_run.py",
    "tests/demo/test_installed.py",
    "tests/kafka/test_real.py",
)
"""Files that are a lane each and take half a minute or more."""


def lane_of(test: str) -> str:
    """The lane of a test, of which pytest's id is given."""
    for beginning, lane in SHARED.items():
        if test.startswith(beginning):
            return lane
    return test if test.startswith(APART) else test.partition("::")[0]


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Long lanes before short ones, so that no worker begins a long one when the others are done."""
    beginnings = (*SHARED, *APART, *LONG)

    def rank(item: pytest.Item) -> int:
        for number, beginning in enumerate(beginnings):
            if item.nodeid.startswith(beginning):
                return number
        return len(beginnings) + (item.get_closest_marker("slow") is None)

    return sorted(items, key=rank)


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Hands lanes to workers in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid)
