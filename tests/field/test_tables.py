"""A compacted topic is a table: whoever subscribes to `latest` gets the latest value of every key, whatever the cache
holds, however old the node is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.users import KafkaUser
from tests.field.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.produce import Source
from tests.support.subscriber import Subscriber
from whimbrel import Latest

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]

COMPACTED = {"cleanup.policy": "compact"}


def problems_of(node: RunningNode, topic: str) -> list[str]:
    return [problem for problem in node.status()["problems"] if repr(topic) in problem]


def test_without_the_right_to_see_configurations_it_is_said_that_a_topic_may_be_a_table(
    real_kafka: RealKafka, unique_topic: Callable[[], str], user: KafkaUser, start_node: StartNode
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic, config=COMPACTED)
    user.allow("READ", "DESCRIBE", topic=topic)
    user.allow("READ", "DESCRIBE", group="*")
    node = start_node(topic, user=user)
    [problem] = problems_of(node, topic)
    assert "DESCRIBE_CONFIGS" in problem
    assert "compacted = true" in problem
    user.allow("DESCRIBE_CONFIGS", topic=topic)
    node.wait(lambda: not problems_of(node, topic), "the node to see that the topic is compacted")


KEYS = 2_000
TINY = {"cache.bytes": "64KiB", "cache.ttl": "1s", "cache.snapshot_ttl": "1s"}
"""A cache that holds a hundred messages, for a second."""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {**TINY, "cluster.data_dir": str(tmp_path / "data")}


@pytest.fixture
def table(real_kafka: RealKafka, unique_topic: Callable[[], str], source: Source) -> str:
    """A compacted topic of many keys, one of which was deleted again, in two partitions."""
    topic = unique_topic()
    real_kafka.create_topic(topic, partitions=2, config=COMPACTED)
    for number in range(KEYS):
        source.add(topic, f"k{number}", f'"first {number}"')
    source.flush()  # what a producer sends again may come behind what follows
    for number in range(KEYS):
        source.add(topic, f"k{number}", f'"{number}"')
    source.add(topic, "gone", b'"1"')
    source.send(topic, "gone", None)
    return topic


EXPECTED = {f"k{number}": f'"{number}"'.encode() for number in range(KEYS)}


def latest(node: RunningNode, subject: str, count: int) -> dict[str, bytes]:
    """What a subscription to the latest values is given first: key -> value."""
    with Subscriber(node.url, subject, start=Latest()) as found:
        found.wait(lambda one: one.live_logs, "live")
        found.wait_messages(count)
        assert not found.gaps
        assert all(message.snapshot for message in found.messages)
        assert len({message.subject for message in found.messages}) == len(found.messages)
        return {(message.key or b"").decode(): (message.value or b"") for message in found.messages}


def store_of(settings: dict[str, str]) -> Path:
    return Path(settings["cluster.data_dir"]) / "tables" / "latest.db"


def test_every_latest_value_comes_whatever_the_cache_holds_and_after_a_restart(
    table: str, start_node: StartNode, source: Source, settings: dict[str, str]
) -> None:
    node = start_node(table, settings=settings)
    assert latest(node, f"/{table}/*", KEYS) == EXPECTED
    assert latest(node, f"/{table}/k7", 1) == {"k7": b'"7"'}
    source.send(table, "k7", b'"changed"')
    source.send(table, "k8", None)
    node.stop()
    source.send(table, "k9", b'"meanwhile"')
    source.send(table, "k10", None)
    node.start()
    expected = EXPECTED | {"k7": b'"changed"', "k9": b'"meanwhile"'}
    del expected["k8"], expected["k10"]
    assert latest(node, f"/{table}/*", KEYS - 2) == expected
    assert "table_begun_anew" not in node.log
    assert node.metric("whimbrel_table_changes_read_total") < KEYS, "it came up from its store"


def test_a_store_that_was_lost_or_damaged_while_the_node_was_down_is_made_again(
    table: str, start_node: StartNode, settings: dict[str, str]
) -> None:
    node = start_node(table, settings=settings)
    file = store_of(settings)
    node.stop()
    for damage in ("deleted", "damaged"):
        if damage == "deleted":
            file.unlink()
        else:
            file.write_bytes(b"\x55" * file.stat().st_size)
        node.start()
        assert latest(node, f"/{table}/*", KEYS) == EXPECTED
        said = [problem for problem in node.status()["problems"] if "damaged" in problem]
        assert len(said) == (damage == "damaged")
        node.stop()


@pytest.mark.parametrize("trouble", ["no directory", "full"])
def test_without_a_disk_or_with_a_full_one_the_tables_are_in_memory_and_it_is_said(
    real_kafka: RealKafka,
    unique_topic: Callable[[], str],
    source: Source,
    start_node: StartNode,
    settings: dict[str, str],
    tmp_path: Path,
    trouble: str,
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic, config=COMPACTED)
    expected = {f"k{number}": b'"%d"' % number * 500 for number in range(KEYS)}
    for key, value in expected.items():
        source.add(topic, key, value)
    source.flush()
    if trouble == "no directory":
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "tables").touch()
    node = start_node(topic, settings=settings | {"cache.table_bytes": "1MiB"})
    assert latest(node, f"/{topic}/*", KEYS) == expected
    assert any("in memory" in problem for problem in node.status()["problems"])
