"""The sessions of a worker without sockets: what a test sends in, and what comes out, as plain values."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.authorizers.allow_all import AllowAll
from gateway.link import events as link
from gateway.sessions.asking import ask
from gateway.sessions.session import Question, Session
from gateway.sessions.sessions import Sessions
from gateway.sockets.websocket import BINARY, TEXT
from tests.gateway.fake_node import SETTINGS
from tests.gateway.sessions.test_frames import body
from whimbrel_server import Authorizer, Connection


def frames_in(data: bytes) -> list[dict[str, Any]]:
    """The maps in a run of whole WebSocket frames."""
    found = []
    while data:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        content = body(data[: start + size])
        if data[0] != 0x89:
            found.append(msgspec.json.decode(content) if data[0] == 0x81 else msgspec.msgpack.decode(content))
        data = data[start + size :]
    return found


class NoConnection:
    """Of a client that is only looked at in its session."""

    waiting_bytes = 0

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    def close(self, code: int, reason: str) -> None:
        raise NotImplementedError

    def resume_reading(self) -> None:
        raise NotImplementedError


class Blocking(Authorizer):
    """Makes any authorizer one that blocks: its questions wait for the test."""

    def __init__(self, authorizer: Authorizer) -> None:
        self.connect = authorizer.connect  # type: ignore[method-assign]
        self.subscribe = authorizer.subscribe  # type: ignore[method-assign]
        self.publish = authorizer.publish  # type: ignore[method-assign]


WALL_S = 1_800_000_000.0
"""What the wall clock is ahead of `now`."""


class Harness:
    """A worker's sessions with an authorizer that is asked at once, or (`holds`) when told."""

    def __init__(self, authorizer: Authorizer | None = None, holds: bool = False, **settings: Any) -> None:
        authorizer = authorizer or AllowAll()
        self.authorizer = Blocking(authorizer) if holds else authorizer
        self.authorizer.blocks = holds
        self.now = 100.0
        self.sessions = Sessions(self.now, msgspec.structs.replace(SETTINGS, **settings), self.authorizer)
        self.subscribing = self.sessions._subscribing
        self.sessions.tick(self.now, WALL_S + self.now)
        self.questions: list[Question] = []
        """Those that wait for `answer`."""
        self.closed: list[tuple[Session, int, str]] = []
        self.writes = 0

    def connect(self, encoding: int = link.JSON) -> Session:
        return self.sessions.connected(self.now, encoding, Connection("1.2.3.4:5"), NoConnection())

    def open(self, encoding: int = link.JSON) -> Session:
        """A client that has said hello."""
        session = self.connect(encoding)
        (welcome,) = self.send(session, {"op": "hello", "id": 1})
        assert welcome["op"] == "welcome"
        return session

    def send(self, session: Session, frame: dict[str, Any] | bytes) -> list[dict[str, Any]]:
        """One frame from the client; returns what this client is sent."""
        if session.encoding == link.JSON:
            data = frame if isinstance(frame, bytes) else msgspec.json.encode(frame)
            self.sessions.received(self.now, session, TEXT, data)
        else:
            data = frame if isinstance(frame, bytes) else msgspec.msgpack.encode(frame)
            self.sessions.received(self.now, session, BINARY, data)
        return self.sent().get(session, [])

    def say(self, *events: link.FromNode) -> dict[Session, list[dict[str, Any]]]:
        """News from the node; returns what the clients are sent."""
        self.sessions.handle(events)
        return self.sent()

    def answer(self, index: int = 0) -> None:
        """Let the authorizer answer one of the questions that wait."""
        question = self.questions.pop(index)
        self.sessions.decided(question, *ask(self.authorizer, question))

    def tick(self, after_s: float) -> dict[Session, list[dict[str, Any]]]:
        """Time passes; returns what the clients are sent, pings left out."""
        self.now += after_s
        self.sessions.tick(self.now, WALL_S + self.now)
        return self.sent()

    def sent(self) -> dict[Session, list[dict[str, Any]]]:
        """Everything that is sent now, by session; pages are left in `outputs.drains`."""
        outputs = self.sessions.outputs
        questions, outputs.questions = outputs.questions, []
        self.questions += questions
        sends, outputs.sends = outputs.sends, {}
        self.closed += outputs.closes
        outputs.closes = []
        self.writes = len(sends)
        return {session: frames_in(b"".join(pieces)) for session, pieces in sends.items()}

    def events(self) -> list[link.FromWorker]:
        """What the node is told now, but for the question what is revoked."""
        first, then = self.sessions.outputs.take_events()
        return [event for event in first + then if not isinstance(event, link.WantRevoked)]

    def subscribe(self, session: Session, subject: str = "/t/a", id: int = 2, **more: Any) -> int:
        """Subscribe, not yet answered; returns the sid."""
        assert self.send(session, {"op": "subscribe", "id": id, "subject": subject} | more) == []
        (asked,) = self.events()
        assert isinstance(asked, link.Subscribe)
        assert (asked.sub, asked.subject, asked.encoding) == (id, subject, session.encoding)
        return asked.sid

    def go_live(self, session: Session, subject: str = "/t/a", id: int = 2, seq: int = 5) -> int:
        """Subscribe and become live in log `0.x` at (0, seq)."""
        sid = self.subscribe(session, subject, id)
        place = {"0.x": (0, seq)}
        found = self.say(link.Answer(sid, "fresh", place, [], []), link.Page(sid, b"", place, [], True))[session]
        assert [frame["op"] for frame in found] == ["subscribed", "live"]
        return sid
