"""What the cache has of one subject in one log.

Not here: who changes it (cache.py).
"""

from __future__ import annotations

from mesh.log import Entry, Position


class SubjectLog:
    """One subject's entries in one log."""

    __slots__ = ("entries", "floor", "key", "last", "latest", "skip", "subject")

    def __init__(self, subject: str, floor: Position) -> None:
        self.subject = subject
        self.key: bytes | None = None
        """By which it is found in `Log.by_key`."""
        self.entries: list[Entry] = []
        self.floor = floor
        """Every entry after this position is in `entries`."""
        self.last: Position | None = None
        """The subject's newest position, `prev` of its next entry; None if there is none, or Kafka has it no more."""
        self.latest: Entry | None = None
        """The newest entry, unless that is a tombstone."""
        self.skip = 0


def position_of(entry: Entry) -> Position:
    """To search entries by."""
    return entry.at
