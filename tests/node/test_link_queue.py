"""What waits for a worker: its bytes, and for how long it has taken nothing."""

from __future__ import annotations

from node.link_queue import LinkQueue


def test_a_worker_that_is_slow_is_not_stuck() -> None:
    queue = LinkQueue()
    for second in range(10):
        queue.put(second, 100)
    for second in range(9):
        assert queue.stuck_s(10.0 + second) == (10.0 if second == 0 else 1.0)
        queue.taken(10.0 + second, second + 1)
    assert queue.bytes == 100
    assert queue.stuck_s(28.0) == 10.0


def test_what_has_just_come_after_a_pause_has_not_waited() -> None:
    queue = LinkQueue()
    queue.put(0.0, 1)
    queue.taken(0.5, 1)
    assert queue.stuck_s(100.0) == 0.0
    queue.put(100.0, 1)
    assert queue.stuck_s(101.0) == 1.0
    queue.taken(101.0, 1)  # said again: nothing new
    assert queue.stuck_s(102.0) == 2.0
