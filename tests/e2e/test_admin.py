"""The admin listener of a real node, what the clients' port shows beside it, and the commands that ask it."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node import cli
from node.admin.server import WAIT_S
from tests.support.cluster import Cluster, ClusterNode
from tests.support.node import ADMIN_TOKEN
from tests.support.patience import PATIENCE_S
from tests.support.seeds import examples
from whimbrel import Client
from whimbrel.events import Reconnecting

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterNode]:
    """One with two workers and a namespace."""
    with Cluster(tmp_path_factory.mktemp("admin"), "a", settings={"node.workers": "2"}) as cluster:
        cluster["a"].wait(lambda: cluster["a"].status()["ready"], "readiness")
        time.sleep(0.15)  # a worker may still give an answer that it got before (gateway/http/queries.py)
        yield cluster["a"]


def ask(node: ClusterNode, method: str, path: str, body: bytes | None = None, token: str = ADMIN_TOKEN) -> Any:
    request = urllib.request.Request(
        f"http://{node.host}:{node.admin_port}{path}", body, {"Authorization": f"Bearer {token}"}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code


def seen(node: ClusterNode, path: str) -> tuple[int, str]:
    """What clients get at a path."""
    try:
        with urllib.request.urlopen(f"http://{node.host}:{node.port}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


UPGRADE = (
    b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
)


def until_ended(sock: socket.socket) -> bytes:
    """What comes until the other side ends, or resets."""
    answer = b""
    try:
        while data := sock.recv(65536):
            answer += data
    except ConnectionError:
        pass
    return answer


def test_no_compression_is_agreed_on_and_none_is_taken(node: ClusterNode) -> None:
    """Compressed frames of little that unfold to gigabytes are none here."""
    with socket.create_connection((node.host, node.port), timeout=PATIENCE_S) as sock:
        sock.sendall(b"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\n" + UPGRADE + b"\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"Extensions" not in answer
        sock.sendall(b"\xc1\x84" + bytes(4) + b"\x4a\x04\x00\x00")  # text with RSV1, masked
        closed = answer.partition(b"\r\n\r\n")[2]
        while data := sock.recv(4096):
            closed += data
        assert closed[:1] == b"\x88"
        assert int.from_bytes(closed[2:4], "big") == 1002


def test_clients_see_nothing_of_the_insides(node: ClusterNode) -> None:
    assert seen(node, "/health/live") == (200, "live\n")
    assert seen(node, "/health/ready") == (200, "ready\n")
    assert seen(node, "/sdk/whimbrel.js")[0] == 200
    for path in ("/", "/page.js", "/metrics", "/v1/status", "/v1/connections", "/v1/demo/kill"):
        assert seen(node, path)[0] == 404


def test_a_time_to_come_is_no_time_to_revoke_by(node: ClusterNode) -> None:
    assert ask(node, "POST", "/v1/revoke?issued_before=2099-01-01T00:00:00Z") == 400


def test_the_listener_shows_them_with_its_token(node: ClusterNode) -> None:
    assert node.status()["node"] == "a"
    assert node.metric("whimbrel_ready") == 1
    assert json.loads(node.get("/v1/connections")[1])["count"] == 0
    assert "<title>" in node.get("/?server=ws://x")[1]
    assert ask(node, "GET", "/v1/status", token="x" * 20) == 401


def test_connections_are_listed_published_to_and_closed(
    node: ClusterNode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHIMBREL_ADMIN_LISTEN", f"{node.host}:{node.admin_port}")
    monkeypatch.setenv("WHIMBREL_ADMIN_TOKEN", ADMIN_TOKEN)

    def command(*arguments: str) -> str:
        assert cli.run([*arguments]) == 0
        return capsys.readouterr().out

    async def story() -> None:
        lost: list[Reconnecting] = []

        def on_status(status: object) -> None:
            lost.extend([status] if isinstance(status, Reconnecting) else [])

        async with Client(node.url, on_status=on_status) as one, Client(node.url) as other:
            messages = aiter(await one.subscribe("/chat/1"))
            await other.subscribe("/chat/*")
            await listed(2)
            found = ask(node, "GET", "/v1/connections?subject=/chat/1")
            (row,) = found["connections"]
            assert (found["workers_silent"], row["subjects"], row["encoding"]) == (0, ["/chat/1"], row["encoding"])
            assert row["address"].startswith("127.0.0.1:")
            said = await asyncio.to_thread(ask, node, "POST", "/v1/publish?subject=/chat/1", b"from the admin")
            assert said["log"]
            assert (await anext(messages)).text == "from the admin"
            assert await asyncio.to_thread(ask, node, "POST", "/v1/publish?subject=/nothing/1", b"x") == 404
            shown = await asyncio.to_thread(command, "connections", "--address", "127.0.0.1")
            assert "/chat/*" in shown
            assert shown.endswith("2 connections\n")
            closed = await asyncio.to_thread(command, "disconnect", "--subject", "/chat/1", "--reason", "so it is")
            assert closed == "closed 1 connection\n"
            await listed(2)  # it came back
            assert [(one.code, one.reason) for one in lost] == [(4004, "so it is")]
            await other.publish("/chat/1", text="after it")
            assert (await anext(messages)).text == "after it"

    async def listed(count: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while True:
            found = await asyncio.to_thread(ask, node, "GET", "/v1/connections")
            if [len(one["subjects"]) for one in found["connections"]] == [1] * count:
                return
            assert time.monotonic() < until, found
            await asyncio.sleep(0.05)

    asyncio.run(story())


_HEADS = st.sampled_from(
    [b"GET /v1/connections?", b"POST /v1/publish?subject=/chat/1", b"POST /v1/disconnect?", b"GET /", b"PUT /", b""]
)
_TAILS = st.sampled_from(
    [
        b" HTTP/1.1\r\n\r\n",
        b" HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
        b" HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b" HTTP/9\r\n\r\n",
        b"\r\n" * 3,
        b"",
    ]
)


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_HEADS, st.binary(max_size=200), _TAILS)
def test_bytes_of_any_kind_do_no_harm(node: ClusterNode, head: bytes, middle: bytes, tail: bytes) -> None:
    with socket.create_connection((node.host, node.admin_port), timeout=PATIENCE_S) as sock:
        try:
            sock.sendall(head + middle + tail)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except ConnectionError:
            pass
    assert "Traceback" not in node.log
    assert "admin_failed" not in node.log


def test_who_asks_for_nothing_keeps_nobody_out(node: ClusterNode) -> None:
    address = (node.host, node.admin_port)
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S)).sendall(b"GET /health/live HTT")
        began = time.monotonic()
        assert node.get("/v1/status", PATIENCE_S)[0] == 200
        assert time.monotonic() - began < WAIT_S / 2


SMUGGLED = b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + ADMIN_TOKEN.encode() + b"\r\n\r\n"
_LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)


@pytest.mark.parametrize(
    "fields",
    [
        _LENGTH,
        _LENGTH + b"Content-Length: 0\r\n",
        b"Content-Length: 0\r\n" + _LENGTH,
        _LENGTH + b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: +0\r\n",
        b"X: y\r\n folded\r\n" + _LENGTH,
        b"Content-Length: 0\x0b\r\n" + _LENGTH,
    ],
)
def test_no_second_request_is_found_in_the_body_of_a_first_on_the_port_for_clients(
    node: ClusterNode, fields: bytes
) -> None:
    """What a proxy takes for one request must not be two here."""
    body = SMUGGLED.replace(b"/v1/status", b"/health/live")
    with socket.create_connection((node.host, node.port), timeout=PATIENCE_S) as sock:
        sock.sendall(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n" + body)
        answer = until_ended(sock)
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    assert b"live\n" not in answer


@pytest.mark.parametrize(
    "host", [b"", b"\xff\xfe", b"a" * 5000, b"[::1", b"]:[", b"x:99999999999999", b"%00", b"a b", b"127.0.0.1\t@evil"]
)
def test_a_host_that_is_rubbish_is_answered(node: ClusterNode, host: bytes) -> None:
    for port, path in ((node.port, b"/v1/ws"), (node.port, b"/health/live"), (node.admin_port, b"/v1/status")):
        head = b"GET %b HTTP/1.1\r\nHost: %b\r\nOrigin: http://%b\r\n%b\r\n" % (path, host, host, UPGRADE)
        with socket.create_connection((node.host, port), timeout=PATIENCE_S) as sock:
            sock.sendall(head)
            sock.shutdown(socket.SHUT_WR)
            answer = until_ended(sock)
        assert not answer.startswith(b"HTTP/1.1 5"), answer
    assert "Traceback" not in node.log


@pytest.mark.parametrize(
    "body",
    [
        b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nnone\r\n",
        b"Content-Length: 50\r\n\r\nshort",
    ],
)
def test_a_body_that_is_broken_off_is_the_senders_fault(node: ClusterNode, body: bytes) -> None:
    head = f"POST /v1/publish?subject=/chat/x HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n"
    with socket.create_connection((node.host, node.admin_port), timeout=PATIENCE_S) as sock:
        sock.sendall(head.encode() + body)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while part := sock.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"the body cannot be read" in answer
    assert ask(node, "GET", "/v1/status")["ready"]
    assert "admin_failed" not in node.log


def test_a_socket_that_only_this_user_reaches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))  # as a node that was killed leaves it
    with Cluster(tmp_path, "a") as cluster:
        node = cluster["a"]
        assert node.stop() == 0
        node._command += ["--admin-listen", f"unix:{path}"]
        node.start()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        monkeypatch.setenv("WHIMBREL_ADMIN_TOKEN", ADMIN_TOKEN)
        assert cli.run(["status", "--admin", f"unix:{path}"]) == 0
        assert capsys.readouterr().out.startswith("node a ")
        assert node.stop() == 0
        assert not path.exists()
