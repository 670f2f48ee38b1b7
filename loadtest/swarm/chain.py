"""Proves, message by message, that a subscription gets everything once and in order. A core.

Messages carry `prev`, the position of the subject's previous message in their log. What comes must name what came
before; what does not is a fault, whatever the client did to mend it.

Not here: places to resume from (whimbrel.place), latencies (receipts.py).
"""

from __future__ import annotations

from enum import Enum

from whimbrel.message import Message
from whimbrel.start import Position


class Fault(Enum):
    """What is wrong with a message."""

    MISSING = "missing"
    """One before it did not come."""
    REPEATED = "repeated"
    """It came already."""
    OUT_OF_ORDER = "out of order"
    """A later one came before it."""


class Chain:
    """Of one subscription: the last position by log and subject."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Position] = {}

    def take(self, message: Message) -> Fault | None:
        """The next message that was handed over; what is wrong with it, if anything."""
        key = message.log, message.subject
        last = self._last.get(key)
        if message.snapshot:
            if last is None or message.at > last:
                self._last[key] = message.at
            return None
        if last is not None:
            if message.at == last:
                return Fault.REPEATED
            if message.at < last:
                return Fault.OUT_OF_ORDER
        self._last[key] = message.at
        if last is None or message.prev is None or message.prev == last:
            return None
        return Fault.MISSING if message.prev > last else Fault.OUT_OF_ORDER

    def gap(self, log: str) -> None:
        """A gap of this log was stated: what comes next need not follow."""
        for key in [key for key in self._last if key[0] == log]:
            del self._last[key]
