"""A log of the cache on its way to another node: as it stood at one instant, in pages, and put together again.

Two kinds. A *copy* is for a node that has nothing of the log: every entry, the latest values that outlived theirs,
all floors, and the memory of publishes, so that the copy answers every question as the original does and drops the
same repeats. A *repair* is for a node that has all up to a position and needs exactly what follows: it exists only
if nothing that follows has been let go of.

Taking the instant costs a few copies of lists in C; the pages are made one by one as they are asked for, whatever
happens to the log meanwhile.

Invariants:
- Subjects come before the memory of publishes, that before entries; entries come in log order. A repair has no
  subjects, and of the publishes those that follow the position.
- A copy claims no more than the original: its floors are at least as high.

Not here: asking and answering (state_transfer.py).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from mesh.cache.cache import Cache, Log, size_of
from mesh.cache.subject_log import SubjectLog
from mesh.log import BEGINNING, Entry, EpochStart, Position
from mesh.repeats import Remembered, Repeats

ROW_BYTES = 60
"""Of a row on a page, besides its texts, about."""


class SubjectRow(msgspec.Struct, array_like=True, gc=False):
    """A subject of the log."""

    subject: str
    floor: Position
    prev: Position | None
    """Of its first entry."""
    latest: Entry | None
    """If it has no entries any more: the value that outlived them."""


class LogHead(msgspec.Struct, array_like=True, gc=False):
    """The log as a whole."""

    topic: str
    floor: Position
    evicted_to: Position
    end: Position
    """Everything up to here is in the pages, or never was for a subject."""
    oldest_publish: Position | None
    """The oldest that is remembered (mesh/repeats.py)."""
    epochs: list[EpochStart]


class Part(msgspec.Struct, array_like=True, gc=False):
    """What one page carries."""

    subjects: list[SubjectRow]
    repeats: list[Remembered]
    entries: list[tuple[str, Entry]]


class ExportLimits(msgspec.Struct, frozen=True):
    """The size of one page: rows and entries together, and bytes, roughly. A page has at least one row or entry."""

    rows: int
    bytes: int


class Export:
    """One log, for one node."""

    def __init__(self, log: Log, repeats: Repeats | None, limits: ExportLimits) -> None:
        self._limits = limits
        oldest = repeats.oldest if repeats is not None else None
        self.head = LogHead(log.topic, log.floor, log.evicted_to, log.end, oldest, log.epochs.copy())
        self._subjects: Iterator[SubjectRow] = iter(())
        self._repeats: Repeats | None = None
        self._remembered = 0
        """How many of the remembered publishes are on pages already."""
        self._entries: Iterator[tuple[str, Entry]] = iter(())
        self._ahead: tuple[str, Entry] | None = None
        self._is_begun = False

    @classmethod
    def copy(cls, log: Log, repeats: Repeats | None, limits: ExportLimits) -> Export:
        """All of a log."""
        export = cls(log, repeats, limits)
        export._subjects = iter([_row(one) for one in log.subjects.values()])
        export._repeats = repeats.copy() if repeats is not None else None
        held = {one.subject: iter(one.entries.copy()) for one in log.subjects.values() if one.entries}
        skip = {one.subject: one.skip for one in log.subjects.values() if one.skip}
        export._entries = _in_order(log.order(), skip, held)
        return export

    @classmethod
    def repair(cls, log: Log, repeats: Repeats | None, after: Position, limits: ExportLimits) -> Export | None:
        """What follows a position; None if some of that is not here."""
        if not is_whole_after(log, after):
            return None
        export = cls(log, repeats, limits)
        held = {}
        count = 0
        for one in log.subjects.values():
            if one.entries and one.entries[-1].at > after:
                entries = one.entries[bisect_right(one.entries, after, key=_at) :]
                held[one.subject] = iter(entries)
                count += len(entries)
        if repeats is not None:
            export._repeats = repeats.copy()
            export._remembered = repeats.count_up_to(after)
        # Tokens are in the log's order, so the last ones are of just these entries.
        order = log.order()
        export._entries = _in_order(order[len(order) - count :], {}, held)
        return export

    def page(self) -> tuple[Part, bool]:
        """The next page, and whether it is the last."""
        part = Part([], [], [])
        rows, size = 0, 0
        for row in self._subjects:
            part.subjects.append(row)
            rows += 1
            size += ROW_BYTES + len(row.subject) + (size_of(row.latest) if row.latest is not None else 0)
            if rows >= self._limits.rows or size >= self._limits.bytes:
                return part, False
        if self._repeats is not None:
            part.repeats = self._repeats.rows(self._remembered, self._limits.rows - rows)
            self._remembered += len(part.repeats)
            rows += len(part.repeats)
            size += ROW_BYTES * len(part.repeats)
            if rows >= self._limits.rows or size >= self._limits.bytes:
                return part, False
            self._repeats = None
        if not self._is_begun:
            self._is_begun = True
            self._ahead = next(self._entries, None)
        while self._ahead is not None:
            cost = ROW_BYTES + len(self._ahead[0]) + size_of(self._ahead[1])
            if rows and (rows >= self._limits.rows or size + cost > self._limits.bytes):
                break
            part.entries.append(self._ahead)
            rows += 1
            size += cost
            self._ahead = next(self._entries, None)
        return part, self._ahead is None


class Import:
    """Puts a copy into an empty log. Until it is finished the log has holes: nobody may read it."""

    def __init__(self, cache: Cache, log: Log, repeats: Repeats | None, head: LogHead) -> None:
        assert not log.subjects
        assert log.end <= head.floor or log.end == BEGINNING
        self._cache = cache
        self._log = log
        self._repeats = repeats
        self._end = head.end
        log.floor = head.floor
        log.end = BEGINNING  # where Kafka has lost something the floor may be above what is here of other subjects
        log.evicted_to = head.evicted_to
        log.epochs = head.epochs.copy()

    def take(self, now: float, part: Part, clock_ms: int | None = None) -> None:
        """The next page.

        Args:
            clock_ms: As for `Repeats.restore`.
        """
        cache, log = self._cache, self._log
        for row in part.subjects:
            cache.restore(log, row.subject, row.floor, row.prev, row.latest, now)
        if self._repeats is not None:
            self._repeats.restore(part.repeats, clock_ms)
        for subject, entry in part.entries:
            cache.append(log, subject, entry.at, entry.time, entry.value, entry.headers)

    def finish(self) -> None:
        """That was the last page."""
        self._cache.advance(self._log, self._end)


def is_whole_after(log: Log, after: Position) -> bool:
    """Whether nothing that follows a position has been let go of."""
    return after >= log.evicted_to or (after >= log.floor and all(after >= one.floor for one in log.subjects.values()))


def _row(one: SubjectLog) -> SubjectRow:
    return SubjectRow(
        one.subject, one.floor, one.entries[0].prev if one.entries else None, None if one.entries else one.latest
    )


def _in_order(
    order: list[SubjectLog], skip: dict[str, int], held: dict[str, Iterator[Entry]]
) -> Iterator[tuple[str, Entry]]:
    for token in order:
        subject = token.subject
        if skip.get(subject):
            skip[subject] -= 1
        else:
            yield subject, next(held[subject])


def _at(entry: Entry) -> Position:
    return entry.at
