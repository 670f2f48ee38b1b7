"""Questions about what the cache does not have: which of them leave the node.

Not here: what asks them (backfill/), what the answers come to (tests/sim).
"""

from __future__ import annotations

from dataclasses import replace

from gateway.link import events as link
from mesh.cache.cache import CacheConfig
from node.effects import AskKafka, CancelQuestion
from tests.node.cores import VOTER, WORKER, OneNode


def test_a_question_that_is_cancelled_before_it_was_asked_reaches_nobody() -> None:
    """A node without Kafka ended by it: a slot had been copied anew just after somebody asked for what was evicted."""
    node = OneNode(replace(VOTER, cache=CacheConfig(600, 1, 1 << 30, 600)))
    while not node.core.slots.coordinated:
        node.now += 0.05
        node.core.tick(node.now)
        node.take()
    for number in range(3):
        node.core.worker_event(node.now, 0, WORKER, link.Publish(number, "/chat/0", "p", number, b"x", []))
        node.take()
    node.effects.clear()
    [log] = node.core.topics.of("chat")
    start = link.Start("resume", place={log: (node.core.slots.by_number[0].accepted, -1)})
    node.core.worker_event(node.now, 0, WORKER, link.Subscribe(1, 1, "/chat/0", link.JSON, start))
    while node.core.has_work:
        node.core.work()
    node.core.worker_event(node.now, 0, WORKER, link.Cancel(1))
    assert node.core.backfills._questions, "it was about to be asked"
    assert (node.all(CancelQuestion), node.all(AskKafka)) == ([], [])
