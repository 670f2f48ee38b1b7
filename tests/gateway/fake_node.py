"""A node that says what a test tells it to: the other end of the link of one real worker process.

Not here: what the real node does (node/).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec
import zmq
from websockets.frames import Close, Frame, Opcode

from gateway.link import events as link
from gateway.link.settings import GatewaySettings, TopicRule
from loadtest.kafka.ports import free_port
from tests.support.patience import PATIENCE_S

T = TypeVar("T")

SETTINGS = GatewaySettings(
    index=0,
    node="a",
    cluster="c1",
    link="",
    host="127.0.0.1",
    port=0,
    servers=["ws://other:1/v1/ws"],
    origins=["https://good.example"],
    topics=[TopicRule("t*", "json", True), TopicRule("readonly", "json", False)],
    connections_max=100,
    subscriptions_max=3,
    publishes_max=2,
    frame_bytes_max=10_000,
    subject_bytes_max=200,
    outbox_bytes_max=200_000,
    last_max=100,
    heartbeat_s=20.0,
    hello_timeout_s=10.0,
    authorizer="allow_all",
    authorizer_options={},
    log_format="text",
    log_level="info",
    node_silent_s=60.0,
    console=True,
)


class FakeNode:
    """Use in a `with`: starts a worker process with these settings, and is its node."""

    def __init__(self, **settings: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fake-node-")
        address = f"ipc://{self._folder.name}/link"
        self.settings = msgspec.structs.replace(SETTINGS, **({"link": address, "port": free_port()} | settings))
        self.url = f"ws://127.0.0.1:{self.settings.port}/v1/ws"
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.LINGER, 0)
        self._router.bind(address)
        self._events: list[link.FromWorker] = []
        self._decode = msgspec.msgpack.Decoder(list[link.FromWorker]).decode
        self.counter = 0
        """The number of the next packet: raise it to make the link lose something."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(self.settings) + b"\n")
        self.process.stdin.flush()
        self.route = b""
        self.stats: dict[str, float] = {}
        self.delivery_counts: list[int] = []
        self.delivery_sum_s = 0.0
        """What the worker counted last."""

    def __enter__(self) -> FakeNode:
        ready = self.expect(link.Ready)
        assert (ready.index, ready.pid) == (0, self.process.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        errors = self.process.communicate()[1].decode()
        self._context.destroy(linger=0)
        self._folder.cleanup()
        assert "Traceback" not in errors, errors

    def expect(self, kind: type[T], wait_s: float = PATIENCE_S) -> T:
        """The next event of this kind; others before it stay for later."""
        until = time.monotonic() + wait_s
        while True:
            for event in self._events:
                if isinstance(event, kind):
                    self._events.remove(event)
                    return event
            left_s = until - time.monotonic()
            assert left_s > 0, f"no {kind.__name__} came, only {self._events}"
            self._receive(left_s)

    def counted(self, wait_s: float = PATIENCE_S, **wanted: float) -> None:
        """The worker's figures become these."""
        until = time.monotonic() + wait_s
        while {name: self.stats.get(name) for name in wanted} != wanted:
            left_s = until - time.monotonic()
            assert left_s > 0, f"not {wanted}: {self.stats}"
            self._receive(left_s)

    def none_of(self, kind: type[link.FromWorker], wait_s: float = 0.2) -> None:
        """Nothing of this kind comes."""
        until = time.monotonic() + wait_s
        while (left_s := until - time.monotonic()) > 0:
            self._receive(left_s)
        assert not [event for event in self._events if isinstance(event, kind)]

    def say(self, *events: link.FromNode) -> None:
        """One packet to the worker."""
        packet = msgspec.msgpack.encode(list(events))
        self._router.send_multipart([self.route, self.counter.to_bytes(8, "big"), packet])
        self.counter += 1

    def go_live(self, client: Client, subject: str = "/t/a", id: int = 2, **more: Any) -> int:
        """Subscribe, answer and make live at (0, 5) of log `0.x`; returns the sid."""
        client.send({"op": "subscribe", "id": id, "subject": subject} | more)
        asked = self.expect(link.Subscribe)
        self.say(
            link.Answer(asked.sid, "fresh", {"0.x": (0, 5)}, [], []),
            link.Page(asked.sid, b"", {"0.x": (0, 5)}, [], True),
        )
        assert client.receive()["op"] == "subscribed"
        assert client.receive()["op"] == "live"
        return asked.sid

    def client(self, encoding: int = link.JSON, hello: bool = True) -> Client:
        """A client that has connected, and said hello."""
        return Client(self.url, encoding, hello)

    def _receive(self, wait_s: float) -> None:
        if self._router.poll(int(wait_s * 1000)):
            self.route, packet = self._router.recv_multipart()
            for event in self._decode(packet):
                if isinstance(event, link.Stats):
                    self.stats = event.values
                    self.delivery_counts, self.delivery_sum_s = event.delivery_counts, event.delivery_sum_s
                else:
                    self._events.append(event)


class Refused(Exception):
    """The handshake was answered with another status, `args[0]`."""


class Client:
    """A blocking WebSocket client that speaks in maps. Answers pings while it receives."""

    def __init__(self, url: str, encoding: int = link.JSON, hello: bool = True) -> None:
        host, _, path = url.removeprefix("ws://").partition("/")
        name, _, port = host.partition(":")
        self.socket = self.connect(name, int(port))
        self.code: int | None = None
        self.reason = ""
        self.pings = 0
        self._is_packed = encoding == link.MSGPACK
        self._data = bytearray()
        protocol = "whimbrel.v1.msgpack" if self._is_packed else "whimbrel.v1.json"
        self.socket.sendall(
            f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"User-Agent: test\r\nCookie: a=1; session=7; session=8\r\n"
            f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._data:
            self._read(PATIENCE_S)
        head, _, rest = bytes(self._data).partition(b"\r\n\r\n")
        self._data = bytearray(rest)
        status = int(head.split(b" ")[1])
        if status != 101:
            self.socket.close()
            raise Refused(status)
        assert f"Sec-WebSocket-Protocol: {protocol}".encode() in head
        if hello:
            self.send({"op": "hello", "id": 1})
            assert self.receive()["op"] == "welcome"

    def connect(self, host: str, port: int) -> socket.socket:
        """The socket that all of it goes over."""
        return socket.create_connection((host, port))

    def send(self, frame: dict[str, Any]) -> None:
        data = msgspec.msgpack.encode(frame) if self._is_packed else msgspec.json.encode(frame)
        self._send(Opcode.BINARY if self._is_packed else Opcode.TEXT, data)

    def receive(self, wait_s: float = PATIENCE_S) -> dict[str, Any]:
        """The next frame of ours.

        Raises:
            EOFError: If the connection has ended; `code` and `reason` say how.
        """
        while True:
            frame = self._frame(wait_s)
            if frame.opcode == Opcode.CLOSE:
                close = Close.parse(frame.data)
                self.code, self.reason = int(close.code), close.reason
                self._send(Opcode.CLOSE, bytes(frame.data))
            elif frame.opcode == Opcode.PING:
                self.pings += 1
                self._send(Opcode.PONG, bytes(frame.data))
            else:
                assert frame.opcode == (Opcode.BINARY if self._is_packed else Opcode.TEXT)
                decode = msgspec.msgpack.decode if self._is_packed else msgspec.json.decode
                found: dict[str, Any] = decode(frame.data)
                return found

    def closed(self, wait_s: float = PATIENCE_S) -> tuple[int | None, str]:
        """Code and reason of the close, after whatever comes before."""
        try:
            while True:
                self.receive(wait_s)
        except EOFError:
            return self.code, self.reason

    def close(self) -> None:
        """Close as one should."""
        self._send(Opcode.CLOSE, b"\x03\xe8")
        assert self.closed() == (1000, "")
        self.socket.close()

    def _send(self, opcode: Opcode, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(Frame(opcode, data).serialize(mask=True))

    def _frame(self, wait_s: float) -> Frame:
        def read_exact(size: int) -> Generator[None, None, bytes]:
            while len(self._data) < size:
                yield
            piece = bytes(self._data[:size])
            del self._data[:size]
            return piece

        parsing = Frame.parse(read_exact, mask=False)
        try:
            while True:
                next(parsing)
                self._read(wait_s)
        except StopIteration as stop:
            frame: Frame = stop.value
            return frame

    def _read(self, wait_s: float) -> None:
        self.socket.settimeout(wait_s)
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError(self.code)
        self._data += data
