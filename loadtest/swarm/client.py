"""The SDK's client for gevent: sockets and timers around its session (whimbrel.session). A shell.

One greenlet per connection reads; a frame that came is given to the session, and what the session puts out is performed
at once, in order. One greenlet ticks the sessions of all clients of the process.

Not here: what users do and what is measured (users.py), bytes of frames (loadtest/wire.py).
"""

from __future__ import annotations

import heapq
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable
from random import SystemRandom
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent import socket
from gevent.event import AsyncResult, Event

from loadtest.wire import BINARY, CLOSE, PING, PONG, TEXT, frame_at, handshake, masked
from whimbrel import events
from whimbrel.encodings import ENCODINGS
from whimbrel.interest import Interest
from whimbrel.outgoing import Outgoing
from whimbrel.outputs import Connect, Disconnect, Send
from whimbrel.servers import server_url
from whimbrel.session import Session, SessionConfig
from whimbrel.start import StartOrName, to_start
from whimbrel.values import to_value

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
READ_BYTES = 1 << 16
TICK_S = 0.01
RESET = struct.pack("ii", 1, 0)
GOING_AWAY = struct.pack("!H", 1000)


class Timers:
    """Ticks the sessions of a process when they want it."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, GeventClient]] = []
        self._greenlet: Any = None

    def at(self, time_s: float, client: GeventClient) -> None:
        heapq.heappush(self._due, (time_s, id(client), client))
        if not self._greenlet:
            self._greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        while self._due:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2].tick(now)
            gevent.sleep(TICK_S)


TIMERS = Timers()


class Connection:
    """A socket and what is still to be written to it."""

    def __init__(self) -> None:
        self.sock: Any = None
        self.to_send: deque[bytes | None] = deque()
        """None: close after what stands before it."""
        self.writes = False
        self.dropped = False


class GeventClient:
    """One client, used from greenlets.

    Args:
        servers: As the SDK takes them.
        on_event: Called with the time (of `time.monotonic`) at which a frame was read and each event that came of it
            (`whimbrel.events`). It must not switch to another greenlet.
        token, encoding: As for the SDK's client.
    """

    def __init__(
        self,
        servers: tuple[str, ...],
        on_event: Callable[[float, events.Event], None],
        token: str | None = None,
        encoding: str = "json",
    ) -> None:
        self._encoding = ENCODINGS[encoding]
        config = SessionConfig(servers, self._encoding, "whimbrel-locust/1", token)
        self._session = Session(config, SystemRandom())
        self._on_event = on_event
        self._connection: Connection | None = None
        self._publishing: dict[Outgoing, AsyncResult] = {}
        self._asked: dict[Interest, AsyncResult] = {}
        self._ticks_at = float("inf")
        self._may_read = Event()
        self._may_read.set()

    def start(self) -> None:
        """Begin to connect."""
        self._input(self._session.start)

    def close(self) -> None:
        """End it, and hear no more."""
        self._input(self._session.close)

    def subscribe(self, subject: str, start: StartOrName = "latest", timeout_s: float | None = None) -> Interest:
        """Subscribe, and wait for the server's answer.

        Raises:
            SubjectError, TypeError, ValueError: As for the SDK's client.
            RuntimeError: The server refused; with its words.
            gevent.Timeout: There was no answer in time.
        """
        interest = Interest(subject, to_start(start))
        answer = self._asked[interest] = AsyncResult()
        self._input(self._session.subscribe, interest)
        try:
            answer.get(timeout=timeout_s)
        finally:
            self._asked.pop(interest, None)
        return interest

    def publish(self, subject: str, json: Any, timeout_s: float = 30) -> None:
        """Publish, and wait until it is acknowledged.

        Raises:
            RuntimeError: It was refused, or its time is up; with the reason.
        """
        item = Outgoing(subject, to_value(json), [], time.monotonic() + timeout_s)
        answer = self._publishing[item] = AsyncResult()
        self._input(self._session.publish, item)
        answer.get()

    def cut(self) -> None:
        """Reset the connection, as a network that fails does; the session finds out and comes back."""
        if self._connection is not None and self._connection.sock is not None:
            connection = self._connection
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._lost(connection, None, "cut")
            _close(connection)

    def reads(self, may_read: bool) -> None:
        """Whether what comes is read from the socket."""
        if may_read:
            self._may_read.set()
        else:
            self._may_read.clear()
        self._input(self._session.reading, may_read)

    def tick(self, now: float) -> None:
        """For `Timers`."""
        self._ticks_at = float("inf")
        deadline = self._session.deadline
        if deadline is not None and deadline <= now:
            self._session.tick(now)
            self._perform(now)
        self._schedule()

    # Inside.

    def _input(self, method: Callable[..., None], *arguments: object) -> None:
        now = time.monotonic()
        method(now, *arguments)
        self._perform(now)
        self._schedule()

    def _schedule(self) -> None:
        deadline = self._session.deadline
        if deadline is not None and deadline < self._ticks_at:
            self._ticks_at = deadline
            TIMERS.at(deadline, self)

    def _perform(self, now: float) -> None:
        # Only the flush may switch to another greenlet, which may come here, too: order is settled before it.
        for output in self._session.take():
            match output:
                case events.Received():
                    self._on_event(now, output)
                case Send(data):
                    assert self._connection is not None
                    payload = data.encode() if isinstance(data, str) else data
                    self._connection.to_send.append(masked(TEXT if isinstance(data, str) else BINARY, payload))
                case Connect(server):
                    self._connection = connection = Connection()
                    gevent.spawn(self._run, connection, server)
                case Disconnect(at_once):
                    self._disconnect(at_once)
                case _:
                    self._settle(output)
                    self._on_event(now, output)
        if self._connection is not None and self._connection.to_send:
            self._flush(self._connection)

    def _settle(self, event: events.Event) -> None:
        """Tell who waits for it."""
        match event:
            case events.Subscribed(interest, _):
                if answer := self._asked.get(interest):
                    answer.set(None)
            case events.Refused(interest, code, name, reason):
                if answer := self._asked.get(interest):
                    answer.set_exception(RuntimeError(f"{code} {name}: {reason}"))
            case events.PublishDone(item):
                self._publishing.pop(item).set(None)
            case events.PublishFailed(item, code, name, reason):
                self._publishing.pop(item).set_exception(RuntimeError(f"{code or ''} {name}: {reason}"))
            case events.Closed(code, reason):
                for answer in self._asked.values():
                    answer.set_exception(RuntimeError(f"closed: {code or ''} {reason}"))

    def _disconnect(self, at_once: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.dropped = True
        if at_once or connection.sock is None:
            _close(connection)
        else:
            self._write(connection, masked(CLOSE, GOING_AWAY))
            self._write(connection, None)

    def _lost(self, connection: Connection, code: int | None, reason: str) -> None:
        if not connection.dropped:
            connection.dropped = True
            self._connection = None
            self._input(self._session.lost, code, reason)

    def _write(self, connection: Connection, data: bytes | None) -> None:
        connection.to_send.append(data)
        self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        """Write what waits, unless another greenlet is at it."""
        if connection.writes or connection.sock is None:
            return
        connection.writes = True
        try:
            while connection.to_send:
                data = connection.to_send.popleft()
                if data is None:
                    _close(connection)
                    return
                connection.sock.sendall(data)
        except OSError:
            pass  # the reader sees it too
        finally:
            connection.writes = False

    def _run(self, connection: Connection, server: str) -> None:
        try:
            sock, rest = _opened(server, self._encoding.subprotocol)
        except (OSError, gevent.Timeout, ConnectionError) as error:
            self._lost(connection, None, f"cannot reach {server}: {error}")
            return
        connection.sock = sock
        if connection.dropped:
            _close(connection)
            return
        self._input(self._session.opened)
        code, reason = None, "the connection ended"
        try:
            while not connection.dropped:
                self._may_read.wait()
                data = sock.recv(READ_BYTES)
                now = time.monotonic()
                if not data:
                    break
                rest, close = self._frames(connection, now, rest + data if rest else data)
                if close is not None:
                    code, reason = close
                    break
        except OSError as error:
            reason = str(error)
        self._lost(connection, code, reason)
        _close(connection)

    def _frames(self, connection: Connection, now: float, data: bytes) -> tuple[bytes, tuple[int, str] | None]:
        """Take in whole frames; what is left, and code and reason if one of them closed the connection."""
        at, end = 0, len(data)
        while (found := frame_at(data, at, end)) is not None:
            opcode, start, at = found
            if opcode in (TEXT, BINARY):
                payload = data[start:at]
                self._session.receive(now, payload.decode() if opcode == TEXT else payload)
                if connection.dropped:
                    break
            elif opcode == PING:
                self._write(connection, masked(PONG, data[start:at]))
            elif opcode == CLOSE:
                said = int.from_bytes(data[start : start + 2], "big"), data[start + 2 : at].decode(errors="replace")
                self._perform(now)
                return b"", said
        self._perform(now)
        self._schedule()
        return data[at:], None


def _close(connection: Connection) -> None:
    if connection.sock is not None:
        connection.sock.close()


def _opened(server: str, subprotocol: str) -> tuple[Any, bytes]:
    """A socket after the handshake, and what was read beyond it.

    Raises:
        OSError, gevent.Timeout: That was not possible.
    """
    parts = urlsplit(server_url(server))
    is_tls = parts.scheme == "wss"
    host, port = parts.hostname or "", parts.port or (443 if is_tls else 80)
    with gevent.Timeout(OPEN_TIMEOUT_S):
        sock = socket.create_connection((host, port))
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if is_tls:
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
            sock.sendall(handshake(host, port, parts.path, subprotocol))
            data = b""
            while b"\r\n\r\n" not in data:
                read = sock.recv(4096)
                if not read:
                    raise ConnectionError("the server ended the handshake")
                data += read
            head, _, rest = data.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101"):
                raise ConnectionError(head.partition(b"\r\n")[0].decode(errors="replace"))
        except BaseException:
            sock.close()
            raise
    return sock, rest
