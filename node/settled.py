"""A value that changes, of which only the values at which it stays are logged.

Not here: what the log says of it (core.py, logs/kafka_health.py).
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Settled(Generic[T]):
    """Looks at the value once a second: a change that is undone before the next look is not worth a line."""

    def __init__(self, value: T, looks: int = 1) -> None:
        """Begin with a value that needs no line.

        Args:
            looks: For how many looks in a row it must not have changed.
        """
        self.told = value
        """The last stable value."""
        self._looks = looks
        self._seen = value
        self._same = 0

    def look(self, value: T) -> bool:
        """Whether the value is stable and another one than was told last."""
        self._same = self._same + 1 if value == self._seen else 0
        self._seen = value
        if self._same < self._looks or value == self.told:
            return False
        self.told = value
        return True
