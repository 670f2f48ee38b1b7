"""A third client, written from client/PROTOCOL.md alone: what its section 7 says, rule by rule, over plain frames.

It also slows down, hangs up and comes back as it is told, and holds against the server what no client should see:
a message that is missing from a chain, or one for a subscription that cannot have it.

Not here: anything of the SDKs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from random import Random
from typing import Any

import msgpack  # type: ignore[import-untyped]
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from tests.support.checker import Fresh, Gapped, Got, Live, Seen
from tests.support.truth import Position, covers

Frame = dict[str, Any]
PAUSE_MAX_S = 1.0
SILENT_S = 6.0


class _JsonValue(msgspec.Struct):
    json: msgspec.Raw


class RawSubscription:
    """One subscription, with the four things that section 7 says to remember."""

    def __init__(self, seen: Seen, start: object) -> None:
        self.seen = seen
        self.start = start
        self.id = 0
        self.answered = False
        self.was_live = False
        self.place: dict[str, Position | None] = {}
        self.live: set[str] = set()
        self.since: dict[str, Position] = {}
        self.chain: dict[tuple[str, str], Position] = {}

    def seen_up_to(self, log: str, subject: str) -> Position | None:
        """The later of chain and since, where there are such."""
        had = [at for at in (self.chain.get((log, subject)), self.since.get(log)) if at is not None]
        return max(had, default=None)

    def forget(self, log: str) -> None:
        self.chain = {known: at for known, at in self.chain.items() if known[0] != log}

    def drop(self, log: str) -> None:
        self.forget(log)
        self.place.pop(log, None)
        self.since.pop(log, None)
        self.live.discard(log)

    def advance(self, log: str, at: Position) -> None:
        now = self.place.get(log)
        if now is None or at > now:
            self.place[log] = at


class RawClient:
    """One client that stays until it is told to stop."""

    def __init__(
        self,
        url: str,
        encoding: str,
        subscriptions: list[RawSubscription],
        seed: int,
        slow_s: float = 0.0,
        stay_s: float = 0.0,
    ) -> None:
        """`slow_s`: now and then it reads nothing for as long. `stay_s`: about how long it stays connected; 0: on."""
        self.url = url
        self.encoding = encoding
        self.subscriptions = subscriptions
        self.complaints: list[str] = []
        self.repeats = 0
        self.connections = 0
        self.closes: dict[object, int] = {}
        self.slow_s = slow_s
        self.stay_s = stay_s
        self.stopping = False
        self._rng = Random(seed)
        self._id = 0
        self._by_id: dict[int, RawSubscription] = {}
        self._socket: ClientConnection | None = None

    async def run(self) -> None:
        """Connect, again and again, until `stopping`."""
        failures = 0
        while not self.stopping:
            try:
                await self._connection()
                failures = 0
                code: object = "gone"
            except (OSError, WebSocketException, TimeoutError) as error:
                failures += 1
                received = getattr(error, "rcvd", None)
                code = received.code if received is not None else type(error).__name__
            self.closes[code] = self.closes.get(code, 0) + 1
            if isinstance(code, int) and (4300 <= code < 4400 or code in (1002, 1003, 1007, 1008, 1009, 1010)):
                self.complaints.append(f"told not to come back: {code}")
                return
            await asyncio.sleep(self._rng.uniform(0, min(0.1 * 2**failures, PAUSE_MAX_S)))

    async def _connection(self) -> None:
        small = socket.socket()
        if self.slow_s:
            small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.setblocking(False)
        host, port = self.url.removeprefix("ws://").split(":")
        try:
            await asyncio.get_running_loop().sock_connect(small, (host, int(port)))
        except OSError:
            small.close()
            raise
        async with connect(
            f"{self.url}/v1/ws",
            sock=small,
            subprotocols=[Subprotocol(f"whimbrel.v1.{self.encoding}")],
            compression=None,
            max_size=None,
            max_queue=2,
            ping_interval=None,
            open_timeout=5,
            close_timeout=0.2,
        ) as self._socket:
            self.connections += 1
            self._id = 0
            self._by_id.clear()
            await self._send({"op": "hello", "client": "from-the-protocol/1"})
            for one in self.subscriptions:
                one.live.clear()
                await self._subscribe(one)
            leave_at = time.monotonic() + (self._rng.uniform(0.2, 1.8) * self.stay_s or 1e9)
            while not self.stopping:
                if time.monotonic() >= leave_at:
                    self._socket.transport.abort()
                    return
                if self.slow_s and self._rng.random() < 0.002:
                    await asyncio.sleep(self._rng.uniform(0.5, 1.5) * self.slow_s)
                await self._frame(await asyncio.wait_for(self._socket.recv(), SILENT_S))

    async def _send(self, frame: Frame) -> int:
        assert self._socket is not None
        self._id += 1
        frame["id"] = self._id
        await self._socket.send(json.dumps(frame) if self.encoding == "json" else msgpack.packb(frame))
        return self._id

    async def _subscribe(self, one: RawSubscription) -> None:
        how: Frame = {"from": one.start}
        if one.place and (one.was_live or (one.answered and one.start != "latest")):
            how = {"resume": one.place}
        one.id = await self._send({"op": "subscribe", "subject": one.seen.subject, **how})
        self._by_id[one.id] = one

    async def _frame(self, data: str | bytes) -> None:
        frame: Frame = json.loads(data) if isinstance(data, str) else msgpack.unpackb(data)
        match frame["op"]:
            case "msg":
                await self._message(frame, data)
            case "subscribed":
                self._subscribed(frame)
            case "live":
                self._live(frame)
            case "gap":
                if (one := self._by_id.get(frame["sub"])) is not None:
                    self._gaps(one, frame["gaps"])
            case "ended":
                if (one := self._by_id.get(frame["sub"])) is not None:
                    one.drop(frame["log"])
            case "heartbeat":
                for one in self._by_id.values():
                    for log, at in frame.get("at", {}).items():
                        if log in one.live:
                            one.advance(log, _position(at))
            case "error":
                self.complaints.append(f"error {frame}")

    def _subscribed(self, frame: Frame) -> None:
        one = self._by_id.get(frame["id"])
        if one is None:
            return
        is_first, one.answered = not one.answered, True
        at = {log: _position(where) for log, where in frame["at"].items()}
        waiting = tuple(frame.get("waiting", ()))
        one.place = {**at, **{log: None for log in waiting if log not in at}}
        one.live.clear()
        if frame["answer"] == "fresh":
            one.since = dict(at)
        else:
            one.since = at | one.since
        if frame["answer"] == "fresh" or is_first:
            one.seen.noted.append(Fresh(at, waiting))
        self._gaps(one, frame.get("gaps", ()))

    def _gaps(self, one: RawSubscription, gaps: list[Frame]) -> None:
        for gap in gaps:
            log = gap["log"]
            start = None if gap["from"] is None else _position(gap["from"])
            end = None if gap["to"] is None else _position(gap["to"])
            one.seen.noted.append(Gapped(log, start, end, gap["why"], time.time()))
            if end is None:
                one.drop(log)
            else:
                one.forget(log)
                one.place[log] = one.since[log] = end

    def _live(self, frame: Frame) -> None:
        one = self._by_id.get(frame["sub"])
        if one is None:
            return
        one.was_live = True
        at = {log: _position(where) for log, where in frame["at"].items()}
        for log, where in at.items():
            one.live.add(log)
            one.advance(log, where)
            one.since.setdefault(log, where)
        one.seen.noted.append(Live(at))

    async def _message(self, frame: Frame, data: str | bytes) -> None:
        subject, log, at = frame["subject"], frame["log"], _position(frame["at"])
        if "sub" in frame:
            found = [one for one in [self._by_id.get(frame["sub"])] if one is not None]
        else:
            matching = [one for one in self._by_id.values() if covers(one.seen.subject, subject)]
            found = [one for one in matching if log in one.live]
            if not matching:
                self.complaints.append(f"a message of {subject} for nobody")
        prev = _position(frame["prev"]) if "prev" in frame else None
        for one in found:
            if frame.get("snapshot"):
                if one.chain.get((log, subject), at) < at or (log, subject) not in one.chain:
                    one.chain[log, subject] = at
                    self._hand_over(one, frame, data, prev)
                continue
            had = one.seen_up_to(log, subject)
            if had is not None and had >= at:
                self.repeats += 1
            elif prev is not None and had is not None and prev > had:
                self.complaints.append(f"{one.seen.name}: {subject} {log} {at} has prev {prev}, but it had {had}")
                one.place[log] = had
                del self._by_id[one.id]
                one.live.clear()
                await self._send({"op": "unsubscribe", "sub": one.id})
                await self._subscribe(one)
            else:
                one.chain[log, subject] = at
                one.advance(log, at)
                self._hand_over(one, frame, data, prev)

    def _hand_over(self, one: RawSubscription, frame: Frame, data: str | bytes, prev: Position | None) -> None:
        one.seen.noted.append(
            Got(
                frame["subject"],
                frame["log"],
                _position(frame["at"]),
                prev,
                _value(frame, data),
                tuple((name, _header(value)) for name, value in frame.get("headers", ())),
                frame.get("time"),
                frame.get("snapshot", False),
            )
        )


def _position(at: list[int]) -> Position:
    return (at[0], at[1])


def _value(frame: Frame, data: str | bytes) -> bytes | None:
    """The exact bytes that were produced."""
    if "json" in frame:
        raw: bytes = bytes(msgspec.json.decode(data, type=_JsonValue).json) if isinstance(data, str) else frame["json"]
        return raw
    if "text" in frame:
        return str(frame["text"]).encode()
    if "base64" in frame:
        return base64.b64decode(frame["base64"], validate=True)
    if "bytes" in frame:
        found: bytes = frame["bytes"]
        return found
    assert frame["tombstone"] is True, f"a message without a value: {frame}"
    return None


def _header(value: Any) -> bytes | None:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"], validate=True)
    return value.encode() if isinstance(value, str) else value
