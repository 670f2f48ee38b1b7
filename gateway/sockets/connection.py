"""One client's socket: a descriptor, a watcher and as little else as possible while nothing happens.

No greenlet and no socket object stay behind an idle connection; an outbox, a write watcher and leftover bytes exist
only while they are needed. Callbacks run in the loop and never wait.

Not here: what frames mean (sessions/session.py), the handshake (http/server.py).
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from gateway.link import codes
from gateway.link.logs import event
from gateway.sessions.session import GONE, NEW, OPEN, Session
from gateway.sockets.outbox import Outbox
from gateway.sockets.websocket import (
    CLOSE,
    FAILED,
    PING,
    PONG,
    Partial,
    close_payload,
    control_frame,
    receive,
)
from gateway.sockets.wheel import NEVER

if TYPE_CHECKING:
    from gateway.worker import Worker

log = logging.getLogger(__name__)

READ_BYTES = 16384
"""At a time, then others have their turn: as pings of 6 bytes, the most frames there can be, they take about 10 ms."""
CLOSE_WAIT_S = 2.0
"""How long a client has to answer our close frame, and to take what is left."""
BACKLOG_MAX = 64
"""Frames that wait for the authorizer before we stop reading."""
SILENT_MAX = 2
"""Heartbeats without a sign of life before a connection is given up at the next."""

_READ, _WRITE = 1, 2
_UP, _CLOSING, _LAST_WORDS = range(3)
"""In use; our close frame is out and the client's is awaited; ends once the outbox is empty."""
_PING_FRAME = control_frame(PING)
_PONG_FRAME = control_frame(PONG)


class Connection:
    """A client's socket, from the handshake to its end."""

    __slots__ = ("_fd", "_partial", "_reader", "_silent", "_state", "_worker", "_writer", "outbox", "session", "wake")

    def __init__(self, worker: Worker, fd: int) -> None:
        self.session: Session
        self.wake = NEVER
        self.outbox: Outbox | None = None
        """What waits to be sent; None while the socket takes everything."""
        self._worker = worker
        self._fd = fd
        self._state = _UP
        self._silent = 0
        self._partial: Partial | None = None
        self._reader = worker.loop.io(fd, _READ)
        self._writer: Any = None

    def start(self, data: bytes) -> None:
        """Begin, with bytes that came right behind the handshake."""
        self._reader.start(self._readable)
        if data:
            self._received(data)

    def send(self, data: bytes) -> None:
        """Send whole frames now, or keep what the socket does not take. Too much kept ends the connection."""
        if self.outbox is not None:
            self._keep(self.outbox, data, 0)
            return
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.end()
            return
        self._worker.stats.bytes_out += sent
        if sent < len(data):
            self.outbox = Outbox(self._worker.settings.outbox_bytes_max)
            self._worker.blocked[self] = None
            self._writer = self._worker.loop.io(self._fd, _WRITE)
            self._writer.start(self._writable)
            self._keep(self.outbox, data, sent)

    def _keep(self, outbox: Outbox, data: bytes, sent: int) -> None:
        if not outbox.add(data, sent) and self._state == _UP:
            self._worker.stats.slow_consumers += 1
            outbox.cut()
            reason = f"more than {outbox.limit} bytes were waiting to be read"
            self.session.close(codes.SLOW_CONSUMER, reason)

    def close(self, code: int, reason: str) -> None:
        """Say why, wait a moment for the client to agree, then end."""
        self._say_close(close_payload(code, reason), _CLOSING)

    def due(self, now: float, heartbeats: dict[tuple[object, ...], bytes]) -> None:
        """What was scheduled on the wheel: the end, a missing hello, or a heartbeat."""
        if self._state != _UP:
            self.end()
        elif self.session.state == NEW:
            self.session.close(codes.HELLO_TIMEOUT, f"no `hello` within {self._worker.settings.hello_timeout_s:g} s")
        elif self._silent >= SILENT_MAX:
            self._worker.stats.idle_closed += 1
            self.session.close(codes.IDLE, f"nothing came for {SILENT_MAX} heartbeats")
        else:
            self._silent += self._reader.active  # we cannot hear a client while it waits for the authorizer
            self._worker.wheel.schedule(now, self, self._worker.settings.heartbeat_s)
            is_open = self.session.state == OPEN
            frame = self._worker.clients.heartbeat(self.session, heartbeats) if is_open else b""
            self.send(_PING_FRAME + frame)

    def end(self) -> None:
        """Close the socket, whatever is left."""
        if self._fd < 0:
            return
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        os.close(self._fd)
        self._fd = -1
        self.wake = NEVER
        self._partial = self.outbox = None
        self._state = _LAST_WORDS
        self.session.gone()
        self._worker.ended(self)

    def resume_reading(self) -> None:
        """The authorizer has answered: read on if we had stopped."""
        if self._state == _UP and not self._reader.active and self.session.backlog < BACKLOG_MAX:
            self._reader.start(self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._received(data)
        else:
            self.end()
            self._worker.perform()

    def _received(self, data: bytes) -> None:
        try:
            self._handle(data)
        except Exception:
            event(log, "connection_failed", logging.ERROR, exc_info=True)
            self.session.close(codes.INTERNAL, "a fault of the server's")
        self._worker.perform()
        if self.session.backlog >= BACKLOG_MAX:
            self._reader.stop()

    def _handle(self, data: bytes) -> None:
        self._silent = 0
        session, worker = self.session, self._worker
        was_new = session.state == NEW
        events, self._partial = receive(self._partial, data, worker.settings.frame_bytes_max)
        for kind, payload, code, reason in events:
            if kind < CLOSE:
                session.received(kind, payload)
            elif kind == PING:
                # With the other answers, so that a flood of pings is answered in one write.
                worker.clients.send(session, control_frame(PONG, payload) if payload else _PONG_FRAME)
            elif kind == CLOSE:
                worker.perform()  # what it asked for before is still answered
                session.gone()
                self._say_close(payload, _LAST_WORDS)
            elif kind == FAILED:
                worker.stats.bad_frames += 1
                session.close(code, reason)
        if was_new and session.state != NEW and session.state != GONE:
            worker.wheel.schedule(worker.now(), self, worker.settings.heartbeat_s)

    def _say_close(self, payload: bytes, state: int) -> None:
        """Send a close frame unless ours is out, and go on to `state`."""
        if self._fd < 0:
            return
        was, self._state = self._state, state
        if was == _UP:
            self._worker.wheel.schedule(self._worker.now(), self, CLOSE_WAIT_S)
            self.send(control_frame(CLOSE, payload))
        if self._state == _LAST_WORDS and self.outbox is None:
            self.end()
        else:
            self._read_on()

    def _read_on(self) -> None:
        """Whatever waits for the authorizer: the client's close frame is to come."""
        if self._fd >= 0 and not self._reader.active:
            self._reader.start(self._readable)

    def _writable(self) -> None:
        outbox = self.outbox
        assert outbox is not None
        try:
            sent = os.write(self._fd, outbox.first())
        except BlockingIOError:
            return
        except OSError:
            self.end()
            self._worker.perform()
            return
        self._worker.stats.bytes_out += sent
        self._silent = 0  # it takes what it gets: it cannot answer a ping that is still behind that
        if outbox.sent(sent):
            return
        self.outbox = None
        self._worker.blocked.pop(self, None)
        self._writer.stop()
        self._writer.close()
        self._writer = None
        if self._state == _LAST_WORDS:
            self.end()
        else:
            self.session.drained()
        self._worker.perform()
