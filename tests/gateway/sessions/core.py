"""Clients and sessions without sockets: what a test sends in, and what comes out, as plain values."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.link import events as link
from gateway.sessions.authorizer import AllowAll, Authorizer, ConnectionInfo, Question, answer
from gateway.sessions.clients import Clients
from gateway.sessions.session import Session
from gateway.sessions.stats import Stats
from gateway.sockets.websocket import BINARY, TEXT
from tests.gateway.fake_node import SETTINGS
from tests.gateway.sessions.test_frames import body


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
        found.append(msgspec.json.decode(content) if data[0] == 0x81 else msgspec.msgpack.decode(content))
        data = data[start + size :]
    return found


class Harness:
    """A worker's core with an authorizer that answers at once (`authorizer`) or when told (None)."""

    def __init__(self, authorizer: Authorizer | None = None, holds: bool = False, **settings: Any) -> None:
        self.clients = Clients(msgspec.structs.replace(SETTINGS, **settings), Stats())
        self.authorizer = authorizer or AllowAll()
        self.holds = holds
        """Whether questions wait in `questions` until `answer`."""
        self.questions: list[Question] = []
        self.closed: list[tuple[Session, int, str]] = []
        self.writes = 0

    def connect(self, encoding: int = link.JSON) -> Session:
        return self.clients.connect(encoding, ConnectionInfo("1.2.3.4:5"), None)

    def open(self, encoding: int = link.JSON) -> Session:
        """A client that has said hello."""
        session = self.connect(encoding)
        (welcome,) = self.send(session, {"op": "hello", "id": 1})
        assert welcome["op"] == "welcome"
        return session

    def send(self, session: Session, frame: dict[str, Any] | bytes) -> list[dict[str, Any]]:
        """One frame from the client; returns what this client is sent."""
        if session.encoding == link.JSON:
            session.received(TEXT, frame if isinstance(frame, bytes) else msgspec.json.encode(frame))
        else:
            session.received(BINARY, frame if isinstance(frame, bytes) else msgspec.msgpack.encode(frame))
        return self.sent().get(session, [])

    def say(self, *events: link.FromNode) -> dict[Session, list[dict[str, Any]]]:
        """News from the node; returns what the clients are sent."""
        for event in events:
            self.clients.told(event)
        return self.sent()

    def answer(self, index: int = 0) -> None:
        """Let the authorizer answer one of the questions that wait."""
        question = self.questions.pop(index)
        question.session.decide(question, answer(self.authorizer, question)[0])

    def sent(self) -> dict[Session, list[dict[str, Any]]]:
        """Everything that is sent now, by session; pages are left in `clients.paged`."""
        clients = self.clients
        while clients.questions:
            questions, clients.questions = clients.questions, []
            self.questions += questions
            if not self.holds:
                while self.questions:
                    self.answer()
        sends, clients.sends = clients.sends, {}
        self.closed += clients.closes
        clients.closes = []
        self.writes = len(sends)
        return {session: frames_in(b"".join(pieces)) for session, pieces in sends.items()}

    def events(self) -> list[link.FromWorker]:
        """What the node is told now."""
        events, self.clients.events = self.clients.events, []
        return events

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
