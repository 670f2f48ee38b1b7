"""The shell of a node performs effects in order, also where performing one gives the core another input.

Not here: what the effects are (the cores' tests), processes (test_cli_node.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.link import codes
from gateway.link.events import Publish, Refused, RevokedTokens
from mesh.revocations import Revocation
from node.admin.server import ADMIN
from node.effects import ToWorker
from node.kafka.events import Found
from node.node import Node
from node.settings import load
from node.tokens.store import RevocationStore

WORKER = 1


class RevokesOnce(RevocationStore):
    """While it keeps the first revocation another one comes."""

    node: Node | None = None

    def save(self, entries: list[Revocation]) -> None:
        super().save(entries)
        node, self.node = self.node, None
        if node is not None:
            node.revoke("second", None, None)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    store = RevokesOnce(tmp_path)
    flags = {"namespaces": "chat", "cluster.data_dir": str(tmp_path), "admin.listen": "off"}
    settings = load(None, {}, [("--set", f"{name}={value}") for name, value in flags.items()], "n").settings
    node = Node(settings, 0, f"ipc://{tmp_path}/link", 1, None, store)
    store.node = node
    yield node
    node.stop()


def test_what_follows_from_an_effect_comes_behind_all_of_its_turn(node: Node) -> None:
    told: list[str | None] = []

    def to_worker(effect: ToWorker) -> None:
        if isinstance(effect.event, RevokedTokens):
            told.extend(entry.token_id for entry in effect.event.entries)

    node._performers[ToWorker] = to_worker
    node.worker_joined(WORKER)
    node.revoke("first", None, None)
    assert told == ["first", "second"], "it was told at once, and before nothing that it follows"


def test_tokens_that_are_not_made_yet_cannot_be_revoked(node: Node) -> None:
    """They would outlive the revocation; and nobody could come until it ends, which no command can take back."""
    with pytest.raises(ValueError, match="in the future"):
        node.revoke(None, None, time.time() + 86400)
    node.revoke(None, None, time.time() + 10)  # another machine's clock
    assert [entry.name for entry in node.core.revocations.all(time.monotonic())] == [None, None]


@pytest.mark.parametrize("topic", ["orders", "new-orders"])
def test_where_there_is_no_producer_an_operators_publish_is_refused(topic: str, tmp_path: Path) -> None:
    """In the turn that it came in, of which everything else is done as well."""
    mapping = '[{name = "orders"}, {name = "new-*", create = true}]'
    flags = {"kafka.bootstrap": "127.0.0.1:1", "topics": mapping, "admin.listen": "off"}
    settings = load(None, {}, [("--set", f"{name}={value}") for name, value in flags.items()], "n").settings
    node = Node(settings, 0, f"ipc://{tmp_path}/link", 1, None, RevocationStore(tmp_path))
    told: list[tuple[int, object]] = []
    node._performers[ToWorker] = lambda effect: told.append((effect.worker, effect.event))
    try:
        node.core.kafka_event(time.monotonic(), Found(["b"], {"orders": ("x", 1)}, set(), set()))
        node.perform()
        for number in (1, 2):
            node.publish(ADMIN, Publish(number, f"/{topic}/k", "p", number, b"v", []))
        node.core.kafka_event(time.monotonic(), Found(["b"], {"orders": ("x", 1)}, set(), set(), look_up=9))
        node.perform()
    finally:
        node.stop()
    reason = "no topic has publish = true: there is no producer"
    assert told == [(ADMIN, Refused(number, codes.PUBLISH_DISABLED, reason)) for number in (1, 2)]
