"""Clients that subscribe and publish while something is done to the nodes, and what became of their messages.

Every client subscribes to one subject and publishes into it; several share one. All are the SDK's, on one event loop in
a thread of its own.

Not here: what is done to the nodes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence

from whimbrel import Client, WhimbrelError

BEGIN_S = 60.0
SETTLE_S = 60.0


class Load:
    """The clients. A context manager: within it they publish; after it `problems` has the verdict."""

    def __init__(self, servers: Sequence[str], subjects: Sequence[str], clients: int, per_second: float) -> None:
        """Prepare.

        Args:
            servers: Addresses of all nodes: each client begins at another.
            per_second: Messages that all clients together publish.
        """
        self._servers = list(servers)
        self._subjects = [subjects[number % len(subjects)] for number in range(clients)]
        self._every_s = clients / per_second
        self._acknowledged: dict[str, set[str]] = defaultdict(set)
        self._received: list[list[str]] = [[] for _ in range(clients)]
        self._begun = threading.Barrier(2)
        self._over = asyncio.Event()
        self._publishing = clients
        """Those that have not had the answer to their last publish: until then nobody has everything."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()), daemon=True)
        self.unanswered = 0
        """Publishes that failed, so that nobody knows whether they are there."""
        self.pauses_s = [0.0] * clients
        """By client: the longest time from a publish to its acknowledgement, or to its arrival here."""

    def __enter__(self) -> Load:
        self._thread.start()
        self._begun.wait(BEGIN_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(SETTLE_S * 2)
        assert not self._thread.is_alive()

    @property
    def acknowledged(self) -> int:
        """How many publishes were."""
        return sum(map(len, self._acknowledged.values()))

    def problems(self) -> list[str]:
        """What was lost, repeated or out of order, client by client."""
        found = []
        for number, (subject, received) in enumerate(zip(self._subjects, self._received, strict=True)):
            if lost := self._acknowledged[subject] - {*received}:
                found.append(f"client {number} lost {sorted(lost)[:5]} ({len(lost)}) of {subject}")
            if repeated := [text for text, count in Counter(received).items() if count > 1]:
                found.append(f"client {number} had {repeated[:5]} ({len(repeated)}) of {subject} repeated")
            last: dict[str, int] = {}
            for text in received:
                publisher, sequence, _ = text.split()
                if int(sequence) < last.get(publisher, -1):
                    found.append(f"client {number} had {text} out of order")
                last[publisher] = int(sequence)
        return found

    async def _run(self) -> None:
        ready = [asyncio.Event() for _ in self._subjects]
        tasks = [asyncio.create_task(self._client(number, event)) for number, event in enumerate(ready)]
        for event in ready:
            await event.wait()
        await asyncio.to_thread(self._begun.wait, BEGIN_S)
        await asyncio.gather(*tasks)

    async def _client(self, number: int, ready: asyncio.Event) -> None:
        first = number % len(self._servers)
        subject = self._subjects[number]
        async with Client(self._servers[first:] + self._servers[:first]) as client:
            subscription = await client.subscribe(subject)
            receiving = asyncio.create_task(self._receive(number, subscription))
            ready.set()
            await self._publish(number, client, subject)
            self._publishing -= 1
            with_all = asyncio.get_running_loop().time() + SETTLE_S
            while self._publishing or self._acknowledged[subject] - {*self._received[number]}:
                if asyncio.get_running_loop().time() > with_all:
                    break  # `problems` tells
                await asyncio.sleep(0.1)
            receiving.cancel()

    async def _publish(self, number: int, client: Client, subject: str) -> None:
        sequence = 0
        await asyncio.sleep(self._every_s * number / len(self._subjects))
        while not self._over.is_set():
            begun = time.monotonic()
            text = f"{number} {sequence} {begun}"
            try:
                await client.publish(subject, text=text)
                self._acknowledged[subject].add(text)
            except WhimbrelError:
                self.unanswered += 1
            self._note(number, begun)
            sequence += 1
            await asyncio.sleep(max(0.0, begun + self._every_s - time.monotonic()))

    async def _receive(self, number: int, subscription: object) -> None:
        async for message in subscription:  # type: ignore[attr-defined]
            self._received[number].append(message.text)
            self._note(number, float(message.text.split()[2]))

    def _note(self, number: int, begun: float) -> None:
        self.pauses_s[number] = max(self.pauses_s[number], time.monotonic() - begun)
