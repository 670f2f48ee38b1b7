"""Publishes that are not answered yet: sent in order, again after a failure that may pass, until their time is up.

PROTOCOL section 8. A publish keeps its `(publisher, seq)` however often it is sent: the server recognises it by them.

Invariants:
- What waits to be sent goes out in the order of `seq`: a publish that failed for now goes before later ones.
- Every publish ends in exactly one event, `PublishDone` or `PublishFailed`.
"""

from __future__ import annotations

import heapq
import string
from random import Random

from whimbrel import codes
from whimbrel.events import PublishDone, PublishFailed
from whimbrel.frames import Error, Published
from whimbrel.outgoing import Outgoing
from whimbrel.outputs import Outputs
from whimbrel.servers import again_pause_s, asked_pause_s

_ALPHABET = string.ascii_letters + string.digits + "_-"
TIMED_OUT = "not acknowledged in time"


class Publishing:
    """All publishes of one client."""

    def __init__(self, outputs: Outputs, rng: Random) -> None:
        self._outputs = outputs
        self._rng = rng
        self.publisher = "".join(rng.choices(_ALPHABET, k=22))
        self._last_seq = 0
        self._to_send: list[tuple[int, Outgoing]] = []
        """A heap by seq."""
        self._in_flight: dict[int, Outgoing] = {}
        """By the id of the frame."""
        self._deadlines: list[tuple[float, int, Outgoing]] = []
        """A heap; entries of publishes that are done are skipped."""
        self._ready = False
        self._in_flight_max: int | None = None
        self._frame_bytes_max: int | None = None
        self._round = 0
        """Raised at every first failure since a pause: one fault that fails many publishes makes one pause."""
        self._hold_until = 0.0
        self._no_connection = "none has been made yet"
        """Why there is none; empty while there is one."""

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        while self._deadlines and self._deadlines[0][2].done:
            heapq.heappop(self._deadlines)
        times = [self._deadlines[0][0]] if self._deadlines else []
        if self._ready and self._to_send and self._has_room():
            times.append(self._hold_until)
        return min(times, default=None)

    def publish(self, now: float, item: Outgoing) -> None:
        self._last_seq += 1
        item.seq = self._last_seq
        heapq.heappush(self._to_send, (item.seq, item))
        heapq.heappush(self._deadlines, (item.deadline, item.seq, item))
        self._send_waiting(now)

    def connected(self, now: float, in_flight_max: int | None, frame_bytes_max: int | None) -> None:
        self._ready = True
        self._no_connection = ""
        self._in_flight_max = in_flight_max
        self._frame_bytes_max = frame_bytes_max
        self._hold_until = now
        self._send_waiting(now)

    def disconnected(self, why: str) -> None:
        self._ready = False
        self._no_connection = why
        for item in self._in_flight.values():
            heapq.heappush(self._to_send, (item.seq, item))
        self._in_flight.clear()

    def published(self, now: float, frame: Published) -> None:
        item = self._in_flight.pop(frame.id, None)
        if item is None:
            return
        item.done = True
        self._outputs.tell(PublishDone(item, frame.log, frame.at))
        self._send_waiting(now)

    def refused(self, now: float, frame: Error) -> bool:
        """Take an error; False when it answers no publish."""
        item = self._in_flight.pop(frame.id, None)
        if item is None:
            return False
        if codes.on_error(frame.code) is codes.Action.STOP:
            self._fail(item, frame.code, frame.name, frame.reason, outcome_unknown=item.attempts > 1)
        else:
            item.refusal = frame
            item.refusals += 1
            heapq.heappush(self._to_send, (item.seq, item))
            if item.round == self._round:
                self._round += 1
                self._hold_until = now + asked_pause_s(frame.reason) + again_pause_s(item.refusals, self._rng)
        self._send_waiting(now)
        return True

    def tick(self, now: float) -> None:
        while self._deadlines and (self._deadlines[0][2].done or self._deadlines[0][0] <= now):
            item = heapq.heappop(self._deadlines)[2]
            if item.done:
                continue
            if item.refusal:
                error = item.refusal
                self._fail(item, error.code, error.name, self._late(error.reason), outcome_unknown=True)
            else:
                self._fail(item, None, "", self._late(TIMED_OUT), outcome_unknown=item.attempts > 0)
        self._in_flight = {id_: item for id_, item in self._in_flight.items() if not item.done}
        self._send_waiting(now)

    def close(self, code: int | None, reason: str) -> None:
        """The session is over: nothing more will be answered."""
        self._ready = False
        for item in sorted({*self._in_flight.values(), *(item for _, item in self._to_send)}, key=lambda i: i.seq):
            if not item.done:
                self._fail(item, code, "", f"the client is closed: {reason}", outcome_unknown=item.attempts > 0)
        self._in_flight.clear()
        self._to_send.clear()

    def _late(self, reason: str) -> str:
        return f"{reason}; no connection: {self._no_connection}" if self._no_connection else reason

    def _send_waiting(self, now: float) -> None:
        if not self._ready or now < self._hold_until:
            return
        while self._to_send and self._has_room():
            item = heapq.heappop(self._to_send)[1]
            if not item.done:
                self._send(item)

    def _has_room(self) -> bool:
        return self._in_flight_max is None or len(self._in_flight) < self._in_flight_max

    def _send(self, item: Outgoing) -> None:
        body = {"subject": item.subject, "publisher": self.publisher, "seq": item.seq, "value": item.value}
        if item.headers:
            body["headers"] = item.headers
        id_ = self._outputs.send("publish", body, self._frame_bytes_max)
        if id_ is None:
            reason = f"the frame would be longer than the server's limit of {self._frame_bytes_max} bytes"
            self._fail(item, codes.MESSAGE_TOO_LARGE, "message_too_large", reason, outcome_unknown=item.attempts > 0)
            return
        item.attempts += 1
        item.round = self._round
        self._in_flight[id_] = item

    def _fail(self, item: Outgoing, code: int | None, name: str, reason: str, *, outcome_unknown: bool) -> None:
        item.done = True
        self._outputs.tell(PublishFailed(item, code, name, reason, outcome_unknown))
