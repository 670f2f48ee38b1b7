"""What clients ask for is done in turns: one that asks for much delays itself, and what it cancels costs nothing."""

from __future__ import annotations

from gateway.link import events as link
from node.effects import ToWorker
from tests.node.cores import ALONE, WORKER, OneNode, record


def crowded(subjects: int) -> OneNode:
    """A node whose cache has that many subjects."""
    node = OneNode(ALONE)
    generation = node.start_partitions(1)
    node.read(generation, *(record(number, b"k%d" % number) for number in range(subjects)))
    node.take()
    node.effects.clear()
    return node


def subscribe(node: OneNode, client: int, sid: int, subject: str, start: link.Start) -> None:
    event = link.Subscribe(sid, sid, subject, link.JSON, start, client)
    node.core.worker_event(node.now, 0, WORKER, event)


def told(node: OneNode) -> list[link.FromNode]:
    return [one.event for one in node.core.take_effects(node.now) if isinstance(one, ToWorker)]


def slices_until_answered(node: OneNode, sid: int) -> int:
    count = 0
    while node.core.has_work:
        count += 1
        node.core.work()
        if any(isinstance(event, link.Answer) and event.sid == sid for event in told(node)):
            return count
    raise AssertionError(f"subscription {sid} got no answer")


def test_nothing_is_made_before_its_turn() -> None:
    node = crowded(10)
    subscribe(node, 1, 1, "/orders/*", link.Start("latest"))
    assert told(node) == []
    assert node.core.has_work


def test_a_bystander_waits_for_one_slice_of_each_other_client_and_no_more() -> None:
    node = crowded(2000)
    for sid in range(1, 501):
        subscribe(node, 1, sid, "/orders/*", link.Start("last", 1000))
    for sid in range(501, 601):
        subscribe(node, 2, sid, "/orders/*", link.Start("latest"))
    subscribe(node, 3, 1000, "/orders/k1", link.Start("latest"))
    assert slices_until_answered(node, 1000) <= 3


def test_a_bystander_that_wants_little_again_and_again_is_served_before_who_wants_much() -> None:
    node = crowded(2000)
    for sid in range(1, 1001):
        subscribe(node, sid % 10 + 1, sid, "/orders/*", link.Start("last", 1000))
    for sid in range(1001, 1021):
        subscribe(node, 99, sid, "/orders/k1", link.Start("last", 10))
    assert slices_until_answered(node, 1020) <= 20 + 10


def test_what_is_cancelled_costs_no_slice() -> None:
    node = crowded(10)
    for sid in range(1, 101):
        subscribe(node, 1, sid, "/orders/*", link.Start("latest"))
    for sid in range(1, 101):
        node.core.worker_event(node.now, 0, WORKER, link.Cancel(sid))
    assert not node.core.has_work
    assert [type(event) for event in told(node)] == [link.Cancelled] * 100


def test_a_worker_that_is_gone_leaves_no_work() -> None:
    node = crowded(10)
    for sid in range(1, 101):
        subscribe(node, sid % 7, sid, "/orders/*", link.Start("latest"))
    node.core.worker_gone(node.now, WORKER)
    assert not node.core.has_work


def test_live_messages_do_not_wait_for_history() -> None:
    node = crowded(2000)
    subscribe(node, 1, 1, "/orders/k1", link.Start("now"))
    while node.core.has_work:
        node.core.work()
    told(node)
    for sid in range(2, 300):
        subscribe(node, 2, sid, "/orders/*", link.Start("last", 1000))
    generation = next(iter(node.core.topics.all())).generation
    node.read(generation, record(2000, b"k1"))
    (live,) = told(node)
    assert isinstance(live, link.Live)
    assert live.json[0] == ["/orders/k1"]


def slices(node: OneNode, sid: int) -> list[list[link.FromNode]]:
    """What the worker is told after each slice, as long as it asks for pages at once."""
    found = []
    while node.core.has_work:
        node.core.work()
        found.append(told(node))
        if any(isinstance(event, link.Page) and not event.final for event in found[-1]):
            node.core.worker_event(node.now, 0, WORKER, link.More(sid))
    return found


SUBJECTS = 20_000
LOOKED_AT = 1_000
"""Subjects that are looked at in one go."""


def test_all_latest_values_are_found_in_slices() -> None:
    node = crowded(SUBJECTS)
    subscribe(node, 1, 1, "/orders/*", link.Start("latest"))
    assert slices_until_answered(node, 1) >= SUBJECTS // LOOKED_AT


def test_a_time_is_looked_for_in_slices() -> None:
    node = crowded(SUBJECTS)
    subscribe(node, 1, 1, "/orders/*", link.Start("time", 1))
    assert slices_until_answered(node, 1) >= SUBJECTS // LOOKED_AT


def test_a_pattern_is_resumed_in_slices_and_live_messages_come_in_between() -> None:
    node = crowded(SUBJECTS)
    (source,) = node.core.topics.all()
    subscribe(node, 1, 1, "/orders/*", link.Start("resume", place={source.log_id: (0, 99)}))
    subscribe(node, 2, 2, "/orders/k1", link.Start("now"))
    assert slices_until_answered(node, 2) <= 2
    node.read(source.generation, record(SUBJECTS, b"k1"))
    assert [type(event) for event in told(node)] == [link.Live]
    made = slices(node, 1)
    pages = [event for events in made for event in events if isinstance(event, link.Page)]
    assert len(made) - len(pages) >= SUBJECTS // LOOKED_AT
    assert sum(page.data.count(b'"op":"msg"') for page in pages) == SUBJECTS + 1 - 100


def test_logs_that_are_gone_are_told_in_slices() -> None:
    node = crowded(1)
    place = {f"{number}.AAAA": (0, 0) for number in range(10_000)}
    subscribe(node, 1, 1, "/orders/*", link.Start("resume", place={**place}))
    slices(node, 1)
    assert not node.core.has_work
    node.core.backfills.looked_up(1 << 30)
    gaps = [
        [gap for event in events if isinstance(event, link.Page) for gap in event.gaps] for events in slices(node, 1)
    ]
    assert max(map(len, gaps)) <= 1_000
    assert sorted(gap.log for some in gaps for gap in some) == sorted(place)
