"""Tokens that end: the notice, renewing on the living connection, and what a new token does not allow any more."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.link import events as link
from gateway.sessions.expiry import _SWEPT_MIN, Expiry
from gateway.sessions.session import OPEN, Session
from tests.gateway.sessions.core import WALL_S, Harness
from whimbrel_server import Authorizer, Connection, Identity, Refusal

PUBLISH = {"op": "publish", "subject": "/t/a", "publisher": "0123456789abcdef", "seq": 1, "json": 1}


class Timed(Authorizer):
    """A token is `name:end:topics`, its end in seconds of the harness's clock; `-` ends never."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def connect(self, connection: Connection) -> Identity:
        assert connection.address == "1.2.3.4:5"
        if connection.token in (None, "bad"):
            raise Refusal("bad", 4201)
        if connection.token == "boom":
            raise RuntimeError("boom")
        name, end, topics = str(connection.token).split(":")
        return Identity(f"{name}", expires_at=None if end == "-" else WALL_S + float(end), token_id=topics)

    def subscribe(self, identity: Identity, subject: str) -> None:
        self.asked.append(subject)
        if subject.split("/")[2][0] not in str(identity.token_id):
            raise Refusal("not any more")

    publish = subscribe


def opened(harness: Harness, token: str) -> Session:
    session = harness.connect()
    frames = harness.send(session, {"op": "hello", "id": 1, "token": token})
    while harness.questions:
        harness.answer()
        frames = harness.sent().get(session, [])
    assert frames[0]["op"] == "welcome"
    return session


def renew(harness: Harness, session: Session, token: str, id: int = 9) -> list[dict[str, Any]]:
    return harness.send(session, {"op": "renew", "id": id, "token": token})


def test_a_client_is_told_in_time_and_closed_when_its_token_has_ended() -> None:
    harness = Harness(Timed(), heartbeat_s=3600.0)
    session, lasting = opened(harness, "alice:200:a"), opened(harness, "bob:-:a")
    assert harness.tick(69.9) == {}
    assert harness.tick(0.2) == {session: [{"op": "expiring", "within_s": 29.9}]}
    assert harness.tick(29.8) == {}
    assert harness.closed == []
    harness.tick(0.2)
    assert harness.closed == [(session, 4200, "the token has expired")]
    assert harness.sessions.stats.expired == 1
    assert lasting.state == OPEN


def test_a_short_token_is_told_of_in_its_last_third() -> None:
    harness = Harness(Timed())
    session = opened(harness, "alice:109:a")
    assert harness.tick(5.9) == {}
    assert harness.tick(0.2) == {session: [{"op": "expiring", "within_s": 2.9}]}


def test_one_that_slept_over_the_notice_is_closed_all_the_same() -> None:
    harness = Harness(Timed())
    session = opened(harness, "alice:109:a")
    harness.tick(1000)
    assert (session, 4200, "the token has expired") in harness.closed


def test_a_new_token_ends_what_it_does_not_allow_and_nothing_else() -> None:
    harness = Harness(Timed(), heartbeat_s=3600.0)
    session = opened(harness, "alice:200:abc")
    harness.go_live(session, "/t/a", id=2)
    harness.go_live(session, "/t/b", id=3)
    waiting = harness.subscribe(session, "/t/c", id=4)
    harness.send(session, PUBLISH | {"id": 5})
    harness.events()
    refused = {"code": 4312, "error": "forbidden", "op": "error", "reason": "not any more"}
    assert renew(harness, session, "alice:1000:a") == [
        {"op": "renewed", "id": 9},
        {"id": 3} | refused,
        {"id": 4} | refused,
    ]
    assert harness.events() == [link.Drop("/t/b", link.JSON), link.Cancel(waiting), link.Drop("/t/c", link.JSON)]
    live = link.Live({}, (["/t/a", "/t/b"], [b"\x81\x02{}", b"\x81\x02{}"]), ([], []))
    assert harness.say(live) == {session: [{}]}
    assert harness.say(link.Published(1, "0.x", (0, 9)))[session][0]["op"] == "published"
    assert harness.send(session, {"op": "subscribe", "id": 6, "subject": "/t/b"})[0]["code"] == 4312
    assert harness.tick(200) == {}  # the old token's end means nothing
    assert harness.closed == []
    harness.tick(669)
    assert harness.tick(2) == {session: [{"op": "expiring", "within_s": 29.0}]}


@pytest.mark.parametrize(
    ("token", "code"),
    [("bad", 4201), ("boom", 4019), ("bob:1000:a", 4201), ("alice:999999999:a", 4201)],
    ids=["refused", "failed", "of somebody else", "too long"],
)
def test_a_new_token_that_is_not_taken_changes_nothing(token: str, code: int) -> None:
    harness = Harness(Timed())
    session = opened(harness, "alice:200:a")
    harness.go_live(session, "/t/a")
    (error,) = renew(harness, session, token)
    assert (error["id"], error["code"]) == (9, code)
    assert harness.closed == []
    assert harness.send(session, {"op": "ping", "id": 10}) == [{"op": "pong", "id": 10}]
    assert [frame["op"] for frame in renew(harness, session, "alice:300:a", 11)] == ["renewed"]


def test_a_token_that_lives_too_long_is_not_let_in() -> None:
    harness = Harness(Timed(), token_life_s=3600.0)
    session = harness.connect()
    harness.send(session, {"op": "hello", "id": 1, "token": "alice:4000:a"})
    assert harness.closed == [(session, 4201, "the token lives longer than 3600 s (authorizer.token_life)")]
    opened(harness, "alice:3600:a")


def test_frames_behind_a_renewal_are_decided_by_the_new_token_however_slow_the_authorizer_is() -> None:
    harness = Harness(Timed(), holds=True, heartbeat_s=3600.0)
    session = opened(harness, "alice:200:a")
    harness.send(session, {"op": "subscribe", "id": 2, "subject": "/t/a"})
    harness.answer()
    harness.events()
    assert renew(harness, session, "alice:500:bc") == []
    harness.send(session, {"op": "subscribe", "id": 3, "subject": "/t/b"})
    harness.send(session, PUBLISH | {"id": 4, "subject": "/t/a"})
    assert len(harness.questions) == 1  # only who it is now
    (second,) = renew(harness, session, "alice:600:abc", 10) or [{}]
    assert second == {}
    harness.answer()
    assert [frame["op"] for frame in harness.sent()[session]] == ["renewed"]
    while harness.questions:
        harness.answer()
        harness.sent()
    assert next(event for event in harness.events() if isinstance(event, link.Subscribe)).subject == "/t/b"
    assert [one.id for one in session.subscriptions] == [3]


@pytest.mark.parametrize("holds", [False, True])
def test_a_renewal_behind_what_was_put_off_waits_for_it_and_no_longer(holds: bool) -> None:
    harness = Harness(Timed(), holds=holds, limit_publishes="10/s burst 1", publishes_max=9)
    session = opened(harness, "alice:500:a")
    for seq in (1, 2):
        harness.send(session, {**PUBLISH, "id": seq + 1, "seq": seq})
    renew(harness, session, "alice:900:b")
    harness.send(session, {**PUBLISH, "id": 10, "seq": 3, "subject": "/t/b"})
    found: list[dict[str, Any]] = []
    for _ in range(10):
        found += harness.tick(0.1).get(session, [])
        while harness.questions:
            harness.answer()
            found += harness.sent().get(session, [])
    assert found == [{"op": "renewed", "id": 9}]
    published = [(event.seq, event.subject) for event in harness.events() if isinstance(event, link.Publish)]
    assert published == [(1, "/t/a"), (2, "/t/a"), (3, "/t/b")]


def test_only_one_renewal_at_a_time_and_none_where_nothing_ends() -> None:
    harness = Harness(Timed(), holds=True)
    session = opened(harness, "alice:200:a")
    renew(harness, session, "alice:500:a")
    renew(harness, session, "alice:500:a", 10)
    harness.answer()
    found = harness.sent()[session]
    assert [(frame["op"], frame["id"], frame.get("code")) for frame in found] == [
        ("renewed", 9, None),
        ("error", 10, 4318),
    ]
    lasting = opened(harness, "bob:-:a")
    assert renew(harness, lasting, "bob:500:a")[0]["code"] == 4318


@pytest.mark.parametrize("subject", ["/t/b", "/t/*"])
@pytest.mark.parametrize(
    "start",
    [{}, {"from": "now"}, {"from": "latest"}, {"from": {"last": 9}}, {"from": {"time": 0}},
     {"from": {"at": {"0.x": [0, 1]}}},
     {"resume": {"0.x": [0, 1]}}, {"resume": {}}],
)  # fmt: skip
@pytest.mark.parametrize("holds", [False, True])
def test_every_way_to_a_message_is_asked_first(start: dict[str, Any], subject: str, holds: bool) -> None:
    authorizer = Timed()
    harness = Harness(authorizer, holds=holds)
    session = opened(harness, "alice:-:a")
    found = harness.send(session, {"op": "subscribe", "id": 2, "subject": subject, **start})
    if holds:
        assert found == []
        harness.answer()
        found = harness.sent()[session]
    assert [frame["code"] for frame in found] == [4312]
    assert authorizer.asked == [subject]
    assert harness.events() == []
    assert not session.subscriptions


def test_what_is_left_behind_of_clients_that_are_gone_is_bounded() -> None:
    harness = Harness(Timed())
    expiry: Expiry = harness.sessions._expiry
    kept = opened(harness, "alice:5000:a")
    for _ in range(3 * _SWEPT_MIN):
        session = opened(harness, "bob:5000:a")
        harness.sessions.gone(session)
        renew(harness, kept, "alice:5000:a")
    assert len(expiry) <= _SWEPT_MIN
    assert kept.state == OPEN
