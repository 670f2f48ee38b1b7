"""Publishes of all clients that the node has not answered yet.

Invariant: those that the node has not answered hold at most PUBLISH_BYTES_MAX, and one publish more.

Not here: whether a client may publish (requests.py).
"""

from __future__ import annotations

from gateway.link import codes
from gateway.link import events as link
from gateway.sessions import frames
from gateway.sessions.outputs import SessionOutputs
from gateway.sessions.session import GONE, Session
from gateway.sessions.trail import Trail

PUBLISH_BYTES_MAX = 64 * 1024 * 1024
"""Of publishes of all clients that the node has not answered: they wait here, on the link or in a node that is busy."""
_PUBLISH_BYTES = 200
"""What a publish takes besides its value and headers, about."""


class PendingPublishes:
    """Numbers publishes for the node, and finds whose an answer is."""

    def __init__(self, outputs: SessionOutputs, trail: Trail | None) -> None:
        self._outputs = outputs
        self._trail = trail
        self._attempts: dict[int, dict[str, object]] = {}
        """By `pid`, those of which auditors are told what becomes of them."""
        self._pending: dict[int, tuple[Session, int, int]] = {}
        """(session, request id, bytes) by `pid`."""
        self._pending_bytes = 0
        self._last_pid = 0

    @property
    def is_full(self) -> bool:
        """Whether so much is unanswered that nothing more may be published."""
        return self._pending_bytes >= PUBLISH_BYTES_MAX

    def publish(self, session: Session, frame: frames.Publish) -> None:
        """Pass a publish on to the node."""
        size = _PUBLISH_BYTES + len(frame.value or b"")
        size += sum(len(name) + len(content or b"") for name, content in frame.headers)
        self._pending_bytes += size
        self._last_pid += 1
        self._pending[self._last_pid] = (session, frame.id, size)
        session.publishes += 1
        if self._trail is not None:
            self._trail.published(session, frame.subject)
            attempt = self._trail.attempt(session, frame)
            if attempt is not None:
                self._attempts[self._last_pid] = attempt
        self._outputs.publish(
            session,
            link.Publish(self._last_pid, frame.subject, frame.publisher, frame.seq, frame.value, frame.headers),
        )

    def published(self, event: link.Published) -> None:
        """The node has the outcome: the message is in the log."""
        attempt = self._attempts.pop(event.pid, None)
        if attempt is not None and self._trail is not None:
            self._trail.accepted(attempt, event.log, event.at)
        session, request = self._take(event.pid)
        if session is not None:
            self._outputs.reply(session, frames.Published(request, event.log, event.at))

    def refused(self, event: link.Refused) -> None:
        """The node has the outcome: it failed."""
        attempt = self._attempts.pop(event.pid, None)
        if attempt is not None and self._trail is not None:
            self._trail.not_accepted(attempt, event.code, event.reason)
        session, request = self._take(event.pid)
        if session is not None:
            self._outputs.reply(session, frames.error(request, event.code, event.reason))

    def link_jumped(self) -> None:
        """Answers may be lost: tell the clients to send again what is not answered."""
        reason = "the answer was lost: send it again"
        for attempt in self._attempts.values():
            if self._trail is not None:
                self._trail.not_accepted(attempt, codes.OUTCOME_UNKNOWN, reason)
        self._attempts.clear()
        for session, request, _ in self._pending.values():
            session.publishes -= 1
            if session.state != GONE:
                self._outputs.reply(session, frames.error(request, codes.OUTCOME_UNKNOWN, reason))
        self._pending.clear()
        self._pending_bytes = 0

    def _take(self, pid: int) -> tuple[Session | None, int]:
        """Whose publish it was, if that client is there to be told, and which of its requests."""
        session, request, size = self._pending.pop(pid, (None, 0, 0))
        self._pending_bytes -= size
        if session is None:
            return None, 0
        session.publishes -= 1
        return None if session.state == GONE else session, request
