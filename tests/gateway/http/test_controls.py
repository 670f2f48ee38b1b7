"""Which pages may read the status and use the controls, and what a browser is told of it."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.http.controls import cut_s
from gateway.http.origins import Origins
from gateway.http.site import Site
from gateway.link.events import Reply, Servers
from gateway.link.settings import GatewaySettings
from tests.gateway.fake_node import SETTINGS, FakeNode
from tests.support.patience import PATIENCE_S

OWN = "http://10.0.0.1:8080"
DEMO = replace(
    SETTINGS,
    servers=["ws://10.0.0.1:8080/v1/ws", "ws://10.0.0.2:8080", "wss://C.Example", "ws://[::1]:80", "nonsense", "x://y"],
    origins=["http://localhost:8080", "*"],
    controls=True,
    console=True,
)
MARK = {"HTTP_X_WHIMBREL_DEMO": "1"}


def origins_of(settings: GatewaySettings) -> Origins:
    return Origins(settings.origins, settings.host, settings.servers)


def send(method: str, path: str, settings: Any = DEMO, **headers: str) -> tuple[str, dict[str, str], list[str]]:
    """Status, headers, and what the node was asked."""
    found: list[Any] = []
    asked: list[str] = []

    def ask(what: str) -> Reply:
        asked.append(what)
        return Reply(1, 202, "text/plain", b"as you wish\n")

    path, _, query = path.partition("?")
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "10.0.0.2:8080"}

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], None]:
        found.extend([status, headers])
        return list[bytes]().append

    b"".join(Site(ask, origins_of(settings), settings.controls, settings.console)(environ | headers, start_response))
    return found[0], dict(found[1]), asked


@pytest.mark.parametrize(
    "origin",
    [OWN, "http://10.0.0.2:8080", "https://c.example", "http://[::1]", "http://localhost:8080"],
)
def test_pages_of_the_nodes_may_read_the_status_and_use_the_controls(origin: str) -> None:
    _, headers, asked = send("GET", "/v1/status", HTTP_ORIGIN=origin)
    assert (headers["Access-Control-Allow-Origin"], headers["Vary"], asked) == (origin, "Origin", ["status"])
    status, headers, asked = send("OPTIONS", "/v1/demo/kill", HTTP_ORIGIN=origin)
    assert (status, asked) == ("204 No Content", [])
    assert headers["Access-Control-Allow-Origin"] == origin
    assert headers["Access-Control-Allow-Methods"] == "POST"
    assert headers["Access-Control-Allow-Headers"] == "X-Whimbrel-Demo"
    assert "Content-Length" not in headers
    for path, what in (("/v1/demo/kill", "demo/kill"), ("/v1/demo/cut?seconds=15", "demo/cut?seconds=15")):
        status, headers, asked = send("POST", path, HTTP_ORIGIN=origin, **MARK)
        assert (status, asked) == ("202 Accepted", [what])
        assert headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://10.0.0.1", "https://10.0.0.1:8080", "http://10.0.0.1:8081", "null", ""],
)
def test_other_pages_may_not_even_where_all_may_connect(origin: str) -> None:
    _, headers, _ = send("GET", "/v1/status", HTTP_ORIGIN=origin)
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Vary"] == "Origin"
    for method in ("OPTIONS", "POST"):
        status, headers, asked = send(method, "/v1/demo/kill", HTTP_ORIGIN=origin, **MARK)
        assert (status, asked) == ("403 Forbidden", [])
        assert "Access-Control-Allow-Origin" not in headers


def test_a_name_that_somebody_else_points_here_is_not_the_nodes_own() -> None:
    status, _, asked = send(
        "POST", "/v1/demo/kill", HTTP_HOST="evil.example:8080", HTTP_ORIGIN="http://evil.example:8080", **MARK
    )
    assert (status, asked) == ("403 Forbidden", [])


def test_without_a_page_the_header_is_enough_and_needed() -> None:
    assert send("POST", "/v1/demo/kill", **MARK)[2] == ["demo/kill"]
    for headers in ({}, {"HTTP_X_WHIMBREL_DEMO": "0"}, {"HTTP_ORIGIN": OWN}):
        status, _, asked = send("POST", "/v1/demo/kill", **headers)
        assert (status, asked) == ("403 Forbidden", [])


def test_controls_are_only_posted_to() -> None:
    for method in ("GET", "HEAD", "PUT"):
        status, headers, asked = send(method, "/v1/demo/kill", HTTP_ORIGIN=OWN, **MARK)
        assert (status, headers["Allow"], asked) == ("405 Method Not Allowed", "POST, OPTIONS", [])


def test_without_controls_there_is_nothing() -> None:
    settings = replace(DEMO, controls=False)
    for path in ("/v1/demo/kill", "/v1/demo/cut?seconds=15"):
        assert send("GET", path, settings)[0] == "404 Not Found"
        for method in ("POST", "OPTIONS"):
            status, headers, asked = send(method, path, settings, HTTP_ORIGIN=OWN, **MARK)
            assert (status, headers["Allow"], asked) == ("405 Method Not Allowed", "GET, HEAD", [])
            assert "Access-Control-Allow-Origin" not in headers


def test_nodes_that_come_and_go_are_known_and_forgotten() -> None:
    origins = origins_of(DEMO)
    assert origins.knows(OWN, "10.0.0.2:8080")
    origins.learn(["ws://10.0.0.9:8080"])
    assert origins.nodes == ["http://10.0.0.9:8080"]
    assert origins.knows("http://10.0.0.9:8080", "10.0.0.2:8080")
    assert origins.knows("http://localhost:8080", "10.0.0.2:8080"), "the settings hold all the same"
    assert not origins.knows(OWN, "10.0.0.2:8080")


def test_how_long_to_cut_off_is_bounded() -> None:
    assert [cut_s(f"seconds={n}") for n in ("1", "15", "120")] == [1, 15, 120]
    for query in ("", "seconds", "seconds=", "seconds=0", "seconds=-1", "seconds=1.5", "seconds=121", "second=5"):
        assert cut_s(query) is None
    for query in ("seconds=" + "9" * 5000, "seconds=٣", "seconds=15&x=1", "seconds=0015"):
        assert cut_s(query) is None
    status, _, asked = send("POST", "/v1/demo/cut?seconds=121", **MARK)
    assert (status, asked) == ("400 Bad Request", [])


def test_a_page_may_ask_the_other_nodes() -> None:
    policy = send("GET", "/index.html")[1]["Content-Security-Policy"]
    connect = next(part.split() for part in policy.split("; ") if part.startswith("connect-src"))
    assert connect == [
        "connect-src",
        "'self'",
        "ws:",
        "wss:",
        OWN,
        "http://10.0.0.2:8080",
        "https://c.example",
        "http://[::1]",
    ]


@pytest.mark.slow
def test_the_page_of_another_node_may_connect_as_soon_as_that_node_is_known() -> None:
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    with FakeNode() as node:

        def status(origin: str) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", node.settings.port, timeout=5)
            connection.request("GET", "/v1/ws", headers=handshake | {"Origin": origin})
            found = connection.getresponse().status
            connection.close()
            return found

        assert status("http://other:1") == 101, "it is in the settings"
        assert status("http://10.0.0.9:8080") == 403
        node.say(Servers(["ws://10.0.0.9:8080/v1/ws"]))
        deadline = time.monotonic() + PATIENCE_S
        while status("http://10.0.0.9:8080") != 101:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert status("http://other:1") == 403
