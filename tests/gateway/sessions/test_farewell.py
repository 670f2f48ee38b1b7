"""Sending all clients away, and when a node is taken for lost."""

from __future__ import annotations

from gateway.link import codes
from gateway.sessions.farewell import Away
from gateway.sessions.node_watch import LINK_BYTES_MAX, NodeWatch
from gateway.sessions.session import GONE
from gateway.sessions.sessions import TICK_S
from tests.gateway.sessions.core import Harness


def test_clients_are_sent_away_one_after_another_and_each_once() -> None:
    harness = Harness()
    clients = [harness.open() for _ in range(10)]
    harness.sessions.gone(clients[0])
    harness.sessions.send_away(harness.now, Away(codes.NODE_LOST, "why", 1.0))
    seen: list[int] = []
    for _ in range(25):
        harness.tick(TICK_S)
        seen.append(len(harness.closed))
    assert seen[0] <= 1
    assert 3 <= seen[9] <= 6
    assert seen[-1] == len(clients) - 1
    assert {(code, reason) for _, code, reason in harness.closed} == {(codes.NODE_LOST, "why")}
    assert all(session.state == GONE for session in clients)


def test_a_node_that_says_nothing_is_lost_once_until_it_speaks_again() -> None:
    watch = NodeWatch(0.0, 1.0)
    fallen = [now for tick in range(1, 60) if watch.tick(now := tick * TICK_S, 0.5 if tick >= 10 else 0.0, False, 0.0)]
    assert len(fallen) == 1
    assert 1.5 < fallen[0] < 1.6
    assert watch.is_silent
    assert not watch.tick(3.0, 2.99, False, 0.0)
    assert not watch.is_silent


def test_a_node_that_takes_nothing_any_more_is_lost() -> None:
    watch = NodeWatch(0.0, 1.0)
    assert not watch.takes_nothing(LINK_BYTES_MAX)
    assert watch.takes_nothing(LINK_BYTES_MAX + 1)


def test_a_worker_that_stood_still_itself_does_not_blame_the_node() -> None:
    watch = NodeWatch(0.0, 1.0)
    assert not watch.tick(5.0, 0.0, False, 0.0)
    assert not watch.tick(5.05, 0.0, False, 0.0)
    assert [tick for tick in range(1, 40) if watch.tick(5.05 + tick * TICK_S, 0.0, False, 0.0)], (
        "now it has had its time"
    )


def test_a_node_that_waits_for_a_processor_is_not_silent() -> None:
    watch = NodeWatch(0.0, 1.0)
    assert not any(watch.tick(tick * TICK_S, 0.0, False, tick * TICK_S * 0.9) for tick in range(1, 150))
    stopped = [now for tick in range(150, 190) if watch.tick(now := tick * TICK_S, 0.0, False, 150 * TICK_S * 0.9)]
    assert len(stopped) == 1
    assert 7.5 < stopped[0] < 8.5, "a tenth of what came before counted"


def test_a_starved_worker_waits_longer() -> None:
    watch = NodeWatch(0.0, 1.0)
    assert not any(watch.tick(tick * 0.4, 0.0, False, 0.0) for tick in range(1, 6)), "half of its time"


def test_a_node_owes_nothing_to_a_worker_that_has_not_done_what_it_said() -> None:
    watch = NodeWatch(0.0, 1.0)
    behind = [watch.tick(tick * TICK_S, 0.0, True, 0.0) for tick in range(1, 100)]
    assert not any(behind), "it was cut off: the node says nothing until it has done all"
    assert sum(watch.tick((100 + tick) * TICK_S, 0.0, False, 0.0) for tick in range(40)) == 1, (
        "from then on it has to speak"
    )
