"""Listens at every node and says when the last of them had a message.

It is for the steady loads of publisher.py: every subscription must get every value of every subject, once, in order.

Not here: who publishes (publisher.py), clients by the thousand (fleet.py).
"""

from __future__ import annotations

import gc
import select
from array import array

import msgspec

from loadtest.fleet import now_us
from loadtest.process import Failed
from loadtest.publisher import connected
from loadtest.subscriber import Value
from loadtest.wire import PING, PONG, TEXT, frame_at, masked, subscribe

BUFFER_BYTES = 1 << 20


class Message(msgspec.Struct, gc=False):
    """Of a `msg` what is looked at; of other frames, `op`."""

    op: str
    subject: str = ""
    json: Value | None = None
    reason: str = ""


_decode = msgspec.json.Decoder(Message).decode


class Heard(msgspec.Struct):
    """What came in since the last time."""

    slowest: array[int]
    """Microseconds from the sending of a value until the last server had delivered it."""
    each: array[int]
    """And of each delivery."""
    missing: int
    repeated: int
    unfinished: int
    """Values that some server had and another not."""


class Arrivals:
    """Which values came from which server. A core."""

    def __init__(self, servers: int) -> None:
        self._servers = servers
        self._last: dict[tuple[int, str], int] = {}
        self._open: dict[tuple[str, int], int] = {}
        """How many servers had a value, while some had not."""
        self.heard = Heard(array("q"), array("q"), 0, 0, 0)

    def take(self) -> Heard:
        """What came in, and begin anew."""
        heard, self.heard = self.heard, Heard(array("q"), array("q"), 0, 0, 0)
        heard.unfinished = len(self._open)
        return heard

    def arrived(self, now: int, server: int, subject: str, value: Value) -> None:
        """A value of a subject, which count on from any number."""
        heard, last = self.heard, self._last.get((server, subject), value.n - 1)
        if value.n <= last:
            heard.repeated += 1
            return
        heard.missing += value.n - last - 1
        self._last[server, subject] = value.n
        heard.each.append(now - value.t)
        count = self._open.get((subject, value.n), 0) + 1
        if count < self._servers:
            self._open[subject, value.n] = count
        else:
            self._open.pop((subject, value.n), None)
            heard.slowest.append(now - value.t)


class Listener:
    """Commands for `process.serve`."""

    def __init__(self, ports: list[int], pattern: str) -> None:
        gc.disable()
        self._arrivals = Arrivals(len(ports))
        self._poll = select.epoll()
        self._buffer = bytearray(BUFFER_BYTES)
        self._sockets = {}
        self._live: dict[int, None] = {}
        for port in ports:
            sock = connected(port)
            sock.sendall(subscribe(pattern, "now"))
            self._sockets[sock.fileno()] = (port, sock)
            self._poll.register(sock.fileno(), select.EPOLLIN)
        self._rest = dict.fromkeys(self._sockets, b"")

    def live(self) -> None:
        """Return when all subscriptions are live."""
        until = now_us() + 10_000_000
        while len(self._live) < len(self._sockets):
            self.idle(0.1)
            if now_us() > until:
                raise Failed(f"only {len(self._live)} of {len(self._sockets)} subscriptions became live")

    def take(self) -> Heard:
        """What came in since the last time."""
        return self._arrivals.take()

    def idle(self, timeout_s: float) -> None:
        """Take in what has come."""
        for fd, _ in self._poll.poll(timeout_s):
            port, sock = self._sockets[fd]
            buffer, rest = self._buffer, self._rest[fd]
            buffer[: len(rest)] = rest
            end = len(rest) + sock.recv_into(memoryview(buffer)[len(rest) :])
            now, at = now_us(), 0
            if end == len(rest):
                raise Failed(f"the server at port {port} has closed the connection")
            while (found := frame_at(buffer, at, end)) is not None:
                opcode, start, at = found
                if opcode == PING:
                    sock.sendall(masked(PONG, bytes(buffer[start:at])))
                elif opcode == TEXT:
                    self._frame(now, fd, _decode(buffer[start:at]))
            self._rest[fd] = bytes(buffer[at:end])

    def _frame(self, now: int, fd: int, frame: Message) -> None:
        if frame.op == "msg" and frame.json is not None:
            self._arrivals.arrived(now, fd, frame.subject, frame.json)
        elif frame.op == "live":
            self._live[fd] = None
        elif frame.op in ("gap", "error"):
            raise Failed(f"{frame.op}: {frame.reason}")
