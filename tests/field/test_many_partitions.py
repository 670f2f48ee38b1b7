"""Kafka has many partitions and is far away: whatever can be asked for at once is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.ports import free_port
from tests.field.conftest import StartNode
from tests.support.far import Far
from tests.support.produce import Source
from tests.support.require import require

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]

ROUND_TRIP_S = 0.05
TOPICS, PARTITIONS = 10, 100
READY_S = 20.0
"""On a machine that is busy with other things; 5 s otherwise. One partition after another it takes minutes."""


@pytest.fixture
def far_kafka(tmp_path: Path) -> Iterator[RealKafka]:
    """One that tells everybody an address by which it is far away."""
    require("java", "maven")
    port = free_port()
    kafka = RealKafka(tmp_path / "kafka", properties={"advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}"})
    with Far(port, int(kafka.bootstrap.rpartition(":")[2]), ROUND_TRIP_S), kafka:
        yield kafka


def test_a_thousand_partitions_far_away(far_kafka: RealKafka, start_node: StartNode) -> None:
    """The node is ready in seconds, with what they hold."""
    for number in range(TOPICS):
        far_kafka.create_topic(f"t{number}", PARTITIONS)
    source = Source(far_kafka.bootstrap)
    for number in range(TOPICS):
        for partition in range(PARTITIONS):
            source.add(f"t{number}", "k", b"1", partition=partition)
    source.flush()
    begun = time.monotonic()
    node = start_node("t*", bootstrap=far_kafka.bootstrap, publish="t*")
    took_s = time.monotonic() - begun
    print(f"ready after {took_s:.1f} s, its own start included")
    assert took_s < READY_S
    assert node.status()["cache"]["messages"] == TOPICS * PARTITIONS
