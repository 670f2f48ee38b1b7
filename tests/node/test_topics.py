"""Partitions as logs: what begins, what ends, and what names them."""

from __future__ import annotations

import string

from gateway.link.settings import TopicRule
from gateway.link.topic_rules import Mapping
from mesh.cache.cache import Cache, CacheConfig
from node.topics import ENDED_REMEMBERED_MAX, Source, Topics, incarnation_of


def topics() -> Topics:
    return Topics(Mapping([TopicRule("a", "text", True), TopicRule("b*")]))


def ids(sources: list[Source]) -> list[str]:
    return [source.log_id for source in sources]


def test_the_first_look_finds_what_was_there_before() -> None:
    found = topics()
    assert not found.known
    begun, ended = found.update({"a": ("x", 2), "b1": ("y", 1), "other": ("z", 1)})
    assert found.known
    assert ids(begun) == ["0.x", "1.x", "0.y"]
    assert ended == []
    assert not any(source.is_new for source in begun)
    assert [source.rule.value for source in begun] == ["text", "text", "json"]
    assert found.by_partition["a", 1] is found.of("a")["1.x"]
    assert found.of("other") == {}


def test_the_same_again_changes_nothing() -> None:
    found = topics()
    first = found.update({"a": ("x", 2)})[0]
    assert found.update({"a": ("x", 2)}) == ([], [])
    assert list(found.of("a").values()) == first


def test_what_appears_later_is_new() -> None:
    found = topics()
    found.update({"a": ("x", 1)})
    begun, ended = found.update({"a": ("x", 3), "b": ("y", 1)})
    assert ids(begun) == ["1.x", "2.x", "0.y"]
    assert all(source.is_new for source in begun)
    assert ended == []


def test_a_topic_created_again_has_other_logs() -> None:
    found = topics()
    (old,), _ = found.update({"a": ("x", 1)})
    begun, ended = found.update({"a": ("y", 2)})
    assert ended == [old]
    assert ids(begun) == ["0.y", "1.y"]
    assert all(source.is_new for source in begun)
    assert found.by_partition["a", 0] is begun[0]
    assert list(found.of("a")) == ["0.y", "1.y"]


def test_a_topic_that_is_gone_leaves_its_end_behind_once_it_was_read() -> None:
    found = topics()
    begun, _ = found.update({"a": ("x", 2)})
    cache = Cache(CacheConfig(10, 10, 10**6, 10))
    loaded, filling = begun
    for source in begun:
        source.log = cache.open(source.log_id, "a")
        cache.append(source.log, "/a/k", (0, 7), 0, b"1", None)
    loaded.loaded = True
    begun, ended = found.update({})
    assert begun == []
    assert ended == [loaded, filling]
    assert found.ended_at("0.x") == (0, 7)
    assert found.ended_at("1.x") is None  # not read to its end: nobody knows what was in it
    assert found.sources == {}
    assert found.by_partition == {}


def test_what_is_remembered_of_logs_that_ended_is_bounded() -> None:
    found = topics()
    cache = Cache(CacheConfig(10, 10, 10**6, 10))
    found.update({})
    for number in range(ENDED_REMEMBERED_MAX + 5):
        (source,), _ = found.update({"a": (f"i{number}", 1)})
        source.log = cache.open(source.log_id, "a")
        source.loaded = True
    found.update({})
    assert found.ended_at("0.i4") is None
    assert found.ended_at("0.i5") is not None
    assert found.ended_at(f"0.i{ENDED_REMEMBERED_MAX + 4}") is not None


def test_an_incarnation_is_short_and_depends_on_the_whole_id() -> None:
    names = {incarnation_of(b"id%d" % number) for number in range(1000)}
    assert len(names) == 1000
    assert {len(name) for name in names} == {8}
    assert set("".join(names)) <= set(string.ascii_letters + string.digits + "-_")


def test_what_could_not_be_seen_at_first_is_late_but_not_new() -> None:
    found = topics()
    found.update({}, unsure={"a"})
    (begun,), _ = found.update({"a": ("x", 1)})
    assert begun.is_late
    assert not begun.is_new


def test_a_log_that_seemed_to_be_gone_is_not_new_when_it_is_back() -> None:
    found = topics()
    (source,), _ = found.update({"a": ("x", 1)})
    source.log = Cache(CacheConfig(10, 10, 10**6, 10)).open(source.log_id, "a", (0, 4))
    source.loaded = True
    found.update({})
    (back,), _ = found.update({"a": ("x", 1)})
    assert back.is_late
    assert not back.is_new
    assert found.ended_at("0.x") == (0, 4)
    found.update({})
    (back,), _ = found.update({"a": ("x", 1)}, recreated={"a"})
    assert back.is_new, "Kafka gives it no id, and it is known to be another"
    found.forget_end("0.x")
    assert found.ended_at("0.x") is None
