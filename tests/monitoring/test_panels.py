"""A real Prometheus with the rules of the role watches a demo of which a node is killed: every panel of the dashboard
has data, and an alert knows.

Leaves `dashboard.png` in artifacts/: the panels as Prometheus has them (panels.py).
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtest.kafka.ports import free_port
from loadtest.kafka.processes import start_process
from tests.monitoring.panels import draw, panels, series_of
from tests.monitoring.test_rules import RULES
from tests.support.patience import PATIENCE_S
from tests.support.require import require

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
NODES = "abc"
COMMAND = str(Path(sys.executable).with_name("whimbrel"))
MAY_BE_ZERO = {"Gaps told, slow clients closed", "Kafka: records behind", "How late the workers' loops run"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    require("prometheus")
    port = free_port()
    log_file: Path = tmp_path_factory.mktemp("demo") / "demo.log"
    with log_file.open("wb") as log:
        process = start_process([COMMAND, "demo", "--listen", f"127.0.0.1:{port}"], stdout=log, stderr=log)
    servers = [f"127.0.0.1:{port + n}" for n in range(3)]
    try:
        until(lambda: all(_get(f"http://{server}/health/ready") is not None for server in servers), "the demo is ready")
        yield servers
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def prometheus(demo: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    shutil.copy(RULES, folder)
    targets = [{"targets": [server], "labels": {"node": node}} for server, node in zip(demo, NODES, strict=True)]
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [RULES.name],
        "scrape_configs": [{"job_name": "whimbrel", "static_configs": targets}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    listen = f"127.0.0.1:{free_port()}"
    flags = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = start_process(["prometheus", *flags, f"--web.listen-address={listen}"], stdout=log, stderr=log)
    try:
        yield f"http://{listen}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def test_every_panel_has_data_and_a_dead_node_is_noticed(demo: list[str], prometheus: str) -> None:
    began = time.time()
    until(lambda: len(asked(prometheus, 'up{job="whimbrel"} == 1')) == 3, "all nodes are scraped")
    for topic in ("notes", "chat"):  # Kafka's, and the cluster's own
        load = ["bench", topic, "--server", demo[0], "--clients", "50", "--rate", "50", "--seconds", "6"]
        ran = subprocess.run([COMMAND, *load], capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    kill = urllib.request.Request(f"http://{demo[2]}/v1/demo/kill", method="POST", headers={"X-Whimbrel-Demo": "1"})
    urllib.request.urlopen(kill, timeout=10).close()
    until(lambda: "WhimbrelNodeDown" in alerts(prometheus), "that a node is gone is noticed")
    until(lambda: len(asked(prometheus, 'up{job="whimbrel"} == 1')) == 3, "it is back, as the demo starts it again")

    drawn = [(panel["title"], series_of(prometheus, panel, began, time.time())) for panel in panels()]
    draw(drawn, ARTIFACTS / "dashboard.png")
    assert len(drawn) >= 12
    assert [title for title, lines in drawn if not lines] == [], "panels without data"
    moving = [title for title, lines in drawn if any(value > 0 for _, points in lines for _, value in points)]
    assert {title for title, _ in drawn} - {*moving} <= MAY_BE_ZERO


def asked(prometheus: str, query: str) -> list[Any]:
    """What Prometheus has at this moment; nothing while it starts."""
    body = _get(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    return [] if body is None else list(json.loads(body)["data"]["result"])


def alerts(prometheus: str) -> set[str]:
    """Names of the alerts that are pending or fire."""
    body = _get(f"{prometheus}/api/v1/alerts")
    return set() if body is None else {alert["labels"]["alertname"] for alert in json.loads(body)["data"]["alerts"]}


def until(condition: Callable[[], object], claim: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {claim}"
        time.sleep(0.2)


def _get(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return None
