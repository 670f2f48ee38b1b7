"""The floor: a server that does the least that the kernel and CPython allow, and nothing else.

It answers handshakes and subscriptions from constants and calls `send`: no Kafka, no link, no cache, no limits, no
resume. What Whimbrel costs is printed beside what this costs, measured in the same run, so that a slow or busy
machine shows. It is also the fake server that the fleet's own tests use.

Not here: who connects (fleet.py), the values (payload.py).
"""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import re
import select
import socket
import time
from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias, TypedDict

from loadtest.fleet import now_us
from loadtest.payload import SIZE, Payloads, key_name

Write: TypeAlias = tuple[Callable[[bytes], int], bytes]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
LOG = "0.bare"


def text_frame(payload: bytes) -> bytes:
    """One whole text frame from a server, of up to 65,535 bytes."""
    length = len(payload)
    head = bytes((0x81, length)) if length < 126 else bytes((0x81, 126, length >> 8, length & 255))
    return head + payload


def dumps(frame: dict[str, Any]) -> bytes:
    return text_frame(json.dumps(frame, separators=(",", ":")).encode())


WELCOME = dumps({"op": "welcome", "id": 1, "node": "bare", "cluster": "bare", "heartbeat_s": 20, "servers": []})


def unmask(data: bytes) -> list[bytes]:
    """Payloads of whole masked frames of under 64 KB, as the fleet sends them."""
    payloads = []
    while data:
        length, start = data[1] & 127, 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        end = start + 4 + length
        mask = data[start : start + 4] * (length // 4 + 1)
        number = int.from_bytes(data[start + 4 : end], "big") ^ int.from_bytes(mask[:length], "big")
        payloads.append(number.to_bytes(length, "big"))
        data = data[end:]
    return payloads


class Work(TypedDict):
    writes: int
    send_cpu_s: float
    """CPU time of nothing but the calls of `send`."""


class Bare:
    """Commands for `process.serve`."""

    def __init__(self, seed: int = 0) -> None:
        gc.disable()
        self._random = Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._poll = select.epoll()
        self._poll.register(self._listener.fileno(), select.EPOLLIN)
        self._clients: dict[int, socket.socket] = {}
        self._subject_of: dict[int, str] = {}
        self._subjects: dict[str, list[Callable[[bytes], int]]] = {}
        self._last: dict[str, int] = {}
        """Subject -> position of its last message, for `prev`."""
        self._seq = 0

    # Commands.

    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cpu_s(self) -> float:
        """CPU time of this process so far."""
        return time.process_time()

    def scatter(self, topic: str, keys: int, rate: float, seconds: float) -> Work:
        """Send `rate` messages per second to random keys, one write for each recipient."""
        payloads = Payloads(keys)
        subjects = [f"/{topic}/{key_name(key).decode()}" for key in range(keys)]

        def writes(due_us: list[int], _: bool) -> list[Write]:
            batch: list[Write] = []
            for at in due_us:
                key = int(self._random.random() * keys)
                frame = self._message(subjects[key], payloads.make(key, at))
                batch.extend((send, frame) for send in self._subjects.get(subjects[key], ()))
            return batch

        return self._paced(rate, seconds, writes)

    def hot(self, subject: str, rate: float, seconds: float, together: int, size: int = SIZE) -> Work:
        """Send `rate` messages per second to every client of one subject, `together` in each write."""
        payloads = Payloads(1, size)
        held: list[bytes] = []

        def writes(due_us: list[int], last: bool) -> list[Write]:
            held.extend(self._message(subject, payloads.make(0, at)) for at in due_us)
            if len(held) < together and not last:
                return []
            joined = b"".join(held)
            held.clear()
            return [(send, joined) for send in self._subjects[subject]]

        return self._paced(rate, seconds, writes)

    # The loop.

    def idle(self, timeout_s: float) -> None:
        """Accept, answer, forget who has gone."""
        for fd, _ in self._poll.poll(timeout_s, 1024):
            if fd == self._listener.fileno():
                self._accept()
                continue
            sock = self._clients[fd]
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            if not data:
                if fd in self._subject_of:
                    self._subjects[self._subject_of.pop(fd)].remove(sock.send)
                del self._clients[fd]
                sock.close()
            elif data.startswith(b"GET "):
                self._handshake(sock, data)
            else:
                self._answer(sock, data)

    def _accept(self) -> None:
        try:
            while True:  # all at once: a queue that overflows costs those beyond it a second
                sock, _address = self._listener.accept()
                # Left blocking: what is read is there already, and a write that does not fit must wait.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._clients[sock.fileno()] = sock
                self._poll.register(sock.fileno(), select.EPOLLIN)
        except BlockingIOError:
            pass

    def _handshake(self, sock: socket.socket, data: bytes) -> None:
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", data)
        assert key is not None
        accept = base64.b64encode(hashlib.sha1(key[1] + GUID).digest()).decode()
        sock.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: whimbrel.v1.json\r\nSec-WebSocket-Accept: %b\r\n\r\n" % accept.encode()
        )

    def _answer(self, sock: socket.socket, data: bytes) -> None:
        answers = b""
        for payload in unmask(data):
            if payload[:1] != b"{":
                continue  # a pong
            frame = json.loads(payload)
            if frame["op"] == "hello":
                answers += WELCOME
            elif frame["op"] == "subscribe":
                at = {LOG: [0, self._seq]}
                answer = "full" if "resume" in frame else "fresh"
                answers += dumps({"op": "subscribed", "id": frame["id"], "answer": answer, "at": at})
                answers += dumps({"op": "live", "sub": frame["id"], "at": at})
                self._subject_of[sock.fileno()] = frame["subject"]
                self._subjects.setdefault(frame["subject"], []).append(sock.send)
        sock.send(answers)

    def _message(self, subject: str, value: bytes) -> bytes:
        """A `msg` frame of the same shape and size as the node's."""
        self._seq += 1
        prev = self._last.get(subject)
        self._last[subject] = self._seq
        chain = f'"prev":[0,{prev}],' if prev is not None else ""
        head = f'{{"op":"msg","subject":"{subject}","log":"{LOG}","at":[0,{self._seq}],{chain}"time":1700000000000'
        return text_frame(b'%b,"json":%b}' % (head.encode(), value))

    def _paced(self, rate: float, seconds: float, writes: Callable[[list[int], bool], list[Write]]) -> Work:
        began, began_us, sent, total = time.monotonic(), now_us(), 0, int(rate * seconds)
        work = Work(writes=0, send_cpu_s=0.0)
        while sent < total:
            due = min(total, int((time.monotonic() - began) * rate))
            batch = writes([began_us + int((i + 1) * 1e6 / rate) for i in range(sent, due)], due == total)
            sent = due
            before = time.thread_time()
            for send, frame in batch:
                send(frame)
            work["send_cpu_s"] += time.thread_time() - before
            work["writes"] += len(batch)
            time.sleep(0.001)
        return work
