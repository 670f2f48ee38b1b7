"""A WebSocket on gevent's loop. A shell.

Only the handshake has a greenlet. After it the loop calls back when there is something to read, or when what could not
be written at once can go on: 2,000 greenlets that wait to read would cost more than the reading.

What is read has the time at which it came (arrival.py). Where that is not to be had, it is the time of reading, and so
reading goes before everything else (reads.py).

Not here: what frames mean (client.py), their bytes (loadtest/wire.py).
"""

from __future__ import annotations

import ssl
import struct
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

import gevent
from gevent import socket

from loadtest.swarm import arrival
from loadtest.swarm.reads import Reads
from loadtest.wire import BINARY, CLOSE, GOING_AWAY, PING, PONG, TEXT, frame_at, handshake, masked
from whimbrel.servers import server_url

OPEN_TIMEOUT_S = 10.0
READ, WRITE = 1, 2
"""Events of libev."""
RESET = struct.pack("ii", 1, 0)
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class User(Protocol):
    """Whose connection it is. Called from the loop: nothing that it does may wait."""

    def opened(self, connection: Connection) -> None:
        """The handshake is done."""

    def came(self, connection: Connection, arrived: float, frames: list[bytes]) -> None:
        """Messages, all that one read gave; `arrived` is `time.monotonic()` when they came."""

    def ended(self, connection: Connection, code: int | None, reason: str) -> None:
        """It is lost, or could not be made. Not told after `close` or `reset`."""


class Connection:
    """From the attempt to its end."""

    def __init__(self, user: User, server: str, subprotocol: str) -> None:
        """Begin to connect.

        Args:
            server: As the SDK takes it.
        """
        self._user = user
        self._socket: Any = None
        self._reads = Reads.of(gevent.get_hub())
        self._reader: Any = None
        self._writer: Any = None
        self._rest = b""
        """The beginning of a frame whose end has not come."""
        self._unsent = bytearray()
        self._says_arrival = False
        """Whether the kernel says when what is read came."""
        self._closes = False
        """When all is sent."""
        self._over = False
        """Nobody wants to hear of it any more."""
        gevent.spawn(self._open, server, subprotocol)

    def send(self, opcode: int, payload: bytes) -> None:
        """A frame."""
        if self._socket is None:
            return
        data = masked(opcode, payload)
        if not self._unsent:
            sent = self._send(data)
            if sent == len(data):
                return
            data = data[sent:]
            self._writer.start(self._writable)
        self._unsent += data

    def reads(self, may_read: bool) -> None:
        """Whether what comes is read."""
        if self._socket is not None:
            if may_read:
                self._reader.start(self._readable)
            else:
                self._reader.stop()

    def close(self, at_once: bool) -> None:
        """Say so to the server and end it, when all is sent unless `at_once`."""
        self._over = True
        if self._socket is None:
            return
        if not at_once:
            self.send(CLOSE, GOING_AWAY)
            if self._unsent:
                self._closes = True
                return
        self._release()

    def reset(self) -> None:
        """End it as a network that fails does."""
        self._over = True
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._release()

    # Inside.

    def _open(self, server: str, subprotocol: str) -> None:
        try:
            sock, more = _opened(server, subprotocol)
        except (OSError, gevent.Timeout) as error:
            why = (isinstance(error, OSError) and error.strerror) or str(error)
            self._end(None, f"cannot reach {server} ({why.lower()})")
            return
        if self._over:
            sock.close()
            return
        sock.settimeout(0)
        self._socket, loop = sock, gevent.get_hub().loop
        self._says_arrival = not isinstance(sock, ssl.SSLSocket) and arrival.ask(sock)
        self._reader, self._writer = loop.io(sock.fileno(), READ), loop.io(sock.fileno(), WRITE)
        self._reader.start(self._readable)
        self._user.opened(self)
        if more:
            self._look(time.monotonic(), more, "")

    def _readable(self) -> None:
        why, said, reads = "the connection ended", [], self._reads
        try:
            if self._says_arrival:
                size, said, _, _ = self._socket.recvmsg_into(reads.buffers, arrival.SPACE)
            else:
                size = self._socket.recv_into(reads.buffers[0])
        except NOT_NOW:
            return
        except OSError as error:
            size, why = 0, str(error)
        data = bytes(reads.view[:size])
        reads.add(self._look, arrival.arrived(said), data, why)
        if not data:
            self._reader.stop()
        elif isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            self._readable()  # decrypted already: the loop would not tell

    def _look(self, arrived: float, data: bytes, why: str) -> None:
        if self._socket is None:
            return  # what went before has ended it
        if data:
            self._frames(arrived, self._rest + data if self._rest else data)
        else:
            self._end(None, why)

    def _frames(self, arrived: float, data: bytes) -> None:
        view, end = memoryview(data), len(data)
        at, payloads, said = 0, [], None
        while (found := frame_at(data, at, end)) is not None:
            opcode, start, at = found
            if opcode in (TEXT, BINARY):
                payloads.append(bytes(view[start:at]))
            elif opcode == PING:
                self.send(PONG, bytes(view[start:at]))
            elif opcode == CLOSE:
                said = int.from_bytes(view[start : start + 2], "big"), str(view[start + 2 : at], errors="replace")
                break
        self._rest = bytes(view[at:end]) if at < end else b""
        if payloads:
            self._user.came(self, arrived, payloads)
        if said is not None:
            self._end(*said)

    def _writable(self) -> None:
        del self._unsent[: self._send(self._unsent)]
        if not self._unsent:
            self._writer.stop()
            if self._closes:
                self._release()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return int(self._socket.send(data))
        except NOT_NOW:
            return 0
        except OSError:
            return len(data)  # the reader sees it, too

    def _end(self, code: int | None, reason: str) -> None:
        is_news, self._over = not self._over, True
        if self._socket is not None:
            self._release()
        if is_news:
            self._user.ended(self, code, reason)

    def _release(self) -> None:
        for watcher in (self._reader, self._writer):
            watcher.stop()
            watcher.close()
        self._socket.close()
        self._socket = None


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
