"""Which topics clients may use."""

from __future__ import annotations

import pytest

from gateway.link.settings import TopicRule
from gateway.link.topic_rules import Mapping
from node.settings.relations import covers


def test_the_first_rule_that_matches_counts() -> None:
    mapping = Mapping([TopicRule("a", "text"), TopicRule("a*", "bytes")])
    found = [mapping.rule_for(topic) for topic in ("a", "ab", "b", "a")]
    assert [rule and rule.value for rule in found] == ["text", "bytes", None, "text"]


@pytest.mark.parametrize("name", ["*", "?_*", "_*", "*offsets", "[_]_*"])
def test_a_glob_does_not_match_internal_topics(name: str) -> None:
    assert Mapping([TopicRule(name)]).rule_for("__consumer_offsets") is None
    assert not covers(name, "__consumer_offsets")


@pytest.mark.parametrize("name", ["__*", "__consumer_offsets", "__c*"])
def test_internal_topics_can_be_named(name: str) -> None:
    rule = Mapping([TopicRule("*"), TopicRule(name)]).rule_for("__consumer_offsets")
    assert rule is not None
    assert rule.name == name
    assert covers(name, "__consumer_offsets")
