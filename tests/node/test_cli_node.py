"""The command line against a real node that has read records."""

from __future__ import annotations

import json
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
        node.wait(lambda: node.partitions("orders")[0]["lag"] == 0, "all three records")
        assert cli.run(["status", "--server", node.url]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert ": ready, up " in out.splitlines()[0]
        assert "mesh" not in out, "it has none"
        [row] = [line.split() for line in out.splitlines() if line.startswith("orders ")]
        epoch, offset = row[5].split(",")
        assert (row[4], offset, row[6:9]) == (log, "2", ["3", "0", "live"])
        assert cli.run(["status", "--server", node.url, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["kafka"]["bootstrap"] == kafka.bootstrap
        assert said["kafka"]["topics"][0]["partitions"][0]["end"] == [int(epoch), 2]
