"""The asyncio client: a thin shell around the session (session.py)."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from importlib.metadata import version
from random import SystemRandom
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, TypeVarTuple

from whimbrel import events, outputs, subjects
from whimbrel.connection import WebSocketConnection
from whimbrel.encodings import ENCODINGS
from whimbrel.errors import ClosedError, PublishError, SubscribeError, SubscribeTimeoutError, WhimbrelError
from whimbrel.events import Event, Status, SubscriptionEvent
from whimbrel.interest import Interest
from whimbrel.outgoing import Outgoing
from whimbrel.session import Session, SessionConfig
from whimbrel.session import State as SessionState
from whimbrel.start import Position, StartOrName, to_start
from whimbrel.subscription import Callback, Subscription
from whimbrel.subscriptions import Stats
from whimbrel.values import NOT_GIVEN, HeaderValues, to_headers, to_timeout, to_value

QUEUE_MAX = 1000
SUSPEND_FACTOR = 4
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
PUBLISH_TIMEOUT_S = 30.0
CLOCKS_EVERY_S = 1.0

GetToken: TypeAlias = Callable[[], str | Awaitable[str]]
OnStatus: TypeAlias = Callable[[Status], object]
State: TypeAlias = Literal["connecting", "connected", "reconnecting", "closed"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

logger = logging.getLogger("whimbrel")


class Published(NamedTuple):
    """Where a published message stands."""

    log: str
    at: Position | None
    """None in the rare case that the node did not know it in time."""


class Client:
    """A client on asyncio: connects, reconnects, resumes, publishes. Use it as an asynchronous context manager.

    Args:
        servers: One or more servers, such as `ws://host:8080` or, behind a proxy, `https://example.com/push/`.
        token: For the server's authorizer. When the server wants another one the client closes.
        get_token: Instead of `token`: a function (also async) that gives one. It is called at the start, before the
            token ends, and whenever the server wants another one. Nothing is lost meanwhile.
        encoding: `json` or `msgpack`; the messages are the same.
        on_status: Called with each status (see `whimbrel.events`). Statuses of a subscription come in order with its
            messages, so when the application reaches them; those of the connection come at once. If it raises, that is
            logged.
        client_name: Said to the server, for its log.
        queue_max: Events per subscription that may wait for the application. When that many wait, nothing is
            read from the socket; the server then applies its policy for slow consumers, and nothing is lost. While
            requests await answers, reading goes on, and a subscription with four times as many is suspended
            and resumed when the application has caught up.
        message_bytes_max: The largest frame taken from a server.
        learn_servers: Whether servers that a node names are used beside `servers`.
        connect_options: Further arguments of `websockets.asyncio.client.connect`, such as `ssl`.
    """

    def __init__(
        self,
        servers: str | Iterable[str],
        *,
        token: str | None = None,
        get_token: GetToken | None = None,
        encoding: str = "json",
        on_status: OnStatus | None = None,
        client_name: str = f"whimbrel-python/{version('whimbrel-client')}",
        queue_max: int = QUEUE_MAX,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
        learn_servers: bool = True,
        connect_options: Mapping[str, Any] | None = None,
    ) -> None:
        if encoding not in ENCODINGS:
            raise ValueError(f"encoding is one of {', '.join(ENCODINGS)}: {encoding!r}")
        self._encoding = ENCODINGS[encoding]
        if token is not None and get_token is not None:
            raise ValueError("a client has a token, or a function that gives one")
        self._get_token = get_token
        if not isinstance(servers, Iterable):
            raise TypeError(f"servers is an address (such as ws://host:8080), or several: found {servers!r}")
        servers = (servers,) if isinstance(servers, str) else tuple(servers)
        config = SessionConfig(servers, self._encoding, client_name, token, learn_servers)
        self._session = Session(config, SystemRandom())
        self._on_status = on_status
        self._queue_max = queue_max
        self._message_bytes_max = message_bytes_max
        self._connect_options = connect_options or {}
        self._connection: WebSocketConnection | None = None
        self._connections: set[WebSocketConnection] = set()
        self._subscriptions: dict[Interest, Subscription] = {}
        self._asked: dict[Interest, asyncio.Future[None]] = {}
        self._publishing: dict[Outgoing, asyncio.Future[Published]] = {}
        self._full: set[Subscription] = set()
        self._room = asyncio.Event()
        self._tasks: set[asyncio.Future[object]] = set()
        self._running: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._clocks: asyncio.TimerHandle | None = None
        self._closed: ClosedError | None = None

    async def __aenter__(self) -> Client:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def stats(self) -> Stats:
        """Messages received, repeated (and dropped), and found missing (and asked for again)."""
        return self._session.stats

    @property
    def state(self) -> State:
        """Where the connection stands: `connecting` until the first attempt has failed or succeeded."""
        match self._session.state:
            case SessionState.READY:
                return "connected"
            case SessionState.CLOSED:
                return "closed"
        return "reconnecting" if self._session.reason else "connecting"

    @property
    def reason(self) -> str:
        """Why there is no connection: how the last one, or the last attempt, ended. Empty while there is one."""
        return self._session.reason

    async def start(self) -> None:
        """Begin to connect; does not wait for the connection. `async with` does it, and `close` at the end.

        A client that is started already stays as it is.

        Raises:
            ClosedError: If it is closed already.
            Exception: What `get_token` raises.
        """
        if self._closed is not None:
            raise self._closed
        if self._running is not None:
            return
        self._running = asyncio.get_running_loop()
        if self._get_token is not None:
            try:
                token = await self._new_token(self._get_token)
            except BaseException:
                self._running = None
                raise
            self._input(self._session.set_token, token)
        self._input(self._session.start)
        self._compare_clocks()

    async def close(self) -> None:
        """Close the connection. Publishes that are not answered raise PublishError, iterations end."""
        if self._running is None:
            return
        self._input(self._session.close)
        for timer in (self._timer, self._clocks):
            if timer is not None:
                timer.cancel()
        for connection in list(self._connections):
            await connection.finished()
        current = asyncio.current_task()
        await asyncio.gather(*(task for task in self._tasks if task is not current), return_exceptions=True)

    def wake(self) -> None:
        """Look at the connection now.

        While there is none, the pause before the next attempt ends; else the server is asked for a sign of life. It
        happens by itself when the machine has slept.
        """
        if self._running is not None:
            self._input(self._session.wake)

    async def subscribe(
        self,
        subject: str,
        callback: Callback | None = None,
        start: StartOrName | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Subscription:
        """Subscribe to a subject or pattern, from the latest message unless `start` says otherwise.

        Returns when the server has answered, however long it cannot be reached, unless `timeout_s` is given. With
        `callback` (a function, also async), it is called with each message, one after another; what it raises is
        logged, and the next message follows. Without, iterate over the subscription.

        Raises:
            SubjectError, TypeError, ValueError: If it is neither a subject nor a pattern, or `start` is none.
            SubscribeError: If the server refuses for good.
            SubscribeTimeoutError: If there is no answer within `timeout_s`. It says why, if that is known.
            ClosedError: If the client is closed.
        """
        subjects.check(subject)
        if timeout_s is not None:
            timeout_s = to_timeout(timeout_s)
        interest = Interest(subject, to_start("latest" if start is None else start))
        loop = self._loop()
        subscription = self._subscriptions[interest] = Subscription(self, interest)
        answered = self._asked[interest] = loop.create_future()
        self._input(self._session.subscribe, interest)
        try:
            async with asyncio.timeout(timeout_s) as limit:
                await self._answer(answered)
        except TimeoutError:
            self.end_subscription(subscription)
            if not limit.expired():
                raise
            why = f"no connection: {self.reason}" if self.reason else subscription.waits_for
            reason = f"no answer within {timeout_s:g} s{f'; {why}' if why else ''}"
            raise SubscribeTimeoutError(f"subscribe to {subject}", None, "", reason) from None
        except BaseException:
            self.end_subscription(subscription)
            raise
        finally:
            del self._asked[interest]
        if callback is not None:
            self._spawn(subscription.call_for_each(callback))
        return subscription

    async def publish(
        self,
        subject: str,
        *,
        json: Any = NOT_GIVEN,
        json_text: str | None = None,
        text: str | None = None,
        data: bytes | None = None,
        tombstone: bool = False,
        headers: HeaderValues | None = None,
        timeout_s: float = PUBLISH_TIMEOUT_S,
    ) -> Published:
        """Publish a message; returns when Kafka has acknowledged it.

        The value is one of `json` (anything that JSON can say), `json_text` (JSON as it is), `text`, `data`, or
        `tombstone=True`, which deletes the subject's latest value. Failures that may pass are retried, also over
        reconnects, until `timeout_s` is over; a retry never makes a duplicate. A task that is cancelled while it
        waits may have published. Calls made one after another reach Kafka in that order, unless one fails.

        Raises:
            SubjectError, TypeError, ValueError: If the arguments cannot be sent.
            PublishError: If the server refuses for good, or the time is over.
            ClosedError: If the client is closed.
        """
        subjects.to_key(subject)
        value, pairs = to_value(json, json_text, text, data, tombstone), to_headers(headers)
        loop, timeout_s = self._loop(), to_timeout(timeout_s)
        item = Outgoing(subject, value, pairs, loop.time() + timeout_s)
        done = self._publishing[item] = loop.create_future()
        self._input(self._session.publish, item)
        return await self._answer(done)

    # What the connection says (connection.ConnectionOwner).

    def connection_opened(self, connection: WebSocketConnection) -> None:
        if connection is self._connection:
            self._input(self._session.opened)

    def connection_received(self, connection: WebSocketConnection, data: str | bytes) -> None:
        if connection is self._connection:
            self._input(self._session.receive, data)

    def connection_lost(self, connection: WebSocketConnection, code: int | None, reason: str) -> None:
        if connection is self._connection:
            self._connection = None
            self._input(self._session.lost, code, reason)

    async def until_readable(self) -> None:
        if not self._must_hold():
            return
        self._input(self._session.reading, False)
        while self._must_hold():
            self._room.clear()
            await self._room.wait()
        self._input(self._session.reading, True)

    def _must_hold(self) -> bool:
        # An application that awaits an answer may be unable to take messages until it has come.
        return bool(self._full) and not self._asked and not self._publishing

    # What subscriptions say (subscription.SubscriptionOwner).

    def end_subscription(self, subscription: Subscription) -> None:
        """By the application: nothing more comes of it."""
        if subscription.interest in self._subscriptions:
            self._remove(subscription, None, forget=True)
            self._input(self._session.unsubscribe, subscription.interest)

    def took_from(self, subscription: Subscription) -> None:
        """The application has taken something; room enough is half the queue, so that not every message switches."""
        if subscription in self._full and subscription.waiting <= self._queue_max // 2:
            self._full.discard(subscription)
            self._room.set()
            self._input(self._session.resume, subscription.interest)

    def tell(self, status: Status) -> None:
        """Tell the application."""
        if self._on_status is not None:
            try:
                self._on_status(status)
            except Exception:
                logger.exception("on_status failed for: %s", status)

    # The session's inputs and outputs.

    def _input(self, method: Callable[[float, *Args], object], *args: *Args) -> None:
        assert self._running is not None
        method(self._running.time(), *args)
        for output in self._session.take():
            self._perform(output)
        deadline = self._session.deadline
        if deadline is not None and (self._timer is None or deadline < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._running.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._input(self._session.tick)

    def _compare_clocks(self) -> None:
        assert self._running is not None
        self._input(self._session.clocks, time.time())
        self._clocks = self._running.call_later(CLOCKS_EVERY_S, self._compare_clocks)

    def _perform(self, output: outputs.Output) -> None:
        match output:
            case outputs.Send(data):
                if self._connection is not None:
                    self._connection.send(data)
            case outputs.Connect(server):
                connection = WebSocketConnection(
                    self, server, self._encoding.subprotocol, self._message_bytes_max, self._connect_options
                )
                self._connection = connection
                self._connections = {old for old in self._connections if not old.is_finished} | {connection}
            case outputs.Disconnect(at_once):
                if self._connection is not None:
                    self._connection.drop(at_once)
                    self._connection = None
            case _:
                self._handle(output)

    def _handle(self, event: Event) -> None:
        match event:
            case events.PublishDone(item, log, at):
                self._resolve(self._publishing.pop(item, None), Published(log, at))
            case events.PublishFailed(item, code, name, reason, outcome_unknown):
                what = f"publish to {item.subject}"
                error = PublishError(what, code, name, reason, outcome_unknown=outcome_unknown)
                self._resolve(self._publishing.pop(item, None), error)
            case events.TokenNeeded(code, reason):
                self.tell(event)
                if self._get_token is None:
                    asyncio.get_running_loop().call_soon(self._input, self._session.close, code, reason)
                else:
                    self._spawn(self._renew_token(self._get_token))
            case events.TokenExpiring():
                self.tell(event)
                if self._get_token is not None:
                    self._spawn(self._renew_token(self._get_token))
            case events.Closed(code, reason):
                self._handle_closed(ClosedError(code, reason))
                self.tell(event)
            case events.Connected() | events.Reconnecting() | events.Moving():
                self.tell(event)
            case _:
                self._handle_subscription(event)

    def _handle_subscription(self, event: SubscriptionEvent) -> None:
        subscription = self._subscriptions.get(event.interest)
        if subscription is None:
            return
        subscription.put(event)
        if isinstance(event, events.Subscribed | events.Resumed):
            self._resolve(self._asked.get(event.interest), None)
        elif isinstance(event, events.Refused):
            error = SubscribeError(f"subscribe to {event.interest.subject}", event.code, event.name, event.reason)
            self._resolve(self._asked.get(event.interest), error)
            self._remove(subscription, error)
        elif subscription.waiting >= self._queue_max:
            self._full.add(subscription)
            if subscription.waiting >= self._queue_max * SUSPEND_FACTOR and not event.interest.suspended:
                self._input(self._session.suspend, event.interest)

    def _handle_closed(self, error: ClosedError) -> None:
        self._closed = error
        for answered in self._asked.values():
            self._resolve(answered, error)
        for subscription in list(self._subscriptions.values()):
            self._remove(subscription, error if error.code is not None else None)

    def _remove(self, subscription: Subscription, error: WhimbrelError | None, *, forget: bool = False) -> None:
        del self._subscriptions[subscription.interest]
        self._full.discard(subscription)
        self._room.set()
        subscription.end(error, forget=forget)

    async def _answer(self, future: asyncio.Future[T]) -> T:
        """Wait for an answer; while someone does, reading goes on."""
        self._room.set()
        return await future

    def _resolve(self, future: asyncio.Future[T] | None, result: T | Exception) -> None:
        if future is None or future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
            future.exception()  # who gave up waiting has not to be reproached for it by asyncio
        else:
            future.set_result(result)

    def _loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the client runs on, if it does."""
        if self._running is None:
            raise RuntimeError(
                "the client is not started: use `async with Client(...) as client`, or `await client.start()` and, at "
                "the end, `await client.close()`"
            )
        if self._closed is not None:
            raise self._closed
        return self._running

    async def _renew_token(self, source: Callable[[], str | Awaitable[str]]) -> None:
        try:
            token = await self._new_token(source)
        except Exception as error:
            logger.exception("get_token failed")
            self._input(self._session.token_failed, str(error))
        else:
            self._input(self._session.set_token, token)

    async def _new_token(self, source: Callable[[], str | Awaitable[str]]) -> str:
        token = source()
        if inspect.isawaitable(token):
            token = await token
        if not isinstance(token, str):
            raise TypeError(f"get_token is to give a string, and gave {token!r}")
        return token

    def _spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
