"""When nodes count as agreed, told from documents that were made up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cluster import Status, disagreements


def document(**changed: Any) -> Status:
    members = [{"name": name, "state": "alive", "synced": True} for name in "ab"]
    cluster: dict[str, Any] = {
        "members": [*members, {"name": "c", "state": "dead", "synced": False}],
        "slots": [
            {"slot": 0, "epoch": 3, "coordinator": "a"},
            {"slot": 1, "epoch": 1, "coordinator": "b"},
        ],
        "feeds": [{"topic": "t", "partition": 0, "feeder": "b"}],
    }
    kafka = {"topics": [{"topic": "t", "partitions": [{"state": changed.pop("kafka", "live")}]}]}
    return {"cluster": {**cluster, **changed}, "kafka": kafka}


def test_nodes_that_say_the_same_and_lack_nothing_agree() -> None:
    assert disagreements({"a": document(), "b": document()}, ["a", "b"]) == []
    assert disagreements({"a": {**document(feeds=[]), "kafka": None}}, ["a", "b"]) == []


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, "b does not answer"),
        (document(members=[{"name": "a", "state": "alive", "synced": True}]), "b sees ['a'] alive"),
        (
            document(members=[{"name": n, "state": "alive", "synced": n == "a"} for n in "ab"]),
            "b says that ['b'] are not synced",
        ),
        (document(slots=[{"slot": 0, "epoch": 3, "coordinator": None}]), "b: nobody coordinates 0"),
        (
            document(slots=[{"slot": 0, "epoch": 4, "coordinator": "a"}, {"slot": 1, "epoch": 1, "coordinator": "b"}]),
            "b and a differ about who coordinates [0]",
        ),
        (document(feeds=[{"topic": "t", "partition": 0, "feeder": None}]), "b: nobody feeds ('t', 0)"),
        (
            document(feeds=[{"topic": "t", "partition": 0, "feeder": "a"}]),
            "b and a differ about who feeds [('t', 0)]",
        ),
        (document(kafka="loading"), "b: topic t is ['loading']"),
    ],
)
def test_whatever_is_not_agreed_is_named(other: Status, expected: str) -> None:
    assert expected in disagreements({"a": document(), "b": other}, ["a", "b"])


def test_a_node_too_many_is_named() -> None:
    assert disagreements({"a": document()}, ["a", "b", "c"]) == ["a sees ['a', 'b'] alive"]
