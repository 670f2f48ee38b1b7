"""What each log holds. Kafka's logs are the model's; the cluster's own are learned from what applications are handed.

Rules for the cluster's own logs, always: one position holds one message; and while fewer than W voters lost their
memory at once: one publish stands at one position only.

Not here: what one application must get (reader.py).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from typing import Protocol

from mesh.log import Position
from mesh.subject import topic_of
from tests.sim.broker.cluster import ModelKafka
from tests.sim.broker.log import covers
from tests.sim.checkers.violation import Violation


class Due(Protocol):
    """A message that a log holds."""

    at: Position
    subject: str

    @property
    def is_due(self) -> bool:
        """Whether every reader must get it."""


class LogTruth(Protocol):
    """One log."""

    def between(self, wanted: str, after: Position, to: Position) -> Iterator[Due]:
        """What it holds of a subject or pattern after one position, up to and including another."""


class Told:
    """A message of the cluster's own logs that somebody was handed, or that was acknowledged."""

    __slots__ = ("at", "subject", "value")
    is_due = True

    def __init__(self, at: Position, subject: str, value: bytes | None) -> None:
        self.at = at
        self.subject = subject
        self.value = value

    def __lt__(self, other: Told) -> bool:
        return self.at < other.at


class SlotTruth:
    """A log of one slot."""

    def __init__(self, log_id: str) -> None:
        self.id = log_id
        self._by_position: dict[Position, Told] = {}
        self._by_value: dict[bytes, Position] = {}
        self._order: list[Told] = []

    def learn(self, at: Position, subject: str, value: bytes | None, who: str) -> None:
        """Somebody is handed this, or told that it stands there."""
        known = self._by_position.get(at)
        if known is not None:
            if (known.subject, known.value) != (subject, value):
                raise Violation(f"{who}: {value!r} at {at} of {self.id}, where {known.value!r} stands")
            return
        if value is not None:
            before = self._by_value.setdefault(value, at)
            if before != at:
                raise Violation(f"{who}: {value!r} at {at} of {self.id} repeats {before}")
        told = self._by_position[at] = Told(at, subject, value)
        insort(self._order, told)

    def between(self, wanted: str, after: Position, to: Position) -> Iterator[Told]:
        """See LogTruth."""
        for index in range(bisect_right(self._order, after, key=_at), len(self._order)):
            found = self._order[index]
            if found.at > to:
                return
            if covers(wanted, found.subject):
                yield found


class Truth:
    """All logs."""

    def __init__(self, kafka: ModelKafka, namespace: str) -> None:
        self.kafka = kafka
        self.slots: dict[str, SlotTruth] = {}
        self.is_broken = False
        """W voters have lost their memory at once: what the cluster's own logs held may be gone."""
        self.has_clock_jumped = False
        self._namespace = namespace

    def is_own(self, subject: str) -> bool:
        """Whether a subject is the cluster's own, not Kafka's."""
        return topic_of(subject) == self._namespace

    def log(self, log_id: str) -> LogTruth:
        """A log that somebody was told of.

        Raises:
            Violation: If there never was one.
        """
        found = self.kafka.logs.get(log_id)
        if found is not None:
            return found
        if not log_id.startswith("s"):
            raise Violation(f"there never was a log {log_id}")
        return self.slot(log_id)

    def slot(self, log_id: str) -> SlotTruth:
        """A log of the cluster's own."""
        found = self.slots.get(log_id)
        if found is None:
            found = self.slots[log_id] = SlotTruth(log_id)
        return found


def _at(told: Told) -> Position:
    return told.at
