"""What the demo tells its nodes: what was configured, for all three, and what makes them one cluster."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import pytest
from msgspec.structs import replace

from node.commands import configuration
from node.commands import node as node_command
from node.demo.plan import NodePlan, arguments, banner, settings_of_nodes, text_of
from node.demo.producer import TOPICS
from node.settings import Settings, load
from node.settings.schema import CacheSettings, Topic

PLACES = [
    NodePlan(name, f"0.0.0.0:{8080 + n}", f"10.0.0.1:{8080 + n}", f"127.0.0.1:{7400 + 2 * n}")
    for n, name in enumerate("abc")
]


def as_a_node_reads_it(settings: Settings, place: NodePlan, directory: Path) -> Settings:
    """The settings of a node that is started as the plan says."""
    (directory / "demo.toml").write_text(text_of(settings_of_nodes(settings, PLACES)))
    (directory / "key").write_text("k" * 64)
    parser = argparse.ArgumentParser()
    node_command.add_arguments(parser)
    command, *flags = arguments(place, PLACES, "127.0.0.1:9092", str(directory))
    assert command == "node"
    args = parser.parse_args(flags)
    effective = load(args.config, {}, args.flags, "machine")
    assert configuration.problems(effective) == []
    return effective.settings


def test_three_nodes_are_told_of_each_other_and_have_all_else_in_common(tmp_path: Path) -> None:
    found = [as_a_node_reads_it(Settings(), place, tmp_path) for place in PLACES]
    for settings, place in zip(found, PLACES, strict=True):
        assert (settings.node.name, settings.node.listen) == (place.name, place.listen)
        assert settings.cluster.listen == place.cluster
        assert sorted((*settings.cluster.join, place.cluster)) == [one.cluster for one in PLACES]
        assert settings.cluster.voters == ("a", "b", "c")
        assert settings.cluster.data_dir == f"{tmp_path}/{place.name}"
        assert settings.cluster.controls
        assert settings.node.servers == tuple(f"ws://{one.shown}/v1/ws" for one in PLACES)
        assert "http://localhost:8081" in settings.node.origins
        assert settings.node.workers == 1
        assert settings.kafka.bootstrap == "127.0.0.1:9092"
        assert [topic.name for topic in settings.topics] == [*TOPICS, "notes"]
        assert [(one.name, one.value, one.publish) for one in settings.namespaces] == [("chat", "text", True)]
    assert all(replace(one, node=found[0].node, cluster=found[0].cluster) == found[0] for one in found)


def test_what_was_configured_holds_for_all_nodes(tmp_path: Path) -> None:
    wished = Settings(cache=CacheSettings(ttl_s=60.0), topics=(Topic(name="x", publish=True),))
    wished = replace(
        wished,
        node=replace(wished.node, workers=2, drain_s=5.0, origins=("https://x.example",), name="ignored"),
        kafka=replace(
            wished.kafka, bootstrap="ignored:1", client={"client.rack": "1"}, consumer={"fetch.wait.max.ms": "7"}
        ),
        authorizer=replace(wished.authorizer, use="gateway.authorizers.allow_all:AllowAll", folder="/x", options={}),
        cluster=replace(wished.cluster, slots=8, listen="127.0.0.1:1", key="ignored, it is not in the file"),
    )
    for place in PLACES:
        found = as_a_node_reads_it(wished, place, tmp_path)
        assert found.cache.ttl_s == 60.0
        assert found.topics == wished.topics
        assert (found.node.workers, found.node.drain_s, found.node.origins[0]) == (2, 5.0, "https://x.example")
        assert (found.kafka.client, found.kafka.consumer) == ({"client.rack": "1"}, {"fetch.wait.max.ms": "7"})
        assert found.authorizer == wished.authorizer
        assert (found.cluster.slots, found.cluster.listen, found.cluster.key) == (8, place.cluster, "")


def test_the_file_has_nothing_but_what_differs_from_the_defaults() -> None:
    text = text_of(settings_of_nodes(Settings(), PLACES))
    assert {name: sorted(table) for name, table in tomllib.loads(text).items() if isinstance(table, dict)} == {
        "node": ["console", "drain", "origins", "servers", "workers"],
        "cluster": ["controls"],
        "kafka": ["consumer"],
    }
    assert tomllib.loads(text)["topics"] == [
        {"name": "flights", "value": "json", "publish": False, "audit": False, "compacted": False, "create": False},
        {"name": "airports", "value": "json", "publish": False, "audit": False, "compacted": False, "create": False},
        {"name": "notes", "value": "text", "publish": True, "audit": False, "compacted": False, "create": False},
    ]
    assert len(text.splitlines()) < 50


@pytest.mark.parametrize("part", ["http://10.0.0.1:8081/", "127.0.0.1:7404", "4711", "/tmp/x", "127.0.0.1:9092"])
def test_the_banner_says_where_everything_is(part: str) -> None:
    processes = {"a": 4711, "b": 4712, "c": 4713}
    text = banner(PLACES, processes, "127.0.0.1:9092", "/tmp/x", "whimbrel")
    assert part in text
    assert max(map(len, text.splitlines())) <= 120
