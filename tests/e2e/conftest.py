"""Nodes for the end-to-end tests: one that most share, and others for tests that need settings of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtest.kafka.broker import RealKafka
from node.kafka.embedded import EmbeddedKafka
from tests.support.node import RunningNode, nodes_in
from tests.support.produce import Source

StartNode = Callable[..., RunningNode]

TOPICS = '[{name = "text-*", value = "text"}, {name = "bytes-*", value = "bytes"}, {name = "pub-*"}, {name = "*"}]'


@pytest.fixture(scope="package")
def node(real_kafka: RealKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """One node with two workers for the whole run, on the shared real Kafka: all topics, `pub-*` to publish."""
    directory = tmp_path_factory.mktemp("node")
    settings = {"client.frame_bytes": "4MiB", "kafka.producer.message.max.bytes": "1500000"}
    with RunningNode(directory, real_kafka.bootstrap, TOPICS, publish="pub-*", workers=2, settings=settings) as running:
        yield running


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[StartNode]:
    """Starts nodes (arguments as of `RunningNode`, less the directory) that end with the test."""
    with nodes_in(tmp_path) as start:
        yield start


@pytest.fixture
def source(real_kafka: RealKafka) -> Source:
    return Source(real_kafka.bootstrap)


@pytest.fixture
def embedded_source(embedded_kafka: EmbeddedKafka) -> Source:
    return Source(embedded_kafka.bootstrap)
