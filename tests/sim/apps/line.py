"""The line between a client and a worker: whole WebSocket messages, in order, until it is cut, or falls silent.

What the client does not take piles up: first in the sockets' buffers, then in what the worker keeps, within a limit.

Not here: what the messages mean (the SDK's session, gateway/sessions).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Protocol

from gateway.sessions.session import Session
from gateway.sockets.websocket import BINARY, CLOSE, PING, TEXT
from tests.sim.machines.worker import WorkerMachine
from tests.sim.setting import Setting

SOCKET_BYTES = 300
"""What the buffers of both ends hold."""
CLOSE_WAIT_S = 1.0
SLOW_S = 0.15
"""What a slow client takes for a message."""


class ClientEnd(Protocol):
    """Whoever has the line."""

    def line_received(self, line: Line, data: str | bytes) -> None:
        """A message."""

    def line_lost(self, line: Line, code: int | None, reason: str) -> None:
        """It is over."""


class Line:
    """One connection, from after its handshake."""

    def __init__(self, setting: Setting, rng: Random, worker: WorkerMachine, node: str, end: ClientEnd) -> None:
        self.node = node
        self.is_slow = False
        self.is_stalled = False
        self._setting = setting
        self._rng = rng
        self._worker = worker
        self._end: ClientEnd | None = end
        """None once the client is done with it."""
        self.is_silent = False
        self._is_up = True
        """The worker's end is there."""
        self._queue: deque[bytes] = deque()
        """WebSocket messages on their way to the client."""
        self._bytes = 0
        self._was_backed_up = False
        self._has_overflowed = False
        self._close: tuple[int, str] | None = None
        self._is_arriving = False
        self._said: deque[str | bytes] = deque()
        """Messages on their way to the worker."""
        self._sent_at = 0.0
        self._session: Session

    def connect(self, encoding: int, address: str) -> None:
        """The handshake is done."""
        self._session = self._worker.connect(encoding, address, self)

    # The worker's end.

    def send(self, data: bytes) -> None:
        """Whole messages, to the client."""
        if not self._is_up or self.is_silent or self._close is not None:
            return
        for message in _messages(data):
            self._queue.append(message)
            self._bytes += len(message)
        if self._bytes > SOCKET_BYTES:
            self._was_backed_up = True
        if self._bytes > SOCKET_BYTES + self._setting.options.outbox_bytes_max and not self._has_overflowed:
            self._has_overflowed = True
            self._queue.clear()
            self._bytes = 0
            self._setting.schedule.after(0.0, self._overflowed)
        self._arrive_later()

    def close(self, code: int, reason: str) -> None:
        """Say why behind all that was sent, and end. 0: the worker is gone, nothing is said."""
        if not self._is_up or self._close is not None:
            return
        if code:
            self._close = (code, reason)
            self._arrive_later()
            self._setting.schedule.after(CLOSE_WAIT_S, self._hang_up)
            return
        self._is_up = False
        if not self.is_silent:
            self._setting.schedule.after(self._delay_s(), self._lose, None, "connection reset")

    def resume_reading(self) -> None:
        """Reading is never stopped."""

    @property
    def waiting_bytes(self) -> int:
        """What the sockets did not take; until the client has taken all of it, there is something."""
        return max(self._bytes - SOCKET_BYTES, 1) if self._was_backed_up else 0

    # The client's end.

    def say(self, data: str | bytes) -> None:
        """A message, to the worker."""
        if not self.is_silent:
            self._sent_at = max(self._sent_at, self._setting.now) + self._delay_s()
            self._said.append(data)
            self._setting.schedule.at(self._sent_at, self._arrive_at_worker)

    def drop(self, at_once: bool) -> None:
        """The client wants nothing more of it; what it said before still gets there unless `at_once`."""
        self._end = None
        at = self._setting.now if at_once else max(self._sent_at, self._setting.now)
        if not self.is_silent:
            self._setting.schedule.at(at + self._delay_s(), self._hang_up)

    # What happens to it.

    def cut(self) -> None:
        """It breaks: what is on it is lost, and both ends notice."""
        self._queue.clear()
        self._hang_up()
        self._setting.schedule.after(self._delay_s(), self._lose, None, "cut")

    def fall_silent(self) -> None:
        """Nothing gets through any more, and nobody is told."""
        self.is_silent = True
        self._queue.clear()

    def set_pace(self, is_slow: bool, is_stalled: bool) -> None:
        """How the client takes what comes."""
        self.is_slow, self.is_stalled = is_slow, is_stalled
        self._arrive_later()

    # Private.

    def _delay_s(self) -> float:
        return self._rng.random() * self._setting.options.line_s

    def _arrive_later(self) -> None:
        if not self._is_arriving:
            self._is_arriving = True
            self._setting.schedule.after(self._delay_s() + (SLOW_S if self.is_slow else 0.0), self._arrive)

    def _arrive(self) -> None:
        self._is_arriving = False
        if self.is_silent or self.is_stalled or self._end is None:
            return
        count = 1 if self.is_slow or self._rng.random() < 0.2 else len(self._queue)
        while self._queue and count and self._end is not None:
            count -= 1
            message = self._queue.popleft()
            self._bytes -= len(message)
            self._take(self._end, message)
        if self._queue:
            self._arrive_later()
            return
        if self._was_backed_up:
            self._was_backed_up = False
            if self._is_up and not self._worker.is_over:
                self._worker.drained(self._session)
        if self._close is not None and not self._queue:
            self._lose(*self._close)
            self._hang_up()

    def _take(self, end: ClientEnd, message: bytes) -> None:
        kind, data = message[0] & 0x0F, message[_head(message) :]
        if kind == TEXT:
            end.line_received(self, data.decode())
        elif kind == BINARY:
            end.line_received(self, data)
        elif kind == PING:
            self._setting.schedule.after(self._delay_s(), self._pong)
        else:
            assert kind != CLOSE, "the line has its own way to say so"

    def _pong(self) -> None:
        if self._is_up and not self.is_silent and not self._worker.is_over:
            self._worker.heard(self._session)

    def _arrive_at_worker(self) -> None:
        if not self._is_up or self.is_silent or self._worker.is_over:
            return
        if self._worker.is_stalled:
            self._sent_at = max(self._sent_at, self._worker.stalled_until)
            self._setting.schedule.at(self._worker.stalled_until, self._arrive_at_worker)
            return
        data = self._said.popleft()
        if isinstance(data, str):
            self._worker.receive(self._session, TEXT, data.encode())
        else:
            self._worker.receive(self._session, BINARY, data)

    def _overflowed(self) -> None:
        if self._is_up and not self._worker.is_over:
            self._worker.overflowed(self._session)

    def _hang_up(self) -> None:
        if self._is_up:
            self._is_up = False
            if not self._worker.is_over:
                self._worker.gone(self._session)

    def _lose(self, code: int | None, reason: str) -> None:
        end, self._end = self._end, None
        if end is not None:
            end.line_lost(self, code, reason)


def _head(message: bytes) -> int:
    """Bytes before the payload of an unmasked frame (RFC 6455 section 5.2)."""
    return {126: 4, 127: 10}.get(message[1], 2)


def _messages(data: bytes) -> Iterator[bytes]:
    """The frames that these bytes are; a server sends each message in one."""
    start = 0
    while start < len(data):
        size = data[start + 1]
        head = 2
        if size == 126:
            head, size = 4, int.from_bytes(data[start + 2 : start + 4], "big")
        elif size == 127:
            head, size = 10, int.from_bytes(data[start + 2 : start + 10], "big")
        yield data[start : start + head + size]
        start += head + size
