"""One subscription as an asyncio application sees it: a queue, and iteration over it.

Not here: when to stop filling the queue (client.py).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeAlias

from whimbrel.errors import WhimbrelError
from whimbrel.events import Status, SubscriptionEvent, Waiting
from whimbrel.interest import Interest
from whimbrel.message import Message
from whimbrel.reader import Reader
from whimbrel.start import Place

Callback: TypeAlias = Callable[[Message], object]

logger = logging.getLogger("whimbrel")


class SubscriptionOwner(Protocol):
    """The client, as its subscriptions need it."""

    def took_from(self, subscription: Subscription) -> None:
        """Its queue has become shorter."""

    def end_subscription(self, subscription: Subscription) -> None: ...

    def tell(self, status: Status) -> None: ...


class Subscription:
    """One subscription: an asynchronous iterator of messages.

    Iteration ends after `unsubscribe` or `Client.close`. It raises SubscribeError if the server refuses the
    subscription later on, ClosedError if the server tells the client not to come back.
    """

    def __init__(self, client: SubscriptionOwner, interest: Interest) -> None:
        self.interest = interest
        """Names the subscription in statuses."""
        self._client = client
        self._reader = Reader()
        self._queue: deque[SubscriptionEvent] = deque()
        self._changed = asyncio.Event()
        self.waits_for = ""
        """What the server waits for, when it has said so instead of an answer."""
        self._over = False
        self._error: WhimbrelError | None = None

    @property
    def subject(self) -> str:
        """What is subscribed to."""
        return self.interest.subject

    @property
    def place(self) -> Place:
        """Everything up to here has been taken by the application. Keep it, and `Resume(place)` later."""
        return dict(self._reader.place)

    async def unsubscribe(self) -> None:
        """End it; what is queued is thrown away."""
        self._client.end_subscription(self)

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        while True:
            while self._queue:
                event = self._queue.popleft()
                self._client.took_from(self)
                taken = self._reader.take(event)
                if isinstance(taken, Message):
                    return taken
                if taken is not None:
                    self._client.tell(taken)
            if not await self._has_more():
                raise StopAsyncIteration

    async def next_events(self) -> list[SubscriptionEvent]:
        """All that is queued, once there is something; empty when the subscription is over."""
        while not self._queue and await self._has_more():
            pass
        taken = list(self._queue)
        self._queue.clear()
        self._client.took_from(self)
        return taken

    async def _has_more(self) -> bool:
        """Wait for a change; whether anything may still come."""
        if self._over:
            if self._error is not None:
                raise self._error
            return False
        self._changed.clear()
        await self._changed.wait()
        return True

    async def call_for_each(self, callback: Callback) -> None:
        """Hand every message to the callback, until the subscription is over."""
        try:
            async for message in self:
                try:
                    result = callback(message)
                    if inspect.isawaitable(result):
                        await result
                except Exception:
                    logger.exception("the callback of %s failed at %s %s", self.subject, message.log, message.at)
        except WhimbrelError as error:
            logger.error("the subscription to %s is over: %s", self.subject, error)

    # For the client.

    @property
    def waiting(self) -> int:
        """Events that wait for the application."""
        return len(self._queue)

    def put(self, event: SubscriptionEvent) -> None:
        """Queue what has come."""
        self._queue.append(event)
        if isinstance(event, Waiting):
            self.waits_for = event.why
        self._changed.set()

    def end(self, error: WhimbrelError | None, *, forget: bool = False) -> None:
        """Nothing more will come: iteration ends, or raises the error, after what is queued unless `forget`."""
        if forget:
            self._queue.clear()
        self._over = True
        self._error = self._error or error
        self._changed.set()
