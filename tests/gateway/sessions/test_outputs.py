"""What waits for the answer to a client's only subscription and leaves in one write with it, and what ends the wait."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.link import codes
from gateway.link import events as link
from gateway.sessions.session import Session
from gateway.sockets.websocket import TEXT
from tests.gateway.sessions.core import Harness

HELLO = {"op": "hello", "id": 1}
SUBSCRIBE = {"op": "subscribe", "id": 2, "subject": "/t/a"}
PLACE = {"0.x": (0, 5)}


def in_one_go(harness: Harness, *frames: dict[str, Any]) -> tuple[Session, int]:
    """A client that sends all of this at once, and is sent nothing; with the sid of its subscription."""
    session = harness.connect()
    for frame in frames:
        harness.sessions.received(harness.now, session, TEXT, msgspec.json.encode(frame))
    assert harness.sent() == {}
    (sid,) = [one.sid for one in harness.events() if isinstance(one, link.Subscribe)][-1:]
    return session, sid


def ops(found: dict[Session, list[dict[str, Any]]], session: Session) -> list[str]:
    return [frame["op"] for frame in found.get(session, [])]


def test_who_subscribes_with_hello_is_welcomed_with_the_answer() -> None:
    harness = Harness()
    session, sid = in_one_go(harness, HELLO, SUBSCRIBE)
    found = harness.say(link.Answer(sid, "fresh", PLACE, [], []), link.Page(sid, b"", PLACE, [], True))
    assert (ops(found, session), harness.writes) == (["welcome", "subscribed", "live"], 1)
    assert harness.tick(0.05) == {}


def test_the_welcome_waits_for_a_tick_at_most() -> None:
    harness = Harness()
    session, sid = in_one_go(harness, HELLO, SUBSCRIBE)
    assert ops(harness.tick(0.05), session) == ["welcome"]
    assert ops(harness.say(link.Answer(sid, "fresh", PLACE, [], [])), session) == ["subscribed"]


def test_what_else_a_client_is_told_leaves_behind_its_welcome() -> None:
    harness = Harness()
    session, _ = in_one_go(harness, HELLO, SUBSCRIBE)
    assert [one["op"] for one in harness.send(session, {"op": "ping", "id": 3})] == ["welcome", "pong"]


def test_who_is_closed_meanwhile_is_welcomed_before() -> None:
    harness = Harness()
    session, _ = in_one_go(harness, HELLO, SUBSCRIBE)
    harness.sessions.close(session, codes.DISCONNECTED, "")
    assert ops(harness.sent(), session) == ["welcome"]


def test_nothing_is_kept_for_who_has_gone() -> None:
    harness = Harness()
    session, _ = in_one_go(harness, HELLO, SUBSCRIBE)
    harness.sessions.gone(session)
    assert harness.tick(0.05) == {}


def test_nothing_waits_for_the_answer_to_a_further_subscription() -> None:
    harness = Harness()
    session, _ = in_one_go(harness, HELLO, SUBSCRIBE)
    harness.tick(0.05)
    for frame in ({"op": "ping", "id": 3}, SUBSCRIBE | {"id": 4}):
        harness.sessions.received(harness.now, session, TEXT, msgspec.json.encode(frame))
    assert ops(harness.sent(), session) == ["pong"]
