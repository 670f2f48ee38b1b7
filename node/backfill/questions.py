"""What is asked of Kafka for a subscription on its way to live, and the answer to the longest question.

Not here: who asks (backfill.py), who answers (scan.py, kafka/replay.py).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from mesh.log import Entry, Gap, Position
from node.topics import Source


class Scan(msgspec.Struct, gc=False):
    """Read a partition back from Kafka: entries of a subject or pattern after `after`, up to and including `until`."""

    source: Source
    subject: str
    after: Position
    until: Position
    messages_max: int


class Locate(msgspec.Struct, gc=False):
    """Find in Kafka the position just before the first record whose time is at or after `time_ms`."""

    source: Source
    time_ms: int


class Measure(msgspec.Struct, gc=False):
    """Find out whether a partition has lost a position that was seen before."""

    source: Source
    position: Position


class LatestValues(msgspec.Struct, gc=False):
    """The latest values of a table for a subject or pattern, behind another subject in their order."""

    source: Source
    subject: str
    after: str


class ReadTable(msgspec.Struct, gc=False):
    """Read a partition for its table: what each key was last, after `after`, up to and including `until`."""

    source: Source
    after: Position
    until: Position


KafkaQuestion: TypeAlias = Scan | Locate | Measure | LatestValues | ReadTable


class TableRead(msgspec.Struct, gc=False):
    """Answers `ReadTable`, if need be with a part: everything after `after` up to `reached` is in `changes`."""

    changes: list[tuple[str, Entry]]
    """One of a subject; a tombstone is one, too."""
    reached: Position
    is_lost: bool
    """Kafka no longer has what stood at `after` or followed it: the table must be built again."""


class Scanned(msgspec.Struct, gc=False):
    """Answers `Scan`. Everything of the subject after `start` up to `reached` is in `found`.

    `start` is another than the scan's `after` when what lies between cannot be had; `gaps` then says why.
    """

    start: Position
    gaps: list[Gap]
    found: list[tuple[str, Entry]]
    reached: Position
