"""What clients that do nothing but break limits cost those who do not: a node with `[limits]`, bystanders who publish
in turn and wait each until he has his own message, and a thousand who publish, subscribe, send and connect as fast as
the sockets take it.

Not here: the steps of other scenarios (bench.py), what is limited (gateway/sessions/slowing.py, node/admissions.py).
"""

from __future__ import annotations

import select
import socket
import time
from array import array
from collections.abc import Iterator
from itertools import cycle

from loadtest.bench import Bench
from loadtest.fleet import SOURCES
from loadtest.node import Node
from loadtest.process import Child, Failed, Shares
from loadtest.report import Row, percentile
from loadtest.wire import HELLO, TEXT, handshake, hello_and_subscribe, masked

NAMESPACE = "bench"
VIOLATORS = 1_000
LIMITS = {
    "limits.publishes": "5/s burst 20",
    "limits.subscribes": "5/s burst 10",
    "limits.bytes": "20000/s burst 40000",
    "limits.address_connects": "20/s burst 200",
    "limits.address_connections": "200",
}
MARGIN_MS = 20.0
"""How much later than before a bystander may be served, at p99."""
BYSTANDERS = 16
PAUSE_S = 0.02
"""Between two publishes of all of them: each stays within its limits."""
WARM_S = 3.0
CONNECTS_S = 0.05
"""Between two attempts of one who does nothing but connect."""


class Bystanders:
    """Clients that publish in turn, each with a subscription to its own subject. Commands for `process.serve`."""

    def __init__(self) -> None:
        self._socks: list[socket.socket] = []

    def idle(self, timeout_s: float) -> None:
        time.sleep(timeout_s)

    def connect(self, port: int) -> None:
        """Come, and be live."""
        for number in range(BYSTANDERS):
            sock = socket.create_connection(("127.0.0.1", port), timeout=30)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(handshake("127.0.0.1", port))
            until_words(sock, b"\r\n\r\n")
            sock.sendall(hello_and_subscribe(f"/{NAMESPACE}/bystander-{number}", None))
            until_words(sock, b'"op":"live"')
            self._socks.append(sock)

    def measure(self, seconds: float) -> array[int]:
        """Microseconds from each publish until it is delivered."""
        found, until, seq = array("q"), time.monotonic() + seconds, 0
        publisher = time.monotonic_ns()
        while time.monotonic() < until:
            seq += 1
            number = seq % BYSTANDERS
            began = time.monotonic_ns()
            subject = b'"subject":"/bench/bystander-%d","publisher":"bystander-%d-%d"' % (number, number, publisher)
            frame = b'{"op":"publish","id":%d,%b,"seq":%d,"text":"x%d."}' % (seq + 10, subject, seq, seq)
            self._socks[number].sendall(masked(TEXT, frame))
            until_words(self._socks[number], b'"text":"x%d."' % seq)
            found.append((time.monotonic_ns() - began) // 1000)
            time.sleep(PAUSE_S)
        return found


def connected(port: int) -> socket.socket:
    """A connection that has become a WebSocket's."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(handshake("127.0.0.1", port))
    until_words(sock, b"\r\n\r\n")
    return sock


def until_words(sock: socket.socket, words: bytes) -> None:
    """Read until these have come."""
    read = b""
    while words not in read:
        data = sock.recv(65536)
        if not data or b'"op":"error"' in data:
            raise Failed(f"a bystander was refused: {data[-200:]!r}")
        read += data


class Violators:
    """Clients that send whatever the kernel takes, and come again when they are closed. For `process.serve`."""

    def __init__(self) -> None:
        self._sources = cycle(SOURCES)
        self._poll = select.epoll()
        self._port = 0
        self._by_fd: dict[int, tuple[socket.socket, int]] = {}
        self._again: list[tuple[float, int]] = []
        self._opened = 0

    def begin(self, port: int) -> None:
        """From now on."""
        self._port = port
        self._again = [(0.0, number % 4) for number in range(VIOLATORS)]

    def counted(self) -> int:
        """Connections so far."""
        return self._opened

    def idle(self, timeout_s: float) -> None:
        now = time.monotonic()
        due = [kind for at, kind in self._again if at <= now]
        self._again = [(at, kind) for at, kind in self._again if at > now]
        for kind in due:
            self._open(kind)
        for fd, event in self._poll.poll(timeout_s, 200):
            sock, kind = self._by_fd[fd]
            try:
                if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not sock.recv(65536):
                    raise ConnectionResetError
                if event & select.EPOLLOUT:
                    sock.send(FLOODS[kind])
            except BlockingIOError:
                continue
            except OSError:
                self._end(fd)
                continue
            if kind == 3:
                self._end(fd)

    def _open(self, kind: int) -> None:
        self._opened += 1
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind((next(self._sources), 0))
        sock.connect_ex(("127.0.0.1", self._port))
        self._by_fd[sock.fileno()] = sock, kind
        self._poll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
        try:
            sock.send(handshake("127.0.0.1", self._port) + HELLO)
        except OSError:
            pass

    def _end(self, fd: int) -> None:
        sock, kind = self._by_fd.pop(fd)
        sock.close()
        self._again.append((time.monotonic() + CONNECTS_S * 5, kind))


def _flood(frame: bytes) -> bytes:
    return masked(TEXT, frame) * (16384 // len(frame))


_PUBLISH = b'{"op":"publish","id":7,"subject":"/bench/x","publisher":"violator-01234567","seq":%d,"json":1}'
FLOODS = (
    b"".join(masked(TEXT, _PUBLISH % seq) for seq in range(150)),
    _flood(b'{"op":"subscribe","id":7,"subject":"/bench/y","from":{"last":100}}'),
    _flood(b'{"op":"ping","id":1,"x":"%b"}' % (b"z" * 1000)),
    handshake("127.0.0.1", 80),
)
"""Publishes, subscribes, bytes; the last kind does nothing but connect."""


def violators(bench: Bench) -> Iterator[Row]:
    """Bystanders without, and with a thousand who violate."""
    log = bench.artifacts / "bench-violators.log"
    flags = ("--namespaces", NAMESPACE, "--workers", "1")
    with (
        Node(log, *flags, settings=LIMITS, checkout=bench.checkout) as node,
        Child("bystanders", Bystanders) as bystander,
        Child("violators", Violators) as load,
    ):
        bystander.call("connect", port=node.port)
        bench.say("bystanders alone")
        before = bystander.call("measure", seconds=bench.seconds)
        bench.say(f"{VIOLATORS} that break limits")
        load.call("begin", port=node.port)
        time.sleep(WARM_S)
        shares = Shares({"node": node.pid, "violators": load.pid, "bystanders": bystander.pid})
        connected = load.call("counted")
        during = bystander.call("measure", seconds=bench.seconds)
        connected = load.call("counted") - connected
        bench.say(f"shares of a core: {shares.words()}; {connected / bench.seconds:,.0f} connects per second")
    at = {share: _ms(before, share) for share in (0.5, 0.99)}
    yield Row("violators.p50_ms", _ms(during, 0.5), "ms", at[0.5], less_is_better=True)
    goal = at[0.99] + MARGIN_MS
    yield Row("violators.p99_ms", _ms(during, 0.99), "ms", at[0.99], goal, goal, less_is_better=True)


def _ms(samples: array[int], share: float) -> float:
    return percentile(samples, [1] * len(samples), share) / 1000
