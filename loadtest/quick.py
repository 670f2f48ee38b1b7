"""A quick load of somebody's own installation: clients that subscribe, one publisher, and what came when.

Each client is subscribed to a subject of its own, and the publisher takes them in turn; or all are subscribed to one
subject (`broadcast`). Clients use the SDK's session and count what is missing, repeated and out of order. All of it is
one process: above a few thousand messages per second it measures itself (see loadtest/README.md for larger loads).

Not here: arguments and text (node/commands/bench.py), users of Locust (loadtest/swarm/).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import gevent
import gevent.pool

from loadtest.swarm.chain import Chain
from loadtest.swarm.client import GeventClient
from loadtest.swarm.receipts import Receipts
from whimbrel import Message, events
from whimbrel.interest import Interest

SUBSCRIBE_TIMEOUT_S = 10.0
LAST_S = 5.0
"""How long the last messages may take."""
CONNECTING = 50
"""Clients that connect at a time."""
IN_FLIGHT_MAX = 1000
"""Publishes that may wait for their acknowledgements; beyond that the publisher falls behind its rate."""


@dataclass(slots=True)
class Load:
    """What to do."""

    servers: tuple[str, ...]
    topic: str
    clients: int
    rate: float
    """Messages published per second."""
    seconds: float
    broadcast: bool = False
    token: str | None = None


@dataclass(slots=True)
class Outcome:
    """What came of it. Times of `Receipts` are those of this process's clock."""

    connected: int = 0
    connecting_s: float = 0.0
    """From the first connection to the last subscription that was answered."""
    published: int = 0
    """Acknowledged."""
    expected: int = 0
    """Messages that clients should have received."""
    received: int = 0
    lasted_s: float = 0.0
    """From the first publish to the last message."""
    acknowledgements: Receipts = field(default_factory=Receipts)
    deliveries: Receipts = field(default_factory=Receipts)
    """From publish to receipt."""
    failures: Counter[str] = field(default_factory=Counter)
    """What went wrong, how often."""


class QuickLoad:
    """Runs one load. `run` returns when it is over or was interrupted."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._run = token_hex(4)
        self._chains: dict[Interest, Chain] = {}
        self._publishes_failed = False
        self._no_connection = ""
        """Why the last attempt to connect failed."""
        self._offset_us = time.time_ns() // 1000 - int(time.monotonic() * 1e6)
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Do it all.

        Raises:
            RuntimeError: No client could subscribe; with the first reason.
        """
        clients: list[GeventClient] = []
        try:
            self._subscribe_all(clients)
            if not self.outcome.connected:
                raise RuntimeError(next(iter(self.outcome.failures), "no client could subscribe"))
            self._publish_all()
            with gevent.Timeout(LAST_S, False):
                while self.outcome.received < self.outcome.expected:
                    gevent.sleep(0.02)
        except KeyboardInterrupt:
            pass
        finally:
            for client in clients:
                client.close()
        return self.outcome

    def _subject(self, number: int) -> str:
        return f"/{self._load.topic}/bench-{self._run}-{0 if self._load.broadcast else number}"

    def _client(self) -> GeventClient:
        return GeventClient(self._load.servers, self._event, self._load.token)

    def _subscribe_all(self, clients: list[GeventClient]) -> None:
        began = time.monotonic()
        pool = gevent.pool.Pool(CONNECTING)
        for number in range(self._load.clients):
            client = self._client()
            clients.append(client)
            pool.spawn(self._subscribe, client, self._subject(number))
        pool.join()
        self.outcome.connecting_s = time.monotonic() - began

    def _subscribe(self, client: GeventClient, subject: str) -> None:
        if self.outcome.failures and not self.outcome.connected:
            return  # it would fare no better
        client.start()
        try:
            client.subscribe(subject, "now", SUBSCRIBE_TIMEOUT_S)
        except gevent.Timeout:
            why = f"; {self._no_connection}" if self._no_connection else ""
            self.outcome.failures[f"subscribe: no answer within {SUBSCRIBE_TIMEOUT_S:g} s{why}"] += 1
        except RuntimeError as error:
            self.outcome.failures[f"subscribe: {error}"] += 1
        else:
            self.outcome.connected += 1

    def _publish_all(self) -> None:
        publisher = self._client()
        publisher.start()
        pool = gevent.pool.Pool(IN_FLIGHT_MAX)
        began = time.monotonic()
        count = max(round(self._load.rate * self._load.seconds), 1)
        try:
            for number in range(count):
                gevent.sleep(max(began + number / self._load.rate - time.monotonic(), 0))
                if self._publishes_failed and not self.outcome.published:
                    break  # the others would fare no better
                pool.spawn(self._publish, publisher, self._subject(number % self._load.clients))
            pool.join()
        finally:
            publisher.close()
            self.outcome.lasted_s = time.monotonic() - began

    def _publish(self, publisher: GeventClient, subject: str) -> None:
        began = time.monotonic()
        try:
            publisher.publish(subject, {"t": int(began * 1e6) + self._offset_us, "run": self._run})
        except RuntimeError as error:
            self._publishes_failed = True
            self.outcome.failures[f"publish: {error}"] += 1
        else:
            self.outcome.acknowledgements.add(int((time.monotonic() - began) * 1e6))
            self.outcome.published += 1
            self.outcome.expected += self.outcome.connected if self._load.broadcast else 1

    def _event(self, now: float, event: events.Event) -> None:
        match event:
            case events.Received(interest, message):
                self._received(now, interest, message)
            case events.Gap(interest, log, _, _, why):
                self._chains.setdefault(interest, Chain()).gap(log)
                self.outcome.failures[f"gap: {why}"] += 1
            case events.Reconnecting(code, reason, _):
                self._no_connection = reason
            case events.Closed(code, reason):
                if code is not None:
                    self.outcome.failures[f"closed: {code} {reason}"] += 1

    def _received(self, now: float, interest: Interest, message: Message) -> None:
        fault = self._chains.setdefault(interest, Chain()).take(message)
        if fault is not None:
            self.outcome.failures[fault.value] += 1
        self.outcome.received += 1
        if (sent := _sent_us(message)) is not None:
            self.outcome.deliveries.add(int(now * 1e6) + self._offset_us - sent)


def _sent_us(message: Message) -> int | None:
    """When the message was sent, as it says itself: in JSON, also where the topic's values are text."""
    try:
        value: Any = json.loads(message.value or b"")
    except ValueError:
        return None
    return value.get("t") if isinstance(value, dict) else None
