"""`whimbrel status` against an HTTP server that answers as a node does, or does not."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest

from node import cli
from node.commands.admin import address_of
from node.commands.summary import StatusDocument, summary

STATUS: dict[str, Any] = {
    "node": "a",
    "version": "0.1.0",
    "cluster": "3f2c",
    "state": "degraded",
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
node a (0.1.0), cluster 3f2c: degraded, but it serves clients, up 90m
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

CLUSTER: dict[str, Any] = {
    "name": "whimbrel",
    "me": "b",
    "state": "degraded",
    "voters": ["a", "b", "c", "d", "e"],
    "commit_quorum": 3,
    "members": [
        {
            "name": "a",
            "state": "dead",
            "url": "ws://127.0.0.1:8080",
            "cluster_address": "127.0.0.1:7400",
            "is_voter": True,
            "synced": True,
            "coordinates": 0,
            "feeds": 0,
            "delay_ms": None,
            "for_s": 12.3,
        },
        {
            "name": "b",
            "state": "alive",
            "url": "ws://127.0.0.1:8081",
            "cluster_address": "127.0.0.1:7402",
            "is_voter": True,
            "synced": True,
            "coordinates": 3,
            "feeds": 1,
            "delay_ms": None,
            "for_s": 3600.0,
        },
        {
            "name": "c",
            "state": "alive",
            "url": None,
            "cluster_address": "127.0.0.1:7404",
            "is_voter": True,
            "synced": False,
            "coordinates": 0,
            "feeds": 0,
            "delay_ms": 0.84,
            "for_s": 5.0,
        },
        {
            "name": "d",
            "state": "alive",
            "url": "ws://127.0.0.1:8083",
            "cluster_address": "127.0.0.1:7406",
            "is_voter": True,
            "synced": True,
            "coordinates": 1,
            "feeds": 2,
            "delay_ms": 1234.5,
            "for_s": 60.0,
        },
    ],
    "slots": [
        {"slot": 0, "log": "s0.x", "epoch": 3, "coordinator": "b", "end": [3, 12], "commit": [3, 12]},
        {"slot": 1, "log": "s1.x", "epoch": 3, "coordinator": "b", "end": None, "commit": None},
        {"slot": 2, "log": "s2.x", "epoch": 3, "coordinator": "d", "end": None, "commit": None},
        {"slot": 3, "log": "s3.x", "epoch": 3, "coordinator": "b", "end": None, "commit": None},
        {"slot": 4, "log": "s4.x", "epoch": 4, "coordinator": None, "end": None, "commit": None},
        {"slot": 5, "log": "s5.x", "epoch": 4, "coordinator": None, "end": None, "commit": None},
    ],
    "feeds": [
        {"topic": "flights", "partition": 0, "log": "0.x", "feeder": "b"},
        {"topic": "flights", "partition": 1, "log": "1.x", "feeder": "d"},
        {"topic": "flights", "partition": 2, "log": "2.x", "feeder": "d"},
        {"topic": "notes", "partition": 0, "log": "0.y", "feeder": None},
    ],
    "controls": False,
}

CLUSTER_TEXT = """\
mesh       degraded, voters: a, b, c, d, e; what 3 of them hold is committed
           voter a has been dead for 12s
           voter c has not re-synced: it does not count
           voter e has not been seen
           2 voters count, 3 must: nothing can be committed
           0 of 6 slots take publishes now
           no feeder: notes 0

MEMBER    STATE  FOR  VOTER  SYNCED  COORDINATES  FEEDS       DELAY  CLUSTER ADDRESS  URL
a         dead   12s  yes    yes               0      0           ?  127.0.0.1:7400   ws://127.0.0.1:8080
b (this)  alive  1h   yes    yes               0      1           -  127.0.0.1:7402   ws://127.0.0.1:8081
c         alive  5s   yes    NO                0      0      0.8 ms  127.0.0.1:7404
d         alive  1m   yes    yes               0      2  1,234.5 ms  127.0.0.1:7406   ws://127.0.0.1:8083
DELAY: until the member held what this node sent last as a coordinator; ?: nothing was sent yet

COORDINATOR  SLOTS
NONE         4-5
b (last)     0-1, 3
d (last)     2

FEEDER  TOPIC    PARTITIONS
NONE    notes             0
b       flights           0
d       flights         1-2
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

            def do_POST(self) -> None:
                self.send_response(code if self.path.startswith("/v1/revoke?") else 404)
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
    for server in (address, f"http://{address}/"):
        assert cli.run(["status", "--admin", server]) == 0
        assert capsys.readouterr() == (TEXT, "")


def test_json_is_what_the_node_says(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHIMBREL_ADMIN_LISTEN", serve(json.dumps(STATUS).encode(), 200))
    assert cli.run(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_a_server_that_cannot_be_reached_is_told_and_the_next_one_asked(
    serve: Serve, nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = f"whimbrel: http://{nobody}/v1/status: cannot be reached: Connection refused\n"
    assert cli.run(["status", "--admin", nobody]) == 1
    assert capsys.readouterr() == ("", complaint)
    assert cli.run(["status", "--admin", f"{nobody}, {serve(b'{}', 200)}"]) == 0
    out, err = capsys.readouterr()
    assert err == complaint
    assert "NOT READY" in out


@pytest.mark.parametrize(
    ("body", "code", "complaint"),
    [
        (b"", 503, "answered 503 Service Unavailable"),
        (b"nothing", 404, "answered 404 Not Found: nothing; the admin listener has a port of its own, by default that"),
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
        assert cli.run(["status", "--admin", serve(body, code), *flags]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert f"/v1/status: {complaint}" in err


@pytest.mark.parametrize("reply", [b"SSH-2.0-x\r\n", b""])
def test_a_server_that_does_not_speak_http_is_told(reply: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """One that says something else, and one that resets the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000 if reply else 1)  # what is left unread resets the connection
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        assert cli.run(["status", "--admin", f"127.0.0.1:{listener.getsockname()[1]}"]) == 1
        thread.join()
    assert capsys.readouterr().err.endswith("/v1/status: does not speak HTTP\n")


def test_a_listener_without_tls_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert cli.run(["status", "--admin", f"https://127.0.0.1:{listener.getsockname()[1]}"]) == 1
        thread.join()
    said = capsys.readouterr().err
    assert "does not speak TLS (" in said
    assert said.endswith("): http:// may be meant\n")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("h", "http://h"),
        ("h:1", "http://h:1"),
        ("[::1]:1", "http://[::1]:1"),
        ("https://h/below/", "https://h/below"),
        ("unix:/run/x/admin.sock", "unix:/run/x/admin.sock"),
    ],
)
def test_the_forms_of_an_address(given: str, address: str) -> None:
    assert str(address_of(given)) == address


@pytest.mark.parametrize("given", ["ftp://h", "http://", "h:99999", "h:x", "http://h/?a=1", "ws://h", "unix:"])
def test_what_is_no_address_is_a_usage_error(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["status", "--admin", given]) == 2
    assert capsys.readouterr().err.startswith(f"whimbrel: --admin: found {given!r}, expected HOST:PORT, http")


def test_the_cluster_is_shown_with_what_is_wrong_with_it() -> None:
    """From `node a` down to the tables: a cluster that has lost a voter, as node b sees it."""
    shown = summary(msgspec.convert({"node": "b", "cluster": CLUSTER}, StatusDocument))
    assert shown.splitlines()[0] == "node b (), cluster whimbrel: NOT READY, up 0s"
    assert shown[shown.index("mesh ") :] == CLUSTER_TEXT


def test_a_node_alone_and_a_cluster_of_which_nothing_is_known_are_shown() -> None:
    cluster: dict[str, Any] = {"name": "w", "me": "a", "state": "alone", "voters": ["a"], "commit_quorum": 1}
    cluster["members"] = [{"name": "a", "state": "alive", "is_voter": True, "synced": True, "coordinates": 64}]
    cluster["slots"] = [{"slot": 0, "coordinator": "a", "new_key": 1}]
    shown = summary(msgspec.convert({"cluster": cluster}, StatusDocument))
    assert "mesh       alone, voters: a; what 1 of them hold is committed\n\nMEMBER " in shown
    assert "COORDINATOR" not in shown
    without_mesh = {**cluster, "members": [], "slots": []}
    for unknown in ({}, {"name": "w"}, "w", without_mesh):
        assert "mesh" not in summary(msgspec.convert({"cluster": unknown}, StatusDocument))


def test_what_takes_publishes_is_told_alike_everywhere() -> None:
    """A slot whose coordinator says that it takes none has had that coordinator last, and is in no count of now."""
    slots = [{**slot, "accepts": slot["slot"] in (0, 1, 2)} for slot in CLUSTER["slots"]]
    shown = summary(msgspec.convert({"node": "b", "cluster": {**CLUSTER, "slots": slots}}, StatusDocument))
    assert "\n           3 of 6 slots take publishes now: all but 3-5\n" in shown
    members = {row.split()[0]: row.split() for row in shown.splitlines() if " alive " in row}
    assert (members["b"][6], members["d"][5]) == ("2", "1")
    [at] = [n for n, line in enumerate(shown.splitlines()) if line.startswith("COORDINATOR")]
    assert [line.split() for line in shown.splitlines()[at + 1 : at + 5]] == [
        ["NONE", "4-5"], ["b", "0-1"], ["b", "(last)", "3"], ["d", "2"],
    ]  # fmt: skip


def test_a_node_that_takes_all_publishes_says_nothing_of_it() -> None:
    voters = [{"name": name, "state": "alive", "synced": True, "is_voter": True} for name in "abc"]
    slots = [{"slot": slot, "coordinator": "abc"[slot], "accepts": True} for slot in range(3)]
    cluster = {"name": "w", "state": "ok", "voters": [*"abc"], "commit_quorum": 2, "members": voters, "slots": slots}
    assert "take publishes" not in summary(msgspec.convert({"cluster": cluster}, StatusDocument))


@pytest.mark.parametrize(
    ("state", "is_ready", "expected"),
    [
        ("ready", True, "ready"),
        ("degraded", True, "degraded, but it serves clients"),
        ("filling", False, "filling, NOT READY"),
    ],
)
def test_whether_it_is_ready_is_said_once(state: str, is_ready: bool, expected: str) -> None:
    shown = summary(StatusDocument(node="a", state=state, ready=is_ready))
    assert shown.splitlines()[0] == f"node a (), cluster : {expected}, up 0s"


@pytest.mark.parametrize(
    ("kafka", "expected"),
    [
        ({"used": False, "connected": False, "bootstrap": "", "brokers": []}, "not configured"),
        ({"used": True, "bootstrap": "k:1,k:2", "brokers": []}, "NOT CONNECTED, bootstrap: k:1,k:2"),
        ({"used": True, "connected": True, "bootstrap": "k:1", "brokers": ["b:1"]}, "connected, brokers: b:1"),
        ({"brokers": []}, "NOT CONNECTED, brokers: none"),
    ],
)
def test_kafka_is_said_to_be_away_only_where_there_is_one(kafka: dict[str, Any], expected: str) -> None:
    assert f"\nkafka      {expected}\n" in summary(msgspec.convert({"kafka": kafka}, StatusDocument))


def test_nothing_committed_is_told_and_long_lists_are_cut() -> None:
    slots = [{"slot": slot, "coordinator": "a" if slot % 2 else None} for slot in range(1024)]
    cluster = {"name": "w", "state": "degraded", "voters": ["a", "b", "c"], "commit_quorum": 2, "slots": slots}
    shown = summary(msgspec.convert({"cluster": cluster}, StatusDocument))
    assert "\n           0 voters count, 2 must: nothing can be committed\n" in shown
    assert "\n           0 of 1024 slots take publishes now\n" in shown
    assert " 46 and 488 more\n" in shown


def test_topics_are_listed_with_their_subjects(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    namespaces = [{"name": "chat", "value": "text", "publish": True}]
    body = json.dumps({**STATUS, "namespaces": namespaces}).encode()
    assert cli.run(["topics", "--admin", serve(body, 200)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["SUBJECTS", "SOURCE", "VALUE", "PUBLISH", "PARTITIONS", "MSG/S"]
    assert rows[1][:4] == ["/flights/*", "Kafka", "json", "no"]
    assert rows[-1] == ["/chat/*", "namespace", "text", "yes"]
    assert cli.run(["topics", "--admin", serve(b"{}", 200)]) == 0
    assert capsys.readouterr().out == "no topics\n"


def test_an_empty_status_has_a_summary() -> None:
    assert summary(StatusDocument()).startswith("node  (), cluster : NOT READY, up 0s\n")


@pytest.mark.parametrize(("unconfirmed", "code"), [([], 0), (["c"], 3)])
def test_a_revocation_that_not_all_nodes_have_confirmed_has_an_exit_code_of_its_own(
    serve: Serve, capsys: pytest.CaptureFixture[str], unconfirmed: list[str], code: int
) -> None:
    answer = {"nodes": 2 + len(unconfirmed), "confirmed": ["b"], "unconfirmed": unconfirmed}
    address = serve(json.dumps(answer).encode(), 200)
    assert cli.run(["revoke", "--token-id", "t1", "--admin", address]) == code
    assert ("NOT confirmed by c" in capsys.readouterr().out) == bool(unconfirmed)
