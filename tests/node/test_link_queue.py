"""What waits for a worker."""

from __future__ import annotations

from node.link_queue import LinkQueue


def test_what_waits_is_counted_until_the_worker_says_that_it_has_taken_it() -> None:
    queue = LinkQueue()
    for size in (100, 20, 3):
        queue.put(size)
    queue.taken(0)
    assert queue.bytes == 123
    queue.taken(2)
    assert queue.bytes == 3
    queue.taken(2)  # said again: nothing new
    assert queue.bytes == 3
    queue.put(50)
    queue.taken(4)
    assert queue.bytes == 0


def test_a_worker_that_claims_more_than_it_was_sent_has_taken_everything() -> None:
    queue = LinkQueue()
    queue.put(1)
    queue.taken(10)
    assert queue.bytes == 0
