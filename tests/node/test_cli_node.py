"""The command line against a real node that has read records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from node import cli
from node.kafka.embedded import EmbeddedKafka
from tests.support.node import RunningNode
from tests.support.produce import Source

pytestmark = pytest.mark.slow


def test_status_of_a_node_that_has_read_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with EmbeddedKafka({"orders": 1}) as kafka, RunningNode(tmp_path, kafka.bootstrap, "orders") as node:
        [log] = node.wait_for_topic("orders", 1)
        source = Source(kafka.bootstrap)
        for key in "abc":
            source.send("orders", key)
        node.wait(
            lambda: (node.partitions("orders")[0]["end"][1], node.partitions("orders")[0]["lag"]) == (2, 0),
            "all three records, and Kafka's word that there are no more",
        )
        assert cli.run(["status", "--admin", node.admin]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert ": ready, up " in out.splitlines()[0]
        assert "mesh" not in out, "it has none"
        [row] = [line.split() for line in out.splitlines() if line.startswith("orders ")]
        epoch, offset = row[5].split(",")
        assert (row[4], offset, row[6:9]) == (log, "2", ["3", "0", "live"])
        assert cli.run(["status", "--admin", node.admin, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["kafka"]["bootstrap"] == kafka.bootstrap
        assert said["kafka"]["topics"][0]["partitions"][0]["end"] == [int(epoch), 2]


def test_a_subject_without_messages_gets_a_hint_where_there_are_some(tmp_path: Path) -> None:
    """`/orders` is not `/orders/*`, nor is `/orders/eu` `/orders/eu/*`: who waits there is told."""
    with EmbeddedKafka({"orders": 1}) as kafka, RunningNode(tmp_path, kafka.bootstrap, "orders") as node:
        node.wait_for_topic("orders", 1)
        source = Source(kafka.bootstrap)
        source.send("orders", "eu/1")
        node.wait(lambda: node.partitions("orders")[0]["lag"] == 0, "the record")
        for subject in ("/orders", "/orders/eu"):
            command = [sys.executable, "-m", "node.cli", "subscribe", subject, "--server", node.url]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
                assert process.stderr is not None
                told = [line for _, line in zip(range(3), process.stderr, strict=False)]
                process.kill()
            assert told[1] == f"whimbrel: subscribed to {subject}\n"
            hint = f"no messages of {subject} itself so far, but of /orders/eu/1: subscribe to '{subject}/*'"
            assert told[2] == f"whimbrel: {hint}\n"


@pytest.mark.parametrize("command", [["subscribe", "/orders/*", "--count", "1"], ["status"], ["topics"]])
def test_a_full_disk_and_a_closed_pipe_are_no_tracebacks(tmp_path: Path, command: list[str]) -> None:
    with EmbeddedKafka({"orders": 1}) as kafka, RunningNode(tmp_path, kafka.bootstrap, "orders") as node:
        node.wait_for_topic("orders", 1)
        Source(kafka.bootstrap).send("orders", "a")
        node.wait(lambda: node.partitions("orders")[0]["lag"] == 0, "the record")
        whole = [sys.executable, "-m", "node.cli", *command]
        whole += ["--server", node.url] if command[0] == "subscribe" else ["--admin", node.admin]
        with open("/dev/full", "w") as full:
            done = subprocess.run(whole, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
        assert done.returncode == 1
        assert done.stderr.endswith("whimbrel: cannot write to standard output: No space left on device\n")
        assert "Traceback" not in done.stderr
        with subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            said = process.stderr.read()
        assert (process.returncode, "Traceback" in said, "Exception" in said) == (0, False, False)


def test_a_node_that_is_stopped_before_its_worker_is_there_does_not_wait_for_it(tmp_path: Path) -> None:
    """The drain of ten seconds is for clients, and there are none yet."""
    flags = ["--namespaces", "chat", "--listen", "127.0.0.1:0", "--set", f"node.run_dir={tmp_path}"]
    command = [sys.executable, "-m", "node.cli", "node", *flags, "--set", "node.drain=120s"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = [next(process.stderr)]
        while "node_started" not in told[-1]:
            told.append(next(process.stderr))
        process.terminate()
        told += process.stderr
    assert told[-1].endswith("stopped status=0\n")
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())
