"""The SDK's client for gevent: timers and connections around its session (whimbrel.session). A shell.

What a read gave is given to the session, and what the session puts out is performed at once, in order. One greenlet
ticks the sessions of all clients of the process.

Not here: what users do and what is measured (users.py), sockets (sockets.py), frames read quickly (decoding.py).
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from random import SystemRandom
from typing import Any

import gevent
from gevent.event import AsyncResult

from loadtest.swarm.decoding import QUICK
from loadtest.swarm.sockets import Connection
from loadtest.wire import BINARY, TEXT
from whimbrel import events
from whimbrel.interest import Interest
from whimbrel.outgoing import Outgoing
from whimbrel.outputs import Connect, Disconnect, Send
from whimbrel.session import Session, SessionConfig
from whimbrel.start import StartOrName, to_start
from whimbrel.values import to_value

TICK_S = 0.01


class Timers:
    """Ticks the sessions of a process when they want it."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, GeventClient]] = []
        self._greenlet: Any = None

    def at(self, time_s: float, client: GeventClient) -> None:
        heapq.heappush(self._due, (time_s, id(client), client))
        if not self._greenlet:
            self._greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        while self._due:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2].tick(now)
            gevent.sleep(TICK_S)


TIMERS = Timers()


class GeventClient:
    """One client, used from greenlets.

    Args:
        servers: As the SDK takes them.
        on_event: Called with the time (of `time.monotonic`) at which a frame came and each event that came of it
            (`whimbrel.events`). It must not switch to another greenlet.
        token, encoding: As for the SDK's client.
    """

    def __init__(
        self,
        servers: tuple[str, ...],
        on_event: Callable[[float, events.Event], None],
        token: str | None = None,
        encoding: str = "json",
    ) -> None:
        self._encoding = QUICK[encoding]
        config = SessionConfig(servers, self._encoding, "whimbrel-locust/1", token)
        self._session = Session(config, SystemRandom())
        self._on_event = on_event
        self._connection: Connection | None = None
        self._publishing: dict[Outgoing, AsyncResult] = {}
        self._asked: dict[Interest, AsyncResult] = {}
        self._ticks_at = float("inf")

    def start(self) -> None:
        """Begin to connect."""
        self._input(self._session.start)

    @property
    def why_not_connected(self) -> str:
        """How the last connection, or the attempt at one, ended; empty while there is one, and before the first."""
        return self._session.reason

    def close(self) -> None:
        """End it, and hear no more."""
        self._input(self._session.close)

    def subscribe(self, subject: str, start: StartOrName = "latest", timeout_s: float | None = None) -> float:
        """Subscribe, and wait for the server's answer. Returns when it came (`time.monotonic`).

        Raises:
            SubjectError, TypeError, ValueError: As for the SDK's client.
            RuntimeError: The server refused; with its words.
            gevent.Timeout: There was no answer in time.
        """
        interest = Interest(subject, to_start(start))
        answer = self._asked[interest] = AsyncResult()
        self._input(self._session.subscribe, interest)
        try:
            return float(answer.get(timeout=timeout_s))
        finally:
            self._asked.pop(interest, None)

    def publish(self, subject: str, json: Any, timeout_s: float = 30) -> float:
        """Publish, and wait until it is acknowledged. Returns when the answer came (`time.monotonic`).

        Raises:
            RuntimeError: It was refused, or its time is up; with the reason.
        """
        item = Outgoing(subject, to_value(json), [], time.monotonic() + timeout_s)
        answer = self._publishing[item] = AsyncResult()
        self._input(self._session.publish, item)
        return float(answer.get())

    def cut(self) -> None:
        """Reset the connection, as a network that fails does; the session finds out and comes back."""
        if (connection := self._connection) is not None:
            connection.reset()
            self.ended(connection, None, "cut")

    def reads(self, may_read: bool) -> None:
        """Whether what comes is read from the socket."""
        if self._connection is not None:
            self._connection.reads(may_read)
        self._input(self._session.reading, may_read)

    def tick(self, now: float) -> None:
        """For `Timers`."""
        self._ticks_at = float("inf")
        deadline = self._session.deadline
        if deadline is not None and deadline <= now:
            self._session.tick(now)
            self._perform(now)
        self._schedule()

    # For the connection.

    def opened(self, connection: Connection) -> None:
        """The handshake is done."""
        self._input(self._session.opened)

    def came(self, connection: Connection, arrived: float, frames: list[bytes]) -> None:
        """What one read gave."""
        receive, now = self._session.receive, time.monotonic()
        for frame in frames:
            receive(now, frame)
        self._perform(arrived)

    def ended(self, connection: Connection, code: int | None, reason: str) -> None:
        """It is lost."""
        self._connection = None
        self._input(self._session.lost, code, reason)

    # Inside.

    def _input(self, method: Callable[..., None], *arguments: object) -> None:
        now = time.monotonic()
        method(now, *arguments)
        self._perform(now)
        self._schedule()

    def _schedule(self) -> None:
        deadline = self._session.deadline
        if deadline is not None and deadline < self._ticks_at:
            self._ticks_at = deadline
            TIMERS.at(deadline, self)

    def _perform(self, at: float) -> None:
        """Perform what the session puts out; `at` is when what it comes from happened."""
        is_usual = True
        for output in self._session.take():
            match output:
                case events.Received():
                    self._on_event(at, output)
                    continue
                case Send(data):
                    assert self._connection is not None
                    if isinstance(data, str):
                        self._connection.send(TEXT, data.encode())
                    else:
                        self._connection.send(BINARY, data)
                case Connect(server):
                    self._connection = Connection(self, server, self._encoding.subprotocol)
                case Disconnect(at_once):
                    connection, self._connection = self._connection, None
                    if connection is not None:
                        connection.close(at_once)
                case _:
                    self._settle(at, output)
                    self._on_event(at, output)
            is_usual = False
        if not is_usual:  # else the deadline has at most become later, which a tick finds out
            self._schedule()

    def _settle(self, at: float, event: events.Event) -> None:
        """Tell who waits for it."""
        match event:
            case events.Subscribed(interest, _):
                if answer := self._asked.get(interest):
                    answer.set(at)
            case events.Refused(interest, code, name, reason):
                if answer := self._asked.get(interest):
                    answer.set_exception(RuntimeError(f"{code} {name}: {reason}"))
            case events.PublishDone(item):
                self._publishing.pop(item).set(at)
            case events.PublishFailed(item, code, name, reason):
                self._publishing.pop(item).set_exception(RuntimeError(f"{code or ''} {name}: {reason}"))
            case events.Closed(code, reason):
                for answer in self._asked.values():
                    answer.set_exception(RuntimeError(f"closed: {code or ''} {reason}"))
