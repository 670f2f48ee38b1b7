"""A value that moves and of which the log is to have only where it comes to rest.

Not here: what the log says of it (core.py, logs/kafka_health.py).
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Settled(Generic[T]):
    """Shown the value once a second: what begins and ends between two looks is not worth a line."""

    def __init__(self, value: T) -> None:
        self.told = value
        """Where it last came to rest."""
        self._seen = value

    def look(self, value: T) -> bool:
        """Whether it has come to rest elsewhere: it is what it was at the last look, and not what was told."""
        before, self._seen = self._seen, value
        if value != before or value == self.told:
            return False
        self.told = value
        return True
