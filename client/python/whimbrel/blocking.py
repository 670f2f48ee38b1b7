"""The blocking client: an asyncio client in a thread of its own, for ordinary code. Safe to use from many threads."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from whimbrel.client import Client, Published, State
from whimbrel.errors import ClosedError, WhimbrelError
from whimbrel.events import Status, SubscriptionEvent
from whimbrel.interest import Interest
from whimbrel.message import Message
from whimbrel.reader import Reader
from whimbrel.start import Place, StartOrName
from whimbrel.subscription import Callback, Subscription
from whimbrel.subscriptions import Stats

T = TypeVar("T")

logger = logging.getLogger("whimbrel")


class BlockingSubscription:
    """One subscription: an iterator of messages, for one thread. It ends and raises as `Subscription` does."""

    def __init__(self, client: BlockingClient, subscription: Subscription) -> None:
        self._client = client
        self._subscription = subscription
        self._reader = Reader()
        self._events: deque[SubscriptionEvent] = deque()

    @property
    def interest(self) -> Interest:
        """Names the subscription in statuses."""
        return self._subscription.interest

    @property
    def subject(self) -> str:
        """What is subscribed to."""
        return self._subscription.subject

    @property
    def place(self) -> Place:
        """Everything up to here has been taken by the application. Keep it, and `Resume(place)` later."""
        return dict(self._reader.place)

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        message = self._next(None)
        if message is None:
            raise StopIteration
        return message

    def get(self, timeout_s: float | None = None) -> Message | None:
        """The next message; None when the subscription is over.

        Raises:
            TimeoutError: If none comes in time.
        """
        return self._next(timeout_s)

    def unsubscribe(self) -> None:
        """End it; what is queued is thrown away."""
        self._events.clear()
        self._client.run(self._subscription.unsubscribe)

    def _next(self, timeout_s: float | None) -> Message | None:
        while True:
            while self._events:
                taken = self._reader.take(self._events.popleft())
                if isinstance(taken, Message):
                    return taken
                if taken is not None:
                    self._client.tell(taken)
            try:
                more = self._client.run(_within, timeout_s, self._subscription.next_events)
            except ClosedError as closed:
                if closed.code is not None:
                    raise
                return None
            if not more:
                return None
            self._events.extend(more)

    def _call_for_each(self, callback: Callback) -> None:
        try:
            for message in self:
                try:
                    callback(message)
                except Exception:
                    logger.exception("the callback of %s failed at %s %s", self.subject, message.log, message.at)
        except WhimbrelError as error:
            logger.error("the subscription to %s is over: %s", self.subject, error)


class BlockingClient:
    """A client for code without asyncio. Use it as a context manager.

    Takes the same arguments as `Client`. `on_status` is called in the client's thread for the connection, and in the
    thread that takes its messages for a subscription.
    """

    def __init__(self, servers: str | Iterable[str], **options: Any) -> None:
        self._client = Client(servers, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="whimbrel", daemon=True)
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._runs = False

    def __enter__(self) -> BlockingClient:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def stats(self) -> Stats:
        """Messages received, repeated (and dropped), and found missing (and asked for again)."""
        return self._client.stats

    @property
    def state(self) -> State:
        """As `Client.state`."""
        return self._client.state

    @property
    def reason(self) -> str:
        """As `Client.reason`."""
        return self._client.reason

    def start(self) -> None:
        """Begin to connect; does not wait for the connection. `with` does it, and `close` at the end.

        A client that is started already stays as it is.

        Raises:
            ClosedError: If it is closed already.
            Exception: What `get_token` raises.
        """
        if self._runs:
            return
        if self._thread.ident is not None:
            raise ClosedError(None, "by the application")
        self._thread.start()
        self._runs = True
        try:
            self.run(self._client.start)
        except BaseException:
            self._stop()
            raise

    def close(self) -> None:
        """Close the connection. Publishes that are not answered raise PublishError, iterations end."""
        with self._closing:  # the end of an iteration in one thread may be what close in another has brought about
            if self._runs:
                self.run(self._client.close)
                self._stop()

    def wake(self) -> None:
        """Look at the connection now: end the pause before the next attempt, or ask the server for a sign of life."""
        with self._closing:
            if self._runs:
                self.run(self._wake)

    async def _wake(self) -> None:
        self._client.wake()

    def subscribe(
        self,
        subject: str,
        callback: Callback | None = None,
        *,
        start: StartOrName | None = None,
        timeout_s: float | None = None,
    ) -> BlockingSubscription:
        """As `Client.subscribe`; `callback` is called in a thread of its own."""
        subscribed = self.run(partial(self._client.subscribe, subject, start=start, timeout_s=timeout_s))
        subscription = BlockingSubscription(self, subscribed)
        if callback is not None:
            name = f"whimbrel {subject}"
            threading.Thread(target=subscription._call_for_each, args=(callback,), name=name, daemon=True).start()
        return subscription

    def publish(self, subject: str, **message: Any) -> Published:
        """As `Client.publish`."""
        return self.run(partial(self._client.publish, subject, **message))

    # For subscriptions.

    def tell(self, status: Status) -> None:
        """Tell the application."""
        self._client.tell(status)

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run it in the client's thread, and wait for what it returns or raises."""
        with self._lock:
            if not self._runs:
                if self._thread.ident is not None:
                    raise ClosedError(None, "by the application")
                raise RuntimeError(
                    "the client is not started: use `with BlockingClient(...) as client`, or `client.start()` and, at "
                    "the end, `client.close()`"
                )
            running = asyncio.run_coroutine_threadsafe(function(*args), self._loop)
        try:
            return running.result()
        except BaseException:  # a KeyboardInterrupt must not leave it waiting
            running.cancel()
            raise

    def _stop(self) -> None:
        with self._lock:
            self._runs = False
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(_finish_tasks())
        self._loop.close()


async def _within(timeout_s: float | None, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    return await asyncio.wait_for(function(*args), timeout_s)


async def _finish_tasks() -> None:
    """What other threads asked for just before the loop stopped: with the client closed it ends at once."""
    await asyncio.sleep(0)
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
