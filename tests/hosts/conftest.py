"""Fixtures: three hosts on which one cluster is deployed, for all tests of this folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.machines import Machines
from tests.hosts.root import SUITE, root, source
from tests.support.require import require

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever uses hosts is marked so."""
    for item in items:
        if "machines" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.hosts)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(400))  # the first also builds the root file system and deploys


@pytest.fixture(scope="session")
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    """Three fresh hosts, for the whole run."""
    if reason := _impossible():
        pytest.skip(reason)  # even where everything is required: no installation would help
    require("nspawn")
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        root()  # says so when it takes long
    with Machines(["a", "b", "c"]) as machines:
        yield machines


def _impossible() -> str | None:
    """Why this machine can have no hosts, whatever is installed."""
    if os.getuid() != 0:
        return "hosts in containers need root"
    if subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"], capture_output=True).returncode != 0:
        return "this machine lets nobody make namespaces, so no hosts in containers"
    if source() is None:
        return f"apt on this machine has no source of Debian's {SUITE}"
    return None
