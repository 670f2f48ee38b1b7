"""What is remembered of one log of a subscription on its way to live.

Not here: the way (backfill.py).
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum, auto
from typing import TypeAlias

from mesh.cache.subject_log import SubjectLog
from mesh.log import BEGINNING, Entry, Position
from node.backfill.questions import KafkaQuestion
from node.topics import Source


class Stage(Enum):
    WAITING = auto()
    """Not loaded, or Kafka could not be asked: later."""
    ASKING = auto()
    """A question to Kafka is on its way."""
    READING = auto()
    """The next page can be filled."""
    LIVE = auto()


Looking: TypeAlias = Generator[None, None, KafkaQuestion | None]
"""Looks through what the cache has of a pattern: goes on with each step, and ends with what has to be asked."""


class LogBackfill:
    """The way of one log."""

    __slots__ = (
        "answered",
        "at",
        "buffer",
        "cut",
        "first_end",
        "kept",
        "looking",
        "postponed",
        "rows",
        "snapshot",
        "source",
        "stage",
        "start",
        "table_after",
        "ticket",
    )

    def __init__(self, source: Source) -> None:
        self.source = source
        self.stage = Stage.WAITING
        self.ticket = 0
        """Of the question that is on its way."""
        self.postponed = False
        """Kafka could not be asked; not to be asked again before `retry`."""
        self.start: Position | None = None
        """Where to start, once that is known."""
        self.first_end: Position | None = None
        """The log's end when Kafka was first asked where to start."""
        self.kept: Position | None = None
        """Of the first entry in the cache since the time that is asked for."""
        self.at: Position = BEGINNING
        self.answered = False
        """Whether the client has been told from where this log goes on."""
        self.buffer: list[tuple[str, Entry]] = []
        """What the next pages take, newest first (taken from the end)."""
        self.cut: Position = BEGINNING
        """`at`, once the buffer is empty."""
        self.rows: list[SubjectLog] = []
        """Subjects whose latest values are to be put in the buffer."""
        self.snapshot = False
        """The buffer holds latest values: they do not move `at`."""
        self.looking: Looking | None = None
        """What is being done in slices."""
        self.table_after: str | None = None
        """Latest values are to be had from the log's table, of subjects behind this one; None: no more."""
