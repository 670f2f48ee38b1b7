"""`whimbrel status` against an HTTP server that answers as a node does, or does not."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from node import cli
from node.commands.status import status_address
from node.commands.summary import Status, summary

STATUS: dict[str, Any] = {
    "node": "a",
    "version": "0.1.0",
    "cluster": "3f2c",
    "state": "running",
    "ready": True,
    "uptime_s": 5400.4,
    "problems": ["kafka: no broker answers"],
    "clients": {"connections": 1234, "subscriptions": 5678},
    "rates": {"in_per_s": 1000.4, "out_per_s": 30000.0},
    "workers": [
        {
            "index": 0,
            "pid": 4711,
            "connections": 1234,
            "subscriptions": 5678,
            "restarts": 2,
            "messages_out_per_s": 30000.0,
            "loop_delay_s": 0.0012,
        },
        {"index": 1, "pid": None, "restarts": 1, "loop_delay_s": None},
    ],
    "cache": {"bytes": 134217728, "bytes_max": 536870912, "messages": 100000, "subjects": 9876, "ttl_s": 600.0},
    "kafka": {
        "connected": True,
        "brokers": ["k1:9092", "k2:9092"],
        "topics": [
            {
                "topic": "flights",
                "value": "json",
                "publish": False,
                "partitions": [
                    {
                        "partition": 0,
                        "log": "0.b7Qx",
                        "end": [0, 12345],
                        "high_watermark": 12350,
                        "lag": 5,
                        "state": "live",
                        "messages_per_s": 99.5,
                    },
                    {
                        "partition": 1,
                        "log": "1.b7Qx",
                        "end": None,
                        "high_watermark": None,
                        "lag": None,
                        "state": "waiting",
                    },
                ],
            },
            {"topic": "notes", "value": "text", "publish": True, "partitions": []},
        ],
    },
    "busiest": [{"subject": "/flights/AA1\x1b[2J", "per_s": 12.25}],
    "publishes": {"accepted": 10, "failed": 1, "in_flight": 2},
    "something_new": [1],
}

TEXT = """\
node a (0.1.0), cluster 3f2c: running, ready, up 90m
problem: kafka: no broker answers

clients    1,234 connections, 5,678 subscriptions
messages   1,000/s in, 30,000/s out
publishes  10 accepted, 1 failed, 2 in flight
cache      128.0 MiB of 512.0 MiB (25%), 100,000 messages of 9,876 subjects, ttl 10m
kafka      connected, brokers: k1:9092, k2:9092

WORKER   PID  CONNECTIONS  SUBSCRIPTIONS  RESTARTS  OUT MSG/S  LOOP DELAY
     0  4711        1,234          5,678         2     30,000      1.2 ms
     1  down            0              0         1          0           ?

TOPIC    VALUE  PUBLISH  PARTITION  LOG         END  HIGH WATERMARK  LAG  STATE          MSG/S
flights  json   no               0  0.b7Qx  0,12345          12,350    5  live            99.5
flights  json   no               1  1.b7Qx        ?               ?    ?  waiting          0.0
notes    text   yes                                                       no partitions

BUSIEST SUBJECT        MSG/S
/flights/AA1\\u001b[2J   12.2
"""

Serve = Callable[[bytes, int], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server on a free port with one answer to everything; its address."""
    started: list[HTTPServer] = []

    def start(body: bytes, code: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(code if self.path == "/v1/status" else 404)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_the_summary_is_readable(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    address = serve(json.dumps(STATUS).encode(), 200)
    for server in (address, f"http://{address}/", f"ws://{address}/v1/ws"):
        assert cli.run(["status", "--server", server]) == 0
        assert capsys.readouterr() == (TEXT, "")


def test_json_is_what_the_node_says(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHIMBREL_SERVER", serve(json.dumps(STATUS).encode(), 200))
    assert cli.run(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_a_server_that_cannot_be_reached_is_told_and_the_next_one_asked(
    serve: Serve, nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = f"whimbrel: http://{nobody}/v1/status: cannot be reached: Connection refused\n"
    assert cli.run(["status", "--server", nobody]) == 1
    assert capsys.readouterr() == ("", complaint)
    assert cli.run(["status", "--server", f"{nobody}, {serve(b'{}', 200)}"]) == 0
    out, err = capsys.readouterr()
    assert err == complaint
    assert "NOT READY" in out


@pytest.mark.parametrize(
    ("body", "code", "complaint"),
    [
        (b"", 503, "answered 503 Service Unavailable"),
        (b"<html>", 200, "not the status of a node: JSON is malformed"),
        (b"[]", 200, "not the status of a node: Expected `object`, got `array`"),
        (b'{"uptime_s":"x"}', 200, "not the status of a node: Expected `float`, got `str` - at `$.uptime_s`"),
        (b'{"node":"\xff"}', 200, "not the status of a node: "),
    ],
)
def test_an_answer_that_is_no_status_is_told(
    serve: Serve, capsys: pytest.CaptureFixture[str], body: bytes, code: int, complaint: str
) -> None:
    for flags in ([],) if body.startswith(b'{"uptime') else ([], ["--json"]):
        assert cli.run(["status", "--server", serve(body, code), *flags]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert f"/v1/status: {complaint}" in err


def test_a_server_that_does_not_speak_http_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-x\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert cli.run(["status", "--server", f"127.0.0.1:{listener.getsockname()[1]}"]) == 1
        thread.join()
    assert capsys.readouterr().err.endswith("/v1/status: does not speak HTTP\n")


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("h", "http://h/v1/status"),
        ("h:1", "http://h:1/v1/status"),
        ("[::1]:1", "http://[::1]:1/v1/status"),
        ("ws://h:1/v1/ws", "http://h:1/v1/status"),
        ("wss://h/v1/ws", "https://h/v1/status"),
        ("https://h/below/", "https://h/below/v1/status"),
        ("wss://h/below/v1/ws", "https://h/below/v1/status"),
    ],
)
def test_the_status_is_found_from_any_address_of_a_server(server: str, address: str) -> None:
    assert status_address(server) == address


@pytest.mark.parametrize("server", ["ftp://h", "http://", "h:99999", "h:x", "http://h/?a=1", "ws://"])
def test_what_is_no_address_is_a_usage_error(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["status", "--server", server]) == 2
    assert capsys.readouterr().err.startswith(f"whimbrel: --server: found {server!r}, expected ws://HOST:PORT, http://")


def test_an_empty_status_has_a_summary() -> None:
    assert summary(Status()).startswith("node  (), cluster : , NOT READY, up 0s\n")
