"""A container, or a unit of systemd, that limits CPU time and memory: the node keeps to it, or says that it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.kafka.processes import start_process
from tests.support.patience import PATIENCE_S
from tests.support.require import require

pytestmark = pytest.mark.slow

WHIMBREL = str(Path(sys.executable).with_name("whimbrel"))
CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def limited() -> Iterator[list[str]]:
    """A command before others that runs them in a cgroup with 1.5 cores and 300 MiB."""
    require("cgroups")
    name = f"whimbrel-test-{os.getpid()}"
    if (CGROUPS / "cgroup.controllers").exists():
        folders = [CGROUPS / name]
        limits = {"cpu.max": "150000 100000", "memory.max": "300M"}
    else:
        folders = [CGROUPS / "cpu" / name, CGROUPS / "memory" / name]
        limits = {"cpu.cfs_quota_us": "150000", "memory.limit_in_bytes": "300M"}
    for folder in folders:
        folder.mkdir()
        for file, limit in limits.items():
            if (folder / file).exists():
                (folder / file).write_text(limit)
    try:
        enter = "; ".join(f"echo $$ > {folder}/cgroup.procs" for folder in folders)
        yield ["sh", "-c", f'{enter}; exec "$@"', "sh"]
    finally:
        for folder in folders:
            folder.rmdir()


def test_a_container_with_little_cpu_time_and_memory(limited: list[str], tmp_path: Path) -> None:
    """Right: workers by the quota, and both are said before the node starts and when it does."""
    flags = ["--namespaces", "n", "--listen", "127.0.0.1:0", "--admin-listen", "off"]
    flags += ["--set", f"cluster.data_dir={tmp_path}"]
    shown = subprocess.run([*limited, WHIMBREL, "check-config", *flags], capture_output=True, text=True, check=True)
    assert "default, that is 1" in next(line for line in shown.stdout.splitlines() if line.startswith("workers "))
    words = ("LIMITED TO 1.5 CORES (/sys/fs/cgroup", "there are 300 MiB (/sys/fs/cgroup", "Lower cache.bytes to 16")
    assert all(word in shown.stderr for word in words), shown.stderr
    with (tmp_path / "log").open("wb") as log:
        node = start_process([*limited, WHIMBREL, "node", *flags], stdout=log, stderr=log)
    try:
        with (tmp_path / "log").open() as lines:
            said = ""
            while "node_started" not in said:
                assert node.poll() is None, said
                said += lines.read()
                time.sleep(0.05)
        assert all(word in said for word in words), said
    finally:
        node.terminate()
        node.wait(PATIENCE_S)
