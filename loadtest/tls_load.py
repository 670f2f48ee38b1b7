"""Clients over TLS, or without, for the figures of tls.py.

Not here: the servers (tls.py), many thousands of clients (fleet.py).
"""

from __future__ import annotations

import select
import socket
import ssl
import time

from loadtest.fleet import SOURCES
from loadtest.process import Failed
from loadtest.wire import HELLO, TEXT, handshake, hello_and_subscribe, masked

MARK = b'"op":"msg"'


class TlsLoad:
    """Commands for `process.serve`."""

    def __init__(self) -> None:
        self._socks: dict[int, socket.socket] = {}
        self._poll = select.epoll()
        self._session: ssl.SSLSession | None = None
        self._opened = 0
        self._publisher: socket.socket | None = None

    def idle(self, timeout_s: float) -> None:
        time.sleep(timeout_s)

    def come_and_go(self, port: int, authority: str, count: int, resumes: bool) -> int:
        """Connect so often, say hello and leave, one after another. Returns how many resumed a session of TLS."""
        resumed = 0
        context = _context(authority)
        self._session = None
        for _ in range(count):
            sock = self._open(port, context, resumes)
            resumed += isinstance(sock, ssl.SSLSocket) and bool(sock.session_reused)
            sock.close()
        return resumed

    def stay(self, port: int, authority: str, subject: str, count: int) -> None:
        """Connect so many that stay, each with a subscription."""
        context = _context(authority)
        for _ in range(count):
            sock = self._open(port, context, False)
            sock.sendall(hello_and_subscribe(subject, None)[len(HELLO) :])
            _until(sock, b'"op":"live"')
            sock.setblocking(False)
            self._socks[sock.fileno()] = sock
            self._poll.register(sock.fileno(), select.EPOLLIN)
        self._publisher = self._open(port, context, False)

    def carry(self, subject: str, per_s: int, seconds: float, size: int) -> int:
        """Publish so many per second. Returns how many messages have come to all in the time, and a moment after."""
        publisher = self._publisher
        assert publisher is not None
        began, sent, found = time.monotonic(), 0, 0
        total = int(per_s * seconds)
        until = began + seconds + 3
        name = b"tls-load-%d" % time.monotonic_ns()
        while (now := time.monotonic()) < until and found < total * len(self._socks):
            while sent < total and sent < (now - began) * per_s:
                value = b'"subject":"%b","publisher":"%b","seq":%d,"json":"%b"' % (
                    subject.encode(), name, sent, b"x" * size,
                )  # fmt: skip
                publisher.sendall(masked(TEXT, b'{"op":"publish","id":%d,%b}' % (sent + 5, value)))
                sent += 1
            for fd, _ in self._poll.poll(0.001, 1000):
                found += _read(self._socks[fd])
            _drain(publisher)
        return found

    def leave(self) -> None:
        """Close all."""
        for sock in self._socks.values():
            sock.close()
        self._socks.clear()
        self._poll.close()
        self._poll = select.epoll()

    def _open(self, port: int, context: ssl.SSLContext | None, resumes: bool) -> socket.socket:
        self._opened += 1
        source = SOURCES[self._opened % len(SOURCES)]
        plain = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock: socket.socket = plain
        if context is not None:
            session = self._session if resumes else None
            sock = context.wrap_socket(plain, server_hostname="localhost", session=session)
        sock.sendall(handshake("127.0.0.1", port) + HELLO)
        _until(sock, b'"op":"welcome"')
        if isinstance(sock, ssl.SSLSocket):
            self._session = sock.session
        return sock


def _context(authority: str) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=authority) if authority else None


def _until(sock: socket.socket, words: bytes) -> None:
    read = b""
    while words not in read:
        data = sock.recv(65536)
        if not data:
            raise Failed(f"the server has closed: {read[-200:]!r}")
        read += data


def _read(sock: socket.socket) -> int:
    """Messages in what can be read now; a mark that two reads share is not seen, so they are small."""
    found = 0
    try:
        while data := sock.recv(65536):
            found += data.count(MARK)
    except (BlockingIOError, ssl.SSLWantReadError):
        pass
    return found


def _drain(sock: socket.socket) -> None:
    """Throw away answers."""
    sock.setblocking(False)
    _read(sock)
    sock.setblocking(True)
