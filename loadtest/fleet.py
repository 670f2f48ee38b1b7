"""The fleet: one process that plays up to 15,000 clients with plain sockets and epoll.

It must not be what is measured: no SDK, no object per frame, one read per wake-up of a client into one shared
buffer. Every latency is taken right after the read that brought the message.

Not here: what a client does with what it reads (subscriber.py).
"""

from __future__ import annotations

import gc
import heapq
import select
import socket
import struct
import time
from array import array
from collections import Counter
from dataclasses import dataclass
from itertools import cycle
from operator import itemgetter
from random import Random
from typing import TypedDict

from loadtest.payload import ZERO_US
from loadtest.process import Failed
from loadtest.subscriber import Subscriber, Tally

BUFFER_BYTES = 1 << 20
# Several addresses, since the kernel's search for a free port becomes slow when a third of them is taken.
SOURCES = [f"127.2.0.{host}" for host in range(1, 9)]
RECONNECT_FIRST_S, RECONNECT_MAX_S = 0.25, 20.0  # PROTOCOL section 11
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Seen(TypedDict):
    received: int
    reads: int
    live: int
    losses: int
    refused: int
    repeated: int
    faults: Counter[str]
    words: list[str]


@dataclass(frozen=True, slots=True)
class Server:
    """Where clients connect."""

    address: tuple[str, int]
    request: bytes
    """The handshake."""


def now_us() -> int:
    return time.monotonic_ns() // 1000 + ZERO_US


class Fleet:
    """Commands for `process.serve`."""

    def __init__(self, seed: int, client: type[Subscriber] = Subscriber) -> None:
        """`client` is what speaks to the server."""
        gc.disable()  # no cycles are made; a collection over 15,000 clients would look like latency
        self._make = client
        self._sources = cycle(SOURCES)
        self._random = Random(seed)
        self._tally = Tally(self._random)
        self._poll = select.epoll()
        self._clients: dict[int, tuple[Subscriber, socket.socket]] = {}
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._servers: list[Server] = []
        self._roams = False
        self._again: list[tuple[int, int, Subscriber]] = []
        """When to reconnect whom."""
        self._cuts: list[tuple[int, int, Subscriber]] = []
        """When to cut which descriptor, if this client still has it."""
        self._away_us = 0

    # Commands.

    def connect(
        self, port: int, subjects: list[str], tracked_every: int, window: int = 128, timeout_s: float = 60
    ) -> float:
        """Connect a client for each subject, at most `window` at a time, until all are live.

        Every `tracked_every`-th is tracked (see subscriber.py). Returns the seconds that it took.
        """
        began = time.monotonic()
        server = self._known(port)
        goal = self._tally.live + len(subjects)
        opened = 0
        while self._tally.live < goal:
            while opened < len(subjects) and opened - (self._tally.live - goal + len(subjects)) < window:
                self._open(self._make(self._tally, subjects[opened], opened % tracked_every == 0, server))
                opened += 1
            self.idle(0.05)
            if self._tally.faults or time.monotonic() - began > timeout_s:
                missing = goal - self._tally.live
                raise Failed(f"{missing} of {len(subjects)} clients did not become live: {self._tally.words}")
        return time.monotonic() - began

    def sample(self, begin_us: int, end_us: int) -> None:
        """Keep latencies of messages due between these times, and forget earlier ones."""
        self._tally.window = (begin_us, end_us)
        self._tally.due, self._tally.latency, self._tally.weight = array("q"), array("q"), array("q")

    def seen(self) -> Seen:
        tally = self._tally
        return Seen(
            received=tally.received,
            reads=tally.reads,
            live=tally.live,
            losses=tally.losses,
            refused=tally.refused,
            repeated=tally.repeated,
            faults=tally.faults,
            words=tally.words,
        )

    def samples(self) -> tuple[array[int], array[int]]:
        """Latencies in microseconds, and how many messages each stands for."""
        return self._tally.latency, self._tally.weight

    def timed(self) -> tuple[array[int], array[int], array[int]]:
        """The same, and before them when each was due."""
        return self._tally.due, self._tally.latency, self._tally.weight

    def roam(self) -> None:
        """From now on a client that loses its connection goes to the next of the servers that clients were given."""
        self._roams = True

    def until(self, received: int, timeout_s: float) -> int:
        """Wait for that many messages in all. Returns how many there are."""
        deadline = time.monotonic() + timeout_s
        while self._tally.received < received and time.monotonic() < deadline:
            self.idle(0.02)
        return self._tally.received

    def behind(self, last: dict[str, int], timeout_s: float) -> int:
        """Wait until every client has its subject's last value, by counter. Returns how many have not."""
        deadline = time.monotonic() + timeout_s
        while (missing := self._behind(last)) and time.monotonic() < deadline:
            until = time.monotonic() + 0.05
            while time.monotonic() < until:
                self.idle(0.02)
        return missing

    def cut(self) -> None:
        """Reset every connection at once, as a network or load balancer that fails does; clients reconnect."""
        self._tally.joins = array("q")
        for fd in list(self._clients):
            self._drop(fd)

    def cut_each(self, within_s: float, away_s: float) -> None:
        """Cut every connection once, at a random time; its client comes back after `away_s`.

        What `rejoined` gives is then the time from coming back until live.
        """
        now, self._away_us = now_us(), int(away_s * 1e6)
        self._tally.joins = array("q")
        for fd, (client, _) in self._clients.items():
            self._cuts.append((now + int(self._random.random() * within_s * 1e6), fd, client))
        self._cuts.sort(key=itemgetter(0), reverse=True)

    def forget_joins(self) -> None:
        """The next `rejoined` is about losses from now on."""
        self._tally.joins = array("q")

    def rejoined(self, count: int, timeout_s: float) -> array[int]:
        """Wait until `count` clients have become live again: microseconds from loss to live of each that has."""
        deadline = time.monotonic() + timeout_s
        while len(self._tally.joins) < count and time.monotonic() < deadline:
            self.idle(0.02)
        return self._tally.joins

    def disconnect(self) -> None:
        """Close everything and forget it."""
        for fd in list(self._clients):
            client, sock = self._clients.pop(fd)
            client.lost(now_us())
            sock.close()
        self._again.clear()
        self._cuts.clear()
        self._servers.clear()
        self._roams = False
        self._tally = Tally(self._random)

    def _behind(self, last: dict[str, int]) -> int:
        behind = sum(1 for client, _ in self._clients.values() if client.n < last[client.subject])
        return behind + len(self._again)

    # The loop.

    def idle(self, timeout_s: float) -> None:
        """Take in what has come."""
        if self._cuts:
            self._cut_due()
        if self._again:
            timeout_s = self._reconnect(timeout_s)
        clients, buffer, view, clock = self._clients, self._buffer, self._view, time.monotonic_ns
        for fd, event in self._poll.poll(timeout_s, 1024):
            client, sock = clients[fd]
            if event & select.EPOLLOUT:
                self._connected(fd)
                continue
            rest = client.rest
            try:
                if rest:
                    held = len(rest)
                    buffer[:held] = rest
                    end = held + sock.recv_into(view[held:])
                else:
                    held = 0
                    end = sock.recv_into(buffer)
            except BlockingIOError:
                continue
            except OSError:
                end = held
            if end == held:
                self._drop(fd)
                continue
            reply = client.receive(clock() // 1000 + ZERO_US, buffer, end)
            if reply:
                self._send(fd, reply)

    def _open(self, client: Subscriber) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The port is chosen at connect, so that it need only be free towards this server.
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        sock.bind((next(self._sources), 0))
        client.opened(now_us())
        sock.connect_ex(self._servers[client.server].address)
        self._clients[sock.fileno()] = (client, sock)
        self._poll.register(sock.fileno(), select.EPOLLOUT)

    def _connected(self, fd: int) -> None:
        self._poll.modify(fd, select.EPOLLIN)
        self._send(fd, self._servers[self._clients[fd][0].server].request)

    def _send(self, fd: int, data: bytes) -> None:
        try:
            self._clients[fd][1].send(data)
        except OSError:  # also when it was never connected
            self._drop(fd)

    def _known(self, port: int) -> int:
        """The number of this server."""
        address = ("127.0.0.1", port)
        for index, server in enumerate(self._servers):
            if server.address == address:
                return index
        self._servers.append(Server(address, self._make.request(*address)))
        return len(self._servers) - 1

    def _cut_due(self) -> None:
        now = now_us()
        while self._cuts and self._cuts[-1][0] <= now:
            _, fd, client = self._cuts.pop()
            if fd in self._clients and self._clients[fd][0] is client:
                self._close(fd)
                client.since_us = 0
                heapq.heappush(self._again, (now + self._away_us, id(client), client))

    def _drop(self, fd: int) -> None:
        """The connection is lost, or we cut it: come back as PROTOCOL section 11 says."""
        client = self._close(fd)
        client.attempts += 1
        longest = min(RECONNECT_FIRST_S * 2 ** (client.attempts - 1), RECONNECT_MAX_S)
        heapq.heappush(self._again, (now_us() + int(self._random.random() * longest * 1e6), id(client), client))
        if self._roams:
            client.server = (client.server + 1) % len(self._servers)

    def _close(self, fd: int) -> Subscriber:
        """Reset a connection. Returns whose it was."""
        client, sock = self._clients.pop(fd)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        sock.close()
        client.lost(now_us())
        return client

    def _reconnect(self, timeout_s: float) -> float:
        """Open what is due. Returns how long the loop may sleep."""
        now = now_us()
        while self._again and self._again[0][0] <= now:
            self._open(heapq.heappop(self._again)[2])
        if self._again:
            return max(0.0, min(timeout_s, (self._again[0][0] - now) / 1e6))
        return timeout_s
