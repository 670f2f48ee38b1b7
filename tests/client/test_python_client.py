"""The asyncio client against a fake cluster over real WebSockets."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

import whimbrel.connection
import whimbrel.servers
from tests.client.fake_cluster import FakeCluster
from tests.client.fake_server import FakeServer
from whimbrel import (
    Client,
    ClosedError,
    Last,
    Latest,
    Message,
    Now,
    PublishError,
    Resume,
    SubjectError,
    SubscribeError,
    Subscription,
)
from whimbrel.encodings import ENCODINGS
from whimbrel.events import Closed, Connected, Gap, Live, Reconnecting, Resumed, Status, Subscribed


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whimbrel.servers, "FIRST_PAUSE_S_MAX", 0.01)


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine function as a test, with a time limit."""

    def run(**arguments: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**arguments), 20))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return run


async def take(subscription: Subscription, count: int) -> list[tuple[int, int]]:
    """Positions of the next messages."""
    return [(await anext(subscription)).at for _ in range(count)]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def kinds(statuses: list[Status]) -> list[type]:
    return [type(status) for status in statuses]


@pytest.mark.parametrize("encoding", ENCODINGS)
@asynchronous
async def test_latest_then_live(encoding: str) -> None:
    statuses: list[Status] = []
    async with FakeServer(FakeCluster("0.x")) as server:
        await server.append("/t/a", "/t/b", "/t/a")
        async with Client(server.url, encoding=encoding, on_status=statuses.append) as client:
            subscription = await client.subscribe("/t/a")
            snapshot = await anext(subscription)
            assert (snapshot.at, snapshot.snapshot, snapshot.value) == ((0, 2), True, b'{"seq":2}')
            await server.append("/t/b", "/t/a")
            message = await anext(subscription)
            assert (message.subject, message.at, message.prev, message.json()) == ("/t/a", (0, 4), (0, 2), {"seq": 4})
            assert subscription.place == {"0.x": (0, 4)}
            assert client.stats.received == 2
    assert kinds(statuses) == [Connected, Subscribed, Live, Closed]


@asynchronous
async def test_resume_on_another_server() -> None:
    cluster, statuses = FakeCluster("0.x"), list[Status]()
    async with (
        FakeServer(cluster) as one,
        FakeServer(cluster) as two,
        Client([one.url, two.url], on_status=statuses.append) as client,
    ):
        subscription = await client.subscribe("/t/*", start=Now())
        first, other = (one, two) if one.sockets else (two, one)
        await first.append("/t/a")
        assert await take(subscription, 1) == [(0, 0)]
        await first.close_all(4001)
        await first.append("/t/a", "/t/b")
        assert await take(subscription, 2) == [(0, 1), (0, 2)]
        assert other.accepted == 1
        await until(lambda: Resumed in kinds(statuses))
    assert Reconnecting in kinds(statuses)
    assert client.stats.repeated == 0


@asynchronous
async def test_a_server_that_is_not_there_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with FakeServer(FakeCluster("0.x")) as server:
        for _ in range(3):
            async with Client([f"ws://127.0.0.1:{port}", server.url]) as client:
                await client.subscribe("/t/a")


@asynchronous
async def test_a_place_that_was_kept() -> None:
    statuses: list[Status] = []
    async with FakeServer(FakeCluster("0.x")) as server:
        await server.append("/t/a", "/t/a", "/t/a", "/t/a")
        async with Client(server.url, on_status=statuses.append) as client:
            subscription = await client.subscribe("/t/a", start=Resume({"0.x": (0, 0)}))
            assert await take(subscription, 1) == [(0, 1)]
            await until(lambda: client.stats.received == 3)
            place = subscription.place
            assert place == {"0.x": (0, 1)}, "only what the application has taken"
        server.cluster.first_kept["0.x"] = 3
        async with Client(server.url, on_status=statuses.append) as client:
            subscription = await client.subscribe("/t/a", start=Resume(place))
            assert await take(subscription, 1) == [(0, 3)]
    (gap,) = [status for status in statuses if isinstance(status, Gap)]
    assert (gap.start, gap.end, gap.why) == ((0, 1), (0, 2), "retention")


@asynchronous
async def test_publish() -> None:
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url) as client:
        assert await client.publish("/t/a", json={"a": 1}, headers={"h": "v"}) == ("0.x", (0, 0))
        done = await asyncio.gather(*(client.publish("/t/a", text=str(n)) for n in range(600)))
        assert [at for _, at in done] == [(0, n) for n in range(1, 601)]
        frames = [frame for frame in server.frames if frame["op"] == "publish"]
        assert frames[0]["json"] == {"a": 1}
        assert frames[0]["headers"] == [["h", "v"]]
        assert [frame["text"] for frame in frames[1:]] == [str(n) for n in range(600)]


@asynchronous
async def test_a_publish_without_an_answer_is_sent_again_and_stands_once() -> None:
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url) as client:
        await client.publish("/t/a", json=1)
        (connection,) = server.sockets.values()
        publishing = asyncio.create_task(client.publish("/t/a", json=2))
        connection.receive_before = connection.receive  # type: ignore[attr-defined]
        connection.receive = lambda frame: (connection.receive_before(frame), connection.to_client.clear())  # type: ignore
        await until(lambda: len(server.cluster.logs["0.x"]) == 2)
        await server.close_all(1011)
        assert await publishing == ("0.x", (0, 1))
        assert len(server.cluster.logs["0.x"]) == 2


@asynchronous
async def test_publish_errors() -> None:
    async with FakeServer(FakeCluster("0.x"), refuse={"publish": 4313}) as server, Client(server.url) as client:
        with pytest.raises(PublishError, match="publish to /t/a: 4313") as raised:
            await client.publish("/t/a", json=1)
        assert (raised.value.code, raised.value.outcome_unknown) == (4313, False)
        server.silent_about = {"publish"}
        with pytest.raises(PublishError, match="not acknowledged in time") as raised:
            await client.publish("/t/a", json=1, timeout_s=0.05)
        assert (raised.value.code, raised.value.outcome_unknown) == (None, True)
        for wrong in ("t/a", "/t/*", "/t/%41"):
            with pytest.raises(SubjectError):
                await client.publish(wrong, json=1)
        with pytest.raises(TypeError):
            await client.publish("/t/a")


@asynchronous
async def test_subscribe_errors() -> None:
    async with FakeServer(FakeCluster("0.x"), refuse={"subscribe": 4312}) as server, Client(server.url) as client:
        with pytest.raises(SubscribeError, match="subscribe to /t/a: 4312"):
            await client.subscribe("/t/a")
        with pytest.raises(SubjectError, match="begins with"):
            await client.subscribe("t/a")


@asynchronous
async def test_a_subscription_refused_when_it_is_resumed_raises_after_what_had_come() -> None:
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url) as client:
        subscription = await client.subscribe("/t/a")
        await server.append("/t/a")
        await until(lambda: client.stats.received)
        server._connection["refuse"] = {"subscribe": 4312}
        await server.close_all(4000)
        assert await take(subscription, 1) == [(0, 0)]
        with pytest.raises(SubscribeError):
            await anext(subscription)


@asynchronous
async def test_no_server_within_the_callers_time() -> None:
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url) as client:
        server.silent_about = {"subscribe"}
        await until(lambda: client.state == "connected")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.subscribe("/t/a")
        await until(lambda: [frame["op"] for frame in server.frames] == ["hello", "subscribe", "unsubscribe"])


@asynchronous
async def test_a_code_that_says_not_to_come_back() -> None:
    statuses: list[Status] = []
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url, on_status=statuses.append) as client:
        subscription = await client.subscribe("/t/a")
        server.silent_about = {"publish"}
        publishing = asyncio.create_task(client.publish("/t/a", json=1))
        await until(lambda: server.frames[-1]["op"] == "publish")
        await server.close_all(4303)
        with pytest.raises(ClosedError, match="4303: by the test"):
            await anext(subscription)
        with pytest.raises(PublishError, match="4303"):
            await publishing
        with pytest.raises(ClosedError):
            await client.publish("/t/a", json=1)
        with pytest.raises(ClosedError):
            await client.subscribe("/t/a")
        assert server.accepted == 1
    assert kinds(statuses).count(Closed) == 1


@pytest.mark.parametrize(
    ("status", "comes_back"), [(400, False), (403, False), (404, False), (426, False), (503, True)]
)
@asynchronous
async def test_a_handshake_that_is_refused(status: int, comes_back: bool) -> None:
    asked = 0

    def refuse(connection: ServerConnection, _: Request) -> Response | None:
        nonlocal asked
        asked += 1
        return connection.respond(HTTPStatus(status), "not you\n") if asked < 3 else None

    async def hang_up(connection: ServerConnection) -> None:
        await connection.close(4303, "three times")

    async with serve(hang_up, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ClosedError, match="4303: three times" if comes_back else f"{status}: .*not you"):
            async with Client(f"ws://127.0.0.1:{port}") as client:
                await client.subscribe("/t/a")
    assert asked == (3 if comes_back else 1)


@asynchronous
async def test_a_function_gives_tokens_and_is_asked_again_when_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    tokens: list[str | Exception] = ["one", RuntimeError("no token today"), "two"]

    async def token() -> str:
        given = tokens.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    async with FakeServer(FakeCluster("0.x")) as server:
        server.close_at_hello = [4200, 4201]
        async with Client(server.url, get_token=token) as client:
            await client.subscribe("/t/a")
            hellos = [frame["token"] for frame in server.frames if frame["op"] == "hello"]
            assert hellos == ["one", "one", "two"]
    assert "get_token failed" in caplog.text


@asynchronous
async def test_a_fixed_token_that_is_refused_ends_the_client() -> None:
    async with FakeServer(FakeCluster("0.x")) as server:
        server.close_at_hello = [4201]
        async with Client(server.url, token="no") as client:
            with pytest.raises(ClosedError, match=r"4201: by the test$"):
                await client.subscribe("/t/a")


@asynchronous
async def test_a_silent_server_is_left() -> None:
    statuses: list[Status] = []
    async with (
        FakeServer(FakeCluster("0.x"), heartbeat_s=0.02) as server,
        Client(server.url, on_status=statuses.append) as client,
    ):
        await client.subscribe("/t/a")
        await until(lambda: server.accepted >= 2)
    assert any(isinstance(status, Reconnecting) and "silent" in status.reason for status in statuses)


@asynchronous
async def test_wake_ends_the_pause_before_the_next_attempt() -> None:
    pauses: list[float] = []

    def on_status(status: Status) -> None:
        if isinstance(status, Reconnecting):
            pauses.append(status.pause_s)

    async with Client("ws://127.0.0.1:1", on_status=on_status) as client:
        woken = 0
        while sum(pauses) < 40:  # twice what this test may take: without being woken it ends at its limit
            await until(lambda n=woken: len(pauses) > n)  # type: ignore[misc]
            client.wake()
            woken += 1


@asynchronous
async def test_nothing_is_read_while_the_application_is_behind_and_nothing_is_lost() -> None:
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url, queue_max=10) as client:
        subscription = await client.subscribe("/t/a", start=Now())
        appending = asyncio.create_task(server.append(*["/t/a"] * 2000))
        await until(lambda: subscription.waiting >= 10)
        await asyncio.sleep(0.05)
        assert subscription.waiting <= 12
        assert await take(subscription, 2000) == [(0, n) for n in range(2000)]
        await appending
        assert server.accepted == 1
        assert subscription.waiting == 0


@asynchronous
async def test_a_client_closes_at_once_though_much_is_still_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whimbrel.connection, "CLOSE_TIMEOUT_S", 60.0)  # longer than the test may take
    async with FakeServer(FakeCluster("0.x")) as server:
        async with Client(server.url, queue_max=10) as client:
            subscription = await client.subscribe("/t/a", start=Now())
            appending = asyncio.create_task(server.append(*["/t/a"] * 2000))
            await until(lambda: subscription.waiting >= 10)
        await appending


@asynchronous
async def test_an_application_that_publishes_what_it_reads_is_never_stuck() -> None:
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url, queue_max=10) as client:
        subscription = await client.subscribe("/t/a", start=Now())
        appending = asyncio.create_task(server.append(*["/t/a"] * 200))
        taken, longest = list[tuple[int, int]](), 0
        while len(taken) < 200:
            taken.append((await anext(subscription)).at)
            longest = max(longest, subscription.waiting)
            await client.publish("/t/other", json=1)
        await appending
        of_subject = [record.at for record in server.cluster.logs["0.x"] if record.subject == "/t/a"]
        assert taken == of_subject
        assert longest <= 60, "four times the limit, and what one read brings"
        assert [frame for frame in server.frames if "resume" in frame], "never suspended: nothing was tested"


@asynchronous
async def test_a_frame_above_the_clients_limit_ends_the_client_with_a_reason() -> None:
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url, message_bytes_max=300) as client:
        subscription = await client.subscribe("/t/*", start=Now())
        await server.append("/t/" + "a" * 300)
        with pytest.raises(ClosedError, match="larger than message_bytes_max"):
            await anext(subscription)


@pytest.mark.parametrize("is_async", [False, True])
@asynchronous
async def test_callback(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    called: list[tuple[int, int]] = []

    def callback(message: Message) -> Awaitable[None] | None:
        called.append(message.at)
        if message.at == (0, 1):
            raise RuntimeError("not this one")
        return asyncio.sleep(0) if is_async else None

    caplog.set_level(logging.ERROR)
    async with FakeServer(FakeCluster("0.x")) as server, Client(server.url) as client:
        await server.append("/t/a", "/t/a", "/t/a", "/t/a")
        await client.subscribe("/t/a", callback, start=Resume({"0.x": (0, 0)}))
        await until(lambda: len(called) == 3)
    assert called == [(0, 1), (0, 2), (0, 3)]
    assert "the callback of /t/a failed at 0.x (0, 1)" in caplog.text


@asynchronous
async def test_iteration_ends_with_unsubscribe_and_with_close() -> None:
    async with FakeServer(FakeCluster("0.x")) as server:
        async with Client(server.url) as client:
            one, two = await client.subscribe("/t/a", start=Last(3)), await client.subscribe("/t/b", start=Latest())
            await server.append("/t/a", "/t/a", "/t/b")
            async for _ in one:
                await one.unsubscribe()
            iterating = asyncio.create_task(take(two, 5))
            await until(lambda: server.frames[-1]["op"] == "unsubscribe")
        with pytest.raises(StopAsyncIteration):
            await anext(two)
        with pytest.raises((StopAsyncIteration, RuntimeError)):
            await iterating
        await until(lambda: not server.sockets)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="at least one server"):
        Client([])
    with pytest.raises(ValueError, match="not a server"):
        Client("ftp://a")
    with pytest.raises(ValueError, match="json, msgpack"):
        Client("a", encoding="xml")
