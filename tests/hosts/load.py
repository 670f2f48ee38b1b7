"""Clients that subscribe and publish while something is done to the nodes, and what became of their messages.

Every client subscribes to one subject and publishes into it; several share one. Each is the SDK's session with gevent's
sockets (loadtest/swarm/client.py), all in one thread: so one process carries thousands, and pauses are the
cluster's.

Not here: what is done to the nodes.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import gevent
from gevent.event import Event
from gevent.pool import Pool

from loadtest.swarm.chain import Chain
from loadtest.swarm.client import GeventClient
from whimbrel import events

CONNECTING = 64
"""How many connect at the same time before it begins."""
SUBSCRIBE_S = 30.0
BEGIN_S = 120.0
SETTLE_S = 60.0
POLL_S = 0.1

_thread = ThreadPoolExecutor(1, "load")
"""Whose loop carries the clients' sockets: the same for all loads of this process."""


class Load:
    """The clients. A context manager: within it they publish; after it `problems` has the verdict."""

    def __init__(self, servers: Sequence[str], subjects: Sequence[str], clients: int, per_second: float) -> None:
        """Prepare.

        Args:
            servers: Addresses of all nodes: each client begins at another.
            per_second: Messages that all clients together publish.
        """
        self._servers = list(servers)
        self._every_s = clients / per_second
        self._clients = [_Client(number, subjects[number % len(subjects)]) for number in range(clients)]
        self._begun, self._over = threading.Event(), threading.Event()
        self._running: Future[None] | None = None

    def __enter__(self) -> Load:
        self._running = _thread.submit(self._run)
        assert self._begun.wait(BEGIN_S), "the clients could not subscribe"
        if self._running.done():
            self._running.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._running is not None
        self._running.result(SETTLE_S * 2)

    @property
    def acknowledged(self) -> int:
        """How many publishes were."""
        return sum(len(client.acknowledged) for client in self._clients)

    @property
    def unanswered(self) -> int:
        """Publishes that failed, so that nobody knows whether they are there."""
        return sum(client.unanswered for client in self._clients)

    @property
    def pauses_s(self) -> list[float]:
        """By client: the longest time from a publish to its acknowledgement, or to its arrival there."""
        return [client.pause_s for client in self._clients]

    def problems(self) -> list[str]:
        """What was lost, repeated or out of order, client by client."""
        acknowledged = self._acknowledged()
        return [problem for client in self._clients for problem in client.problems(acknowledged[client.subject])]

    def _acknowledged(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for client in self._clients:
            found[client.subject].update(client.acknowledged)
        return found

    def _run(self) -> None:
        connecting = Pool(CONNECTING)
        try:
            gevent.joinall([connecting.spawn(client.join, self._servers) for client in self._clients], raise_error=True)
        finally:
            self._begun.set()
        over = Event()
        publishing = [gevent.spawn(client.publish, over, self._every_s, len(self._clients)) for client in self._clients]
        while not self._over.is_set():
            gevent.sleep(POLL_S)
        over.set()
        gevent.joinall(publishing)
        acknowledged = self._acknowledged()
        with gevent.Timeout(SETTLE_S, False):  # `problems` tells
            while any(acknowledged[client.subject] - {*client.received} for client in self._clients):
                gevent.sleep(POLL_S)
        for client in self._clients:
            client.leave()


class _Client:
    """One of them, and what it has seen."""

    def __init__(self, number: int, subject: str) -> None:
        self.subject = subject
        self.acknowledged: list[str] = []
        self.received: list[str] = []
        self.unanswered = 0
        self.pause_s = 0.0
        self._number = number
        self._client: GeventClient | None = None
        self._chain = Chain()
        self._faults: Counter[str] = Counter()
        """What the messages' chain, or the session, said."""

    def join(self, servers: Sequence[str]) -> None:
        """Connect, and subscribe."""
        first = self._number % len(servers)
        self._client = GeventClient((*servers[first:], *servers[:first]), self._event)
        self._client.start()
        self._client.subscribe(self.subject, timeout_s=SUBSCRIBE_S)

    def publish(self, over: Event, every_s: float, clients: int) -> None:
        """Publish until it is over; the clients begin one after the other."""
        assert self._client is not None
        sequence = 0
        over.wait(every_s * self._number / clients)
        while not over.is_set():
            begun = time.monotonic()
            try:
                self._client.publish(self.subject, [self._number, sequence, begun])
            except RuntimeError:
                self.unanswered += 1
            else:
                self.acknowledged.append(f"{self._number} {sequence}")
            self._note(time.monotonic(), begun)
            sequence += 1
            over.wait(max(0.0, begun + every_s - time.monotonic()))

    def leave(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()

    def problems(self, acknowledged: set[str]) -> list[str]:
        """What is wrong with what it received, of all that was acknowledged of its subject."""
        who, found = f"client {self._number} of {self.subject}", []
        if lost := acknowledged - {*self.received}:
            found.append(f"{who} lost {sorted(lost)[:5]} ({len(lost)})")
        if repeated := [text for text, count in Counter(self.received).items() if count > 1]:
            found.append(f"{who} had {repeated[:5]} ({len(repeated)}) repeated")
        last: dict[str, int] = {}
        for text in self.received:
            publisher, sequence = text.split()
            if int(sequence) < last.get(publisher, -1):
                found.append(f"{who} had {text} out of order")
            last[publisher] = int(sequence)
        return found + [f"{who}: {count} times {fault}" for fault, count in self._faults.items()]

    def _event(self, now: float, event: events.Event) -> None:
        match event:
            case events.Received(_, message):
                if fault := self._chain.take(message):
                    self._faults[fault.value] += 1
                publisher, sequence, begun = json.loads(message.value or b"")
                self.received.append(f"{publisher} {sequence}")
                self._note(now, begun)
            case events.Gap() | events.Missing() | events.Closed():
                if not isinstance(event, events.Closed) or event.code is not None:
                    self._faults[str(event)] += 1

    def _note(self, now: float, begun: float) -> None:
        self.pause_s = max(self.pause_s, now - begun)
