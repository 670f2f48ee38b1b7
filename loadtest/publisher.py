"""Publishers: one process with plain sockets that publishes through all nodes and times the answers.

Two loads. *One at a time*: each connection waits for the answer before it publishes again, after a pause; this gives
latencies. *Pipelined*: each connection keeps a number of publishes unanswered; this gives the rate. Both can be run
with pings instead, which a gateway answers by itself: the floor.

Each connection has subjects of its own, so the values of a subject are published in order.

Not here: who receives them (listener.py), bytes of frames (wire.py).
"""

from __future__ import annotations

import gc
import heapq
import secrets
import select
import socket
import time
from array import array
from collections.abc import Callable
from random import Random
from typing import TypeAlias, TypedDict

from loadtest.fleet import now_us
from loadtest.payload import FIRST
from loadtest.process import Failed
from loadtest.wire import HELLO, TEXT, frame_at, handshake, ping, publish_form

BUFFER_BYTES = 1 << 18
ANSWER_S = 10.0
"""No answer takes longer: it has been lost."""

Coordinated: TypeAlias = dict[str, int]
"""Subject -> port of the node that coordinates it."""


class Latencies(TypedDict):
    here: array[int]
    """Microseconds of publishes to subjects that the client's own node coordinates."""
    there: array[int]
    """And of all others."""


class _Connection:
    __slots__ = ("asked_us", "buffer", "forms", "is_here", "number", "port", "rest", "sock")

    def __init__(self, port: int, forms: list[tuple[str, bytes]]) -> None:
        self.port = port
        self.sock = connected(port)
        self.forms = forms
        """Its subjects, and a publish to each."""
        self.rest = b""
        self.number = FIRST
        self.asked_us = 0
        self.is_here = False


class Publisher:
    """Commands for `process.serve`."""

    def __init__(self, seed: int) -> None:
        gc.disable()
        self._random = Random(seed)
        self._connections: dict[int, _Connection] = {}
        self._poll = select.epoll()
        self._n: dict[str, int] = {}
        """The last value's number, by subject."""
        self._buffer = bytearray(BUFFER_BYTES)

    # Commands.

    def connect(self, ports: list[int], each: int, subjects: list[str], pad: int) -> None:
        """So many connections to each server; they share the subjects out among them."""
        self.disconnect()
        count = len(ports) * each
        for index in range(count):
            publisher = secrets.token_urlsafe(16)
            forms = [(subject, publish_form(subject, publisher, pad)) for subject in subjects[index::count]]
            connection = _Connection(ports[index % len(ports)], forms)
            self._connections[connection.sock.fileno()] = connection
            self._poll.register(connection.sock.fileno(), select.EPOLLIN)

    def disconnect(self) -> None:
        for connection in self._connections.values():
            connection.sock.close()
        self._connections.clear()

    def one_at_a_time(self, seconds: float, pause_s: float, coordinated: Coordinated | None) -> Latencies:
        """Ask, await the answer, pause; on all connections. Pings if it is not told who coordinates what."""
        latencies = Latencies(here=array("q"), there=array("q"))
        now = time.monotonic()
        until, waiting = now + seconds, 0
        due = [(now + self._random.random() * pause_s, fd) for fd in self._connections]
        heapq.heapify(due)
        while (now := time.monotonic()) < until or waiting:
            if now > until + ANSWER_S:
                raise Failed(f"{waiting} answers did not come within {ANSWER_S} s")
            while due and due[0][0] <= now < until:
                connection = self._connections[heapq.heappop(due)[1]]
                subject, data = self._publish(connection) if coordinated else ("", self._ping(connection))
                connection.is_here = (coordinated or {}).get(subject) == connection.port
                connection.asked_us = now_us()
                connection.sock.sendall(data)
                waiting += 1
            for fd, _ in self._poll.poll(max(0.0, min(due[0][0] - now, 0.1)) if due else 0.1):
                connection = self._connections[fd]
                if self._answers(connection):
                    waiting -= 1
                    (latencies["here"] if connection.is_here else latencies["there"]).append(
                        now_us() - connection.asked_us
                    )
                    heapq.heappush(due, (time.monotonic() + pause_s * (0.5 + self._random.random()), fd))
        return latencies

    def pipelined(self, seconds: float, warm_s: float, window: int, publish: bool) -> float:
        """Keep `window` unanswered on each connection. Returns the answers per second, after a warm-up."""
        ask: Callable[[_Connection], bytes] = self._publish_only if publish else self._ping
        for connection in self._connections.values():
            connection.sock.sendall(b"".join([ask(connection) for _ in range(window)]))
        unanswered = window * len(self._connections)
        began = time.monotonic()
        until, counted, since = began + warm_s + seconds, 0, 0.0
        while unanswered:
            now = time.monotonic()
            if not since and now >= began + warm_s:
                since, counted = now, 0
            if now > until + ANSWER_S:
                raise Failed(f"{unanswered} answers did not come within {ANSWER_S} s")
            for fd, _ in self._poll.poll(0.1):
                connection = self._connections[fd]
                answers = self._answers(connection)
                if now < until:
                    counted += answers
                    connection.sock.sendall(b"".join([ask(connection) for _ in range(answers)]))
                else:
                    unanswered -= answers
        return counted / (until - since)

    def published(self) -> dict[str, int]:
        """How many values each subject got so far."""
        return {subject: n - FIRST + 1 for subject, n in self._n.items()}

    def idle(self, timeout_s: float) -> None:
        for fd, _ in self._poll.poll(timeout_s):
            self._answers(self._connections[fd])

    # Private.

    def _publish(self, connection: _Connection) -> tuple[str, bytes]:
        subject, form = self._random.choice(connection.forms)
        number = connection.number = connection.number + 1
        n = self._n[subject] = self._n.get(subject, FIRST - 1) + 1
        return subject, form % (number, number, now_us(), n)

    def _publish_only(self, connection: _Connection) -> bytes:
        return self._publish(connection)[1]

    def _ping(self, connection: _Connection) -> bytes:
        connection.number += 1
        return ping(connection.number)

    def _answers(self, connection: _Connection) -> int:
        """Read what is there; the number of answers in it."""
        buffer, held = self._buffer, len(connection.rest)
        buffer[:held] = connection.rest
        end = held + connection.sock.recv_into(memoryview(buffer)[held:])
        if end == held:
            raise Failed(f"the server at port {connection.port} has closed the connection")
        at = count = 0
        while (found := frame_at(buffer, at, end)) is not None:
            opcode, start, after = found
            op = bytes(buffer[start + 7 : start + 12])
            if opcode != TEXT or op == b"error":
                if opcode == TEXT or opcode == 8:
                    raise Failed(f"refused: {bytes(buffer[start:after]).decode(errors='replace')}")
            elif op in (b"publi", b'pong"'):
                count += 1
            at = after
        connection.rest = bytes(buffer[at:end])
        return count


def connected(port: int) -> socket.socket:
    """A blocking socket on which `hello` has been said."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(handshake("127.0.0.1", port))
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(4096)
    if not data.startswith(b"HTTP/1.1 101"):
        raise Failed(f"handshake answered {data[:60]!r}")
    sock.sendall(HELLO)
    return sock
