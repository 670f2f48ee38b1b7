"""The benchmark's command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.require import require


def bench(*arguments: str, timeout_s: float = 110) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtest", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)


@pytest.mark.slow
def test_an_unknown_scenario_is_named() -> None:
    ran = bench("hot", "cold")
    assert ran.returncode == 2
    assert "no such scenario: cold" in ran.stderr


@pytest.mark.slow
@pytest.mark.real_kafka
def test_one_scenario_from_kafka_to_the_file(tmp_path: Path) -> None:
    require("java", "maven")
    out = tmp_path / "bench.json"
    ran = bench("connect", "--out", str(out), "--artifacts", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = {row["name"]: row for row in json.loads(out.read_text())}
    assert set(rows) == {"connect.per_cpu_s", "memory.kb_per_client"}
    for row in rows.values():
        assert set(row) == {"name", "value", "unit", "floor", "ratio", "goal"}
        assert row["value"] > 0
        assert row["ratio"] == pytest.approx(row["value"] / row["floor"], rel=0.01)
    assert "shares of a core: whimbrel" in ran.stderr


@pytest.mark.slow
def test_a_scenario_of_the_mesh_needs_no_kafka(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    ran = bench("mesh_commit", "--out", str(out), "--artifacts", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = {row["name"]: row for row in json.loads(out.read_text())}
    assert set(rows) == {"mesh_commit.p50_ms", "mesh_commit.p99_ms", "mesh_commit.per_s"}
    assert all(row["value"] > 0 and row["floor"] > 0 for row in rows.values())
