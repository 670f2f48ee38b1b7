"""Users of the SDK while a node dies: what they publish, what they get, and how long anything took.

One client publishes and one subscribes at each node; all know all nodes, and the SDK takes them elsewhere when theirs
is gone. Each key of a publisher waits for the answer before its next publish, so that the order in which they are
received is known: 1, 2, 3, ... for each subscriber, without a hole and without a repeat.

Not here: who dies (mesh_scenarios.py), load by the thousand (fleet.py, publisher.py).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

import msgspec

from loadtest.fleet import now_us
from loadtest.process import Failed
from loadtest.subscriber import Value
from whimbrel import Client, Message, Now, PublishError

KEYS = 8
"""Of each publisher."""
PAUSE_S = 0.05
WAIT_S = 15.0
"""How long subscribing, and the last messages, may take."""

_decode = msgspec.json.Decoder(Value).decode


class Follower:
    """What one subscriber got of a topic whose keys count on from message to message. A core."""

    def __init__(self, before: int | None = None) -> None:
        """Begin. `before`: the number before the first of each key; None: begin with any."""
        self._before = before
        self.last: dict[str, int] = {}
        """By subject."""
        self.count = 0
        self.missing = 0
        self.repeated = 0
        self.longest_us = 0
        """That a message took."""

    def got(self, now: int, subject: str, value: Value) -> None:
        """The next message."""
        last = self.last.get(subject, self._before)
        if last is not None and value.n <= last:
            self.repeated += 1
            return
        if last is not None:
            self.missing += value.n - last - 1
        self.last[subject] = value.n
        self.count += 1
        self.longest_us = max(self.longest_us, now - value.t)


class Outcome(msgspec.Struct):
    """Of one run. Times in milliseconds, of the clients of each node in turn."""

    published: int
    publish_ms: list[float]
    """The longest that a publish took from its first sending until it was acknowledged."""
    received: list[int]
    """From the mesh."""
    kafka_ms: list[float]
    """The longest that a record took from when it was due to be produced."""
    records: list[int]
    """From Kafka."""
    missing: int
    repeated: int


class Users:
    """Commands for `process.serve`."""

    def __init__(self, urls: list[str], namespace: str, topic: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._urls = urls
        self._namespace = namespace
        self._topic = topic
        self._run = 0
        """Each run has keys of its own."""
        self._clients: list[Client] = []

    def idle(self, timeout_s: float) -> None:
        """Let the clients do what they do."""
        self._loop.run_until_complete(asyncio.sleep(timeout_s))

    def prepare(self) -> None:
        """Connect and subscribe.

        Raises:
            Failed: That was not possible.
        """
        self._loop.run_until_complete(self._prepare())
        gc.collect()
        gc.freeze()  # a collection would look like a stall

    def run(self, seconds: float) -> None:
        """Publish for so long.

        Raises:
            Failed: A publish was refused.
        """
        self._loop.run_until_complete(self._publish(seconds))

    def outcome(self, records: int) -> Outcome:
        """Wait for the last messages, `records` of them from Kafka for each subscriber; then disconnect."""
        return self._loop.run_until_complete(self._outcome(records))

    async def _prepare(self) -> None:
        self._run += 1
        count = len(self._urls)
        orders = [self._urls[index:] + self._urls[:index] for index in range(count)]
        self._clients = [Client(order) for order in orders + orders]
        self._mesh, self._kafka = [Follower(0) for _ in orders], [Follower() for _ in orders]
        self._acknowledged: dict[str, int] = {}
        self._longest = [0.0] * count
        try:
            async with asyncio.timeout(WAIT_S):
                for client in self._clients:
                    await client.start()
                for client, mesh, kafka in zip(self._clients, self._mesh, self._kafka, strict=False):
                    await client.subscribe(f"/{self._namespace}/r{self._run}/*", _into(mesh), Now())
                    await client.subscribe(f"/{self._topic}/*", _into(kafka), Now())
        except TimeoutError:
            raise Failed(f"no subscription within {WAIT_S} s") from None

    async def _publish(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        publishers = enumerate(self._clients[len(self._urls) :])
        try:
            await asyncio.gather(
                *(self._one_by_one(index, client, key, until) for index, client in publishers for key in range(KEYS))
            )
        except PublishError as error:
            raise Failed(f"a publish was refused: {error}") from None

    async def _one_by_one(self, index: int, client: Client, key: int, until: float) -> None:
        subject = f"/{self._namespace}/r{self._run}/{index}-{key}"
        while (began := time.monotonic()) < until:
            n = self._acknowledged.get(subject, 0) + 1
            await client.publish(subject, json={"t": now_us(), "n": n})
            self._acknowledged[subject] = n
            self._longest[index] = max(self._longest[index], time.monotonic() - began)
            await asyncio.sleep(PAUSE_S)

    async def _outcome(self, records: int) -> Outcome:
        mesh, kafka, published = self._mesh, self._kafka, sum(self._acknowledged.values())
        until = time.monotonic() + WAIT_S
        while (
            min(one.count for one in mesh) < published or min(one.count for one in kafka) < records
        ) and time.monotonic() < until:
            await asyncio.sleep(0.02)
        for client in self._clients:
            await client.close()
        return Outcome(
            published=published,
            publish_ms=[each * 1000 for each in self._longest],
            received=[one.count for one in mesh],
            kafka_ms=[one.longest_us / 1000 for one in kafka],
            records=[one.count for one in kafka],
            missing=sum(one.missing for one in mesh + kafka),
            repeated=sum(one.repeated for one in mesh + kafka),
        )


def _into(follower: Follower) -> Callable[[Message], None]:
    def take(message: Message) -> None:
        follower.got(now_us(), message.subject, _decode(message.value or b"null"))

    return take
