"""The thread that looks which topics there are: what it does when its client is of no use any more."""

from __future__ import annotations

import queue
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from node.kafka import discovery
from node.kafka.events import Found
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
