"""Reading the head of a request: bounded in time and size, however it arrives."""

from __future__ import annotations

import contextlib
import os
import time
from types import SimpleNamespace
from typing import Any, cast

import gevent
import gevent.socket
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import server as http
from gateway.http.origins import Origins
from gateway.http.server import HEAD_BYTES_MAX, Head, HttpError, Server, listen
from gateway.http.site import Site
from gateway.http.wanted import Wanted
from gateway.sessions.stats import WorkerStats


class Socket:
    """Gives pieces one after another, then times out or ends."""

    def __init__(self, pieces: list[bytes], drips: bool = False) -> None:
        self.pieces = pieces
        self.drips = drips
        self.timeout = 0.0

    def settimeout(self, timeout: float | None, /) -> None:
        assert timeout is not None
        self.timeout = timeout

    def recv(self, size: int, /) -> bytes:
        if self.drips:
            time.sleep(0.005)
            return b"x"
        return self.pieces.pop(0)[:size] if self.pieces else b""


@given(st.lists(st.integers(1, 30), max_size=20))
def test_a_head_is_the_same_in_any_pieces(sizes: list[int]) -> None:
    data = b"GET / HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\nGET /next HTTP/1.1\r\n\r\nrest"
    pieces, start = [], 0
    for size in sizes:
        pieces.append(data[start : start + size])
        start += size
    pieces = [piece for piece in [*pieces, data[start:]] if piece]
    head = Head(Socket(pieces))
    assert head.read_head() == "GET / HTTP/1.1\r\nHost: h\r\nX: ÿ"
    assert head.read_head() == "GET /next HTTP/1.1"
    assert head.read_head() is None


def test_what_has_come_behind_is_kept() -> None:
    head = Head(Socket([b"GET / HTTP/1.1\r\n\r\n\x81\x80abcd"]))
    head.read_head()
    assert head.take_rest() == b"\x81\x80abcd"
    assert head.take_rest() == b""


@pytest.mark.parametrize("pieces", [1, 8000])
def test_a_head_has_a_greatest_length(pieces: int) -> None:
    def sent(size: int) -> Head:
        data = b"GET / HTTP/1.1\r\nX: "
        data += b"x" * (size - len(data)) + b"\r\n\r\n"
        return Head(Socket([data[start : start + pieces] for start in range(0, len(data), pieces)]))

    assert sent(HEAD_BYTES_MAX).read_head()
    with pytest.raises(HttpError, match="431"):
        sent(HEAD_BYTES_MAX + 1).read_head()
    with pytest.raises(HttpError, match="431"):
        Head(Socket([b"x" * 1000] * 100)).read_head()


def test_tls_is_refused_at_once_where_it_is_not_spoken() -> None:
    hello = b"\x16\x03\x01\x02\x00" + bytes(511)
    with pytest.raises(HttpError, match="this port does not speak TLS"):
        Head(Socket([], drips=True), hello).read_head()


def test_a_head_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_WAIT_S", 0.05)
    sock = Socket([], drips=True)
    assert Head(sock).read_head() is None
    assert sock.timeout <= 0.05


def test_workers_share_a_port_and_others_do_not() -> None:
    first = listen("127.0.0.1", 0)
    port = first.address[1]
    second = listen("127.0.0.1", port)
    assert second.address[1] == port
    for listener in (first, second):
        listener.close()
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:1"):
        listen("192.0.2.1", 1)


def serving(stats: WorkerStats, **owner: Any) -> Server:
    origins = Origins()
    site, wanted = Site(lambda what: None, origins), Wanted((), ())
    listener = listen("127.0.0.1", 0)
    server = Server(listener, site, cast(Any, SimpleNamespace(is_full=False, **owner)), origins, wanted, stats)
    server.start()
    return server


HANDSHAKE = (
    b"GET /v1/ws?a=b HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize("pieces", [len(HANDSHAKE) + 2, 100])
def test_a_handshake_that_comes_at_once_needs_no_greenlet(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    spawned, upgraded = [], []

    def spawn(*args: Any) -> None:
        spawned.append(args)
        gevent.spawn_raw(*args)

    monkeypatch.setattr(http, "spawn_raw", spawn)
    server = serving(WorkerStats(), refused_s=lambda host: 0, upgraded=lambda *args: upgraded.append(args))
    try:
        sock, data = gevent.socket.create_connection(server.address, timeout=5), HANDSHAKE + b"ab"
        for start in range(0, len(data), pieces):
            sock.sendall(data[start : start + pieces])
            gevent.sleep(0.01)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += sock.recv(1000)
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer, "as in RFC 6455 section 1.3"
        ((fd, _, client, rest, tls, reader),) = upgraded
        assert (client.path, client.query, rest, tls) == ("/v1/ws", "a=b", b"ab", None)
        assert len(spawned) == (pieces < len(HANDSHAKE))
        assert not server._under_way
        assert (reader is None) == (pieces < len(HANDSHAKE)), "the watcher that read it goes on"
        if reader is not None:
            reader.stop()
        os.close(fd)
        assert sock.recv(1) == b""
    finally:
        server.close()


def test_clients_that_say_nothing_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_WAIT_S", 0.05)
    monkeypatch.setattr(http, "LOOK_S", 0.01)
    server = serving(WorkerStats())
    try:
        socks = [gevent.socket.create_connection(server.address, timeout=5) for _ in range(3)]
        assert [sock.recv(1) for sock in socks] == [b"", b"", b""]
        assert not server._under_way
    finally:
        server.close()


def test_a_server_that_ends_sends_those_away_who_have_said_nothing_yet() -> None:
    server = serving(WorkerStats())
    sock = gevent.socket.create_connection(server.address, timeout=5)
    with gevent.Timeout(5):
        while not server._under_way:
            gevent.sleep(0.001)
    server.stop()
    with contextlib.suppress(OSError):
        sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):
        assert sock.recv(1) == b""
    assert not server._under_way


def test_sockets_that_say_nothing_do_not_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HTTP_MAX", 5)
    stats = WorkerStats()
    server = serving(stats)

    def connect() -> Any:
        return gevent.socket.create_connection(server.address, timeout=5)

    try:
        silent = []
        for count in range(1, 8):
            silent.append(connect())
            silent[-1].sendall(b"GET /health/live HT")
            with gevent.Timeout(5):
                while len(server._under_way) < min(count, 5) or stats.refused < count - 5:
                    gevent.sleep(0.001)
        for _ in range(2):
            sock = connect()
            sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert silent[0].recv(1) == silent[1].recv(1) == silent[2].recv(1) == b"", "the oldest are gone"
        assert stats.refused == 3
        silent[6].sendall(b"TP/1.1\r\nHost: h\r\n\r\n")
        assert silent[6].recv(1000).startswith(b"HTTP/1.1 200 ")
    finally:
        server.close()
