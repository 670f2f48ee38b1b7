"""Clients that read slowly: what they are sent, what they cost others."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loadtest.kafka.broker import RealKafka
from tests.e2e.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.produce import Source
from tests.support.subscriber import live_subscriber

pytestmark = pytest.mark.slow

BIG = 8_000_000
BURST = 60
SLOW_CONSUMER = 4001
SILENT = {"client.heartbeat": "30s"}
"""So that a client that reads nothing while others are waited for is not taken for one that is gone."""


class SlowClient:
    """A WebSocket of our own, to read as slowly as a bad network: so many bytes a second, from a small buffer."""

    def __init__(self, node: RunningNode) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._socket.connect(("127.0.0.1", node.port))
        self._socket.sendall(
            b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        self._data = b""
        while b"\r\n\r\n" not in self._data:
            self._data += self._socket.recv(4096)
        self._data = self._data.partition(b"\r\n\r\n")[2]
        self.close_code: int | None = None

    def send(self, **frame: object) -> None:
        body = json.dumps(frame).encode()
        assert len(body) < 126
        self._socket.sendall(bytes([0x81, 0x80 | len(body)]) + bytes(4) + body)

    def frames(self, bytes_per_s: float) -> Iterator[dict[str, object]]:
        """Frames as they come; ends with the connection."""
        while True:
            try:
                kind, payload = self._frame(bytes_per_s)
            except EOFError:
                return
            if kind == 0x89:
                self._socket.sendall(bytes([0x8A, 0x80 | len(payload)]) + bytes(4) + payload)
            elif kind == 0x88:
                self.close_code = struct.unpack(">H", payload[:2])[0] if payload else None
                return
            else:
                yield json.loads(payload)

    def close(self) -> None:
        self._socket.close()

    def _frame(self, bytes_per_s: float) -> tuple[int, bytes]:
        head = self._read(2, bytes_per_s)
        size = head[1]
        if size == 126:
            size = int.from_bytes(self._read(2, bytes_per_s), "big")
        elif size == 127:
            size = int.from_bytes(self._read(8, bytes_per_s), "big")
        return head[0], self._read(size, bytes_per_s)

    def _read(self, size: int, bytes_per_s: float) -> bytes:
        pieces = [self._data]
        got = len(self._data)
        while got < size:
            piece = self._socket.recv(65536)
            if not piece:
                raise EOFError
            pieces.append(piece)
            got += len(piece)
            time.sleep(len(piece) / bytes_per_s)
        data = b"".join(pieces)
        self._data = data[size:]
        return data[:size]


@pytest.mark.parametrize("way", ["live", "history"])
def test_a_large_record_reaches_a_client_that_takes_seconds_for_it(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str], way: str
) -> None:
    """Although heartbeats and other messages come meanwhile, and the outbox is smaller than the record."""
    topic = unique_topic()
    real_kafka.create_topic(topic, config={"max.message.bytes": "20000000"})
    settings = {"client.heartbeat": "1s", "client.hello_timeout": "1s", "client.outbox_bytes": "256KiB"}
    node = start_node(real_kafka.bootstrap, topic, settings=settings)
    source = Source(real_kafka.bootstrap, message_max_bytes=20_000_000)
    node.wait_for_topic(topic, 1)
    big = b'"%s"' % (b"x" * BIG)
    if way == "history":
        source.send(topic, "k", big)
        node.wait(lambda: node.partitions(topic)[0]["end"][1] == 0, "the record")
    with live_subscriber(node, topic, f"/{topic}/other", encoding="msgpack") as other:
        slow = SlowClient(node)
        try:
            slow.send(op="hello", id=1)
            slow.send(
                op="subscribe", id=2, subject=f"/{topic}/*", **({"from": {"last": 9}} if way == "history" else {})
            )
            frames = slow.frames(3_000_000)
            wanted = "msg" if way == "history" else "live"
            got = []
            for frame in frames:
                if frame["op"] == wanted:
                    break
            else:
                raise AssertionError(f"closed with {slow.close_code}")
            if way == "history":
                got.append(frame["at"])
            else:
                source.add(topic, "k", big)
            for number in range(20):
                source.add(topic, "other", b"%d" % number)
            for frame in frames:
                if frame["op"] == "msg":
                    got.append(frame["at"])
                    if len(got) == 21:
                        break
            assert got == [[0, offset] for offset in range(21)], slow.close_code
            source.flush()
            other.wait_messages(20)
        finally:
            slow.close()


def test_a_client_that_does_not_read_is_closed_and_delays_no_other(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str]
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    settings = {"client.outbox_bytes": "256KiB", **SILENT}
    node = start_node(real_kafka.bootstrap, topic, settings=settings)
    source = Source(real_kafka.bootstrap)
    with live_subscriber(node, topic, f"/{topic}/*") as other:
        slow = SlowClient(node)
        try:
            slow.send(op="hello", id=1)
            slow.send(op="subscribe", id=2, subject=f"/{topic}/*")
            assert any(frame["op"] == "live" for frame in slow.frames(10**9))
            value = b'"%s"' % (b"x" * 100_000)
            for _ in range(150):
                source.add(topic, "k", value)
            source.flush()
            other.wait_messages(150)
            node.wait(lambda: node.metric("whimbrel_worker_slow_consumers_total") >= 1, "the end of the slow client")
            node.wait(lambda: node.metric("whimbrel_worker_outbox_bytes") == 0, "nothing kept for it")
            ats = [frame["at"] for frame in slow.frames(10**9) if frame["op"] == "msg"]
            assert ats == [[0, offset] for offset in range(len(ats))]
            assert len(ats) < 150
        finally:
            slow.close()


def test_many_messages_each_larger_than_the_outbox_reach_a_slow_client(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str]
) -> None:
    """It is closed and resumes, as often as need be; as many come again while it catches up. Others do not wait."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    settings = {"client.outbox_bytes": "64KiB", **SILENT}
    node = start_node(real_kafka.bootstrap, topic, settings=settings)
    source = Source(real_kafka.bootstrap)
    value = b'"%s"' % (b"x" * 200_000)
    got: list[tuple[Any, ...]] = []
    closes: list[int | None] = []
    with live_subscriber(node, topic, f"/{topic}/*") as other:

        def burst() -> None:
            """Enough to fill the kernel's buffers, too."""
            before = len(other.messages)
            for number in range(BURST):
                source.add(topic, f"k{number % 3}", value)
            source.flush()
            other.wait_messages(before + BURST)

        def read() -> None:
            """What one connection brings, until it is closed or everything is there."""
            resume = {"resume": {got[-1][0]: got[-1][1]}} if got else {}
            slow = SlowClient(node)
            try:
                slow.send(op="hello", id=1)
                slow.send(op="subscribe", id=2, subject=f"/{topic}/*", **resume)
                for frame in slow.frames(20_000_000):
                    assert frame["op"] != "gap", frame
                    assert not frame.get("gaps"), frame
                    if frame["op"] == "live" and not closes:
                        burst()
                    if frame["op"] != "msg":
                        continue
                    got.append((frame["log"], frame["at"], frame["subject"]))
                    if closes == [SLOW_CONSUMER] and len(other.messages) == BURST:
                        burst()
                    if len(got) == 2 * BURST:
                        return
                closes.append(slow.close_code)
            finally:
                slow.close()

        while len(got) < 2 * BURST:
            assert closes == [SLOW_CONSUMER] * len(closes)
            assert len(closes) < BURST, "it makes no headway"
            read()
        assert closes, "it was never too slow"
        assert got == [(one.log, [*one.at], one.subject) for one in other.messages]
