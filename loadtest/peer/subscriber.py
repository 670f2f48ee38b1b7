"""A client of Centrifugo for the fleet, as little of it as the load needs: its JSON protocol, version 2.

It counts and checks like the client of Whimbrel that it derives from. Several replies of the server may share a
frame, one per line, so messages are counted by their values and not by frames. Facts from the public description of
the protocol at centrifugal.dev, "Client protocol".

Not here: the server (centrifugo.py).
"""

from __future__ import annotations

import json

import msgspec

from loadtest.payload import FIRST, MARK
from loadtest.subscriber import Subscriber, Value
from loadtest.wire import TEXT, handshake, masked


class Publication(msgspec.Struct, gc=False):
    data: Value
    offset: int = 0


class Push(msgspec.Struct, gc=False):
    pub: Publication | None = None


class Subscribed(msgspec.Struct, gc=False):
    epoch: str = ""
    offset: int = 0
    recovered: bool = False
    publications: list[Publication] = []


class Reply(msgspec.Struct, gc=False):
    """Any reply; absent keys are None. One without any key is a ping."""

    id: int = 0
    push: Push | None = None
    subscribe: Subscribed | None = None
    error: dict[str, object] | None = None


decode = msgspec.json.Decoder(Reply).decode
PING = b"{}"
"""And its answer. No value has these two beside each other."""
BEFORE_FIRST = FIRST - 1
"""What lies between a value's `n` and its offset, which counts from 1: every value of a key is one publication."""


class PeerSubscriber(Subscriber):
    """A client with one channel, which has the name of the subject."""

    __slots__ = ("epoch",)

    epoch: str

    @staticmethod
    def request(host: str, port: int) -> bytes:
        return handshake(host, port, "/connection/websocket", "centrifuge-json")

    def _messages(self, data: bytearray, at: int, frames: int) -> int:
        if data.find(PING, 0, at) >= 0:
            return 0  # to be answered: a number that cannot be right has every frame looked at
        return data.count(MARK, 0, at)

    def _greeting(self) -> bytes:
        subscribe: dict[str, object] = {"channel": self.subject}
        if self.n:
            subscribe |= {"recover": True, "epoch": self.epoch, "offset": self.n - BEFORE_FIRST}
        commands = ({"id": 1, "connect": {}}, {"id": 2, "subscribe": subscribe})
        return masked(TEXT, b"\n".join(json.dumps(command).encode() for command in commands))

    def _text(self, now_us: int, payload: bytes | bytearray) -> bytes:
        answers = b""
        for line in payload.splitlines():
            reply = decode(line)
            if reply.push and reply.push.pub:
                self._publication(now_us, reply.push.pub)
            elif reply.subscribe:
                self._subscribed(now_us, reply.subscribe)
            elif reply.error:
                self.tally.fault("error", f"{self.subject}: {reply.error}")
            elif not reply.id and not reply.push:
                answers += masked(TEXT, PING)
        return answers

    def _subscribed(self, now_us: int, reply: Subscribed) -> None:
        if not self.n:
            self.n = BEFORE_FIRST + reply.offset
        elif not reply.recovered:
            self.tally.fault("gap", f"{self.subject}: not recovered")
        self.epoch = reply.epoch
        for publication in reply.publications:
            self._publication(now_us, publication)
        self._live(now_us)

    def _publication(self, now_us: int, publication: Publication) -> None:
        value = publication.data
        if value.n <= self.n:
            self.tally.repeated += 1
            return
        if self.n and value.n != self.n + 1:
            self.tally.fault("missing", f"{self.subject} {self.n} then {value.n}", value.n - self.n - 1)
        self.n = value.n
        self._sample(now_us, value)
