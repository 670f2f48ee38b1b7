"""Requests to find out at once which topics and partitions Kafka has: one at a time, however many wait for the answer.

Not here: asking Kafka (node/kafka/discovery.py), who asks (node/backfill/backfills.py, kafka_logs.py).
"""

from __future__ import annotations

from node.effects import Effects, LookUpTopics


class LookUps:
    """Numbered from 1."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._asked = 0
        self._answered = 0

    @property
    def surely_fresh(self) -> int:
        """The number of a request whose answer, and the one before it, will have been given after now.

        The request that is on its way may have been answered before; and one broker may lag behind the others, so two
        answers are better than one.
        """
        return self._asked + 2

    def ask(self) -> None:
        """Ask, unless an answer is still to come."""
        if self._asked == self._answered:
            self._asked += 1
            self._effects.add(LookUpTopics(self._asked))

    def answered(self, number: int) -> None:
        """Kafka was asked after this request."""
        self._answered = max(self._answered, number)
