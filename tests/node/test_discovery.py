"""The threads that ask Kafka about topics: clients that are of no use any more, answers that lack something."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from node.kafka import discovery, threads, topic_admin
from node.kafka.events import Found, Unreachable
from node.kafka.starts import Depth
from tests.support.patience import PATIENCE_S


class Client:
    """The first one never gets an answer."""

    made = 0

    def __init__(self, properties: dict[str, Any]) -> None:
        Client.made += 1
        self._is_deaf = Client.made == 1

    def list_topics(self, timeout: float) -> Any:
        if self._is_deaf:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return SimpleNamespace(topics={}, brokers={}, cluster_id="x")

    def poll(self, timeout: float) -> int:
        return 0


def test_a_client_without_answers_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "AdminClient", Client)
    monkeypatch.setattr(discovery, "ANEW_S", 0.01)
    inbox = queue.Queue[Any]()
    discoverer = discovery.Discoverer({}, 0.01, lambda topic: True, [], Depth(0, 0, 0), inbox)  # type: ignore[arg-type]
    try:
        while not isinstance(inbox.get(timeout=PATIENCE_S), Found):
            pass
    finally:
        discoverer.stop()
    assert Client.made == 2


class Describing:
    """Has one topic, and says this of its configuration; None: never anything."""

    def __init__(self, configuration: dict[str, Any] | None) -> None:
        self._configuration = configuration

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(topics={"t": SimpleNamespace(partitions={})}, brokers={}, cluster_id="x")

    def poll(self, timeout: float) -> int:
        return 0

    def describe_topics(self, topics: Any, request_timeout: float) -> dict[str, Future[Any]]:
        return {"t": answered(SimpleNamespace(topic_id="i", partitions=[]))}

    def describe_configs(self, resources: Iterable[Any], request_timeout: float) -> dict[Any, Future[Any]]:
        said = self._configuration
        return {one: Future() if said is None else answered(said) for one in resources}


def answered(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


Said = Callable[[dict[str, Any] | None], queue.Queue[Any]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """What the threads say of a topic with such a configuration; a crash of theirs as well."""
    inbox = queue.Queue[Any]()
    monkeypatch.setattr(threads, "crash", lambda: inbox.put("crash"))

    def begin(configuration: dict[str, Any] | None) -> queue.Queue[Any]:
        for module in (discovery, topic_admin):
            monkeypatch.setattr(module, "AdminClient", lambda properties: Describing(configuration))
            monkeypatch.setattr(module, "ASK_S", 0.01)
        return inbox

    return begin


def looked(inbox: queue.Queue[Any]) -> Any:
    """What the first look says."""
    discoverer = discovery.Discoverer({}, 0.01, lambda topic: True, [], Depth(0, 0, 0), inbox)  # type: ignore[arg-type]
    try:
        return inbox.get(timeout=PATIENCE_S)
    finally:
        discoverer.stop()


def limit_of(inbox: queue.Queue[Any]) -> Any:
    admin = topic_admin.TopicAdmin({}, inbox)  # type: ignore[arg-type]
    try:
        admin.ask_limit("t")
        return inbox.get(timeout=PATIENCE_S)
    finally:
        admin.stop()


def test_a_broker_that_leaves_out_keys_has_topics_as_by_default(said: Said) -> None:
    found = looked(said({}))
    assert isinstance(found, Found), found
    assert (list(found.topics), found.compacted, found.undescribed) == (["t"], {}, frozenset())


def test_the_keys_that_it_gives_count(said: Said) -> None:
    found = looked(said({"cleanup.policy": SimpleNamespace(value="compact,delete")}))
    assert isinstance(found, Found), found
    assert found.compacted == {"t": discovery.TOMBSTONES_S}


def test_an_answer_that_never_comes_is_none_of_kafkas(said: Said) -> None:
    """librdkafka is to say so itself; where it does not, a node that ended would only start to meet the same again."""
    assert looked(said(None)) == Unreachable("Kafka did not answer")


def test_a_broker_that_does_not_know_the_limit_is_not_asked_again(said: Said) -> None:
    assert limit_of(said({})) == topic_admin.LimitFound("t", None, is_final=True)


def test_the_limit_that_it_gives_counts(said: Said) -> None:
    limit = {"max.message.bytes": SimpleNamespace(value="2048")}
    assert limit_of(said(limit)) == topic_admin.LimitFound("t", 2048, is_final=True)
