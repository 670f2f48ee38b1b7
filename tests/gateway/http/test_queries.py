"""Many who ask the node the same cost it one answer."""

from __future__ import annotations

import gevent
import pytest

from gateway.http import queries as asks
from gateway.http.queries import SHARED_S, WAIT_S, Asks
from gateway.link import events as link


class Node:
    """Asks with a clock that stands still, and what they send."""

    def __init__(self) -> None:
        self.sent: list[link.Ask] = []
        self.now = 100.0
        self.asks = Asks(self.sent.append, lambda: self.now)

    def askers(self, what: str, count: int) -> list[gevent.Greenlet]:
        found = [gevent.spawn(self.asks.ask, what) for _ in range(count)]
        gevent.sleep(0)
        return found


def values(greenlets: list[gevent.Greenlet]) -> list[link.Tell | None]:
    return [one.get(timeout=5) for one in greenlets]


def test_who_asks_meanwhile_and_soon_after_gets_the_same_answer() -> None:
    node = Node()
    status, metrics = node.askers("status", 20), node.askers("metrics", 20)
    assert node.sent == [link.Ask(1, "status"), link.Ask(2, "metrics")]
    node.now += 1
    status += node.askers("status", 1)
    tell, other = link.Tell(1, 200, "a", b"1"), link.Tell(2, 200, "a", b"2")
    node.asks.told(tell)
    node.asks.told(other)
    assert values(status) == [tell] * 21
    assert values(metrics) == [other] * 20
    node.now += SHARED_S * 0.9
    assert node.asks.ask("status") is tell
    assert len(node.sent) == 2
    node.now += SHARED_S * 0.2
    later = node.askers("status", 3)
    assert node.sent[2:] == [link.Ask(3, "status")]
    node.asks.told(link.Tell(1, 200, "a", b"late"))
    newer = link.Tell(3, 200, "a", b"3")
    node.asks.told(newer)
    assert values(later) == [newer] * 3


def test_an_answer_that_does_not_come_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asks, "WAIT_S", 0.01)
    node = Node()
    assert values(node.askers("ready", 2)) == [None, None]
    monkeypatch.undo()
    node.now += WAIT_S
    again = node.askers("ready", 1)
    assert node.sent == [link.Ask(1, "ready"), link.Ask(2, "ready")]
    node.asks.told(link.Tell(2, 503, "a", b""))
    assert values(again)[0] == link.Tell(2, 503, "a", b"")


def test_nobody_waits_for_what_the_link_may_have_lost() -> None:
    node = Node()
    waiting = node.askers("status", 2)
    node.asks.jumped()
    assert values(waiting) == [None, None]
    node.askers("status", 1)
    assert len(node.sent) == 2
