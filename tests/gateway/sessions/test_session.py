"""One client's state machine: order, limits, refusals."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.link import codes
from gateway.link import events as link
from gateway.sessions.session import GONE, NEW, OPEN
from gateway.sockets.websocket import BINARY, TEXT
from mesh.log import Gap
from tests.gateway.sessions.core import Harness
from tests.gateway.sessions.test_frames import ENCODINGS, TO_SERVER, VECTORS
from tests.support.seeds import examples
from whimbrel_server import Authorizer, Connection, Identity, Refusal

PUBLISH: dict[str, Any] = {"op": "publish", "id": 7, "subject": "/t/a", "publisher": "p" * 16, "seq": 1, "text": "x"}


def code(found: list[dict[str, Any]]) -> int:
    (frame,) = found
    assert frame["op"] == "error"
    assert frame["error"] == codes.NAMES[frame["code"]]
    assert frame["reason"]
    return int(frame["code"])


@pytest.mark.parametrize("encoding", [link.JSON, link.MSGPACK])
def test_hello_is_answered_with_the_limits(encoding: int) -> None:
    harness = Harness()
    session = harness.connect(encoding)
    assert harness.send(session, {"op": "hello", "id": 4, "client": "x"}) == [
        {
            "op": "welcome",
            "id": 4,
            "node": "a",
            "cluster": "c1",
            "heartbeat_s": 20,
            "servers": ["ws://other:1/v1/ws"],
            "limits": {"frame_bytes": 10_000, "subscriptions": 3, "publishes": 2, "last": 100},
        }
    ]


@pytest.mark.parametrize("first", [{"op": "ping", "id": 1}, PUBLISH, PUBLISH | {"publisher": "short"}])
def test_hello_comes_first(first: dict[str, Any]) -> None:
    harness = Harness()
    session = harness.connect()
    assert harness.send(session, first) == []
    assert [(one, code) for one, code, _ in harness.closed] == [(session, 4301)]
    assert session.state == GONE
    assert harness.send(session, {"op": "hello", "id": 1}) == []


def test_hello_comes_once() -> None:
    harness = Harness()
    session = harness.open()
    harness.send(session, {"op": "hello", "id": 2})
    assert harness.closed[0][1] == 4301


@pytest.mark.parametrize("encoding", [link.JSON, link.MSGPACK])
def test_frames_of_the_other_kind_close_with_the_standard_code(encoding: int) -> None:
    harness = Harness()
    session = harness.open(encoding)
    harness.sessions.received(0.0, session, TEXT if encoding == link.MSGPACK else BINARY, b"{}")
    harness.sent()
    assert harness.closed[0][1] == 1003


@pytest.mark.parametrize(("encoding", "column"), ENCODINGS)
@pytest.mark.parametrize("entry", VECTORS["refused"], ids=lambda entry: entry["name"])
def test_a_frame_that_must_be_refused_gets_the_code_of_its_vector(
    entry: dict[str, Any], encoding: int, column: str
) -> None:
    if column not in entry:
        return
    harness = Harness(topics=[])
    session = harness.connect(encoding) if "token" in entry["name"] else harness.open(encoding)
    found = harness.send(session, base64.b64decode(entry[column]))
    if entry["as"] == "close":
        assert [closed[1] for closed in harness.closed] == [entry["code"]]
        assert found == []
    else:
        assert (code(found), found[0]["id"]) == (entry["code"], entry["id"])
        assert session.state == OPEN
    assert harness.events() == []


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        ({"op": "subscribe", "id": 2, "subject": "/nope/a"}, 4311),
        ({"op": "subscribe", "id": 2, "subject": "/t/" + "é" * 100}, 4310),
        ({"op": "subscribe", "id": 2, "subject": "/t/a", "from": {"last": 101}}, 4318),
        ({"op": "unsubscribe", "id": 2, "sub": 77}, 4316),
        (PUBLISH | {"subject": "/nope/a"}, 4311),
        (PUBLISH | {"subject": "/readonly/a"}, 4313),
        (PUBLISH | {"subject": "/t/*"}, 4310),
    ],
)
def test_requests_that_cannot_be_served(frame: dict[str, Any], wanted: int) -> None:
    harness = Harness()
    session = harness.open()
    assert code(harness.send(session, frame)) == wanted
    assert harness.events() == []
    assert harness.send(session, {"op": "ping", "id": 9}) == [{"op": "pong", "id": 9}]


def test_starts_reach_the_node() -> None:
    harness = Harness(subscriptions_max=10)
    session = harness.open()
    starts: list[tuple[dict[str, Any], link.Start]] = [
        ({}, link.Start("latest")),
        ({"from": "now"}, link.Start("now")),
        ({"from": {"last": 100}}, link.Start("last", 100)),
        ({"from": {"time": 5}}, link.Start("time", 5)),
        ({"from": {"at": {"0.x": [1, -1]}}}, link.Start("at", place={"0.x": (1, -1)})),
        ({"resume": {"0.x": [1, 2]}}, link.Start("resume", place={"0.x": (1, 2)})),
    ]
    for number, (asked, start) in enumerate(starts):
        harness.send(session, {"op": "subscribe", "id": number, "subject": "/t/a"} | asked)
        assert harness.events() == [link.Subscribe(number + 1, number, "/t/a", link.JSON, start, 1)]


def test_the_limit_of_subscriptions_and_their_ids() -> None:
    harness = Harness()
    session = harness.open()
    for number in (2, 3):
        harness.subscribe(session, f"/t/{number}", number)
    assert code(harness.send(session, {"op": "subscribe", "id": 3, "subject": "/t/x"})) == 4317
    harness.subscribe(session, "/t/4", 4)
    assert code(harness.send(session, {"op": "subscribe", "id": 5, "subject": "/t/x"})) == 4315
    assert harness.send(session, {"op": "unsubscribe", "id": 6, "sub": 2}) == [
        {"op": "unsubscribed", "id": 6, "sub": 2}
    ]
    harness.events()
    harness.subscribe(session, "/t/x", 5)
    assert code(harness.send(session, {"op": "unsubscribe", "id": 7, "sub": 2})) == 4316


def test_publishes_are_numbered_limited_and_answered_in_any_order() -> None:
    harness = Harness()
    session = harness.open()
    packed = PUBLISH | {"headers": [["a", "b"], ["n", None]]}
    assert harness.send(session, packed) == []
    assert harness.send(session, PUBLISH | {"id": 8, "tombstone": True, "text": "x"}) == []
    assert harness.closed[0][1] == 4300

    session = harness.open()
    harness.events()
    harness.send(session, packed)
    harness.send(session, {**PUBLISH, "id": 8, "seq": 2, "subject": "/t"})
    assert harness.events() == [
        link.Publish(2, "/t/a", "p" * 16, 1, b"x", [("a", b"b"), ("n", None)]),
        link.Publish(3, "/t", "p" * 16, 2, b"x", []),
    ]
    assert code(harness.send(session, PUBLISH | {"id": 9})) == 4013
    assert harness.say(link.Published(3, "0.x", (0, 9)), link.Published(1, "0.x", None)) == {
        session: [{"op": "published", "id": 8, "log": "0.x", "at": [0, 9]}]
    }
    assert harness.send(session, PUBLISH | {"id": 9}) == []
    refused = harness.say(link.Refused(2, 4010, "away"), link.Published(4, "0.x", None))[session]
    assert refused[0] == {"op": "error", "id": 7, "code": 4010, "error": "kafka_unavailable", "reason": "away"}
    assert refused[1] == {"op": "published", "id": 9, "log": "0.x"}
    assert session.publishes == 0


def test_publishes_of_all_clients_that_are_not_answered_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sessions.publishing.PUBLISH_BYTES_MAX", 10_000)
    harness = Harness(publishes_max=100)
    large, small = harness.open(), harness.open()
    harness.events()
    assert harness.send(large, PUBLISH | {"text": "x" * 9_000}) == []
    headers = [["h" * 500, "v" * 500]]
    assert harness.send(small, PUBLISH | {"headers": headers}) == []
    for session in (large, small):
        assert code(harness.send(session, PUBLISH | {"id": 8})) == 4011
    assert (large.publishes, small.publishes) == (1, 1)
    assert [type(event) for event in harness.events()] == [link.Publish, link.Publish]
    harness.sessions.gone(large)
    assert code(harness.send(small, PUBLISH | {"id": 8})) == 4011, "the node still has it"
    harness.say(link.Published(1, "0.x", None))
    assert harness.send(small, PUBLISH | {"id": 8, "text": "x" * 9_000}) == []
    assert code(harness.send(small, PUBLISH | {"id": 9})) == 4011
    harness.sessions.link_jumped()
    harness.sent()
    assert harness.send(small, PUBLISH | {"id": 9}) == []


def test_answers_for_a_client_that_is_gone_go_nowhere() -> None:
    harness = Harness()
    session = harness.open()
    harness.send(session, PUBLISH)
    assert len(harness.events()) == 1
    sid = harness.subscribe(session)
    harness.sessions.gone(session)
    assert harness.events() == [link.Cancel(sid), link.Drop("/t/a", link.JSON)]
    assert harness.say(link.Published(1, "0.x", (0, 9)), link.Answer(sid, "fresh", {}, [], [])) == {}
    harness.sessions.gone(session)
    assert harness.events() == []
    assert len(harness.sessions) == 0


class Picky(Authorizer):
    """Refuses by name, and fails on purpose."""

    def connect(self, client: Connection) -> Identity:
        if client.token == "old":
            raise Refusal("expired", codes.TOKEN_EXPIRED)
        if client.token == "bad":
            raise Refusal("who are you?")
        if client.token == "boom":
            raise RuntimeError("secret")
        return Identity(f"{client.token} {client.client} {client.address}")

    def subscribe(self, identity: Identity, subject: str) -> None:
        assert identity.name == "ok c 1.2.3.4:5"
        self._check(subject)

    publish = subscribe

    def _check(self, subject: str) -> None:
        if subject == "/t/no":
            raise Refusal("not for you")
        if subject == "/t/boom":
            raise RuntimeError("secret")


@pytest.mark.parametrize(("token", "wanted"), [("old", 4200), ("bad", 4303), ("boom", 4019)])
def test_the_authorizer_refuses_or_fails_at_connect(token: str, wanted: int) -> None:
    harness = Harness(Picky())
    session = harness.connect()
    assert harness.send(session, {"op": "hello", "id": 1, "token": token}) == []
    ((_, found, reason),) = harness.closed
    assert found == wanted
    assert "secret" not in reason


@pytest.mark.parametrize(("subject", "wanted"), [("/t/no", 4312), ("/t/boom", 4019)])
def test_the_authorizer_refuses_or_fails_one_request(subject: str, wanted: int) -> None:
    harness = Harness(Picky())
    session = harness.connect()
    harness.send(session, {"op": "hello", "id": 1, "token": "ok", "client": "c"})
    for frame in ({"op": "subscribe", "id": 2, "subject": subject}, PUBLISH | {"subject": subject}):
        found = harness.send(session, frame)
        assert code(found) == wanted
        assert "secret" not in found[0]["reason"]
    assert harness.closed == []
    assert harness.events() == []
    harness.subscribe(session)


def test_frames_take_effect_in_order_however_slow_the_authorizer_is() -> None:
    harness = Harness(Picky(), holds=True)
    session = harness.connect()
    for frame in (
        {"op": "hello", "id": 1, "token": "ok", "client": "c"},
        {"op": "subscribe", "id": 2, "subject": "/t/a"},
        {"op": "ping", "id": 3},
        {"op": "subscribe", "id": 4, "subject": "/t/no"},
        {"op": "subscribe", "id": 5, "subject": "nonsense"},
        PUBLISH,
        {"op": "unsubscribe", "id": 8, "sub": 2},
    ):
        assert harness.send(session, frame) == []
    assert len(session.steps or ()) == 7
    assert [question.kind for question in harness.questions] == ["connect"]
    harness.answer()
    assert [frame["op"] for frame in harness.sent()[session]] == ["welcome"]
    assert [question.subject for question in harness.questions] == ["/t/a", "/t/no", "/t/a"]
    harness.answer(2)
    harness.answer(1)
    assert harness.sent() == {}
    assert harness.events() == []
    harness.answer()
    found = harness.sent()[session]
    assert [(frame["op"], frame["id"]) for frame in found] == [
        ("pong", 3),
        ("error", 4),
        ("error", 5),
        ("unsubscribed", 8),
    ]
    kinds = [type(event) for event in harness.events()]
    assert kinds == [link.Drop, link.Publish], "what was given up in the same turn is not asked for"
    assert session.steps is None


def test_answers_that_come_after_the_end_do_nothing() -> None:
    harness = Harness(holds=True)
    session = harness.connect()
    harness.send(session, {"op": "hello", "id": 1})
    harness.sessions.gone(session)
    harness.answer()
    assert (harness.sent(), harness.closed, harness.events()) == ({}, [], [])


def test_more_is_asked_once_the_page_has_left() -> None:
    harness = Harness()
    session = harness.open()
    sid = harness.subscribe(session)
    harness.say(link.Answer(sid, "fresh", {}, [], []), link.Page(sid, b"", {}, [], False))
    assert harness.sessions.outputs.drains == [session]
    assert harness.events() == []
    harness.sessions.drained(session)
    assert harness.events() == [link.More(sid)]
    harness.sessions.drained(session)
    assert harness.events() == []
    harness.say(link.Page(sid, b"", {}, [], False))
    harness.send(session, {"op": "unsubscribe", "id": 3, "sub": 2})
    assert harness.events() == [link.Cancel(sid), link.Drop("/t/a", link.JSON)]
    harness.sessions.drained(session)
    assert harness.events() == []


def test_a_page_comes_as_gaps_then_data_then_live() -> None:
    harness = Harness()
    session = harness.open()
    sid = harness.subscribe(session)
    gap = Gap("0.x", (0, 1), None, "log_gone")
    shown = {"log": "0.x", "from": [0, 1], "to": None, "why": "log_gone"}
    assert harness.say(link.Waiting(sid, "no broker"), link.Answer(sid, "gap", {"0.x": (0, 1)}, [gap], ["1.x"]))[
        session
    ] == [
        {"op": "waiting", "sub": 2, "why": "no broker"},
        {"op": "subscribed", "id": 2, "answer": "gap", "at": {"0.x": [0, 1]}, "gaps": [shown], "waiting": ["1.x"]},
    ]
    data = b'\x81\x0c{"op":"msg"}'
    found = harness.say(link.Page(sid, data, {"1.x": (0, 3)}, [gap], True))[session]
    assert found == [
        {"op": "gap", "sub": 2, "gaps": [shown]},
        {"op": "msg"},
        {"op": "live", "sub": 2, "at": {"1.x": [0, 3]}},
    ]
    assert harness.writes == 1


@settings(max_examples=examples(50))
@given(st.data())
def test_any_sequence_of_changed_frames_ends_in_documented_outcomes(data: st.DataObject) -> None:
    encoding, column = data.draw(st.sampled_from(ENCODINGS))
    harness = Harness()
    session = harness.connect(encoding)
    for _ in range(data.draw(st.integers(1, 12))):
        entry = data.draw(st.sampled_from(TO_SERVER))
        raw = bytearray(base64.b64decode(entry[column]))
        if data.draw(st.booleans()):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        if encoding == link.JSON and not _is_utf8(bytes(raw)):
            continue
        found = harness.send(session, bytes(raw))
        for frame in found:
            assert frame["op"] in ("welcome", "pong", "unsubscribed", "error")
            assert frame["op"] != "error" or frame["code"] in codes.NAMES
    for _, found_code, _ in harness.closed:
        assert found_code in (4300, 4301)
    assert session.state in (NEW, OPEN, GONE)
    assert len(session.subscriptions) <= 3
    assert session.publishes <= 2


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_a_client_that_does_not_say_hello_is_closed() -> None:
    harness = Harness(hello_timeout_s=10.0)
    session = harness.connect()
    harness.tick(9.9)
    assert harness.closed == []
    harness.tick(0.2)
    assert [(one, found) for one, found, _ in harness.closed] == [(session, 4003)]
    assert harness.tick(100.0) == {}


def test_a_client_that_is_not_heard_for_two_heartbeats_is_closed_at_the_third() -> None:
    harness = Harness(heartbeat_s=20.0)
    silent, heard = harness.open(), harness.open()
    for _ in range(2):
        found = harness.tick(20.1)
        assert [frame["op"] for session in (silent, heard) for frame in found[session]] == ["heartbeat"] * 2
        harness.sessions.heard(heard)
    assert list(harness.tick(20.1)) == [heard]
    assert [(one, found) for one, found, _ in harness.closed] == [(silent, 4002)]
    assert harness.sessions.stats.idle_closed == 1


def test_a_client_that_waits_for_the_authorizer_is_not_taken_for_silent() -> None:
    harness = Harness(holds=True, heartbeat_s=20.0)
    session = harness.connect()
    harness.send(session, {"op": "hello", "id": 1})
    for number in range(64):
        harness.send(session, {"op": "ping", "id": number})
    assert not harness.sessions.may_read(session)
    for _ in range(4):
        harness.tick(20.1)
    assert harness.closed == []
