"""How long Kafka takes to answer questions for history, and how far other nodes are behind.

Not here: publishes (publishing.py), commits (mesh/slots/forwarding.py), what Prometheus calls them (status/metrics.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from mesh.histogram import Histogram


class Durations:
    """Told by the core what is asked and answered."""

    def __init__(self) -> None:
        self.read_back_s = Histogram()
        """From a question for Kafka's history to its answer."""
        self.replication_s = Histogram()
        """How far each other node is behind what this one has sent it as a coordinator; seen once a second."""
        self._asked: dict[int, float] = {}

    def asked(self, now: float, ticket: int) -> None:
        """Kafka is asked."""
        self._asked[ticket] = now

    def answered(self, now: float, ticket: int) -> None:
        """Kafka has answered."""
        if (asked_at := self._asked.pop(ticket, None)) is not None:
            self.read_back_s.observe(now - asked_at)

    def given_up(self, ticket: int) -> None:
        """There is no answer, or it is no longer needed."""
        self._asked.pop(ticket, None)

    def behind(self, delays_s: Iterable[float]) -> None:
        """Once a second: how far each of the other nodes is behind."""
        for delay_s in delays_s:
            self.replication_s.observe(delay_s)
