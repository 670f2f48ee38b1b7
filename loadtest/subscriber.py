"""One client of the fleet: joins, counts what it gets, proves that nothing is missing, resumes.

Two kinds. A *counted* client looks at the last frame of what one read gave, and at the others only when their
number does not agree with the counters in the values: this is what lets one process take a million messages a
second. A *tracked* client decodes every frame, checks the `prev` chain and remembers its place.

Invariants:
- Every value of the subject from the first one received is received or counted as missing.
- What a gap statement covers is counted as missing too: a benchmark has no reason for a gap.

Not here: bytes of frames (wire.py), sockets (fleet.py).
"""

from __future__ import annotations

from array import array
from collections import Counter
from random import Random
from typing import Any

import msgspec

from loadtest.payload import FIRST, MARK, N_AT, N_END, T_AT, T_END
from loadtest.wire import CLOSE, GOING_AWAY, PING, PONG, TEXT, frame_at, handshake, hello_and_subscribe, masked, walk

OPENING, JOINING, LIVE, LOST = range(4)
NORMAL, MOVE = 1000, 4100
"""Codes with which a server closes: it answers a client that goes, it has asked to move."""


class Value(msgspec.Struct, gc=False):
    t: int
    n: int


class Frame(msgspec.Struct, gc=False):
    """Any frame from the server; absent keys are None."""

    op: str
    at: list[int] | dict[str, list[int]] | None = None
    prev: list[int] | None = None
    log: str | None = None
    snapshot: bool = False
    json: Value | None = None
    answer: str | None = None
    gaps: Any = None
    error: str | None = None
    reason: str | None = None


decode = msgspec.json.Decoder(Frame).decode


class Tally:
    """What all clients of a fleet have seen together. Times in microseconds, as in payload.py."""

    def __init__(self, rng: Random) -> None:
        self.random = rng.random
        self.received = 0
        """Live messages and history; not snapshots."""
        self.reads = 0
        self.window = (0, 0)
        """Only messages due from `window[0]` up to `window[1]` are sampled for latency."""
        self.due = array("q")
        self.latency = array("q")
        self.weight = array("q")
        """For each sample how many messages it stands for (all that came in the same read)."""
        self.live = 0
        self.losses = 0
        """Connections that ended, whoever ended them."""
        self.refused = 0
        """Handshakes answered 503 (try another server): allowed, and tried again."""
        self.repeated = 0
        """Messages that a client had already; the protocol allows them, and a client drops them."""
        self.joins = array("q")
        """How long each (re)connect took until live, from the connect or from the loss of the connection before."""
        self.faults: Counter[str] = Counter()
        """What must not happen, by kind: missing, chain, gap, error, close."""
        self.words: list[str] = []
        """The first few faults in words."""

    def fault(self, kind: str, words: str, count: int = 1) -> None:
        self.faults[kind] += count
        if len(self.words) < 20:
            self.words.append(f"{kind}: {words}")


class Subscriber:
    """States: OPENING (handshake sent), JOINING (subscribe sent), LIVE, LOST."""

    __slots__ = (
        "attempts",
        "chain",
        "n",
        "place",
        "rest",
        "server",
        "since_us",
        "state",
        "subject",
        "tally",
        "tracked",
    )

    def __init__(self, tally: Tally, subject: str, tracked: bool, server: int = 0) -> None:
        self.tally = tally
        self.subject = subject
        self.tracked = tracked
        self.state = LOST
        self.rest = b""
        """The beginning of a frame whose end has not come; the caller puts it before what it reads next."""
        self.n = 0
        """Counter of the last value; 0 when there was none."""
        self.place: dict[str, list[int]] | None = None
        self.chain: list[int] | None = None
        """Position of the last message, when tracked."""
        self.since_us = 0
        self.attempts = 0
        self.server = server
        """Which of the servers that the caller knows it uses."""

    def opened(self, now_us: int) -> None:
        """A connection was asked for. A join is timed from the loss when there was one, else from here."""
        self.state = OPENING
        self.rest = b""
        if not self.since_us:
            self.since_us = now_us

    def lost(self, now_us: int) -> None:
        """The connection is gone, or could not be made."""
        if self.state == LIVE:
            self.tally.live -= 1
            self.tally.losses += 1
            self.since_us = now_us
        self.state = LOST

    def receive(self, now_us: int, data: bytearray, end: int) -> bytes:
        """Take in `data[:end]` (`rest` first). Returns what is to be sent."""
        tally = self.tally
        tally.reads += 1
        if self.state == LIVE and not self.tracked:
            at, last, frames = walk(data, end)
            if frames:
                frames = self._messages(data, at, frames)
                value = data.rfind(MARK, last, at)
                n = int(data[value + N_AT : value + N_END]) if value >= 0 else 0
                if n == self.n + frames:
                    self.n = n
                    tally.received += frames
                    if frames > 1:
                        # Any one of them, each as likely: from a random point on, the next value, round the end.
                        value = data.find(MARK, int(tally.random() * at), at)
                        if value < 0:
                            value = data.find(MARK, 0, at)
                    due = int(data[value + T_AT : value + T_END])
                    low, high = tally.window
                    if low <= due < high:
                        tally.due.append(due)
                        tally.latency.append(now_us - due)
                        tally.weight.append(frames)
                    if at == end:
                        self.rest = b""
                        return b""
                    return self._frames(now_us, data, at, end)
        if self.state == OPENING:
            return self._handshake(data, end)
        if self.state == LOST:
            return b""  # refused: what follows is the explanation, then the end
        return self._frames(now_us, data, 0, end)

    def _handshake(self, data: bytearray, end: int) -> bytes:
        head = data.find(b"\r\n\r\n", 0, end)
        if head < 0:
            self.rest = bytes(data[:end])
            return b""
        if data.startswith(b"HTTP/1.1 503"):
            self.tally.refused += 1
            self.state = LOST
            return b""
        if not data.startswith(b"HTTP/1.1 101"):
            self.tally.fault("error", f"handshake answered {bytes(data[: data.find(10)])!r}")
            self.state = LOST
            return b""
        self.state = JOINING
        # The server speaks only when it is spoken to, so that nothing can follow the head here.
        self.rest = b""
        return self._greeting()

    def _frames(self, now_us: int, data: bytearray, at: int, end: int) -> bytes:
        replies = b""
        while at < end:
            found = frame_at(data, at, end)
            if found is None:
                break
            opcode, start, at = found
            if opcode == TEXT:
                replies += self._text(now_us, data[start:at])
            elif opcode == PING:
                replies += masked(PONG, bytes(data[start:at]))
            elif opcode == CLOSE:
                code = int.from_bytes(data[start : start + 2], "big")
                if code not in (NORMAL, MOVE):
                    self.tally.fault("close", f"{code} {data[start + 2 : at].decode()}")
        self.rest = bytes(data[at:end])
        return replies

    # What depends on the protocol.

    @staticmethod
    def request(host: str, port: int) -> bytes:
        """How a connection begins."""
        return handshake(host, port)

    def _messages(self, data: bytearray, at: int, frames: int) -> int:
        """How many messages there are in the frames of `data[:at]`."""
        return frames

    def _greeting(self) -> bytes:
        return hello_and_subscribe(self.subject, self.place)

    def _text(self, now_us: int, payload: bytes | bytearray) -> bytes:
        """Take in a frame. Returns what is to be sent."""
        frame = decode(payload)
        if frame.op == "move":
            return masked(CLOSE, GOING_AWAY)
        self._frame(now_us, frame)
        return b""

    def _frame(self, now_us: int, frame: Frame) -> None:
        if frame.op == "msg":
            self._message(now_us, frame)
        elif frame.op == "live":
            self._move(frame.at)
            self._live(now_us)
        elif frame.op == "subscribed":
            if isinstance(frame.at, dict):
                self.place = dict(frame.at) if self.tracked else None
            if frame.gaps:
                self.tally.fault("gap", f"{self.subject} {frame.gaps}")
        elif frame.op == "heartbeat":
            self._move(frame.at)
        elif frame.op == "gap":
            self.tally.fault("gap", f"{self.subject} {frame.gaps}")
        elif frame.op == "error":
            self.tally.fault("error", f"{frame.error}: {frame.reason}")

    def _live(self, now_us: int) -> None:
        if self.state != LIVE:
            self.state = LIVE
            self.attempts = 0
            self.n = self.n or FIRST - 1
            self.tally.live += 1
            self.tally.joins.append(now_us - self.since_us)

    def _message(self, now_us: int, frame: Frame) -> None:
        value = frame.json
        if value is None or frame.log is None or not isinstance(frame.at, list):
            self.tally.fault("error", f"{self.subject}: not a message of the benchmark")
            return
        if value.n <= self.n:
            self.tally.repeated += not frame.snapshot
            return
        if self.n and value.n != self.n + 1:
            self.tally.fault("missing", f"{self.subject} {self.n} then {value.n}", value.n - self.n - 1)
        if self.tracked and self.chain and frame.prev and frame.prev != self.chain:
            self.tally.fault("chain", f"{self.subject} prev {frame.prev} after {self.chain}")
        self.n = value.n
        if self.tracked:
            self.chain = frame.at
        if frame.snapshot:
            return
        if self.tracked and self.place is not None:
            self.place[frame.log] = frame.at
        self._sample(now_us, value)

    def _sample(self, now_us: int, value: Value) -> None:
        tally = self.tally
        tally.received += 1
        low, high = tally.window
        if low <= value.t < high:
            tally.due.append(value.t)
            tally.latency.append(now_us - value.t)
            tally.weight.append(1)

    def _move(self, at: object) -> None:
        """Move the place forward (PROTOCOL section 7, rules 4 and 5)."""
        if self.place is None or not isinstance(at, dict):
            return
        for log, position in at.items():
            if log not in self.place or self.place[log] < position:
                self.place[log] = position
