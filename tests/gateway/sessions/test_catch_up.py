"""A worker that lost its place is caught up log by log, and its live clients do not notice."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from gateway.link import events as link
from gateway.link.messages import encode_json
from gateway.sessions.session import GONE, OPEN, Session
from mesh.log import Entry, Gap, Position
from tests.gateway.sessions.core import Harness
from tests.support.truth import covers

NOTHING: tuple[list[str], list[bytes]] = ([], [])


def frame(subject: str, log: str, seq: int) -> bytes:
    return encode_json(subject, log, Entry((0, seq), None, -1, b"1", None), "json")


def missed(number: int, log: str, messages: dict[int, str], at: int, is_live: bool = True) -> link.Missed:
    made = [frame(subject, log, seq) for seq, subject in messages.items()]
    return link.Missed(number, "t", log, (0, at), is_live, ([*messages.values()], made), NOTHING)


def live(log: str, messages: dict[int, str]) -> link.Live:
    made = [frame(subject, log, seq) for seq, subject in messages.items()]
    return link.Live({"t": {log: (0, max(messages))}}, ([*messages.values()], made), NOTHING)


def seen(found: dict[Session, list[dict[str, Any]]], session: Session) -> list[Any]:
    return [one["at"][1] if one["op"] == "msg" else one["op"] for one in found.get(session, [])]


@pytest.fixture
def harness() -> Harness:
    return Harness(subscriptions_max=100)


def test_live_clients_get_what_they_missed_and_nothing_else(harness: Harness) -> None:
    exact, overlapping = harness.open(), harness.open()
    harness.go_live(exact, "/t/a")
    harness.go_live(overlapping, "/t/a")
    harness.go_live(overlapping, "/t/*", 3)
    harness.say(live("0.x", {6: "/t/a"}))
    harness.sessions.link_jumped()
    assert (harness.sent(), harness.events()) == ({}, [link.CatchUp(1, {"t": {"0.x": (0, 6)}})])

    ignored = harness.say(
        live("0.x", {9: "/t/a"}),
        link.NewLog("t", "9.x", (0, -1)),
        link.LogGap("t", Gap("0.x", (0, 6), (0, 9), "retention")),
        link.LogEnded("t", "0.x"),
        missed(0, "0.x", {7: "/t/a"}, 7),
    )
    assert ignored == {}, "all of that was said before the node knew"
    assert harness.subscribing.ends == {"t": {"0.x": (0, 6)}}

    found = harness.say(
        link.Resuming(1),
        missed(1, "0.x", {7: "/t/b", 8: "/t/a"}, 8, False),
        missed(1, "0.x", {}, 9),
        live("0.x", {10: "/t/a"}),
    )
    assert seen(found, exact) == [8, 10]
    assert seen(found, overlapping) == [7, 8, 10]
    assert harness.subscribing.ends == {"t": {"0.x": (0, 10)}}


def test_what_is_gone_meanwhile_is_said(harness: Harness) -> None:
    session = harness.open()
    harness.go_live(session)
    harness.sessions.link_jumped()
    gap = link.LogGap("t", Gap("0.x", (0, 5), (0, 7), "retention"))
    found = harness.say(link.Resuming(1), gap, missed(1, "0.x", {8: "/t/a"}, 8), link.NewLog("t", "1.x", (0, -1)))
    assert seen(found, session) == ["gap", 8, "live"]


def test_a_loss_while_catching_up_begins_anew_from_what_was_had_by_then(harness: Harness) -> None:
    session = harness.open()
    harness.go_live(session)
    harness.sessions.link_jumped()
    found = harness.say(link.Resuming(1), missed(1, "0.x", {6: "/t/a"}, 6, False))
    harness.sessions.link_jumped()
    assert harness.events()[-1] == link.CatchUp(2, {"t": {"0.x": (0, 6)}})
    late = harness.say(link.Resuming(1), missed(1, "0.x", {8: "/t/a"}, 8))
    assert late == {}
    found = harness.say(link.Resuming(2), missed(1, "0.x", {8: "/t/a"}, 8), missed(2, "0.x", {7: "/t/a"}, 7))
    assert seen(found, session) == [7]


def test_only_who_was_in_the_middle_of_its_pages_is_ended(harness: Harness) -> None:
    reading, unanswered = harness.open(), harness.open()
    sid = harness.subscribe(reading)
    harness.say(link.Answer(sid, "fresh", {"0.x": (0, 5)}, [], []), link.Page(sid, b"", {}, [], False))
    old = harness.subscribe(unanswered)
    harness.sessions.link_jumped()
    harness.sent()
    assert (reading.state, unanswered.state) == (GONE, OPEN)
    events = harness.events()
    assert isinstance(events[0], link.CatchUp) or link.Cancel(sid) in events
    (again,) = [event for event in events if isinstance(event, link.Subscribe)]
    assert again.sid > old
    assert events.index(again) > events.index(link.CatchUp(1, {}))


class Node:
    """A node that does what `CatchUp` asks of it, over a link that loses packets."""

    def __init__(self, harness: Harness, random: Random) -> None:
        self.harness = harness
        self.random = random
        self.logs: dict[str, list[str]] = {"0.x": [], "1.x": []}
        self.held: dict[str, int] = {}
        """Subject or pattern -> how many subscriptions."""
        self.places: dict[str, int] = {"0.x": -1, "1.x": -1}
        """Up to where the worker was sent everything."""
        self.live = {*self.logs}
        self.pending: list[link.Subscribe] = []
        self.number = 0
        self.is_jumping = False

    def publish(self) -> None:
        log = self.random.choice([*self.logs])
        self.logs[log].append(self.random.choice(["/t/a", "/t/b", "/t/c"]))

    def take(self) -> None:
        for event in self.harness.events():
            if isinstance(event, link.Subscribe):
                self.held[event.subject] = 1
                self.pending.append(event)
            elif isinstance(event, link.Cancel):
                self.pending = [one for one in self.pending if one.sid != event.sid]
                self.say(link.Cancelled(event.sid))
            elif isinstance(event, link.CatchUp):
                self.pending.clear()
                self.number = event.number
                self.live.clear()
                for log, at in event.ends.get("t", {}).items():
                    self.places[log] = at[1]
                if not event.ends.get("t"):
                    self.live = {*self.logs}
                    self.places = {log: len(held) - 1 for log, held in self.logs.items()}
                self.say(link.Resuming(event.number))

    def work(self) -> None:
        """A step of catching up, the live messages, and one answer."""
        behind = [log for log in self.logs if log not in self.live]
        if behind:
            log = self.random.choice(behind)
            end = min(len(self.logs[log]) - 1, self.places[log] + self.random.randrange(1, 4))
            messages = self.after(log, end)
            if end == len(self.logs[log]) - 1:
                self.live.add(log)
            self.say(missed(self.number, log, messages, end, log in self.live))
        for log in self.live:
            end = len(self.logs[log]) - 1
            if end > self.places[log]:
                messages = self.after(log, end)
                made = [frame(subject, log, seq) for seq, subject in messages.items()]
                self.say(link.Live({"t": {log: (0, end)}}, ([*messages.values()], made), NOTHING))
        if self.pending and len(self.live) == len(self.logs):
            asked = self.pending.pop(0)
            place: dict[str, Position] = {log: (0, at) for log, at in self.places.items()}
            self.say(link.Answer(asked.sid, "fresh", place, [], []), link.Page(asked.sid, b"", place, [], True))

    def after(self, log: str, end: int) -> dict[int, str]:
        start, self.places[log] = self.places[log] + 1, end
        found = {seq: self.logs[log][seq] for seq in range(start, end + 1)}
        return {seq: one for seq, one in found.items() if any(covers(held, one) for held in self.held)}

    def say(self, *events: link.FromNode) -> None:
        if self.random.random() < 0.1:
            self.is_jumping = True
            return
        if self.is_jumping:
            self.is_jumping = False
            self.harness.sessions.link_jumped()
        self.harness.sessions.handle(events)


@pytest.mark.parametrize("seed", range(100))
def test_every_client_gets_every_message_once_and_in_order_whatever_the_link_loses(seed: int) -> None:
    random = Random(seed)
    harness = Harness()
    node = Node(harness, random)
    clients = {harness.open(): subject for subject in ("/t/a", "/t/b", "/t/*", "/t/a")}
    found: dict[Session, list[dict[str, Any]]] = {session: [] for session in clients}

    def turn() -> None:
        node.take()
        node.work()
        for session, frames in harness.sent().items():
            found[session] += frames

    for session, subject in clients.items():
        harness.send(session, {"op": "subscribe", "id": 2, "subject": subject})
        for _ in range(random.randrange(30)):
            node.publish()
            turn()
    for _ in range(100):
        node.publish()
        turn()
    for _ in range(60):
        turn()
    random.random = lambda: 1.0  # type: ignore[method-assign]
    for _ in range(20):
        node.publish()
        for _ in range(10):
            turn()
    for session, subject in clients.items():
        if session.state == GONE:
            continue
        start: dict[str, int] = next(
            {log: at[1] for log, at in one["at"].items()} for one in found[session] if one["op"] == "live"
        )
        for log, entries in node.logs.items():
            wanted = [seq for seq, one in enumerate(entries) if seq > start[log] and covers(subject, one)]
            got = [one["at"][1] for one in found[session] if one["op"] == "msg" and one["log"] == log]
            assert got == wanted, f"{subject} in {log}"
    assert any(session.state == OPEN for session in clients)
