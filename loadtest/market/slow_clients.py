"""Clients of everything that read for a while and then not for a while, until they are told to catch up.

They resume as often as the server ends their connections, and check by the counters in the values that in the end
nothing is missing.

Not here: clients that keep up (loadtest/fleet.py).
"""

from __future__ import annotations

import gc
import select
import socket
import time
from random import Random
from typing import TypedDict

import msgspec

from loadtest.process import Failed
from loadtest.subscriber import Value
from loadtest.wire import CLOSE, HELLO, PING, PONG, TEXT, frame_at, handshake, hello_and_subscribe, masked, subscribe

BUFFER_BYTES = 1 << 20
RECEIVE_BYTES = 1 << 16
"""Of the kernel, for each: what it holds does not wait at the server."""
AGAIN_S = 0.2


class Frame(msgspec.Struct, gc=False):
    """What is looked at of any frame."""

    op: str
    subject: str = ""
    log: str = ""
    at: list[int] | dict[str, list[int]] | None = None
    json: Value | None = None
    snapshot: bool = False
    gaps: list[object] = []
    error: str = ""
    reason: str = ""


_decode = msgspec.json.Decoder(Frame).decode


class State:
    """What one client has of its pattern. A core."""

    def __init__(self) -> None:
        self.place: dict[str, list[int]] | None = None
        self.last: dict[str, int] = {}
        """By subject: the number of its last value."""
        self.received = self.repeated = 0
        self.is_live = False
        self.faults: list[str] = []

    def take(self, frame: Frame) -> None:
        """The next frame."""
        if frame.op == "msg" and frame.json is not None and isinstance(frame.at, list):
            last, n = self.last.get(frame.subject, frame.json.n - 1), frame.json.n
            if n <= last:
                self.repeated += 1
                return
            if n > last + 1:
                self.faults.append(f"{frame.subject}: {n - last - 1} missing before {n}")
            self.last[frame.subject] = n
            self.received += 1
            if self.place is not None:
                self.place[frame.log] = frame.at
        elif frame.op in ("subscribed", "live", "heartbeat") and isinstance(frame.at, dict):
            if frame.op == "subscribed":
                self.place = dict(frame.at)
            elif self.place is not None:
                for log, position in frame.at.items():
                    self.place[log] = max(self.place.get(log, position), position)
            self.is_live |= frame.op == "live"
        if frame.gaps or frame.error:
            self.faults.append(f"{frame.op}: {frame.gaps or frame.error} {frame.reason}")


class Seen(TypedDict):
    received: int
    repeated: int
    losses: int
    """Connections that the server ended."""
    faults: list[str]


class _Client:
    __slots__ = ("again_at", "changes_at", "reads", "rest", "sock", "state")

    def __init__(self, changes_at: float) -> None:
        self.state = State()
        self.sock: socket.socket | None = None
        self.rest = b""
        self.again_at = 0.0
        self.reads = True
        self.changes_at = changes_at


class SlowClients:
    """Commands for `process.serve`."""

    def __init__(self, seed: int) -> None:
        gc.disable()
        self._random = Random(seed)
        self._poll = select.epoll()
        self._clients: list[_Client] = []
        self._by_fd: dict[int, _Client] = {}
        self._buffer = bytearray(BUFFER_BYTES)
        self._port, self._pattern = 0, ""
        self._reads_s, self._rests_s = 0.0, 0.0
        self._losses = 0

    # Commands.

    def connect(self, port: int, count: int, pattern: str, reads_s: float, rests_s: float) -> None:
        """Subscribe them, and begin to read for so long and not to read for so long, in turn.

        Raises:
            Failed: They did not become live.
        """
        self._port, self._pattern, self._reads_s, self._rests_s = port, pattern, reads_s, rests_s
        self._clients = [_Client(float("inf")) for _ in range(count)]
        until = time.monotonic() + 30
        while not all(client.state.is_live for client in self._clients):
            self.idle(0.02)
            if time.monotonic() > until:
                raise Failed("slow clients did not become live")
        for client in self._clients:
            client.changes_at = time.monotonic() + self._random.random() * (reads_s + rests_s)

    def catch_up(self, last: dict[str, int], timeout_s: float) -> float:
        """Read all the time, until each has the last value of every subject. Returns the seconds that it took.

        Raises:
            Failed: It takes longer, or something was missing.
        """
        began = time.monotonic()
        for client in self._clients:
            client.changes_at = float("inf")
            self._let(client, True)
        while behind := sum(
            1 for client in self._clients if any(client.state.last.get(s, n) < n for s, n in last.items())
        ):
            until = time.monotonic() + 0.1
            while time.monotonic() < until:
                self.idle(0.02)
            if (seen := self.seen())["faults"] or time.monotonic() - began > timeout_s:
                raise Failed(
                    f"{behind} slow clients have not the last values after {timeout_s} s: {seen['faults'][:5]}"
                )
        if faults := self.seen()["faults"]:
            raise Failed(f"slow clients: {faults[:5]}")
        return time.monotonic() - began

    def seen(self) -> Seen:
        """Of all of them so far."""
        states = [client.state for client in self._clients]
        return Seen(
            received=sum(state.received for state in states),
            repeated=sum(state.repeated for state in states),
            losses=self._losses,
            faults=[fault for state in states for fault in state.faults],
        )

    def idle(self, timeout_s: float) -> None:
        """Take in what has come, connect and change what is due."""
        now = time.monotonic()
        for client in self._clients:
            if client.sock is None and client.again_at <= now:
                self._open(client)
            if client.changes_at <= now:
                self._let(client, not client.reads)
                client.changes_at = now + (self._reads_s if client.reads else self._rests_s)
        for fd, _ in self._poll.poll(timeout_s):
            self._read(self._by_fd[fd])

    # Private.

    def _open(self, client: _Client) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", self._port))
        sock.sendall(handshake("127.0.0.1", self._port))
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(4096)
            if not more:
                sock.close()
                client.again_at = time.monotonic() + AGAIN_S
                return
            data += more
        place = client.state.place
        sock.sendall(
            HELLO + subscribe(self._pattern, "now") if place is None else hello_and_subscribe(self._pattern, place)
        )
        client.sock, client.rest = sock, b""
        self._by_fd[sock.fileno()] = client
        self._poll.register(sock.fileno(), select.EPOLLIN if client.reads else 0)

    def _let(self, client: _Client, reads: bool) -> None:
        client.reads = reads
        if client.sock is not None:
            self._poll.modify(client.sock.fileno(), select.EPOLLIN if reads else 0)

    def _read(self, client: _Client) -> None:
        sock, buffer, held = client.sock, self._buffer, len(client.rest)
        assert sock is not None
        buffer[:held] = client.rest
        try:
            end = held + sock.recv_into(memoryview(buffer)[held:])
        except OSError:
            end = held
        if end == held:
            self._lost(client)
            return
        at = 0
        while (found := frame_at(buffer, at, end)) is not None:
            opcode, start, at = found
            if opcode == TEXT:
                client.state.take(_decode(buffer[start:at]))
            elif opcode == PING:
                sock.sendall(masked(PONG, bytes(buffer[start:at])))
            elif opcode == CLOSE:
                self._lost(client)
                return
        client.rest = bytes(buffer[at:end])

    def _lost(self, client: _Client) -> None:
        assert client.sock is not None
        self._losses += 1
        del self._by_fd[client.sock.fileno()]
        client.sock.close()
        client.sock = None
        client.again_at = time.monotonic() + AGAIN_S
