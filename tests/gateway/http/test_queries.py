"""Many who ask the node the same cost it one answer."""

from __future__ import annotations

import gevent
import pytest

from gateway.http import queries
from gateway.http.queries import SHARED_S, WAIT_S, Queries
from gateway.link import events as link


class Node:
    """Queries with a clock that stands still, and what they send."""

    def __init__(self) -> None:
        self.sent: list[link.Query] = []
        self.now = 100.0
        self.queries = Queries(self.sent.append, lambda: self.now)

    def askers(self, what: str, count: int) -> list[gevent.Greenlet]:
        found = [gevent.spawn(self.queries.ask, what) for _ in range(count)]
        gevent.sleep(0)
        return found


def values(greenlets: list[gevent.Greenlet]) -> list[link.Reply | None]:
    return [one.get(timeout=5) for one in greenlets]


def test_who_asks_meanwhile_and_soon_after_gets_the_same_answer() -> None:
    node = Node()
    status, metrics = node.askers("status", 20), node.askers("metrics", 20)
    assert node.sent == [link.Query(1, "status"), link.Query(2, "metrics")]
    node.now += 1
    status += node.askers("status", 1)
    reply, other = link.Reply(1, 200, "a", b"1"), link.Reply(2, 200, "a", b"2")
    node.queries.replied(reply)
    node.queries.replied(other)
    assert values(status) == [reply] * 21
    assert values(metrics) == [other] * 20
    node.now += SHARED_S * 0.9
    assert node.queries.ask("status") is reply
    assert len(node.sent) == 2
    node.now += SHARED_S * 0.2
    later = node.askers("status", 3)
    assert node.sent[2:] == [link.Query(3, "status")]
    node.queries.replied(link.Reply(1, 200, "a", b"late"))
    newer = link.Reply(3, 200, "a", b"3")
    node.queries.replied(newer)
    assert values(later) == [newer] * 3


def test_an_answer_that_does_not_come_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "WAIT_S", 0.01)
    node = Node()
    assert values(node.askers("ready", 2)) == [None, None]
    monkeypatch.undo()
    node.now += WAIT_S
    again = node.askers("ready", 1)
    assert node.sent == [link.Query(1, "ready"), link.Query(2, "ready")]
    node.queries.replied(link.Reply(2, 503, "a", b""))
    assert values(again)[0] == link.Reply(2, 503, "a", b"")


def test_nobody_waits_for_what_the_link_may_have_lost() -> None:
    node = Node()
    waiting = node.askers("status", 2)
    node.queries.link_jumped()
    assert values(waiting) == [None, None]
    node.askers("status", 1)
    assert len(node.sent) == 2
