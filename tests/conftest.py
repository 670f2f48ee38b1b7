"""Fixtures for all tests: the two Kafkas and names of topics that nobody else uses."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.prepared import prepared
from node.kafka.embedded import EmbeddedKafka
from tests.lanes import Lanes, in_order
from tests.support.require import require
from tests.support.seeds import FEW, USUAL

# A busy machine is no reason to fail.
settings.register_profile("no deadline", deadline=None, max_examples=USUAL)
settings.register_profile("few", deadline=None, max_examples=FEW)
settings.load_profile("no deadline")

# Thousands of collected tests live as long as the process, and the collector walked them again and again.
gc.set_threshold(100_000, 20, 50)

_topic_numbers = itertools.count(1)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    """Under `-n` tests run in lanes (lanes.py)."""
    return Lanes(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whoever uses the fixture `real_kafka` is marked so. Under `-n` what takes long comes first."""
    for item in items:
        if "real_kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_kafka)
    if hasattr(config, "workerinput"):
        items[:] = in_order(items)


def pytest_collection_finish() -> None:
    """What exists now stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def embedded_kafka() -> Iterator[EmbeddedKafka]:
    """One embedded Kafka (one broker) for the whole run; use `unique_topic` for names."""
    with EmbeddedKafka() as kafka:
        yield kafka


@pytest.fixture(scope="session")
def real_kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """One real Kafka (one broker) for the whole run; leave it running. To stop one, make a RealKafka.

    It has users (`add_user`): without being one everything is allowed.
    """
    require("java", "maven")
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        prepared()  # says so when it takes long
    with RealKafka(tmp_path_factory.mktemp("kafka"), has_users=True) as kafka:
        yield kafka


@pytest.fixture
def unique_topic() -> Callable[[], str]:
    """Makes names of topics that no other test of this run uses."""
    return lambda: f"t{next(_topic_numbers)}"
