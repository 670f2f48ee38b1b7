"""A value that moves and of which the log is to have only where it comes to rest.

Not here: what the log says of it (core.py, logs/kafka_health.py).
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Settled(Generic[T]):
    """Shown the value once a second: what begins and ends between two looks is not worth a line."""

    def __init__(self, value: T, looks: int = 1) -> None:
        """Begin with a value that needs not be told.

        Args:
            looks: How many in a row must find it as the one before them did.
        """
        self.told = value
        """Where it last came to rest."""
        self._looks = looks
        self._seen = value
        self._same = 0

    def look(self, value: T) -> bool:
        """Whether it has come to rest elsewhere than where it was told to be."""
        self._same = self._same + 1 if value == self._seen else 0
        self._seen = value
        if self._same < self._looks or value == self.told:
            return False
        self.told = value
        return True
