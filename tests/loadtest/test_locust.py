"""The Locust file against a node and the embedded Kafka."""

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.node import Node
from node.kafka.embedded import EmbeddedKafka

FILE = Path(__file__).parents[2] / "loadtest" / "locustfile.py"


@pytest.mark.slow
def test_users_receive_what_they_publish(
    embedded_kafka: EmbeddedKafka, unique_topic: Callable[[], str], tmp_path: Path
) -> None:
    topic, users = unique_topic(), 10
    embedded_kafka.create_topic(topic, 2)
    flags = ("--kafka", embedded_kafka.bootstrap, "--topics", topic, "--publish", topic)
    with Node(tmp_path / "node.log", *flags) as node:
        command = [sys.executable, "-m", "locust", "-f", str(FILE), "--headless", "--only-summary"]
        command += ["-u", str(users), "-r", "10", "-t", "4s", "--csv", str(tmp_path / "out")]
        command += ["--host", f"ws://127.0.0.1:{node.port}", "--topic", topic, "--keys", "3", "--publish", "5"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with (tmp_path / "out_stats.csv").open() as file:
        stats = {row["Type"]: row for row in csv.DictReader(file)}
    assert all(row["Failure Count"] == "0" for row in stats.values()), stats
    assert int(stats["SUBSCRIBE"]["Request Count"]) == users
    published = int(stats["PUBLISH"]["Request Count"])
    assert published > users
    # Ten users share three keys, so that each message reaches more than two of them.
    assert int(stats["RECEIVE"]["Request Count"]) > 2 * published
    assert 0 < float(stats["RECEIVE"]["Median Response Time"]) < 1000
