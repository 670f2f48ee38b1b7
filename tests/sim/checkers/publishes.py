"""What clients have published: what was acknowledged is there, where that was said, and once.

Every publish has a value of its own, by which it is known.

Not here: what subscribers get of it (reader.py).
"""

from __future__ import annotations

from mesh.log import Position
from tests.sim.checkers.truth import Truth
from tests.sim.checkers.violation import Violation


class Publishes:
    """Of all clients."""

    def __init__(self, truth: Truth) -> None:
        self.acked: dict[bytes, tuple[str, str, Position | None]] = {}
        """Value -> subject, log, position."""
        self.refused: dict[bytes, str] = {}
        """Those of which it was said that they are not, and will not be, in a log."""
        self.waits: list[float] = []
        """How long acknowledged publishes took, in seconds."""
        self._truth = truth

    def done(self, who: str, subject: str, value: bytes, log: str, at: Position | None, took_s: float) -> None:
        """It is acknowledged."""
        self.waits.append(took_s)
        self.acked[value] = (subject, log, at)
        truth = self._truth
        if truth.is_own(subject):
            if at is not None:
                truth.slot(log).learn(at, subject, value, f"{who}'s acknowledgement")
        elif not truth.kafka.has_taken(value):
            raise Violation(f"{value!r} of {who} is acknowledged, and Kafka has it not")
        elif at is not None:
            partition = truth.kafka.logs[log]
            seen = partition.by_position.get(at)
            if partition.is_gone:
                return  # a node that has not looked again takes what it reads of a new topic for the old one's
            if seen is None or seen.record.value != value:
                raise Violation(f"{value!r} of {who} is acknowledged at {at} of {log}, where it does not stand")

    def failed(self, subject: str, value: bytes, is_known: bool) -> None:
        """It is given up. `is_known`: it was said that it is in no log."""
        if is_known:
            self.refused[value] = subject

    def check(self) -> None:
        """At the end of a run."""
        for value, subject in self.refused.items():
            if not self._truth.is_own(subject) and self._truth.kafka.find(value):
                raise Violation(f"{value!r} was refused, and Kafka has it")
