"""What happened to the clients of a worker, for auditors: collected here, sent to the node with the ticks.

Invariant: never more than EVENTS_MAX wait; what comes beyond them, or while the node takes nothing, is counted.

Not here: auditors (node/audit/), what happens in the node itself (node/audit/insides.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.link import events as link
from gateway.link.settings import GatewaySettings
from gateway.link.topic_rules import Mapping
from gateway.sessions import frames
from gateway.sessions.audit_events import (
    AuditLine,
    ConnectedEvent,
    DisconnectedEvent,
    RefusedEvent,
    SubjectEvent,
    SubscribedEvent,
    TokenEvent,
)
from gateway.sessions.session import Session
from mesh.log import Gap, Position
from mesh.subject import topic_of
from whimbrel_server import Connection, Identity

EVENTS_MAX = 20_000
WAITING_BYTES_MAX = 16 * 1024 * 1024
"""Of the link's events that the node does not take, beyond which auditors get none."""
SUBJECT_CHARACTERS_MAX = 200
"""Of what is no subject."""
REASON_CHARACTERS_MAX = 300
CLIENT_CHARACTERS_MAX = 200
"""Of what a client calls itself, which may fill a whole frame: more than Kafka takes in a record."""
NAMES_MAX = 20
"""Of the recipients of a message."""
ACCESS, MESSAGE, CACHE = "access", "message", "cache"

_encoder = msgspec.json.Encoder()


class _Where(msgspec.Struct):
    log: str
    at: Position


_decoders = (msgspec.json.Decoder(_Where).decode, msgspec.msgpack.Decoder(_Where).decode)


class Trail:
    """The events of one worker. Each method is named for its event, and costs nothing if no auditor wants that kind."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.wall_ms = 0
        """The time, to be kept up to date."""
        self.dropped = 0
        """Events that found no room, or cannot be written as text."""
        self._node = settings.node
        self._has_access = ACCESS in settings.audit
        self._has_cache = CACHE in settings.audit
        self._mapping = Mapping(settings.topics if MESSAGE in settings.audit else ())
        self._each = settings.audit_delivered_each if MESSAGE in settings.audit else 0
        self._passed = 0
        """Delivered messages since the last that was told."""
        self._not_asked: dict[tuple[Session | str, str, int], RefusedEvent] = {}
        """What was told of clients since the last `take` that may come again."""
        self._events: list[bytes | RefusedEvent] = []
        """Lines, but for those that are counted. As lines, because objects that go soon leave holes among those that
        stay: with them 15,000 clients that connected cost 14 % more processor time than without auditors.
        """

    def take(self, waiting_bytes: int = 0) -> link.Audited | None:
        """What there is, for the node.

        Args:
            waiting_bytes: Of events that the node has not taken yet.
        """
        if not self._events:
            return None
        events, self._events = self._events, []
        self._not_asked.clear()
        if waiting_bytes > WAITING_BYTES_MAX:
            self.dropped += len(events)
            return None
        lines = [line for event in events if (line := event if isinstance(event, bytes) else _line(event)) is not None]
        self.dropped += len(events) - len(lines)
        return link.Audited(len(lines), b"".join(lines))

    # Access.

    def connected(self, session: Session, client: Connection, identity: Identity) -> None:
        """The authorizer has let it in."""
        if self._has_access:
            self._put(
                ConnectedEvent(
                    self.wall_ms, self._node, ACCESS, "connected", session.address, identity.name,
                    client.via, client.client[:CLIENT_CHARACTERS_MAX], client.origin, identity.token_id,
                )
            )  # fmt: skip

    def refused(self, session: Session, what: str, subject: str, code: int, reason: str) -> None:
        """The authorizer has said no. `what`: connect, renew, subscribe or publish."""
        if self._has_access:
            self._put(self._refusal(session.address, session.identity.name, what, subject, code, reason))

    def not_asked(self, session: Session, what: str, subject: str, code: int, reason: str) -> None:
        """Refused before the authorizer was asked: by the protocol, the mapping or a limit. `what`: also frame."""
        if self._has_access:
            key = session, what, code
            name = session.identity.name
            self._put_once(key, self._refusal(session.address, name, what, subject, code, reason))

    def handshake_refused(self, address: str, reason: str) -> None:
        """A client was refused before it had a connection."""
        if self._has_access:
            key = address, "handshake", 0
            self._put_once(key, self._refusal(address, "", "handshake", "", 0, reason))

    def subscribed(self, session: Session, subject: str, answer: str) -> None:
        """The node has said where the subscription starts."""
        if self._has_access:
            name = session.identity.name
            self._put(
                SubscribedEvent(self.wall_ms, self._node, ACCESS, "subscribed", session.address, name, subject, answer)
            )

    def unsubscribed(self, session: Session, subject: str) -> None:
        """By the client, or because its new token does not allow it any more."""
        self._of_subject("unsubscribed", session, subject)

    def published(self, session: Session, subject: str) -> None:
        """It was allowed and passed on; `message` events say what became of it."""
        self._of_subject("published", session, subject)

    def renewed(self, session: Session) -> None:
        """The client has a new token."""
        self._of_token("renewed", session)

    def revoked(self, session: Session) -> None:
        """Its token has been revoked."""
        self._of_token("revoked", session)

    def disconnected(self, session: Session, code: int, reason: str) -> None:
        """A connection has ended: one that was let in, or not."""
        if self._has_access:
            name = session.identity.name
            self._put(
                DisconnectedEvent(self.wall_ms, self._node, ACCESS, "disconnected", session.address, name, code, reason)
            )

    # Messages.

    def attempt(self, session: Session, frame: frames.Publish) -> dict[str, object] | None:
        """To be told what becomes of it; None if its topic does not ask for that."""
        if not self._mapping.is_audited(topic_of(frame.subject)):
            return None
        return {
            "address": session.address,
            "identity": session.identity.name,
            "subject": frame.subject,
            "publisher": frame.publisher,
            "seq": frame.seq,
        }

    def accepted(self, attempt: dict[str, object], log: str, at: Position | None) -> None:
        """The message is in the log; without a position where that is not known."""
        self._map(MESSAGE, "accepted", {**attempt, "log": log, "at": at})

    def not_accepted(self, attempt: dict[str, object], code: int, reason: str) -> None:
        """The message is not in the log, or it is not known whether it is."""
        self._map(MESSAGE, "refused", {**attempt, "code": code, "reason": reason})

    @property
    def samples(self) -> bool:
        """Whether delivered messages are looked at."""
        return self._each > 0

    def is_sample(self, subject: str) -> bool:
        """Whether this delivered message is one to be told of."""
        if not self._mapping.is_audited(topic_of(subject)):
            return False
        self._passed += 1
        if self._passed < self._each:
            return False
        self._passed = 0
        return True

    def delivered(self, subject: str, frame: bytes, encoding: int, recipients: Sequence[Session]) -> None:
        """A live message went to these clients."""
        if not recipients:
            return
        found = _decoders[encoding](_body(frame))
        clients = [{"address": one.address, "identity": one.identity.name} for one in recipients[:NAMES_MAX]]
        fields = {"subject": subject, "log": found.log, "at": found.at, "count": len(recipients), "clients": clients}
        self._map(MESSAGE, "delivered", fields)

    # Cache.

    def gaps(self, session: Session, subject: str, gaps: Sequence[Gap]) -> None:
        """A client was told what it cannot have."""
        if self._has_cache:
            for gap in gaps:
                about = {"address": session.address, "identity": session.identity.name, "subject": subject}
                self._map(CACHE, "gap", about | _gap(gap))

    def log_gap(self, topic: str, gap: Gap) -> None:
        """All subscribers of a topic were told."""
        if self._has_cache:
            self._map(CACHE, "gap", {"topic": topic, **_gap(gap)})

    # Private.

    def _of_subject(self, name: str, session: Session, subject: str) -> None:
        if self._has_access:
            identity = session.identity.name
            self._put(SubjectEvent(self.wall_ms, self._node, ACCESS, name, session.address, identity, subject))

    def _of_token(self, name: str, session: Session) -> None:
        if self._has_access:
            identity = session.identity
            self._put(
                TokenEvent(self.wall_ms, self._node, ACCESS, name, session.address, identity.name, identity.token_id)
            )

    def _refusal(self, address: str, identity: str, what: str, subject: str, code: int, reason: str) -> RefusedEvent:
        subject, reason = subject[:SUBJECT_CHARACTERS_MAX], reason[:REASON_CHARACTERS_MAX]
        return RefusedEvent(self.wall_ms, self._node, ACCESS, "refused", address, identity, what, code, reason, subject)

    def _map(self, kind: str, name: str, fields: dict[str, object]) -> None:
        self._put({"time_ms": self.wall_ms, "node": self._node, "kind": kind, "event": name, **fields})

    def _put(self, event: AuditLine) -> None:
        self._add(_line(event))

    def _add(self, event: bytes | RefusedEvent | None) -> None:
        if event is None or len(self._events) >= EVENTS_MAX:
            self.dropped += 1
        else:
            self._events.append(event)

    def _put_once(self, key: tuple[Session | str, str, int], event: RefusedEvent) -> None:
        """Anybody can have this happen as often as he likes: what is alike, from one `take` to the next, is counted."""
        told = self._not_asked.get(key)
        if told is not None:
            told.count += 1
        else:
            self._not_asked[key] = event
            self._add(event)


def trail_of(settings: GatewaySettings) -> Trail | None:
    """None if nothing is asked for."""
    return Trail(settings) if settings.audit else None


def _gap(gap: Gap) -> dict[str, object]:
    return {"log": gap.log, "start": gap.start, "end": gap.end, "why": gap.why}


def _body(frame: bytes) -> bytes:
    """What an unmasked WebSocket frame carries."""
    size = frame[1]
    return frame[2 if size < 126 else 4 if size == 126 else 10 :]


def _line(event: AuditLine) -> bytes | None:
    """One event; None if it cannot be written: a custom authorizer may give clients any name."""
    try:
        return _encoder.encode(event) + b"\n"
    except (UnicodeEncodeError, TypeError, ValueError):
        return None
