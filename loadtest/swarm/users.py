"""Locust users to derive from, or to use as they are: what clients of Whimbrel do.

Each is a client of its own, reconnects and resumes as the SDK does, and checks all that it gets (chain.py). Reported as
requests of type `ws`, in milliseconds, by few names:

    connect     from the start until the server's welcome
    subscribe   until the server has answered
    resume      from the loss of the connection until the subscription is live again
    publish     until acknowledged
    receive     from when the value was sent, as it says (`t`), or else from Kafka's timestamp, until it was here

Each ends when the server's frame arrived at this machine (arrival.py), not when a greenlet heard of it.

Failures of `receive` are messages missing, repeated and out of order, and gaps; a failure of `connect` is a session
that the server ended for good, or a user that was stopped before it could ever connect.

Each of them is an event of Locust's (`events.request`), but for what was received and is in order: thousands per second
are added to Locust's statistics twice a second, with their true number and times (hooks.py).

Not here: options (hooks.py), sums over all users (totals.py), the client (client.py).
"""

from __future__ import annotations

import random
import time
from typing import Any

import gevent
from locust import User, constant, task

from loadtest.payload import EPOCH_US, ZERO_US, key_name
from loadtest.swarm.chain import Chain
from loadtest.swarm.client import GeventClient
from loadtest.swarm.decoding import sent_us
from loadtest.swarm.totals import TOTALS
from whimbrel import Message, events
from whimbrel.interest import Interest

SUBSCRIBE_TIMEOUT_S = 30.0
PAD = "x" * 400


def took_us(value: bytes | None, time_ms: int | None, arrived: float) -> int | None:
    """How many microseconds a value took that arrived then (`time.monotonic`).

    Args:
        value: It may say when it was sent (payload.py).
        time_ms: Else Kafka's timestamp does, if there is one.
    """
    sent = sent_us(value)
    if sent is not None and sent <= EPOCH_US:
        return int(arrived * 1e6) + ZERO_US - sent
    if sent is None:
        if time_ms is None:
            return None
        sent = time_ms * 1000
    return int((arrived + time.time() - time.monotonic()) * 1e6) - sent


class WhimbrelUser(User):  # type: ignore[misc]
    """A client that is connected for as long as the user lives. Derive from it, and subscribe in `on_start`."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.options = environment.parsed_options
        servers = tuple((self.host or "ws://127.0.0.1:8080").split(","))
        self.client = GeventClient(servers, self._event, self.options.token or None, self.options.encoding)
        self._chains: dict[Interest, Chain] = {}
        self._lost_at: float | None = None
        self._resuming_since: dict[Interest, float] = {}
        self._began = 0.0

    def on_start(self) -> None:
        """Connect. Locust calls it."""
        self._began = time.monotonic()
        TOTALS.users.add(self)
        self.client.start()

    def on_stop(self) -> None:
        """Disconnect. Locust calls it."""
        TOTALS.users.discard(self)
        if self._began and (why := self.client.why_not_connected):
            self.report("connect", None, 0, RuntimeError(f"never connected: {why}"))
        self.client.close()

    def subject(self) -> str:
        """A random key of the topic."""
        return f"/{self.options.topic}/{key_name(random.randrange(self.options.keys)).decode()}"

    def subscribe(self, subject: str) -> None:
        """Subscribe, and report it."""
        began = time.monotonic()
        try:
            answered = self.client.subscribe(subject, timeout_s=SUBSCRIBE_TIMEOUT_S)
        except (RuntimeError, gevent.Timeout) as error:
            why = self.client.why_not_connected or str(error)
            self.report("subscribe", (time.monotonic() - began) * 1000, 0, RuntimeError(why))
        else:
            self.report("subscribe", (answered - began) * 1000)

    def publish(self, subject: str, **value: Any) -> None:
        """Publish a value that says when it was sent, and report it."""
        began = time.monotonic()
        try:
            answered = self.client.publish(subject, {"t": time.time_ns() // 1000, **value})
        except RuntimeError as error:
            self.report("publish", (time.monotonic() - began) * 1000, 0, error)
        else:
            self.report("publish", (answered - began) * 1000)

    def report(self, name: str, ms: float | None, size: int = 0, failed: BaseException | None = None) -> None:
        """Tell Locust."""
        self.environment.events.request.fire(
            request_type="ws", name=name, response_time=ms, response_length=size, exception=failed, context={}
        )

    def _tell(self, name: str, ms: float | None, size: int = 0, failed: BaseException | None = None) -> None:
        """As `report`, from the loop, where Locust's listeners must not wait."""
        gevent.spawn(self.report, name, ms, size, failed)

    def cut(self) -> None:
        """Lose the connection, and come back."""
        self.client.cut()

    def received(self, message: Message) -> None:
        """A message, after it was counted. For users derived from this one; nothing in it may wait (`gevent.spawn`)."""

    def _event(self, at: float, event: events.Event) -> None:
        match event:
            case events.Received(interest, message):
                self._message(at, interest, message)
            case events.Connected():
                if self._began:
                    self._tell("connect", (at - self._began) * 1000)
                    self._began = 0.0
            case events.Reconnecting() | events.Moving():
                self._lost_at = at if self._lost_at is None else self._lost_at
            case events.Resumed(interest, _, _):
                self._resuming_since[interest] = at if self._lost_at is None else self._lost_at
            case events.Live(interest, _):
                if (since := self._resuming_since.pop(interest, None)) is not None:
                    self._tell("resume", (at - since) * 1000)
                    self._lost_at = None
            case events.Gap(interest, log):
                self._chains.setdefault(interest, Chain()).gap(log)
                self.fault("gap")
            case events.Missing():
                self.fault("missing")
            case events.Closed(code, reason):
                if code is not None:
                    self._tell("connect", None, 0, RuntimeError(f"ended by the server: {code} {reason}"))

    def _message(self, arrived: float, interest: Interest, message: Message) -> None:
        chain = self._chains.get(interest)
        if chain is None:
            chain = self._chains[interest] = Chain()
        if fault := chain.take(message):
            self.fault(fault.value)
        if message.snapshot:
            return
        took = took_us(message.value, message.time, arrived)
        if took is not None:
            TOTALS.received(took, len(message.value or b""))
        self.received(message)

    def fault(self, what: str) -> None:
        """A message was missing, repeated or out of order, or there is a gap."""
        TOTALS.faults[what] += 1
        self._tell("receive", None, 0, RuntimeError(what))


class Subscriber(WhimbrelUser):
    """Has one key."""

    weight = 80
    wait_time = constant(3600)

    def on_start(self) -> None:
        super().on_start()
        self.subscribe(self.subject())

    @task  # type: ignore[untyped-decorator]
    def rest(self) -> None:
        """What comes is taken as it comes."""


class Publisher(WhimbrelUser):
    """Publishes to random keys, `--rate` times per second, one at a time."""

    weight = 10

    def wait_time(self) -> float:
        return random.expovariate(self.options.rate)

    @task  # type: ignore[untyped-decorator]
    def send(self) -> None:
        """One value."""
        self.publish(self.subject(), pad=PAD)


class Flapping(Subscriber):
    """A telephone on a train: its connection fails every few seconds (`--flap-s` on average), and it comes back."""

    weight = 5

    def wait_time(self) -> float:
        return random.expovariate(1 / self.options.flap_s)

    @task  # type: ignore[untyped-decorator]
    def rest(self) -> None:
        """Lose the connection."""
        self.cut()


class Dashboard(WhimbrelUser):
    """Has a pattern: all keys of the topic."""

    weight = 4
    wait_time = constant(3600)

    def on_start(self) -> None:
        super().on_start()
        self.subscribe(f"/{self.options.topic}/*")

    @task  # type: ignore[untyped-decorator]
    def rest(self) -> None:
        """What comes is taken as it comes."""


class SlowReader(Dashboard):
    """As a dashboard that reads for a second and then not for ten: the node must not let others wait for it."""

    weight = 1
    wait_time = constant(1)

    @task  # type: ignore[untyped-decorator]
    def rest(self) -> None:
        """Read nothing for a while."""
        self.client.reads(False)
        gevent.sleep(10)
        self.client.reads(True)
