"""The benchmark's command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.require import require

HERE = Path(__file__).parents[2]
CONNECT = {"connect.per_cpu_s", "memory.kb_per_client"}
PUBLISH = {"publish.p50_ms", "publish.p99_ms", "publish.per_s", "publish.per_cpu_s"}
"""What stands in the file of each scenario."""


def bench(*arguments: str, timeout_s: float = 280) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtest", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)


@pytest.mark.slow
def test_an_unknown_scenario_is_named() -> None:
    ran = bench("hot", "cold")
    assert ran.returncode == 2
    assert "no such scenario: cold" in ran.stderr
    ran = bench("shapes", "cold")
    assert ran.returncode == 2
    assert "no such scenario: cold" in ran.stderr


@pytest.mark.slow
@pytest.mark.real_kafka
@pytest.mark.timeout(300)
def test_scenarios_from_kafka_to_the_file(tmp_path: Path) -> None:
    require("java", "maven")
    out = tmp_path / "bench.json"
    ran = bench("connect", "publish", "--seconds", "3", "--out", str(out), "--artifacts", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = {row["name"]: row for row in json.loads(out.read_text())}
    assert set(rows) == CONNECT | PUBLISH
    for row in rows.values():
        assert set(row) == {"name", "value", "unit", "floor", "ratio", "goal"}
        assert row["value"] > 0
        assert row["floor"] > 0
    for row in (rows[name] for name in CONNECT):
        assert row["ratio"] == pytest.approx(row["value"] / row["floor"], rel=0.01)
    assert "shares of a core: server" in ran.stderr


@pytest.mark.slow
@pytest.mark.real_kafka
@pytest.mark.timeout(300)
def test_a_checkout_beside_itself(tmp_path: Path) -> None:
    require("java", "maven")
    if not (HERE / ".venv" / "bin" / "whimbrel").exists():
        pytest.skip("this checkout has no .venv of its own")
    out = tmp_path / "beside.json"
    flags = ("--beside", str(HERE), "--rounds", "1", "--seconds", "3", "--out", str(out), "--artifacts", str(tmp_path))
    ran = bench("connect", *flags)
    rows = {row["name"]: row for row in json.loads(out.read_text())}
    assert set(rows) == CONNECT
    assert all(len(row["other"]) == len(row["here"]) == 1 for row in rows.values())
    is_loss = any(row["verdict"] == "LOSS" for row in rows.values())
    assert ran.returncode == is_loss, ran.stdout + ran.stderr
    assert "cost above 1: this checkout is worse" in ran.stdout


@pytest.mark.slow
def test_what_cannot_be_beside_is_named(tmp_path: Path) -> None:
    ran = bench("connect", "--beside", str(tmp_path))
    assert ran.returncode == 2
    assert f"{tmp_path / '.venv' / 'bin' / 'whimbrel'} is missing" in ran.stderr
    ran = bench("mesh_commit", "--beside", str(HERE))
    assert ran.returncode == 2
    assert "mesh_commit can measure this checkout only" in ran.stderr + ran.stdout


@pytest.mark.slow
def test_a_scenario_of_the_mesh_needs_no_kafka(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    ran = bench("mesh_commit", "--out", str(out), "--artifacts", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = {row["name"]: row for row in json.loads(out.read_text())}
    assert set(rows) == {"mesh_commit.p50_ms", "mesh_commit.p99_ms", "mesh_commit.per_s"}
    assert all(row["value"] > 0 and row["floor"] > 0 for row in rows.values())
