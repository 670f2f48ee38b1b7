"""One real worker process, with a node that says what the test tells it to, and real sockets."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.frames import Frame, Opcode

from gateway.link import events as link
from gateway.link.messages import encode_json, encode_msgpack
from mesh.histogram import SECONDS
from mesh.log import Entry
from tests.gateway.fake_node import Client, FakeNode, Refused
from tests.support.patience import PATIENCE_S
from whimbrel_server import Authorizer, Connection, Identity, Refusal

pytestmark = pytest.mark.slow

PUBLISH: dict[str, Any] = {"op": "publish", "id": 7, "subject": "/t/a", "publisher": "p" * 16, "seq": 1, "text": "x"}
UPGRADE = (
    "GET /v1/ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeNode]:
    """A worker that the tests of this file share, and leave as it was."""
    with FakeNode() as node:
        yield node


def live(seq: int, size: int = 1, subject: str = "/t/a") -> link.Live:
    value = b'"' + b"x" * size + b'"'
    text = encode_json(subject, "0.x", Entry((0, seq), (0, seq - 1), 1, value, None), "json")
    packed = encode_msgpack(subject, "0.x", Entry((0, seq), (0, seq - 1), 1, value, None), "json")
    return link.Live({"t": {"0.x": (0, seq)}}, ([subject], [text]), ([subject], [packed]))


def exchange(node: FakeNode, request: bytes, wait_s: float = 5.0) -> bytes:
    """What comes back for bytes on a fresh socket, until the worker closes or is silent."""
    with socket.create_connection(("127.0.0.1", node.settings.port)) as sock:
        sock.settimeout(wait_s)
        found = b""
        try:
            sock.sendall(request)
            while data := sock.recv(65536):
                found += data
                if b"\r\n\r\n" in found and b"\x88" in found:
                    sock.sendall(frame(8, b""))
        except (ConnectionError, TimeoutError):
            pass
        return found


def until(sock: socket.socket, wanted: bytes) -> bytes:
    """What comes until it has `wanted` in it."""
    sock.settimeout(5)
    found = b""
    while wanted not in found:
        data = sock.recv(65536)
        assert data, found
        found += data
    return found


def frame(opcode: int, data: bytes, mask: bool = True) -> bytes:
    return Frame(Opcode(opcode), data).serialize(mask=mask)


def close_code(data: bytes) -> int:
    """Of the close frame at the end."""
    start = data.rindex(b"\x88")
    return int.from_bytes(data[start + 2 : start + 4], "big")


def received(client: Client) -> Iterator[dict[str, Any]]:
    """Frames until the end."""
    with contextlib.suppress(EOFError):
        while True:
            yield client.receive()


# Whole conversations.


@pytest.mark.parametrize("encoding", [link.JSON, link.MSGPACK])
def test_subscribe_live_publish_unsubscribe(shared: FakeNode, encoding: int) -> None:
    client = shared.client(encoding)
    shared.go_live(client)
    shared.say(live(6), live(7))
    for seq in (6, 7):
        message = client.receive()
        assert (message["op"], message["subject"], message["at"], message["prev"]) == (
            "msg",
            "/t/a",
            [0, seq],
            [0, seq - 1],
        )
        assert message["json"] == ("x" if encoding == link.JSON else b'"x"')
    client.send(PUBLISH)
    publish = shared.expect(link.Publish)
    shared.say(link.Published(publish.pid, "0.x", (0, 8)))
    assert client.receive() == {"op": "published", "id": 7, "log": "0.x", "at": [0, 8]}
    client.send({"op": "unsubscribe", "id": 9, "sub": 2})
    assert client.receive() == {"op": "unsubscribed", "id": 9, "sub": 2}
    assert shared.expect(link.Drop) == link.Drop("/t/a", encoding)
    client.close()


def test_a_client_may_send_before_it_has_read_anything(shared: FakeNode) -> None:
    frames = frame(1, b'{"op":"hello","id":1}') + frame(1, b'{"op":"ping","id":2}')
    found = exchange(shared, UPGRADE.encode() + b"\r\n" + frames + frame(8, b"\x03\xe8"))
    assert found.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in found
    assert b'"op":"welcome"' in found
    assert b'{"op":"pong","id":2}' in found
    assert close_code(found) == 1000


def test_the_end_of_a_client_reaches_the_node(shared: FakeNode) -> None:
    client = shared.client()
    shared.go_live(client, "/t/gone")
    client.socket.close()
    assert shared.expect(link.Drop) == link.Drop("/t/gone", link.JSON)


def test_more_is_asked_when_the_client_has_taken_the_page(shared: FakeNode) -> None:
    client = shared.client()
    client.send({"op": "subscribe", "id": 2, "subject": "/t/pages"})
    sid = shared.expect(link.Subscribe).sid
    page = encode_json("/t/pages", "0.x", Entry((0, 1), None, 1, b'"' + b"x" * 10_000_000 + b'"', None), "json", 2)
    shared.say(link.Answer(sid, "fresh", {}, [], []), link.Page(sid, page, {}, [], False))
    shared.none_of(link.More)
    assert client.receive()["op"] == "subscribed"
    assert client.receive()["op"] == "msg"
    assert shared.expect(link.More).sid == sid
    shared.say(link.Page(sid, b"", {}, [], False))
    assert shared.expect(link.More).sid == sid
    client.close()
    assert shared.expect(link.Cancel).sid == sid
    shared.expect(link.Drop)


# Handshakes.


@pytest.mark.parametrize(
    ("header", "status", "protocol"),
    [
        ("Origin: https://evil.example", b"403", b""),
        ("Origin: null", b"403", b""),
        ("Origin: https://good.example.evil", b"403", b""),
        ("Origin: https://good.example", b"101", b""),
        ("Origin: http://h", b"403", b""),
        ("Origin: http://127.0.0.1:80", b"101", b""),
        ("Sec-WebSocket-Protocol: graphql-ws", b"400", b""),
        ("Sec-WebSocket-Protocol: graphql-ws, whimbrel.v1.msgpack, whimbrel.v1.json", b"101", b"whimbrel.v1.msgpack"),
        ("Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: whimbrel.v1.json", b"101", b"whimbrel.v1.json"),
    ],
)
def test_origins_and_sub_protocols(shared: FakeNode, header: str, status: bytes, protocol: bytes) -> None:
    upgrade = UPGRADE.replace("Host: h", "Host: 127.0.0.1:80") if "127.0.0.1" in header else UPGRADE
    found = exchange(shared, f"{upgrade}{header}\r\n\r\n".encode() + frame(8, b""))
    assert found.startswith(b"HTTP/1.1 " + status)
    assert (b"Sec-WebSocket-Protocol: " + protocol + b"\r\n" in found) == (protocol != b"")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("Version: 13", "Version: 8"), b"426"),
        (("Sec-WebSocket-Version: 13\r\n", ""), b"426"),
        (("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), b"400"),
        (("dGhlIHNhbXBsZSBub25jZQ==", "!" * 24), b"400"),
        (("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), b"400"),
        (("GET", "POST"), b"405"),
        (("HTTP/1.1", "HTTP/1.0"), b"426"),
        (("/v1/ws", "/v1/nope"), b"404"),
        (("Upgrade: websocket", "Upgrade: h2c"), b"426"),
        (("Host: h", "Host: h\r\nContent-Length: 5"), b"400"),
        (("Host: h", "Host: h\r\nTransfer-Encoding: chunked"), b"400"),
        (("GET /v1/ws HTTP/1.1", "GET /v1/ws HTTP/2.0"), b"505"),
        (("GET /v1/ws HTTP/1.1", "GET /v1/ws"), b"400"),
        (("GET /v1/ws HTTP/1.1", "\x16\x03\x01\x02"), b"400"),
        (("Host: h", "Host h"), b"400"),
        (("Host: h", "Ho st: h"), b"400"),
        (("Host: h", "Host: h\r\n folded: x"), b"400"),
        (("Host: h", "not a header, Host: h"), b"400"),
        (("Host: h", "Host: h\nX: y"), b"400"),
        (("Host: h", "Host: h\rX: y"), b"400"),
        (("Host: h", "Host: \0"), b"400"),
        (("Host: h", "X: " + "x" * 20_000), b"431"),
        (("Host: h", "X: y\r\n" * 150), b"431"),
        (("/v1/ws", "/" + "x" * 20_000), b"431"),
    ],
)
def test_bad_handshakes_and_requests(shared: FakeNode, change: tuple[str, str], status: bytes) -> None:
    request = UPGRADE.replace("keep-alive, ", "").replace(*change) + "Connection: close\r\n\r\n"
    found = exchange(shared, request.encode("latin-1"))
    assert found.startswith(b"HTTP/1.1 " + status), found[:200]


def test_requests_one_after_another_and_a_body_that_nobody_wants(shared: FakeNode) -> None:
    get = b"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n"
    last = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\nabc"
    found = exchange(shared, get + b"HEAD" + get[3:] + last + get)
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"200", b"200", b"405"]
    assert found.count(b"live\n") == 1


# Hostile clients.


HOSTILE = {
    "no hello": (frame(1, b'{"op":"ping","id":1}'), 4301),
    "not JSON": (frame(1, b"hello?"), 4300),
    "hello twice": (frame(1, b'{"op":"hello","id":1}') * 2, 4301),
    "not masked": (frame(1, b'{"op":"hello","id":1}', mask=False), 1002),
    "binary for text": (frame(2, b"\x81\xa2op\xa5hello"), 1003),
    "not UTF-8": (frame(1, b"\xff"), 1007),
    "too large": (frame(1, b" " * 10_001), 4302),
    "far too large, only the head": (b"\x82\xff" + b"\x7f" + b"\xff" * 7, 4302),
    "just not too large": (frame(1, b" " * 10_000), 4300),
    "reserved bits": (b"\xff" * 50, 1002),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", 1002),
    "deep": (frame(1, b"[" * 9_000), 4300),
    "a bad close": (frame(8, b"\x00"), 1002),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_client_that_breaks_the_rules_is_told_why_and_closed(shared: FakeNode, name: str) -> None:
    hostile, code = HOSTILE[name]
    found = exchange(shared, UPGRADE.encode() + b"\r\n" + hostile)
    assert close_code(found) == code


def test_a_message_in_many_small_pieces_arrives(shared: FakeNode) -> None:
    with socket.create_connection(("127.0.0.1", shared.settings.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in UPGRADE.encode() + b"\r\n" + frame(1, b'{"op":"hello","id":1}'):
            sock.sendall(bytes([byte]))
        until(sock, b'"op":"welcome"')


def test_half_a_handshake_and_a_sudden_end_leave_nothing_behind(shared: FakeNode) -> None:
    for size in (1, 40, len(UPGRADE), len(UPGRADE) + 2):
        with socket.create_connection(("127.0.0.1", shared.settings.port)) as sock:
            sock.sendall((UPGRADE + "\r\n").encode()[:size])
    client = shared.client()
    client.send({"op": "ping", "id": 3})
    assert client.receive() == {"op": "pong", "id": 3}
    client.close()


# A worker of one's own.


def test_a_slow_client_is_closed_and_delays_nobody() -> None:
    with FakeNode() as node:
        slow, quick = node.client(), node.client()
        node.go_live(slow)
        node.go_live(quick)
        # No more than needed: one that is closed is given 2 s to read what it was sent before.
        for seq in range(6, 306):
            node.say(live(seq, 100_000))
            assert quick.receive()["at"] == [0, seq]
            node.none_of(link.Drop, 0.001)
            if node.stats.get("slow_consumers"):
                break
        seen = [frame["at"][1] for frame in received(slow)]
        assert seen == list(range(6, 6 + len(seen)))
        assert 0 < len(seen) < 300
        assert slow.code == 4001
        node.counted(slow_consumers=1, outboxes=0, outbox_bytes=0, connections=1, closed=1)
        node.none_of(link.Drop)


def test_heartbeats_and_a_client_that_falls_silent() -> None:
    with FakeNode(heartbeat_s=0.3) as node:
        client = node.client()
        node.go_live(client)
        node.say(live(6))
        assert client.receive()["op"] == "msg"
        for _ in range(4):
            assert client.receive() == {"op": "heartbeat", "at": {"0.x": [0, 6]}}
        began = time.monotonic()
        found = exchange(node, UPGRADE.encode() + b"\r\n" + frame(1, b'{"op":"hello","id":1}'))
        assert close_code(found) == 4002
        assert found.count(b"\x89\x00") == 2
        assert time.monotonic() - began >= 0.6


def test_figures_reach_the_node() -> None:
    with FakeNode() as node:
        clients = [node.client(), node.client(link.MSGPACK)]
        for client in clients:
            node.go_live(client)
        for seq in (6, 7):
            node.say(msgspec.structs.replace(live(seq), read_at=time.monotonic() - 20))
        clients[0].send(PUBLISH)
        node.counted(connections=2, subscriptions=2, subjects=2, messages_out=4, publishes=1, bad_frames=0)
        assert node.stats["bytes_out"] > 500
        assert node.stats["loop_delay_s"] >= 0
        assert node.delivery_counts[SECONDS.index(10.0) + 1 :] == [4, 0]  # once per recipient, of 10 to 30 s
        assert 80 <= node.delivery_sum_s < 120
        clients[0].socket.sendall(b"\xff" * 10)
        node.counted(connections=1, subscriptions=1, subjects=1, bad_frames=1)


def test_a_client_that_never_says_hello() -> None:
    with FakeNode(hello_timeout_s=0.3) as node:
        assert node.client(hello=False).closed()[0] == 4003


def test_the_limit_of_connections() -> None:
    with FakeNode(connections_max=2) as node:
        clients = [node.client(), node.client()]
        with pytest.raises(Refused, match="503"):
            node.client()
        clients.pop().close()
        for _ in range(100):
            try:
                node.client()
                break
            except Refused:
                time.sleep(0.01)
        else:
            pytest.fail("the place of a client that is gone stays taken")


def test_when_the_link_lost_something_live_clients_do_not_notice() -> None:
    with FakeNode() as node:
        client, busy = node.client(), node.client()
        node.go_live(client)
        busy.send({"op": "subscribe", "id": 2, "subject": "/t/b"})
        partly = node.expect(link.Subscribe)
        node.say(link.Answer(partly.sid, "fresh", {}, [], []), link.Page(partly.sid, b"", {}, [], False))
        node.expect(link.More)
        client.send(PUBLISH)
        node.expect(link.Publish)
        node.say(live(6))
        assert client.receive()["at"] == [0, 6]
        node.counter += 3
        node.say()
        assert busy.closed()[0] == 4000
        assert client.receive()["code"] == 4012
        assert node.expect(link.CatchUp) == link.CatchUp(1, {"t": {"0.x": (0, 6)}})
        frame = encode_json("/t/a", "0.x", Entry((0, 7), (0, 6), 1, b"7", None), "json")
        missed = link.Missed(1, "t", "0.x", (0, 7), True, (["/t/a"], [frame]), ([], []))
        node.say(link.Resuming(1), missed, live(8))
        assert node.expect(link.MissedTaken) == link.MissedTaken(1)
        assert [client.receive()["at"] for _ in range(2)] == [[0, 7], [0, 8]]


def get(node: FakeNode, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.settings.port}{path}", timeout=10) as found:
            return found.status, found.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_what_the_node_is_asked_and_does_not_answer() -> None:
    with FakeNode() as node, socket.create_connection(("127.0.0.1", node.settings.port)) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
        asked = node.expect(link.Query)
        assert asked.what == "metrics"
        node.say(link.Reply(asked.rid, 200, "text/plain", b"a 1\n"))
        assert until(sock, b"a 1\n").endswith(b"\r\n\r\na 1\n")
        status, body = get(node, "/v1/status")
        assert (status, body) == (503, b"the node process does not answer\n")
        late = node.expect(link.Query)
        node.say(link.Reply(late.rid, 200, "text/plain", b"late"))
        sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"200 OK" in until(sock, b"live\n")


def test_a_drain_moves_clients_waits_and_exits() -> None:
    with FakeNode() as node:
        mover, stayer = node.client(), node.client()
        node.say(link.Drain(0.5, ["ws://elsewhere"]))
        began = time.monotonic()
        for client in (mover, stayer):
            assert client.receive() == {"op": "move", "within_s": 0.5, "servers": ["ws://elsewhere"]}
        mover.close()
        assert get(node, "/health/live") == (200, b"live\n")
        assert exchange(node, UPGRADE.encode() + b"\r\n").startswith(b"HTTP/1.1 503 ")
        assert stayer.closed()[0] == 4100
        assert time.monotonic() - began >= 0.5
        assert node.process.wait(PATIENCE_S) == 0


def test_without_its_node_a_worker_sends_clients_elsewhere_and_exits() -> None:
    with FakeNode() as node:
        clients = [node.client() for _ in range(5)]
        assert node.process.stdin is not None
        node.process.stdin.close()
        node.process.stdin = None
        assert {client.closed()[0] for client in clients} == {4101}
        assert node.process.wait(PATIENCE_S) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_left_to_the_node_and_the_second_is_not(number: int) -> None:
    with FakeNode() as node:
        client = node.client()
        node.process.send_signal(number)
        client.send({"op": "ping", "id": 3})
        assert client.receive() == {"op": "pong", "id": 3}
        time.sleep(0.5)
        assert node.process.poll() is None
        node.process.send_signal(number)
        assert node.process.wait(PATIENCE_S) == 128 + number


class Slow(Authorizer):
    """Answers when a file is there."""

    def __init__(self, gate: str) -> None:
        self._gate = Path(gate)

    def _wait(self) -> None:
        while not self._gate.exists():
            time.sleep(0.01)

    def connect(self, client: Connection) -> Identity:
        self._wait()
        if client.token != "let me in":
            raise Refusal("who are you?")
        assert client.path == "/v1/ws"
        assert client.query == "a=b"
        assert client.headers.keys() == {"user-agent"}
        assert client.cookies == {"session": "7"}
        assert client.address.startswith("127.0.0.1:")
        return Identity()

    def subscribe(self, identity: Identity, subject: str) -> None:
        self._wait()
        if subject == "/t/no":
            raise Refusal("not that")


def test_an_authorizer_that_waits_delays_only_its_client(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shown = {"headers": ("User-Agent", "x-no"), "cookies": ("session",)}
    slow = {"authorizer": "tests.gateway.test_worker:Slow", "authorizer_options": {"gate": str(gate)}}
    with FakeNode(**slow, **shown) as node:
        node.url += "?a=b"
        waiting, refused = node.client(hello=False), node.client(hello=False)
        refused.send({"op": "hello", "id": 1})
        waiting.send({"op": "hello", "id": 1, "token": "let me in"})
        for id, subject in enumerate(["/t/a", "/t/no", "/t/b"], 2):
            waiting.send({"op": "subscribe", "id": id, "subject": subject})
        assert get(node, "/health/live")[0] == 200
        node.none_of(link.Subscribe)
        gate.touch()
        assert refused.closed() == (4303, "who are you?")
        assert waiting.receive()["op"] == "welcome"
        assert waiting.receive()["code"] == 4312
        assert [node.expect(link.Subscribe).subject for _ in range(2)] == ["/t/a", "/t/b"]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [({"authorizer": "nobody"}, "no authorizer 'nobody'"), ({"host": "192.0.2.1"}, "cannot listen on 192.0.2.1")],
)
def test_a_worker_that_cannot_start_says_why(settings: dict[str, Any], wanted: str) -> None:
    node = FakeNode(**settings)
    assert node.process.wait(PATIENCE_S) == 2
    assert node.process.stderr is not None
    assert wanted in node.process.stderr.read().decode()
    node.__exit__(None, None, None)


def test_descriptors_and_sessions_are_given_back() -> None:
    with FakeNode() as node:

        def descriptors() -> int:
            return len(os.listdir(f"/proc/{node.process.pid}/fd"))

        get(node, "/health/live")
        before = descriptors()
        for _ in range(30):
            clients = [node.client() for _ in range(3)]
            node.go_live(clients[0])
            clients[0].close()
            clients[1].socket.close()
            clients[2].socket.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + PATIENCE_S
        while descriptors() > before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert descriptors() <= before
        node.counted(connections=0, subscriptions=0, subjects=0, closed=90, handshakes=90)
