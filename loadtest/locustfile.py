"""Load from Locust users, each a client of the Python SDK that subscribes to a random key.

    locust -f loadtest/locustfile.py --headless -u 200 -r 50 -t 30s --host ws://127.0.0.1:8080 --topic bench

Reported as Locust requests, in milliseconds: `SUBSCRIBE` (connect until the server has answered), `PUBLISH` (until
acknowledged) and `RECEIVE` (from the publish to its receipt; for messages of others from Kafka's timestamp, which has
whole milliseconds and the producer's clock). A gap is a failed `RECEIVE`.

Locust has patched everything to be greenlets of one thread before it loads this file, and one thread can run only one
asyncio loop. So all users share a loop, which runs in a greenlet; that is why this is the SDK's asyncio client.

Not here: many thousands of clients (fleet.py).
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from argparse import Namespace
from collections.abc import Coroutine
from typing import Any, TypeVar

from locust import User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from loadtest.payload import key_name
from whimbrel import Client, Message, Status, WhimbrelError
from whimbrel.events import Gap

T = TypeVar("T")

SUBSCRIBE_TIMEOUT_S = 10


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--topic", default="bench", help="Kafka topic to subscribe to")
    parser.add_argument("--keys", type=int, default=1000, help="how many keys: k00000, k00001, ...")
    parser.add_argument("--publish", type=float, default=0.0, help="messages per second that each user publishes")


class Loop:
    """The asyncio loop of all users."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it, and wait without holding up other users."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


LOOP = Loop()


class WhimbrelUser(User):  # type: ignore[misc]
    """Subscribes for as long as it lives; publishes to the same key if asked to."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        options: Namespace = environment.parsed_options
        key = key_name(random.randrange(options.keys)).decode()
        self._subject = f"/{options.topic}/{key}"
        self._publish_per_s: float = options.publish
        self._client = Client(self.host or "ws://127.0.0.1:8080", on_status=self._status)

    def on_start(self) -> None:
        self._timed("SUBSCRIBE", self._connect())

    def on_stop(self) -> None:
        LOOP.run(self._client.close())

    def wait_time(self) -> float:
        return random.expovariate(self._publish_per_s) if self._publish_per_s else 1.0

    @task  # type: ignore[untyped-decorator]
    def publish(self) -> None:
        if self._publish_per_s:
            value = {"sent": time.time(), "pad": "x" * 400}
            self._timed("PUBLISH", self._client.publish(self._subject, json=value))

    async def _connect(self) -> None:
        await self._client.start()
        async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
            await self._client.subscribe(self._subject, self._received)

    def _received(self, message: Message) -> None:
        if message.snapshot or message.value is None:
            return
        value = message.json()
        sent = value.get("sent") if isinstance(value, dict) else None
        if sent is None and message.time is not None:
            sent = message.time / 1000
        if sent is not None:
            self._report("RECEIVE", (time.time() - sent) * 1000, len(message.value))

    def _status(self, status: Status) -> None:
        if isinstance(status, Gap):
            self._report("RECEIVE", 0, 0, RuntimeError(str(status)))

    def _timed(self, kind: str, coroutine: Coroutine[Any, Any, object]) -> None:
        began, failed = time.monotonic(), None
        try:
            LOOP.run(coroutine)
        except (WhimbrelError, TimeoutError) as error:
            failed = error
        self._report(kind, (time.monotonic() - began) * 1000, 0, failed)

    def _report(self, kind: str, ms: float, size: int, failed: BaseException | None = None) -> None:
        topic = self._subject.split("/")[1]
        self.environment.events.request.fire(
            request_type=kind, name=f"/{topic}", response_time=ms, response_length=size, exception=failed, context={}
        )
