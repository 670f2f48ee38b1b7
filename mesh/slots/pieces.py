"""Messages in pieces, over a path that loses, doubles and overtakes: a sliding window with selective repeat, and a
window of pieces that shrinks when they get lost (additive increase, multiplicative decrease, as in TCP, RFC 5681).

    offer(message) -> Piece 0, 1, 2, ... -> (a path of datagrams) -> take(piece) -> the message, whole and in order
                      Held(up to, but not ...) <----- (whatever path) -----

One *stream* of pieces is between two processes; it begins anew, under a higher number, when nothing of it arrives for
STUCK_S. What was in it is lost then, with which those who use it live anyway.

Not here: the path (reach.py), when all this is used (slots.py).
"""

from __future__ import annotations

from collections import deque
from typing import Annotated

import msgspec

from mesh.transport.wire import MESSAGE_BYTES_MAX

QUEUE_BYTES_MAX = 2 << 20
"""Of messages that wait. It is little, so that what comes last does not wait for long."""
WINDOW = 16.0
"""Pieces on their way, at the beginning."""
WINDOW_MIN = 4.0
WINDOW_MAX = 128.0
"""The largest window that a socket's receive buffer is sure to hold under the system's default limit."""
AHEAD_MAX = 256
"""Pieces that are kept while one before them is missing."""
MISSING_MAX = 64
REPEAT_S_MIN = 0.1
REPEAT_S_MAX = 1.0
STUCK_S = 3.0

Count = Annotated[int, msgspec.Meta(ge=0)]


class Piece(msgspec.Struct, array_like=True, tag="piece", gc=False):
    """Of a message, for that start of the receiver (`to_boot`)."""

    to_boot: str
    stream: Count
    number: Count
    """Among all pieces of the stream, from 0 on."""
    is_last: bool
    """The message ends here."""
    payload: bytes


class Held(msgspec.Struct, array_like=True, tag="held", gc=False):
    """The sender holds, of the receiver's stream, all pieces below `until` but these."""

    to_boot: str
    stream: Count
    until: Count
    missing: list[Count]


class _OnItsWay:
    __slots__ = ("is_missing", "is_repeated", "piece", "sent_at")

    def __init__(self, now: float, piece: Piece) -> None:
        self.piece = piece
        self.sent_at = now
        self.is_repeated = False
        self.is_missing = False
        """The receiver says so."""


class PieceSender:
    """The sender's end. Time in seconds."""

    def __init__(self, now: float, to_boot: str, number: int, piece_bytes: int) -> None:
        self.to_boot = to_boot
        self.number = number
        self._piece_bytes = piece_bytes
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._cut_at = 0
        """So much of the first message that waits is in pieces already."""
        self._next = 0
        self._on_their_way: dict[int, _OnItsWay] = {}
        self._window = WINDOW
        self._is_slow_start = True
        self._round_trip_s = 0.0
        self._repeat_s = 2 * REPEAT_S_MIN
        self._moved_at = now
        """When a piece arrived, or none was on its way."""

    def offer(self, message: bytes) -> bool:
        """Send a message after those before it; False if it is lost because too much waits."""
        if self._waiting and self._waiting_bytes + len(message) > QUEUE_BYTES_MAX:
            return False
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        return True

    def held(self, now: float, held: Held) -> None:
        """What the receiver holds."""
        if held.stream != self.number:
            return
        missing = set(held.missing)
        for number in [*self._on_their_way]:
            if number >= held.until:
                break
            one = self._on_their_way[number]
            if number in missing:
                one.is_missing = True
                continue
            del self._on_their_way[number]
            self._moved_at = now
            if not one.is_repeated:  # else it is not known which one arrived (Karn's algorithm)
                self._measure(now - one.sent_at)
            self._window = min(WINDOW_MAX, self._window + (1.0 if self._is_slow_start else 1.0 / self._window))

    def take(self, now: float) -> list[Piece]:
        """The pieces to be sent now."""
        found = []
        is_late = False
        for one in self._on_their_way.values():
            waited_s = now - one.sent_at
            if waited_s >= self._repeat_s or (one.is_missing and waited_s >= self._round_trip_s):
                is_late |= not one.is_missing
                self._slow_down(one)
                one.sent_at, one.is_repeated, one.is_missing = now, True, False
                found.append(one.piece)
                if len(found) >= self._window:
                    break
        if is_late:
            self._repeat_s = min(2 * self._repeat_s, REPEAT_S_MAX)
        if not self._on_their_way:
            self._moved_at = now
        while self._waiting and len(self._on_their_way) < self._window:
            piece = self._cut()
            self._on_their_way[piece.number] = _OnItsWay(now, piece)
            found.append(piece)
        return found

    def is_stuck(self, now: float) -> bool:
        """Whether nothing has arrived for so long that the copy should be started again."""
        return now - self._moved_at >= STUCK_S

    def _measure(self, round_trip_s: float) -> None:
        before = self._round_trip_s or round_trip_s
        self._round_trip_s = before + (round_trip_s - before) / 8
        self._repeat_s = min(max(3 * self._round_trip_s, REPEAT_S_MIN), REPEAT_S_MAX)

    def _slow_down(self, one: _OnItsWay) -> None:
        """Something was lost: once for each piece, since several are lost together."""
        if not one.is_repeated:
            self._is_slow_start = False
            self._window = max(WINDOW_MIN, self._window * 0.9)

    def _cut(self) -> Piece:
        message = self._waiting[0]
        end = self._cut_at + self._piece_bytes
        payload, is_last = message[self._cut_at : end], end >= len(message)
        self._cut_at = 0 if is_last else end
        if is_last:
            self._waiting_bytes -= len(self._waiting.popleft())
        self._next += 1
        return Piece(self.to_boot, self.number, self._next - 1, is_last, payload)


class PieceReceiver:
    """The receiver's end, of one start of the sender."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self._stream = 0
        self._next = 0
        self._ahead: dict[int, Piece] = {}
        self._parts: list[bytes] = []
        self._parts_bytes = 0

    def take(self, piece: Piece) -> list[bytes]:
        """The messages that are whole with this piece."""
        if piece.stream > self._stream:
            self._stream, self._next = piece.stream, 0
            self._ahead.clear()
            self._forget()
        if piece.stream < self._stream or not self._next <= piece.number < self._next + AHEAD_MAX:
            return []
        self._ahead[piece.number] = piece
        whole = []
        while (following := self._ahead.pop(self._next, None)) is not None:
            self._next += 1
            self._parts.append(following.payload)
            self._parts_bytes += len(following.payload)
            if following.is_last:
                whole.append(b"".join(self._parts))
            if following.is_last or self._parts_bytes > MESSAGE_BYTES_MAX:
                self._forget()
        return whole

    def held(self) -> Held:
        """What there is, for the sender."""
        until = max(self._ahead, default=self._next - 1) + 1
        missing = [number for number in range(self._next, until) if number not in self._ahead]
        if len(missing) > MISSING_MAX:
            until, missing = missing[MISSING_MAX], missing[:MISSING_MAX]
        return Held(self.boot, self._stream, until, missing)

    def _forget(self) -> None:
        self._parts, self._parts_bytes = [], 0
