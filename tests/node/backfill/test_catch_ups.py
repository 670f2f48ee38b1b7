"""A worker that lost its place is sent what it lacks, log by log, and then live messages again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.link import events as link
from mesh.cache.cache import CacheConfig
from mesh.log import Entry, Gap, Place
from node.backfill import catch_ups
from node.backfill.questions import Scan, Scanned
from node.config import NodeConfig
from node.effects import AskKafka, CancelQuestion, ToWorker
from node.kafka.events import Record, ScanDone, Unanswered
from tests.node.cores import ALONE, WORKER, OneNode, record

FEW = replace(ALONE, cache=CacheConfig(600, 3, 1 << 30, 600))
"""The cache keeps three messages of a subject."""


def started(config: NodeConfig = ALONE, *subjects: str, partitions: int = 1) -> tuple[OneNode, int]:
    """A node whose worker has live subscriptions."""
    node = OneNode(config)
    generation = node.start_partitions(partitions)
    for sid, subject in enumerate(subjects, start=1):
        node.subscribe(sid, subject, link.Start("now"))
    node.told()
    return node, generation


def catch_up(node: OneNode, number: int, place: Place) -> None:
    node.core.worker_event(node.now, 0, WORKER, link.CatchUp(number, {"orders": place}))


def large(count: int) -> list[Record]:
    """Two of them fill a `Missed`."""
    return [record(n, b"a", b'"' + b"x" * 200_000 + b'"') for n in range(count)]


def shown(events: list[link.FromNode]) -> list[object]:
    """Offsets of messages and whether that was all (`Missed`), or live; of all else the kind."""
    found: list[object] = []
    for event in events:
        if isinstance(event, link.Missed | link.Live):
            offsets = [json.loads(frame[frame.index(b"{") :])["at"][1] for frame in event.json[1]]
            found.append((offsets, event.is_live) if isinstance(event, link.Missed) else offsets)
        else:
            found.append(type(event))
    return found


def test_what_a_worker_lacks_comes_once_and_live_messages_follow() -> None:
    node, generation = started(ALONE, "/orders/a", "/orders/a/*")
    node.read(generation, record(0, b"a"))
    assert shown(node.told()) == [[0]]
    node.core.worker_lost_place(node.now, WORKER)
    node.read(generation, record(1, b"a"), record(2, b"b"), record(3, b"a/b"))
    assert node.told() == []
    catch_up(node, 1, {"0.x": (0, 0)})
    node.read(generation, record(4, b"a"))
    events = node.told()
    assert shown(events) == [link.Resuming, ([1, 3, 4], True)]
    assert isinstance(events[1], link.Missed)
    assert events[1].at == (0, 4)
    node.read(generation, record(5, b"a"))
    assert shown(node.told()) == [[5]]


@pytest.fixture
def two_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than two `Missed` of `large` records are on their way to a worker."""
    monkeypatch.setattr(catch_ups, "UNTAKEN_BYTES_MAX", 500_000)


@pytest.mark.usefixtures("two_on_their_way")
def test_each_log_is_live_by_itself_and_its_end_is_not_told_before() -> None:
    node, generation = started(ALONE, "/orders/*", partitions=2)
    node.core.worker_lost_place(node.now, WORKER)
    node.read(generation, *large(6), record(0, b"b", partition=1))
    catch_up(node, 1, {"0.x": (0, -1), "1.x": (0, -1)})
    events = node.told()
    missed = [([0, 1], False), ([0], True), ([2, 3], False)]
    assert shown(events) == [link.Resuming, *missed], "no more than the worker is known to take"
    node.now += 1
    node.core.tick(node.now)
    beacons = [event.event for event in node.all(ToWorker) if isinstance(event.event, link.Live)]
    assert beacons[-1].ends == {"orders": {"1.x": (0, 0)}}
    node.read(generation, record(6, b"a"), record(1, b"b", partition=1))
    assert shown(node.told()) == [[1]]
    for _ in range(3):
        node.core.worker_event(node.now, 0, WORKER, link.MissedTaken(1))
    assert shown(node.told()) == [([4, 5], False), ([6], True)]
    assert not node.core.has_work


def test_so_much_is_sent_at_once_that_catching_up_does_not_wait_for_the_worker() -> None:
    node, generation = started(ALONE, "/orders/*")
    node.core.worker_lost_place(node.now, WORKER)
    node.read(generation, *large(60))
    catch_up(node, 1, {"0.x": (0, -1)})
    frames = [frame for event in node.told() if isinstance(event, link.Missed) for frame in event.json[1]]
    assert 40 <= len(frames) < 60
    assert not node.core.has_work


def test_what_the_cache_has_let_go_of_is_read_back_and_what_nobody_has_is_said_before() -> None:
    node, generation = started(FEW, "/orders/a", "/orders")
    node.core.worker_lost_place(node.now, WORKER)
    node.read(generation, *(record(n, b"a") for n in range(10)))
    catch_up(node, 1, {"0.x": (0, 1)})
    assert shown(node.told()) == [link.Resuming]
    asked = [(ask.ticket, ask.question) for ask in node.all(AskKafka) if isinstance(ask.question, Scan)]
    assert {(scan.subject, scan.after, scan.until) for _, scan in asked} == {
        ("/orders/*", (0, 1), (0, 6)),
        ("/orders", (0, 1), (0, 6)),
    }
    gap = Gap("0.x", (0, 1), (0, 3), "retention")
    for ticket, scan in asked:
        entries = [("/orders/a", Entry((0, n), None, -1, b"1", None)) for n in (4, 5, 6)]
        found = entries if scan.subject == "/orders/*" else []
        node.core.kafka_event(node.now, ScanDone(ticket, Scanned((0, 3), [gap], found, (0, 6))))
    events = node.told()
    assert shown(events) == [link.LogGap, ([4, 5, 6], False), ([7, 8, 9], True)]
    assert events[0] == link.LogGap("orders", gap)


def test_when_kafka_does_not_answer_it_is_asked_again_and_nobody_else_waits_for_it() -> None:
    node, generation = started(FEW, "/orders/a")
    node.core.worker_lost_place(node.now, WORKER)
    node.read(generation, *(record(n, b"a") for n in range(10)))
    catch_up(node, 1, {"0.x": (0, -1)})
    (ask,) = node.all(AskKafka)
    node.core.kafka_event(node.now, Unanswered(ask.ticket, "no"))
    node.take()
    assert not node.core.has_work
    node.now += 1
    node.core.tick(node.now)
    (again,) = node.all(AskKafka)
    assert again.ticket != ask.ticket
    node.core.worker_gone(node.now, WORKER)
    assert node.all(CancelQuestion) == [CancelQuestion(again.ticket)]


def test_a_subscription_becomes_live_behind_what_others_missed() -> None:
    node, generation = started(ALONE, "/orders/a")
    node.core.worker_lost_place(node.now, WORKER)
    node.read(generation, record(0, b"a"), record(1, b"b"))
    catch_up(node, 1, {"0.x": (0, -1)})
    node.core.worker_event(
        node.now, 0, WORKER, link.Subscribe(9, 9, "/orders/b", link.JSON, link.Start("resume", place={"0.x": (0, -1)}))
    )
    assert shown(node.told()) == [link.Resuming, ([0], True), link.Answer, link.Page]
    node.read(generation, record(2, b"b"))
    assert shown(node.told()) == [[2]]


def test_logs_that_came_and_went_meanwhile_are_told() -> None:
    node, generation = started(ALONE, "/orders/a")
    node.read(generation, record(0, b"a"))
    node.told()
    node.core.worker_lost_place(node.now, WORKER)
    (find,) = node.find(1, "y")
    generation = node.begin(find).generation
    node.read(generation, record(0, b"a"))
    assert node.told() == []
    catch_up(node, 1, {"0.x": (0, 0)})
    events = node.told()
    assert shown(events)[:1] == [link.Resuming]
    assert link.LogEnded("orders", "0.x") in events
    assert link.NewLog("orders", "0.y", (0, -1)) in events
    assert shown(events)[-1] == ([0], True)


@pytest.mark.usefixtures("two_on_their_way")
def test_a_log_that_ends_before_the_worker_has_all_of_it_is_a_gap() -> None:
    node, generation = started(ALONE, "/orders/a")
    node.core.worker_lost_place(node.now, WORKER)
    node.read(generation, *large(8))
    catch_up(node, 1, {"0.x": (0, -1)})
    assert shown(node.told()) == [link.Resuming, ([0, 1], False), ([2, 3], False)]
    node.find(0)
    assert node.told() == [], "it is told in its turn"
    node.core.worker_event(node.now, 0, WORKER, link.MissedTaken(1))
    assert node.told() == [link.LogGap("orders", Gap("0.x", (0, 3), None, "log_gone"))]
    assert not node.core.has_work


@pytest.mark.usefixtures("two_on_their_way")
def test_a_second_loss_begins_anew() -> None:
    node, generation = started(ALONE, "/orders/a")
    node.core.worker_lost_place(node.now, WORKER)
    node.read(generation, *large(8))
    catch_up(node, 1, {"0.x": (0, -1)})
    node.told()
    node.core.worker_lost_place(node.now, WORKER)
    node.core.worker_event(node.now, 0, WORKER, link.MissedTaken(1))
    assert node.told() == []
    catch_up(node, 2, {"0.x": (0, 3)})
    node.core.worker_event(node.now, 0, WORKER, link.MissedTaken(1))  # late, of the one before
    assert shown(node.told()) == [link.Resuming, ([4, 5], False), ([6, 7], True)]
