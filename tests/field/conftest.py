"""What the situations share: a real Kafka with users, nodes as any of them, and a producer that may do everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.users import KafkaUser
from tests.support.node import RunningNode, nodes_in
from tests.support.produce import Source
from tests.support.require import require

StartNode = Callable[..., RunningNode]


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """One that may be restarted, and has no other topics."""
    require("java", "maven")
    with RealKafka(tmp_path_factory.mktemp("own-kafka"), has_users=True) as kafka:
        yield kafka


@pytest.fixture
def user(real_kafka: RealKafka) -> KafkaUser:
    """A new user of the shared Kafka, who may do nothing yet."""
    return real_kafka.add_user()


@pytest.fixture
def source(real_kafka: RealKafka) -> Source:
    return Source(real_kafka.bootstrap)


@pytest.fixture
def start_node(tmp_path: Path, real_kafka: RealKafka) -> Iterator[StartNode]:
    """Starts nodes that end with the test: `start_node(topics, user=..., ready=..., **as of RunningNode)`."""
    with nodes_in(tmp_path) as start:

        def start_as(topics: str, *, user: KafkaUser | None = None, **options: Any) -> RunningNode:
            settings = dict(options.pop("settings", {}))
            if user is not None:
                settings |= as_user(user)
            bootstrap = options.pop(
                "bootstrap", real_kafka.bootstrap if user is None else user.properties["bootstrap.servers"]
            )
            return start(bootstrap, topics, settings=settings, **options)

        yield start_as


def as_user(user: KafkaUser) -> dict[str, str]:
    """The settings by which a node is this user."""
    return {f"kafka.client.{name}": value for name, value in user.properties.items() if name != "bootstrap.servers"}
