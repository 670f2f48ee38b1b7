"""Users of the Python SDK that write down what they are given, and clients that publish.

What the application gets is taken from the public interface. Only where a subscription began is not told there: that
is looked up where the session says it.

Not here: the client that is written from the protocol (rawclient.py).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from random import Random
from typing import Any

from tests.support.checker import Fresh, Gapped, Got, Live, Outcome, Seen
from whimbrel import BlockingClient, Client, PublishError, Resume, events
from whimbrel.message import Message
from whimbrel.start import Place, Start


class _Notes:
    """Turns one subscription's messages and statuses into what the checker reads."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.place: Place = {}
        self.missing: list[str] = []
        self._waiting: tuple[str, ...] | None = None
        self._begun: deque[Fresh] = deque()
        self._is_answered = False

    def tap(self, client: Client) -> None:
        """Learn from the session of a new client where fresh subscriptions begin."""
        self._begun.clear()
        self._waiting = None
        inner = client._handle_subscription

        def handle(event: events.SubscriptionEvent) -> None:
            if self._begins(event):
                assert isinstance(event, events.Subscribed | events.Resumed)
                self._is_answered = True
                self._waiting = event.waiting
            elif isinstance(event, events.PlaceMoved) and self._waiting is not None:
                at = {log: begin for log, begin in event.place.items() if begin is not None}
                self._begun.append(Fresh(at, self._waiting))
                self._waiting = None
            inner(event)

        client._handle_subscription = handle  # type: ignore[method-assign]

    def _begins(self, event: events.SubscriptionEvent) -> bool:
        """A new subscription that begins with a gap is answered by that."""
        return isinstance(event, events.Subscribed) or (isinstance(event, events.Resumed) and not self._is_answered)

    def status(self, status: events.Status, place: Place) -> None:
        match status:
            case events.Subscribed() | events.Resumed() if self._begun:
                self.seen.noted.append(self._begun.popleft())
            case events.Live(_, logs):
                self.seen.noted.append(Live({log: at for log in logs if (at := place[log]) is not None}))
            case events.Gap(_, log, start, end, why):
                self.seen.noted.append(Gapped(log, start, end, why, time.time()))
            case events.Missing():
                self.missing.append(f"{self.seen.name}: {status}")
            case events.Refused() | events.Closed():
                if "by the application" not in str(status):
                    self.missing.append(f"{self.seen.name}: {status}")

    def message(self, message: Message) -> None:
        self.seen.noted.append(
            Got(
                message.subject,
                message.log,
                message.at,
                message.prev,
                message.value,
                tuple(message.headers),
                message.time,
                message.snapshot,
            )
        )


class SdkSubscriber:
    """On asyncio. `stay_s`: a new client goes on from the place of the last one, about every so often."""

    def __init__(
        self,
        seen: Seen,
        url: str,
        start: Start,
        seed: int,
        encoding: str = "json",
        slow_s: float = 0.0,
        stay_s: float = 0.0,
    ) -> None:
        self.notes = _Notes(seen)
        self.seen = seen
        self.url = url
        self.start = start
        self.encoding = encoding
        self.slow_s = slow_s
        self.stay_s = stay_s
        self.stopping = False
        self.repeated = 0
        self._rng = Random(seed)
        self._subscription: Any = None
        self._place: Place = {}

    @property
    def complaints(self) -> list[str]:
        return self.notes.missing

    async def run(self) -> None:
        while not self.stopping:
            stay_s = self._rng.uniform(0.3, 1.7) * self.stay_s if self.stay_s else 1e9
            task = asyncio.create_task(self._one_client())
            until = time.monotonic() + stay_s
            while not self.stopping and not task.done() and time.monotonic() < until:
                await asyncio.sleep(0.02)
            if not task.done():
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _one_client(self) -> None:
        start = Resume(self._place) if self._place else self.start
        options: dict[str, Any] = {"queue_max": 50} if self.slow_s else {}
        client = Client(self.url, encoding=self.encoding, on_status=self._status, **options)
        self.notes.tap(client)
        async with client:
            try:
                self._subscription = await client.subscribe(self.seen.subject, start=start)
                async for message in self._subscription:
                    self.notes.message(message)
                    if self.slow_s and self._rng.random() < 0.003:
                        await asyncio.sleep(self._rng.uniform(0.5, 1.5) * self.slow_s)
            finally:
                self.repeated += client.stats.repeated
                if self._subscription is not None:
                    self._place = self._subscription.place or self._place

    def _status(self, status: events.Status) -> None:
        self.notes.status(status, self._subscription.place if self._subscription is not None else {})


class BlockingSubscriber(threading.Thread):
    """In threads, without asyncio."""

    def __init__(self, seen: Seen, url: str, start: Start, encoding: str = "json") -> None:
        super().__init__(name=seen.name, daemon=True)
        self.notes = _Notes(seen)
        self.seen = seen
        self._begin = start
        self._client = BlockingClient(url, encoding=encoding, on_status=self._status)
        self.notes.tap(self._client._client)
        self._subscription: Any = None

    @property
    def complaints(self) -> list[str]:
        return self.notes.missing

    @property
    def repeated(self) -> int:
        return self._client.stats.repeated

    def run(self) -> None:
        with self._client:
            self._subscription = self._client.subscribe(self.seen.subject, start=self._begin)
            for message in self._subscription:
                self.notes.message(message)

    def _status(self, status: events.Status) -> None:
        self.notes.status(status, self._subscription.place if self._subscription is not None else {})

    def stop(self) -> None:
        self._client.close()
        self.join(10)


class SdkPublisher:
    """Publishes one message after another, retrying as the SDK does."""

    def __init__(
        self, name: str, url: str, subject: str, seed: int, encoding: str = "json", pause_s: float = 0.05
    ) -> None:
        self.name = name
        self.outcomes: list[Outcome] = []
        self.failures: list[str] = []
        self.stopping = False
        self._url = url
        self._subject = subject
        self._encoding = encoding
        self._pause_s = pause_s
        self._rng = Random(seed)

    @property
    def complaints(self) -> list[str]:
        """Only what no fault of the network or Kafka explains."""
        return [text for text in self.failures if "4010" not in text and "4012" not in text and "in time" not in text]

    async def run(self) -> None:
        async with Client(self._url, encoding=self._encoding) as client:
            number = 0
            while not self.stopping:
                number += 1
                await self._publish(client, number)
                await asyncio.sleep(self._rng.uniform(0, 2 * self._pause_s))

    async def _publish(self, client: Client, number: int) -> None:
        text = f"{self.name} {number}"
        sent_at = time.time()
        try:
            done = await client.publish(self._subject, text=text, timeout_s=8)
        except PublishError as error:
            self.failures.append(str(error))
            done = None
        publisher = client._session.publisher
        log, at = (None, None) if done is None else done
        self.outcomes.append(Outcome(publisher, number, self._subject, text.encode(), log, at, sent_at, time.time()))
