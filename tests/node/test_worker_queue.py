"""In which order what workers say is handled."""

from __future__ import annotations

from gateway.link.events import JSON, Cancel, Drop, FromWorker, More, Publish, Start, Subscribe
from node.worker_queue import AHEAD_MAX, WorkerQueue


def subscribe(sid: int) -> Subscribe:
    return Subscribe(sid, sid, "/t/k", JSON, Start("now"))


def publish(pid: int, publisher: str = "p") -> Publish:
    return Publish(pid, "/t/k", publisher, pid, b"1", [])


def taken(queue: WorkerQueue) -> list[FromWorker]:
    """All that is handled."""
    return [said[1] for _ in range(len(queue)) if (said := queue.take()) is not None]


def test_packets_that_begin_with_a_subscribe_are_handled_behind_others() -> None:
    queue = WorkerQueue()
    behind: list[FromWorker] = [subscribe(1), publish(1), subscribe(2)]
    queue.put(1, behind)
    queue.put(2, [publish(2)])
    queue.put(1, [More(7), publish(3, "q")])
    assert taken(queue) == [publish(2), More(7), publish(3, "q"), *behind]


def test_what_a_publisher_publishes_never_overtakes_what_it_published_before() -> None:
    """Also in a packet of its own, and where a long packet was divided so that it begins with a publish."""
    queue = WorkerQueue()
    other = publish(9, "q")
    queue.put(1, [subscribe(1), publish(1)])
    queue.put(1, [publish(2), other, More(7)])
    queue.put(2, [publish(3)])
    queue.put(1, [publish(4)])
    assert taken(queue) == [other, More(7), publish(3), subscribe(1), publish(1), publish(2), publish(4)]
    queue.put(1, [publish(5)])
    queue.put(1, [subscribe(2)])
    queue.put(1, [publish(6)])
    assert taken(queue) == [publish(5), publish(6), subscribe(2)]


def test_nobody_waits_for_ever() -> None:
    queue = WorkerQueue()
    queue.put(1, [subscribe(1)])
    queue.put(1, [publish(pid) for pid in range(2 * AHEAD_MAX)])
    assert taken(queue).index(subscribe(1)) == AHEAD_MAX


def test_a_subscribe_is_never_handled_before_what_was_said_earlier() -> None:
    """Many clients are cut off at once, and one of them is back before all of that was handled."""
    queue = WorkerQueue()
    dropped: list[FromWorker] = [Drop(f"/t/{number}", JSON) for number in range(3 * AHEAD_MAX)]
    later: list[FromWorker] = [publish(pid) for pid in range(2 * AHEAD_MAX)]
    queue.put(1, dropped)
    queue.put(1, [subscribe(1), subscribe(2)])
    queue.put(1, later)
    handled = taken(queue)
    assert handled[: len(dropped)] == dropped
    assert [handled.index(subscribe(sid)) - len(dropped) for sid in (1, 2)] == [AHEAD_MAX, 2 * AHEAD_MAX + 1]
    assert [event for event in handled[len(dropped) :] if event in later] == later


def test_a_cancel_that_overtakes_its_subscribe_is_not_undone_by_it() -> None:
    queue = WorkerQueue()
    queue.put(1, [subscribe(1), subscribe(2)])
    queue.put(2, [subscribe(1)])
    queue.put(1, [Cancel(1)])
    assert taken(queue) == [Cancel(1), subscribe(2), subscribe(1)]
    queue.put(1, [subscribe(3)])
    assert taken(queue) == [subscribe(3)]
    queue.put(1, [Cancel(3)])
    assert taken(queue) == [Cancel(3)]
