"""What a few clients that ask for more than anybody needs cost those who do not: for each kind of attack a bystander
publishes to a subject of a namespace until it has its own message, and subscribes to one key of a topic, beforehand
and meanwhile.

The attackers read all that they get, so that they stay, and ask anew as soon as they are served.

Not here: clients that break limits (violators.py), the steps of other scenarios (bench.py).
"""

from __future__ import annotations

import json
import re
import select
import socket
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

from confluent_kafka import Producer

from loadtest.bench import Bench
from loadtest.kafka_load import PARTITIONS
from loadtest.process import Child, Failed, Shares
from loadtest.report import Row, percentile
from loadtest.violators import connected, until_words
from loadtest.wire import HELLO, TEXT, hello_and_subscribe, masked

NAMESPACE = "bench"
SUBJECTS = 20_000
"""Of the topic, and of the namespace."""
RECORDS = 60_000
GROUPS = 100
"""First levels of the topic's keys: `07/...`."""
MARGIN_MS = 50.0
"""How much later than before a bystander may be served, at p99."""
PAUSE_S = 0.005
WARM_S = 2.0
FILL_WINDOW = 200
READ_BYTES = 1 << 20
SLOTS = 64
"""Logs of the namespace: the default."""
TAIL_BYTES = 4096
LOGS_IN_PLACE = 10_000


class Bystander:
    """One client. Commands for `process.serve`."""

    def __init__(self) -> None:
        self._sock = socket.socket()
        self._id = 1_000

    def idle(self, timeout_s: float) -> None:
        time.sleep(timeout_s)

    def connect(self, port: int, topic: str) -> None:
        """Come, and be live."""
        self._subject = f"/{topic}/00/100"
        self._sock = connected(port)
        self._sock.sendall(hello_and_subscribe(f"/{NAMESPACE}/bystander", None))
        until_words(self._sock, b'"op":"live"')

    def fill(self) -> None:
        """Give each subject of the namespace a value."""
        for first in range(0, SUBJECTS, FILL_WINDOW):
            for number in range(first, first + FILL_WINDOW):
                self._sock.sendall(_publish(f"/{NAMESPACE}/{number}", number, "x" * 100))
            until_words(self._sock, b'"op":"published","id":%d,' % (first + FILL_WINDOW - 1))

    def measure(self, seconds: float) -> tuple[array[int], array[int]]:
        """Microseconds from each publish until it is delivered, and from each subscribe until it is answered."""
        live, subscribed, until = array("q"), array("q"), time.monotonic() + seconds
        while time.monotonic() < until:
            self._id += 2
            began = time.monotonic_ns()
            self._sock.sendall(_publish(f"/{NAMESPACE}/bystander", SUBJECTS + self._id, f"x{self._id}."))
            until_words(self._sock, b'"text":"x%d."' % self._id)
            live.append((time.monotonic_ns() - began) // 1000)
            time.sleep(PAUSE_S)
            began = time.monotonic_ns()
            self._sock.sendall(_frame("subscribe", self._id, subject=self._subject, **{"from": {"last": 10}}))
            until_words(self._sock, b'"op":"subscribed","id":%d,' % self._id)
            subscribed.append((time.monotonic_ns() - began) // 1000)
            self._sock.sendall(_frame("unsubscribe", self._id + 1, sub=self._id))
            until_words(self._sock, b'"op":"unsubscribed","id":%d,' % (self._id + 1))
            time.sleep(PAUSE_S)
        return live, subscribed


@dataclass(frozen=True, slots=True)
class Kind:
    """What attackers of one kind do."""

    clients: int
    subscriptions: int
    """Of each, at a time."""
    wants: Callable[[str, int], list[dict[str, Any]]]
    """Topic, number of the client -> what to subscribe to, in turn."""
    served: re.Pattern[bytes]
    """What says that a subscription, or one log of it, has come so far that another one follows."""
    logs: int = 1
    """How often it is said."""
    churns: bool = False
    """Each subscription is ended at once."""


_LAST = {"last": 1000}
_LIVE = re.compile(rb'\{"op":"live","sub":(\d+),"at":\{([^}]*)\}\}')
_GAPS = re.compile(rb'\{"op":"gap","sub":(\d+)(,)')
_UNSUBSCRIBED = re.compile(rb'\{"op":"unsubscribed","id":\d+,"sub":(\d+)(\})')


def _all(topic: str, client: int) -> list[dict[str, Any]]:
    return [{"subject": f"/{topic}/*", "from": _LAST}]


def _latest(topic: str, client: int) -> list[dict[str, Any]]:
    return [{"subject": f"/{NAMESPACE}/*", "from": "latest"}]


def _patterns(topic: str, client: int) -> list[dict[str, Any]]:
    return [{"subject": f"/{topic}/{client}{number}/*", "from": _LAST} for number in range(10)]


def _places(topic: str, client: int) -> list[dict[str, Any]]:
    return [{"subject": f"/{topic}/*", "resume": {f"{log}.AAAA": [0, 0] for log in range(LOGS_IN_PLACE)}}]


KINDS = {
    "churn": Kind(1, 50, _all, _UNSUBSCRIBED, churns=True),
    "latest": Kind(1, 5, _latest, _LIVE, SLOTS),
    "patterns": Kind(10, 200, _patterns, _LIVE, PARTITIONS),
    "places": Kind(1, 4, _places, _GAPS),
}


class Attackers:
    """Those of one kind. Commands for `process.serve`."""

    def __init__(self, kind: Kind, port: int, topic: str) -> None:
        self._poll = select.epoll()
        self._by_fd = {
            attacker.fd: attacker
            for attacker in (_Attacker(kind, port, kind.wants(topic, number)) for number in range(kind.clients))
        }

    def begin(self) -> None:
        """From now on."""
        for attacker in self._by_fd.values():
            self._poll.register(attacker.fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def served(self) -> int:
        """How many subscriptions have come to what was waited for."""
        return sum(attacker.served for attacker in self._by_fd.values())

    def idle(self, timeout_s: float) -> None:
        for fd, _ in self._poll.poll(timeout_s, 200):
            self._by_fd[fd].turn()


class _Attacker:
    """One of them."""

    def __init__(self, kind: Kind, port: int, wants: list[dict[str, Any]]) -> None:
        self.served = 0
        self._kind = kind
        self._sock = connected(port)
        self._sock.sendall(HELLO)
        until_words(self._sock, b'"op":"welcome"')
        self._sock.setblocking(False)
        self.fd = self._sock.fileno()
        self._wants = cycle(wants)
        self._id = 1
        self._left: dict[int, int] = {}
        """What has still to be said of each subscription."""
        self._read = b""
        """What may be the beginning of something that is looked for."""
        self._unsent = bytearray()
        for _ in range(kind.subscriptions):
            self._ask()

    def turn(self) -> None:
        """Read what there is, and send what goes."""
        try:
            while data := self._sock.recv(READ_BYTES):
                self._look_at(self._read + data)
            raise Failed("an attacker was closed")
        except BlockingIOError:
            pass
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            pass

    def _look_at(self, data: bytes) -> None:
        at = 0
        for found in self._kind.served.finditer(data):
            at, sub = found.end(), int(found[1])
            logs = found[2].count(b":") if self._kind.logs > 1 else 1
            if sub in self._left:
                self._left[sub] -= logs
                if self._left[sub] <= 0:
                    self._serve_next(sub)
        self._read = data[at:][-TAIL_BYTES:]

    def _serve_next(self, sub: int) -> None:
        del self._left[sub]
        self.served += 1
        if not self._kind.churns:
            self._id += 1
            self._unsent += _frame("unsubscribe", self._id, sub=sub)
        self._ask()

    def _ask(self) -> None:
        self._id += 1
        self._left[self._id] = self._kind.logs
        self._unsent += _frame("subscribe", self._id, **next(self._wants))
        if self._kind.churns:
            self._id += 1
            self._unsent += _frame("unsubscribe", self._id, sub=self._id - 1)


def bystanders(bench: Bench) -> Iterator[Row]:
    """A bystander without, and with the attackers of each kind."""
    topic = bench.topic("bystanders")
    producer = Producer({"bootstrap.servers": bench.kafka.bootstrap})
    for number in range(RECORDS):
        producer.produce(topic, b"x" * 100, b"%02d/%d" % (number % GROUPS, number % SUBJECTS))
        producer.poll(0)
    producer.flush()
    flags = ("--namespaces", NAMESPACE, "--workers", "1")
    with bench.node(topic, None, *flags) as node, Child("bystander", Bystander) as bystander:
        bystander.call("connect", port=node.port, topic=topic)
        bystander.call("fill")
        for name, kind in KINDS.items():
            before = bystander.call("measure", seconds=bench.seconds)
            with Child(f"{name} attackers", partial(Attackers, kind, node.port, topic)) as load:
                load.call("begin")
                time.sleep(WARM_S)
                shares, served = (
                    Shares({"node": node.pid, name: load.pid, "bystander": bystander.pid}),
                    load.call("served"),
                )
                during = bystander.call("measure", seconds=bench.seconds)
                served = load.call("served") - served
                bench.say(f"{name}: {served / bench.seconds:,.0f} per second; shares of a core: {shares.words()}")
            for what, alone, beside in zip(("live", "subscribe"), before, during, strict=True):
                at, goal = _p99_ms(alone), _p99_ms(alone) + MARGIN_MS
                yield Row(f"bystanders.{name}_{what}_p99_ms", _p99_ms(beside), "ms", at, goal, less_is_better=True)


def _p99_ms(samples: array[int]) -> float:
    return percentile(samples, [1] * len(samples), 0.99) / 1000


def _frame(op: str, request: int, **keys: Any) -> bytes:
    return masked(TEXT, json.dumps({"op": op, "id": request, **keys}).encode())


def _publish(subject: str, seq: int, text: str) -> bytes:
    return _frame("publish", seq, subject=subject, publisher="b" * 16, seq=seq, text=text)
