"""The blocking client against a fake cluster over real WebSockets, in another thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

import whimbrel.servers
from tests.client.fake_cluster import FakeCluster
from tests.client.fake_server import FakeServer
from tests.support.patience import PATIENCE_S
from whimbrel import BlockingClient, ClosedError, Message, Now, PublishError, Resume, SubscribeError
from whimbrel.events import Closed, Connected, Live, Status, Subscribed


class ServerThread:
    """A fake server on a loop of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = FakeServer(FakeCluster("0.x"))
        self.run(self.server.__aenter__())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        return future.result(10)

    def stop(self) -> None:
        self.run(self.server.__aexit__())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerThread]:
    monkeypatch.setattr(whimbrel.servers, "FIRST_PAUSE_S_MAX", 0.01)
    thread = ServerThread()
    yield thread
    thread.stop()


def test_subscribe_and_publish(fake: ServerThread) -> None:
    statuses: list[Status] = []
    with BlockingClient(fake.server.url, on_status=statuses.append) as client:
        subscription = client.subscribe("/t/*", start=Now(), timeout_s=PATIENCE_S)
        assert client.publish("/t/a", json=1) == ("0.x", (0, 0))
        assert client.publish("/t/b", data=b"x") == ("0.x", (0, 1))
        assert [next(subscription).subject, next(subscription).subject] == ["/t/a", "/t/b"]
        assert subscription.place == {"0.x": (0, 1)}
        with pytest.raises(TimeoutError):
            subscription.get(timeout_s=0.02)
        fake.run(fake.server.close_all(4000))
        fake.run(fake.server.append("/t/c"))
        message = subscription.get(timeout_s=PATIENCE_S)
        assert message is not None
        assert message.subject == "/t/c"
        subscription.unsubscribe()
        assert list(subscription) == []
        assert client.stats.received == 3
    assert {Connected, Subscribed, Live, Closed} <= {type(status) for status in statuses}


def test_the_place_is_what_has_been_taken(fake: ServerThread) -> None:
    fake.run(fake.server.append("/t/a", "/t/a", "/t/a"))
    with BlockingClient(fake.server.url) as client:
        subscription = client.subscribe("/t/a", start=Resume({"0.x": (0, 0)}))
        for message in subscription:
            assert message.at == (0, 1)
            assert subscription.place == {"0.x": (0, 1)}
            break


def test_callback_has_a_thread_of_its_own(fake: ServerThread, caplog: pytest.LogCaptureFixture) -> None:
    called: list[tuple[str, tuple[int, int]]] = []
    done = threading.Event()

    def callback(message: Message) -> None:
        called.append((threading.current_thread().name, message.at))
        if message.at == (0, 0):
            client.publish("/t/a", json=1)  # from inside a callback
            raise RuntimeError("not this one")
        done.set()

    with BlockingClient(fake.server.url) as client:
        client.subscribe("/t/a", callback, start=Now())
        fake.run(fake.server.append("/t/a"))
        assert done.wait(PATIENCE_S)
    assert called == [("whimbrel /t/a", (0, 0)), ("whimbrel /t/a", (0, 1))]
    assert "the callback of /t/a failed" in caplog.text


def test_errors_and_close(fake: ServerThread) -> None:
    fake.server._connection = {"refuse": {"publish": 4313, "subscribe": 4311}}
    client = BlockingClient(fake.server.url)
    with client:
        with pytest.raises(PublishError, match="4313"):
            client.publish("/t/a", json=1)
        with pytest.raises(SubscribeError, match="4311"):
            client.subscribe("/t/a")
    client.close()
    assert not client._thread.is_alive()
    with pytest.raises(ClosedError):
        client.publish("/t/a", json=1)


def test_close_ends_an_iteration_in_another_thread(fake: ServerThread) -> None:
    client = BlockingClient(fake.server.url).__enter__()
    subscription = client.subscribe("/t/a")
    left = threading.Thread(target=lambda: list(subscription))
    left.start()
    client.close()
    left.join(5)
    assert not left.is_alive()
    assert list(subscription) == []


def test_a_token_function_that_fails_at_the_start_raises_there() -> None:
    def token() -> str:
        raise LookupError("no token")

    with pytest.raises(LookupError, match="no token"), BlockingClient("ws://127.0.0.1:9", get_token=token):
        pass


def test_close_by_several_threads_at_once(fake: ServerThread) -> None:
    client = BlockingClient(fake.server.url)
    client.__enter__()
    subscription = client.subscribe("/t/a", start=Now(), timeout_s=PATIENCE_S)
    failures: list[BaseException] = []

    def close_when_over() -> None:
        try:
            list(subscription)
            client.close()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=close_when_over), *(threading.Thread(target=client.close) for _ in range(4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
