"""A client that comes from a node which knows a log that this one does not know, or not yet."""

from __future__ import annotations

from typing import Any

from gateway.link import events as link
from mesh.feed.feed_log import FeedBeacon
from mesh.log import Gap
from node.effects import FindStart, LookUpTopics
from node.kafka.events import Found
from tests.node.cores import ALONE, OneNode, messages, record
from whimbrel.place import Track, Verdict


def resumed(place: dict[str, tuple[int, int] | None]) -> tuple[OneNode, int]:
    """A node with one partition that has a record, and a client that resumes with this place."""
    node = OneNode(ALONE)
    generation = node.start_partitions(1)
    node.read(generation, record(0))
    node.take()
    node.effects.clear()
    node.subscribe(1, "/orders/*", link.Start("resume", place=place))
    return node, generation


def found(node: OneNode, partitions: int, look_up: int) -> None:
    node.core.kafka_event(node.now, Found(["b"], {"orders": ("x", partitions)}, set(), set(), look_up))


def log_of(node: OneNode, partition: int) -> str:
    return node.core.topics.by_partition["orders", partition].log_id


def test_a_log_that_this_node_has_not_seen_yet_is_waited_for_and_nothing_comes_twice() -> None:
    other = OneNode(ALONE)
    other.start_partitions(2)
    new = log_of(other, 1)
    node, _ = resumed({log_of(other, 0): (0, 0), new: (0, 4)})
    (look_up,) = node.all(LookUpTopics)
    answer, *_ = node.told()
    assert isinstance(answer, link.Answer)
    assert (answer.answer, answer.gaps, answer.waiting) == ("full", [], [new])
    assert answer.at[new] == (0, 4)

    found(node, 2, look_up.number)
    (find,) = node.all(FindStart)
    read = node.begin(find)
    for offset in range(7):
        node.read(read.generation, record(offset, partition=1))
    node.reach_end(read.generation, 1)
    assert handed_over(answer, node.told(), new) == [(0, 5), (0, 6)]


def test_a_log_that_kafka_does_not_have_is_gone_when_two_answers_in_a_row_say_so() -> None:
    node, _ = resumed({"7.gone": (0, 4)})
    (first,) = node.all(LookUpTopics)
    node.told()
    found(node, 1, 0)  # asked before the client came
    assert node.all(LookUpTopics) == []
    assert node.told() == []
    found(node, 1, first.number)
    (second,) = node.all(LookUpTopics)
    assert second.number == first.number + 1
    assert node.told() == []
    found(node, 1, second.number)
    (page,) = node.told()
    assert isinstance(page, link.Page)
    assert page.gaps == [Gap("7.gone", (0, 4), None, "log_gone")]


def test_many_clients_make_one_request() -> None:
    node, _ = resumed({"7.gone": (0, 4)})
    for sid in range(2, 50):
        node.subscribe(sid, "/orders/*", link.Start("resume", place={"8.gone": (0, sid)}))
    assert len(node.all(LookUpTopics)) == 1


def test_a_log_that_another_node_reads_is_asked_for_at_once() -> None:
    node, _ = resumed({})
    assert node.all(LookUpTopics) == []
    beacon = FeedBeacon([(log_of(node, 0), (0, 0)), ("1.x", (0, 9))], False)
    for _ in range(3):
        node.core.peer_packets(node.now, "b", "b1", [beacon])
    assert len(node.all(LookUpTopics)) == 1


def handed_over(answer: link.Answer, events: list[link.FromNode], log: str) -> list[tuple[int, int]]:
    """What of a log an application gets, as the SDK's rules have it."""
    track = Track()
    track.subscribed(answer.answer == "fresh", answer.at, answer.waiting, [])
    found = []
    for event in events:
        for one in _messages(event):
            at, prev = tuple(one["at"]), tuple(one["prev"]) if "prev" in one else None
            if track.take(one["log"], one["subject"], at, prev) is Verdict.HAND_OVER and one["log"] == log:
                found.append(at)
        if isinstance(event, link.Page):
            track.now_live(event.live)
        elif isinstance(event, link.NewLog):
            track.now_live({event.log: event.at})
    return found


def _messages(event: link.FromNode) -> list[dict[str, Any]]:
    if isinstance(event, link.Page):
        return messages(link.Live({}, ([], _frames(event.data)), ([], [])))
    return messages(event) if isinstance(event, link.Live) else []


def _frames(data: bytes) -> list[bytes]:
    """Unmasked WebSocket frames of less than 126 bytes, or of less than 64 KiB."""
    frames = []
    while data:
        size = 4 + int.from_bytes(data[2:4], "big") if data[1] == 126 else 2 + data[1]
        frames.append(data[:size])
        data = data[size:]
    return frames
