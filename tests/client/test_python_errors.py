"""What a newcomer does wrong, and networks do to clients: the Python SDK says what and why, and never nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import runpy
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

import whimbrel.client
import whimbrel.servers
from tests.client.fake_cluster import FakeCluster
from tests.client.fake_server import FakeServer
from tests.client.test_python_blocking import ServerThread
from tests.client.test_python_client import asynchronous, until
from tests.support.patience import PATIENCE_S
from whimbrel import (
    After,
    BlockingClient,
    Client,
    ClosedError,
    Last,
    Latest,
    Message,
    PublishError,
    Resume,
    Since,
    SubjectError,
    SubscribeError,
    SubscribeTimeoutError,
)
from whimbrel.encodings import ENCODINGS
from whimbrel.events import Reconnecting, Status
from whimbrel.frames import Msg, read
from whimbrel.message import Value
from whimbrel.outputs import Connect, Disconnect, Send
from whimbrel.servers import server_url
from whimbrel.session import Session, SessionConfig
from whimbrel.start import to_start
from whimbrel.values import to_headers, to_value

NOWHERE = "ws://127.0.0.1:1"
"""Where nobody listens."""


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whimbrel.servers, "FIRST_PAUSE_S_MAX", 0.01)


# Not started, wrongly called.


@asynchronous
async def test_a_client_that_was_not_started_says_how_to_start_it() -> None:
    client = Client(NOWHERE)
    assert client.state == "connecting"
    for call in (client.subscribe("/t/a"), client.publish("/t/a", json=1)):
        with pytest.raises(RuntimeError, match=r"not started: use `async with Client\(\.\.\.\) as client`"):
            await call
    await client.close()
    blocking = BlockingClient(NOWHERE)
    with pytest.raises(RuntimeError, match=r"not started: use `with BlockingClient\(\.\.\.\) as client`"):
        blocking.publish("/t/a", json=1)
    blocking.close()


@asynchronous
async def test_started_and_closed_by_hand() -> None:
    async with FakeServer(FakeCluster("0.x")) as server:
        client = Client(server.url)
        await client.start()
        await client.subscribe("/t/a")
        assert (client.state, client.reason) == ("connected", "")
        await client.close()
        assert client.state == "closed"
        with pytest.raises(ClosedError, match="by the application"):
            await client.subscribe("/t/a")


@asynchronous
async def test_a_client_is_started_once() -> None:
    async with FakeServer(FakeCluster("0.x")) as server:
        client = Client(server.url)
        await client.start()
        await client.subscribe("/t/a")
        await client.start()
        assert client.state == "connected"
        await asyncio.wait_for(client.close(), PATIENCE_S)  # a second connection would never end
        with pytest.raises(ClosedError, match="by the application"):
            await client.start()


def test_a_blocking_client_is_started_once() -> None:
    client = BlockingClient(NOWHERE)
    client.start()
    client.start()
    client.close()
    with pytest.raises(ClosedError, match="by the application"):
        client.start()


@asynchronous
async def test_a_client_whose_token_could_not_be_had_may_be_started_again() -> None:
    tokens: list[str] = []

    def get_token() -> str:
        if not tokens:
            raise OSError("no tokens now")
        return tokens[0]

    client = Client(NOWHERE, get_token=get_token)
    with pytest.raises(OSError, match="no tokens now"):
        await client.start()
    tokens.append("t")
    await client.start()
    assert client.state == "connecting"
    await client.close()


@pytest.mark.parametrize("servers", [None, 5, [5], [None], ["ftp://x"], [""]])
def test_what_is_no_server_is_refused_here(servers: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"address \(such as ws://host:8080\)"):
        Client(servers)


@pytest.mark.parametrize("subject", [None, 5, b"/t/a"])
@asynchronous
async def test_what_is_no_string_is_no_subject(subject: Any) -> None:
    async with Client(NOWHERE) as client:
        with pytest.raises(SubjectError, match="a subject is a string, found"):
            await client.subscribe(subject)
        with pytest.raises(SubjectError, match="a subject is a string, found"):
            await client.publish(subject, json=1)


@pytest.mark.parametrize("timeout_s", ["5", None, float("nan")])
@asynchronous
async def test_what_is_no_time_is_refused_here(timeout_s: Any) -> None:
    async with Client(NOWHERE) as client:
        with pytest.raises(TypeError, match="timeout_s is a number of seconds, found"):
            await client.publish("/t/a", json=1, timeout_s=timeout_s)
        if timeout_s is not None:
            with pytest.raises(TypeError, match="timeout_s is a number of seconds, found"):
                await client.subscribe("/t/a", timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("start", "sent"), [("latest", "latest"), ("now", "now"), (None, "latest"), (Last(3), {"last": 3})]
)
@asynchronous
async def test_a_start_may_be_a_word(start: Any, sent: Any) -> None:
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url) as client:
        await client.subscribe("/t/a", start=start)
        assert server.frames[-1]["from"] == sent


@pytest.mark.parametrize(
    ("start", "error", "said"),
    [
        ("yesterday", TypeError, 'start is "latest", "now", .* found \'yesterday\''),
        (Latest, TypeError, "found <class"),
        (5, TypeError, "found 5"),
        (Last("5"), TypeError, "Last: a whole number is expected, found '5'"),  # type: ignore[arg-type]
        (Last(True), TypeError, "found True"),
        (Last(0), ValueError, "Last: at least 1"),
        (Since("today"), TypeError, "Since: a datetime or whole milliseconds"),  # type: ignore[arg-type]
        (Since(datetime(1960, 1, 1, tzinfo=UTC)), ValueError, "Since: a time since 1970"),
        (After({"0.x": None}), TypeError, r"After: log 0\.x: a position \(epoch, seq\) is expected, found None"),  # type: ignore[dict-item]
        (Resume([]), TypeError, "Resume: a map from log to position"),  # type: ignore[arg-type]
        (Resume({"0.x": (1, 2, 3)}), TypeError, "found"),  # type: ignore[dict-item]
        (Resume({"0.x": (0, -2)}), ValueError, "no such position"),
        (Resume({"0.x": (0, 2**53)}), ValueError, "no such position"),
    ],
)
def test_what_is_no_start_is_refused_here(start: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        to_start(start)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"a": 5}, "the value of 'a' is a string, bytes or None, found 5"),
        ({5: "a"}, "a name is a string"),
        ("ab", "pairs"),
    ],
)
def test_what_is_no_header_is_refused_here(headers: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        to_headers(headers)


@pytest.mark.parametrize(
    "value",
    [{"json_text": "NaN"}, {"json_text": "[Infinity]"}, {"json_value": "\ud800"}, {"text": "\ud800"}],
)
def test_a_value_that_the_server_would_end_the_connection_for_is_refused_here(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        to_value(**value)
    for text in (r'"\ud800"', r'{"\udc00":1}', "[" * 501 + "]" * 501, "[" * 100_000 + "]" * 100_000):
        with pytest.raises(ValueError):
            to_value(json_text=text)
    assert to_value(json_text=r'"\ud83d\ude00 [[["').raw == rb'"\ud83d\ude00 [[["'
    assert to_value(json_text="[" * 500 + "]" * 500).raw == b"[" * 500 + b"]" * 500
    nested: list[Any] = []
    nested.append(nested)
    with pytest.raises(ValueError):
        to_value(nested)
    for wrong in ({"text": 5}, {"data": "text"}, {"data": 5}):
        with pytest.raises(TypeError, match="found"):
            to_value(**wrong)
    assert to_value(json_text="9" * 5000).raw == b"9" * 5000, "any number is JSON"


@asynchronous
async def test_an_exception_that_leaves_the_block_is_the_only_one_to_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(server: FakeServer) -> None:
        async with Client(server.url) as client:
            publishing = asyncio.create_task(client.publish("/t/a", json=1))
            await until(lambda: len(server.frames) == 2)
            # Whatever left nobody waiting for an answer: an exception between asking and waiting, say.
            (item,) = client._publishing
            publishing.cancel()
            client._publishing[item] = asyncio.get_running_loop().create_future()
            raise LookupError("mine")

    async with FakeServer(FakeCluster("0.x")) as server:
        server.silent_about = {"publish"}
        with pytest.raises(LookupError, match="mine"):
            await fail(server)
    gc.collect()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


@asynchronous
async def test_what_on_status_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail(status: Status) -> None:
        raise RuntimeError("mine")

    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url, on_status=fail) as client:
        await client.subscribe("/t/a")
    assert "on_status failed for: connected to" in caplog.text


@asynchronous
async def test_a_subscription_with_a_callback_that_is_refused_later_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url) as client:
        await client.subscribe("/t/a", print)
        server._connection["refuse"] = {"subscribe": 4312}
        await server.close_all(4000)
        await until(lambda: "the subscription to /t/a is over: subscribe to /t/a: 4312" in caplog.text)


@asynchronous
async def test_a_token_function_that_gives_no_string_is_told() -> None:
    with pytest.raises(TypeError, match="get_token is to give a string, and gave 5"):
        async with Client(NOWHERE, get_token=lambda: 5):  # type: ignore[arg-type, return-value]
            pass


# Reasons.


@asynchronous
async def test_the_reason_of_the_last_failed_connection_reaches_who_waits() -> None:
    statuses: list[Status] = []
    reason = f"cannot reach {NOWHERE}/v1/ws (connection refused)"
    async with Client(NOWHERE, on_status=statuses.append) as client:
        with pytest.raises(SubscribeTimeoutError) as subscribing:
            await client.subscribe("/t/a", timeout_s=0.1)
        assert str(subscribing.value) == f"subscribe to /t/a: no answer within 0.1 s; no connection: {reason}"
        assert isinstance(subscribing.value, SubscribeError)
        assert isinstance(subscribing.value, TimeoutError)
        with pytest.raises(PublishError) as publishing:
            await client.publish("/t/a", json=1, timeout_s=0.1)
        assert str(publishing.value) == f"publish to /t/a: not acknowledged in time; no connection: {reason}"
        assert not publishing.value.outcome_unknown, "it was never sent"
        assert (client.state, client.reason) == ("reconnecting", reason)
        left = asyncio.create_task(client.publish("/t/a", json=1))
        await asyncio.sleep(0)
    with pytest.raises(PublishError) as closing:
        await left
    assert str(closing.value).endswith(f"the client is closed: by the application; no connection: {reason}")
    assert not closing.value.outcome_unknown
    assert {status.reason for status in statuses if isinstance(status, Reconnecting)} == {reason}


@asynchronous
async def test_a_subscribe_that_waits_for_kafka_says_so_when_the_time_is_up() -> None:
    async with FakeServer(FakeCluster("0.x")) as server:
        server.silent_about = {"subscribe"}
        statuses: list[Status] = []
        async with Client(server.url, on_status=statuses.append) as client:
            subscribing = asyncio.create_task(client.subscribe("/t/a", timeout_s=0.3))
            await until(lambda: len(server.frames) == 2)
            (connection,) = server.sockets.values()
            connection.to_client.append({"op": "waiting", "sub": 2, "why": "no broker answers"})
            await server.flush()
            with pytest.raises(SubscribeTimeoutError, match=r"no answer within 0\.3 s; no broker answers"):
                await subscribing


@asynchronous
async def test_an_untrusted_certificate(tmp_path: Path) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    async def wait(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(wait, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        async with Client(f"wss://localhost:{port}") as client:
            with pytest.raises(PublishError, match=r"certificate verify failed: self.signed certificate"):
                await client.publish("/t/a", json=1, timeout_s=1)


@asynchronous
async def test_tls_to_a_port_without_it() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Client(f"wss://127.0.0.1:{port}") as client:
            with pytest.raises(PublishError, match=r"does not speak TLS: ws:// or http://"):
                await client.publish("/t/a", json=1, timeout_s=1)


@asynchronous
async def test_an_origin_that_is_refused() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(HTTPStatus.FORBIDDEN, f"the origin {request.headers['Origin']} may not connect\n")

    async def never(connection: ServerConnection) -> None:
        raise AssertionError

    async with serve(never, "127.0.0.1", 0, process_request=refuse) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ClosedError, match=f"403: {url}/v1/ws: the origin https://mine may not connect"):
            async with Client(url, connect_options={"origin": "https://mine"}) as client:
                await client.subscribe("/t/a")


@asynchronous
async def test_a_socks_proxy_in_the_environment_is_not_waited_for_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("socks_proxy", "socks5://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "python_socks", None)
    monkeypatch.setitem(sys.modules, "python_socks.async_.asyncio", None)
    statuses: list[Status] = []
    async with Client("ws://push.example", on_status=statuses.append) as client:
        await until(lambda: statuses)
        with pytest.raises(SubscribeTimeoutError, match="SOCKS proxy requires python-socks"):
            await client.subscribe("/t/a", timeout_s=0.01)


# Values that Python cannot hold.

HARD = {
    "a number of 5,000 digits": b"9" * 5000,
    "one inside": b'{"n":' + b"9" * 5000 + b"}",
    "nested 400 deep": b"[" * 400 + b"]" * 400,
    "nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "half a surrogate": rb'"\ud800"',
    "half a surrogate as a name": rb'{"\udc00":1}',
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("raw", HARD.values(), ids=HARD)
def test_any_json_reaches_the_application_as_bytes(raw: bytes, encoding: str) -> None:
    frame = {"op": "msg", "subject": "/t/a", "log": "0.x", "at": [0, 1], "value": Value("json", raw)}
    taken = read(ENCODINGS[encoding].decode(ENCODINGS[encoding].encode(frame)))
    assert isinstance(taken, Msg)
    assert taken.message.value == raw
    try:
        taken.message.json()
    except ValueError:
        pass


def test_under_a_key_that_is_not_known_anything_is_ignored() -> None:
    decode = ENCODINGS["json"].decode
    for value in ("9" * 5000, "[" * 100_000 + "]" * 100_000, r'"\ud800"'):
        assert decode(f'{{"new":{value},"op":"heartbeat"}}')["op"] == "heartbeat"
    assert decode(r'{"op":"msg","text":"\ud800"}')["value"] == Value("text", b"\xed\xa0\x80")


def test_integers_beyond_64_bits_are_exact_and_the_text_is_there_for_all_else() -> None:
    raw = b'{"a":18446744073709551617,"b":0.1000000000000000055511}'
    message = Message("/t/a", Value("json", raw), [], None, "x", (0, 0), None, False)
    assert message.json()["a"] == 2**64 + 1
    assert message.value == raw


def test_typed() -> None:
    message = Message("/t/a", Value("json", b'{"n":5}'), [], None, "x", (0, 0), None, False)
    number: int = message.json(lambda said: int(said["n"]))
    assert number == 5
    with pytest.raises(KeyError):
        message.json(lambda said: said["m"])


# Sleep.

WELCOME = '{"op":"welcome","id":1,"node":"a","cluster":"c","heartbeat_s":20,"servers":[],"limits":{}}'


def connected() -> Session:
    session = Session(SessionConfig(("a",), ENCODINGS["json"], "test"), Random(1))
    session.start(0)
    session.opened(0)
    session.receive(0, WELCOME)
    session.take()
    return session


def test_a_machine_that_slept_asks_whether_the_server_is_there() -> None:
    session = connected()
    for now in range(3):
        session.clocks(now, 1000 + now)
    assert session.take() == []
    session.clocks(3, 1000 + 3 - 60)  # set back: no sleep
    session.clocks(4, 1000 + 4 - 60)
    assert session.take() == []
    session.clocks(5, 5000)
    assert [type(output) for output in session.take()] == [Send]
    assert session.deadline == 10
    session.receive(6, '{"op":"pong","id":2}')
    assert session.deadline == 46
    session.wake(7)
    session.tick(12)
    assert Disconnect(at_once=True) in session.take()
    session.wake(12)
    assert session.take() == [Connect("ws://a/v1/ws")], "a pause is not sat out"


def test_a_process_that_stood_still_reads_before_it_gives_up() -> None:
    session = connected()
    session.tick(100)
    assert [type(output) for output in session.take()] == [Send]
    assert session.state.name == "READY"
    session.tick(105)
    assert session.state.name == "PAUSING"


@asynchronous
async def test_the_clocks_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whimbrel.client, "CLOCKS_EVERY_S", 0.01)
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url) as client:
        await client.subscribe("/t/a")
        wall = time.time
        monkeypatch.setattr(time, "time", lambda: wall() + 3600)
        await until(lambda: server.frames[-1]["op"] == "ping")


# Addresses.


@asynchronous
async def test_a_node_under_a_path() -> None:
    assert server_url("https://example.com/push/") == "wss://example.com/push/v1/ws"
    paths: list[str] = []

    async def take(connection: ServerConnection) -> None:
        assert connection.request is not None
        paths.append(connection.request.path)
        await connection.close(4303, "enough")

    async with serve(take, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ClosedError, match="enough"):
            async with Client(f"http://127.0.0.1:{port}/push/") as client:
                await client.subscribe("/t/a")
    assert paths == ["/push/v1/ws"]


# Examples.

EXAMPLES = Path(__file__).parents[2] / "client" / "python" / "examples"


def test_the_examples_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "place.json"
    example = runpy.run_path(str(EXAMPLES / "keep_a_place.py"))

    async def keep(has_come: str) -> str:
        out = ""
        running = asyncio.create_task(example["main"](fake.server.url, "/t/*"))
        while has_come not in out or not place.exists():
            await asyncio.sleep(0.005)
            out += capsys.readouterr().out
        running.cancel()
        await asyncio.wait([running])
        return out

    fake = ServerThread()
    try:
        fake.run(fake.server.append("/t/a"))
        asyncio.run(keep('{"seq":0}'))
        fake.run(fake.server.append("/t/a", "/t/a"))
        assert asyncio.run(keep('{"seq":2}')).split("\n")[:2] == ['/t/a {"seq":1}', '/t/a {"seq":2}']
    finally:
        fake.stop()
    typed = runpy.run_path(str(EXAMPLES / "typed.py"))
    assert typed["Order"].read({"item": "tea", "count": 2}).count == 2
    with pytest.raises(ValueError, match="not an order"):
        typed["Order"].read({"item": "tea"})
