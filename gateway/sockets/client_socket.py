"""One client's socket: a descriptor, a watcher and as little else as possible while nothing happens.

No greenlet and no socket object stay behind an idle connection; an outbox, a write watcher and leftover bytes exist
only while they are needed. Callbacks run in the loop and never wait.

Not here: what messages mean and when a client is given up (sessions/), the handshake (http/server.py).
"""

from __future__ import annotations

import logging
import os
from typing import Protocol

from gateway.link import codes
from gateway.link.crash import crash
from gateway.link.logs import exception
from gateway.sessions.session import Session
from gateway.sockets.outbox import Outbox
from gateway.sockets.readable import Readable
from gateway.sockets.tls import TlsStream
from gateway.sockets.websocket import (
    CLOSE,
    FAILED,
    PING,
    Partial,
    close_payload,
    control_frame,
    receive,
)
from gateway.sockets.wheel import NEVER
from mesh.loop import READ, WRITE, Watcher, Watchers

log = logging.getLogger(__name__)

READ_BYTES = 16384
"""At a time, then others have their turn: as pings of 6 bytes, the most frames there can be, they take about 10 ms."""
CLOSE_WAIT_S = 2.0
"""How long a client has to answer our close frame, and to take what is left."""

_UP, _CLOSING, _LAST_WORDS = range(3)
"""In use; our close frame is out and the client's is awaited; ends once the outbox is empty."""


class SocketOwner(Protocol):
    """What has connections: it is told what comes, and sends what is to go out in `flush`."""

    @property
    def loop(self) -> Watchers:
        """By which sockets are watched."""

    frame_bytes_max: int
    outbox_bytes_max: int
    counts_bytes: bool
    """Whether `took` must be called."""

    def received(self, session: Session, kind: int, data: bytes) -> None:
        """A whole message has come."""

    def pinged(self, session: Session, payload: bytes) -> None:
        """A ping has come."""

    def failed(self, session: Session, code: int, reason: str) -> None:
        """The client broke RFC 6455 or a limit, or handling what it sent failed: close it with this code."""

    def left(self, session: Session, payload: bytes | None = None) -> None:
        """The client said goodbye (with the payload of its close frame), or is gone: it takes nothing more."""

    def heard(self, session: Session) -> None:
        """The client lives: bytes came, or were taken."""

    def took(self, session: Session, size: int) -> None:
        """Bytes were read from the client."""

    def may_read(self, session: Session) -> bool:
        """Whether to read more of this client now; if not, `ClientSocket.resume_reading` follows."""

    def flush(self) -> None:
        """Nothing more comes in this turn: do what all of that has led to."""

    def finish(self) -> None:
        """As `flush`, and all of it now."""

    def sent(self, size: int) -> None:
        """Bytes were written to a client."""

    def blocked(self, connection: ClientSocket) -> None:
        """The socket does not take everything: there is an outbox now."""

    def overflowed(self, connection: ClientSocket, reason: str) -> None:
        """The outbox is full, and cut: close the session."""

    def drained(self, connection: ClientSocket) -> None:
        """The outbox is empty and gone."""

    def closing(self, connection: ClientSocket, wait_s: float) -> None:
        """Call `ClientSocket.end` after this time."""

    def ended(self, connection: ClientSocket) -> None:
        """The socket is closed."""


class ClientSocket(Readable):
    """A client's socket, from the handshake to its end."""

    __slots__ = ("_owner", "_partial", "_state", "_tls", "_writer", "outbox", "session", "wake")

    def __init__(
        self, owner: SocketOwner, fd: int, tls: TlsStream | None = None, reader: Watcher | None = None
    ) -> None:
        """Take a descriptor, with its TLS, and the watcher that has read it so far, where there is one."""
        super().__init__(fd, owner.loop.io(fd, READ) if reader is None else reader)
        self.session: Session
        self.wake = NEVER
        """For the wheel of connections that are closing."""
        self.outbox: Outbox | None = None
        """What waits to be sent; None while the socket takes everything."""
        self._owner = owner
        self._state = _UP
        self._tls = tls
        self._partial: Partial | None = None
        self._writer: Watcher | None = None

    @property
    def waiting_bytes(self) -> int:
        """What the socket has not taken yet."""
        return self.outbox.size if self.outbox is not None else 0

    def start(self, data: bytes) -> None:
        """Begin, with bytes that came right behind the handshake."""
        self._watch()
        if data:
            self._received(data)

    def send(self, data: bytes) -> None:
        """Send whole frames now, or keep what the socket does not take. Too much kept ends the connection."""
        if self.outbox is not None:
            self._keep(self.outbox, data, 0)
            return
        if self._fd < 0:
            return  # it went while others were sent to
        try:
            sent = os.write(self._fd, data) if self._tls is None else self._tls.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.end()
            return
        self._owner.sent(sent)
        if sent < len(data):
            self.outbox = Outbox(self._owner.outbox_bytes_max)
            self._owner.blocked(self)
            self._writer = self._owner.loop.io(self._fd, WRITE)
            self._writer.start(self._writable)
            self._keep(self.outbox, data, sent)

    def close(self, code: int, reason: str) -> None:
        """Say why, wait a moment for the client to agree, then end."""
        self._say_close(close_payload(code, reason), _CLOSING)

    def end(self) -> None:
        """Close the socket, whatever is left."""
        if self._fd < 0:
            return
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        if self._tls is not None:
            self._tls.end(self._fd)
        os.close(self._fd)
        self._fd = -1
        self.wake = NEVER
        self._partial = self.outbox = None
        self._state = _LAST_WORDS
        self._owner.left(self.session)
        self._owner.ended(self)

    def resume_reading(self) -> None:
        """What the client had to wait for is over: read on if we had stopped."""
        if self._state == _UP and not self._reader.active and self._owner.may_read(self.session):
            self._watch()

    def _read(self) -> bytes:
        return os.read(self._fd, READ_BYTES) if self._tls is None else self._tls.read(self._fd, READ_BYTES)

    def _came(self, data: bytes) -> None:
        if data:
            self._received(data)
        else:
            self.end()
            self._owner.flush()

    def _received(self, data: bytes) -> None:
        owner, session = self._owner, self.session
        try:
            self._handle(data)
        except Exception:
            exception(log, "connection_failed")
            owner.failed(session, codes.INTERNAL, "a fault of the server's")
        owner.flush()
        if self._state == _UP and not owner.may_read(session):
            self._reader.stop()

    def _handle(self, data: bytes) -> None:
        owner, session = self._owner, self.session
        owner.heard(session)
        if owner.counts_bytes:
            owner.took(session, len(data))
        events, self._partial = receive(self._partial, data, owner.frame_bytes_max)
        for kind, payload, code, reason in events:
            if kind < CLOSE:
                owner.received(session, kind, payload)
            elif kind == PING:
                owner.pinged(session, payload)
            elif kind == CLOSE:
                owner.finish()  # what it asked for before is still answered
                owner.left(session, payload)
                self._say_close(payload, _LAST_WORDS)
            elif kind == FAILED:
                owner.failed(session, code, reason)

    def _keep(self, outbox: Outbox, data: bytes, sent: int) -> None:
        if not outbox.add(data, sent) and self._state == _UP:
            outbox.cut(0 if self._tls is None else self._tls.held)
            self._owner.overflowed(self, f"more than {outbox.limit} bytes were waiting to be read")

    def _say_close(self, payload: bytes, state: int) -> None:
        """Send a close frame unless ours is out, and go on to `state`."""
        if self._fd < 0:
            return
        was, self._state = self._state, state
        if was == _UP:
            self._owner.closing(self, CLOSE_WAIT_S)
            self.send(control_frame(CLOSE, payload))
        if self._state == _LAST_WORDS and self.outbox is None:
            self.end()
        elif self._fd >= 0 and not self._reader.active:
            # Reading had stopped for the authorizer: the client's close frame is to come.
            self._watch()

    def _writable(self) -> None:
        try:
            self._write()
        except Exception:
            crash()

    def _write(self) -> None:
        outbox = self.outbox
        assert outbox is not None
        try:
            first = outbox.first()
            sent = os.write(self._fd, first) if self._tls is None else self._tls.write(self._fd, first)
        except BlockingIOError:
            return
        except OSError:
            self.end()
            self._owner.flush()
            return
        self._owner.sent(sent)
        self._owner.heard(self.session)  # it cannot answer a ping that is still behind what it takes
        if outbox.sent(sent):
            return
        self.outbox = None
        if self._writer is not None:
            self._writer.stop()
            self._writer.close()
            self._writer = None
        self._owner.drained(self)
        if self._state == _LAST_WORDS:
            self.end()
        self._owner.flush()
