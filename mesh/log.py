"""Logs, positions and entries: the vocabulary of everything that the cache holds.

A log is an ordered sequence of entries with one sequencer: a Kafka topic-partition, whose positions are
(leader epoch, offset), or a slot of the mesh, whose positions are (epoch, sequence number). Positions are totally
ordered within a log and mean nothing outside it. A log id names one incarnation: a topic that is deleted and
created again has new logs.

Not here: what is kept of a log, and for how long (cache/cache.py).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

Position: TypeAlias = tuple[int, int]
"""(epoch, seq). Plain tuples, because comparing them is the most frequent thing that is done."""

BEGINNING: Position = (0, -1)
"""Before the first entry of any log."""

Place: TypeAlias = dict[str, Position]
"""Log id -> position: a reader has everything of that log up to and including the position."""

Headers: TypeAlias = list[tuple[str, bytes | None]]


class Entry(msgspec.Struct, array_like=True, gc=False):
    """One message as it stands in a log."""

    at: Position
    prev: Position | None
    """The subject's previous entry in this log; None when that is not known."""
    time: int
    """Milliseconds since 1970 as the log has it; -1 when it has none."""
    value: bytes | None
    """None is a tombstone: it deletes the subject's latest value."""
    headers: Headers | None


class Truncation(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Kafka lost the end of a log: what stood after `last` up to and including `next`. What follows `next` is there."""

    last: Position
    """The last position that is still true."""
    next: Position
    """Just before the first entry that came in place of what was lost."""


class EpochStart(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where an epoch begins in one of Kafka's logs."""

    before: Position
    """The position before `first`, of a lower epoch."""
    first: Position


class Gap(msgspec.Struct, array_like=True, gc=False):
    """Entries after `start` up to and including `end` cannot be had; `why` as in client/PROTOCOL.md section 5."""

    log: str
    start: Position | None
    end: Position | None
    why: str
