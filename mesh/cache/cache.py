"""The recent entries of every log, by subject: what a node can serve from memory, and exactly what it cannot.

Entries are appended in log order and leave in log order (age, bytes), or when their subject has too many. The
latest value of a subject outlives its entries until `snapshot_ttl_s`. What has left is accounted for by floors:

Invariants:
- For a subject that the log knows: every entry of it after the subject's floor is here.
- For any other subject: the log has no entry of it after the log's floor.
- So a reader at position p misses nothing here if and only if p >= floor(subject).
- `epochs` tells where Kafka's log went on with another epoch since the floor. Who is at a position whose offset a
  higher epoch has begun at or before has seen what Kafka has lost. (A slot's log has none: its seq begins anew.)
- `order` holds one token per entry, oldest first: the entry's subject. A subject whose limit removed entries early
  owes `skip` tokens; they are its oldest.

Not here: where entries come from, who reads them (node/intake.py, node/backfill/backfill.py).
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from mesh.cache.gathering import Gathering
from mesh.cache.prefix_index import PrefixIndex
from mesh.cache.subject_log import SubjectLog, position_of
from mesh.log import BEGINNING, Entry, EpochStart, Headers, Position, Truncation
from mesh.subject import is_pattern

ENTRY_BYTES = 220
"""Memory of an entry besides its value and headers: the struct, two tuples, integers, a list slot, a token."""
SUBJECT_BYTES = 650
"""Memory of a subject besides its name, with what its log is found by."""
TOKEN_BYTES = 8
EVICT_AT_ONCE = 64
MARK_S = 0.9
"""How exactly it is remembered when entries came."""


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """Limits of the cache of one node."""

    ttl_s: float
    """Entries leave this long after they were appended."""
    messages_per_subject: int
    bytes_max: int
    """Of all logs together, by our own estimate; the oldest entries of the largest log leave first."""
    snapshot_ttl_s: float
    """A latest value leaves this long after its entry left by age."""


class Log:
    """What the cache has of one log."""

    __slots__ = (
        "_due",
        "_idle",
        "_index",
        "_marks",
        "_order",
        "_removed",
        "appended",
        "by_key",
        "bytes",
        "end",
        "epochs",
        "evicted_to",
        "floor",
        "id",
        "keeps_latest",
        "subjects",
        "topic",
    )

    def __init__(self, id: str, topic: str, floor: Position) -> None:
        self.id = id
        self.topic = topic
        self.floor = floor
        self.end = floor
        """Position of the newest entry: everything up to it has been appended or dropped."""
        self.epochs: list[EpochStart] = []
        self.evicted_to = floor
        """The newest position that has left: no subject's floor is above it."""
        self.subjects: dict[str, SubjectLog] = {}
        self.by_key: dict[bytes, SubjectLog] = {}
        """The same by the keys of Kafka's records, as far as `Cache.subject` was told them."""
        self._index = PrefixIndex(self.subjects)
        self.keeps_latest = True
        """Whether latest values outlive their entries here. Those of a compacted topic are kept elsewhere."""
        self.appended = 0
        self.bytes = 0
        self._order: deque[SubjectLog] = deque()
        self._removed = 0
        self._due = 0
        """So many of all that were appended are too old."""
        self._marks: deque[tuple[float, int]] = deque()
        self._idle: dict[str, tuple[float, SubjectLog]] = {}

    @property
    def held(self) -> int:
        """Entries and tokens that are here now."""
        return len(self._order)

    def newest(self, count: int) -> Iterator[SubjectLog]:
        """The subjects of the last so many entries, newest first; of an entry that has left early, too."""
        return islice(reversed(self._order), count)

    def order(self) -> list[SubjectLog]:
        """A copy of the tokens: the subject of each entry, oldest first; `skip` of a subject's first have none."""
        return list(self._order)

    def reaches(self, subject: str, position: Position) -> bool:
        """Whether a reader of a subject or pattern that is at this position misses nothing here."""
        return position >= self.evicted_to or position >= self.floor_of(subject)

    def truncation(self, position: Position) -> Truncation | None:
        """What became of one of Kafka's logs, if it lost this position, at which a reader stands whom it reaches."""
        if not self.epochs:
            return None
        index = bisect_right(self.epochs, position[0], key=_epoch)
        if index == len(self.epochs) or self.epochs[index].first[1] > position[1]:
            return None
        before, (epoch, seq) = self.epochs[index].before, self.epochs[index].first
        return Truncation(before, (epoch, seq - 1))

    def floor_of(self, subject: str) -> Position:
        """The lowest position from which a reader of this subject or pattern misses nothing here."""
        if is_pattern(subject):
            return max([self.floor, *(found.floor for found in self._index.matching(subject))])
        found = self.subjects.get(subject)
        return self.floor if found is None else found.floor

    def after(self, subject: str, position: Position) -> list[Entry]:
        """The entries of one subject after a position, in order."""
        found = self.subjects.get(subject)
        if found is None:
            return []
        return found.entries[bisect_right(found.entries, position, key=position_of) :]

    def after_matching(self, pattern: str, position: Position, most: int) -> tuple[list[tuple[str, Entry]], Position]:
        """Entries of all subjects that match, after a position, in log order, each with its subject.

        Args:
            most: How many at most.

        Returns:
            The entries, and the position up to which these are all (the log's end if there are no more).
        """
        found = self.tail_after(pattern, position, most)
        return (found, self.end) if found is not None else self._after(self._index.matching(pattern), position, most)

    def tail_after(self, pattern: str, position: Position, most: int) -> list[tuple[str, Entry]] | None:
        """As `after_matching` if only few entries follow the position, which costs as little; else None."""
        prefix = pattern[:-1]
        found: list[tuple[str, Entry]] = []
        taken: dict[SubjectLog, int] = {}
        for one in islice(reversed(self._order), self._index.most(pattern) + 1):
            count = taken[one] = taken.get(one, 0) + 1
            if count > len(one.entries):
                continue  # has left early
            entry = one.entries[-count]
            if entry.at <= position:
                return found[::-1]
            if one.subject.startswith(prefix):
                if len(found) == most:
                    return None
                found.append((one.subject, entry))
        return None

    def most(self, pattern: str) -> int:
        """How many subjects match at most."""
        return self._index.most(pattern)

    def matching_in_slices(self, pattern: str) -> Iterator[list[SubjectLog]]:
        """As `matching` of a pattern, as of now, in slices; things may change between them."""
        return self._index.matching_in_slices(pattern)

    def after_any(
        self, subjects: Iterable[str], position: Position, most: int
    ) -> tuple[list[tuple[str, Entry]], Position]:
        """As `after_matching`, of several subjects and patterns together; each entry once."""
        found: dict[str, SubjectLog] = {}
        for subject in subjects:
            if is_pattern(subject):
                found.update((one.subject, one) for one in self._index.matching(subject))
            elif (one := self.subjects.get(subject)) is not None:
                found[subject] = one
        return self._after(found.values(), position, most)

    def _after(
        self, subjects: Iterable[SubjectLog], position: Position, most: int
    ) -> tuple[list[tuple[str, Entry]], Position]:
        gathering = Gathering([[*subjects]], self.end, position, most)
        for _ in gathering.slices():
            pass
        return gathering.found, gathering.reached

    def newest_of(self, subject: str, most: int) -> Iterator[tuple[str, Entry]]:
        """The last entries of a subject or pattern, newest first; `most` of them at least, if there are as many.

        What is not taken costs nothing. Nothing may change meanwhile.
        """
        if not is_pattern(subject):
            found = self.subjects.get(subject)
            return ((subject, entry) for entry in reversed(found.entries if found is not None else ()))
        return self._newest_matching(subject, most)

    def _newest_matching(self, pattern: str, most: int) -> Iterator[tuple[str, Entry]]:
        """Look backwards for entries that match; where they are rare, look through what matches."""
        prefix = pattern[:-1]
        taken: dict[SubjectLog, int] = {}
        # Of others it passes as many as all entries that match would be if subjects had equally many.
        misses = self._index.most(pattern) * len(self._order) // max(len(self.subjects), 1)
        for one in reversed(self._order):
            if one.subject.startswith(prefix):
                count = taken[one] = taken.get(one, 0) + 1
                if count <= len(one.entries):
                    yield one.subject, one.entries[-count]
            elif misses:
                misses -= 1
            else:
                break
        else:
            return
        rest = (
            (one.subject, entry)
            for one in self._index.matching(pattern)
            for entry in one.entries[max(0, len(one.entries) - most) : max(0, len(one.entries) - taken.get(one, 0))]
        )
        yield from heapq.nlargest(most, rest, key=_at_of_pair)

    def since(self, subject: str, time: int) -> Generator[None, None, tuple[bool, Position | None]]:
        """Look in slices where a subject or pattern begins to have times (ms) at or after this.

        Returns:
            Whether no such entry has left, if times ascend; and the position of the first one that is here.
        """
        oldest = self._order[0].entries[0] if self._order and not self._order[0].skip else None
        known = oldest.at if oldest is not None and oldest.time < time else BEGINNING
        is_reached, first = True, None
        slices = self.matching_in_slices(subject) if is_pattern(subject) else [self.matching(subject)]
        for number, subjects in enumerate(slices):
            if number:
                yield
            for one in subjects:
                entries = one.entries
                is_reached = is_reached and (one.floor <= known or bool(entries and entries[0].time < time))
                at = next((entry.at for entry in entries if entry.time >= time), None)
                if at is not None and (first is None or at < first):
                    first = at
        return is_reached and known >= self.floor, first

    def unlink(self, subject: str, after: Position, to: Position, there: set[Position]) -> None:
        """Kafka was read again: of a subject or pattern it has only these entries between two positions.

        What Kafka has compacted away must not be named as `prev`: a client could never have received it.
        """
        one = self.subjects.get(subject)
        for found in self._index.matching(subject) if is_pattern(subject) else [] if one is None else [one]:
            index = bisect_right(found.entries, to, key=position_of)
            following = found.entries[index] if index < len(found.entries) else None
            prev = found.last if following is None else following.prev
            if prev is None or not after < prev <= to or prev in there:
                continue
            if following is None:
                found.last = None
            else:
                following.prev = None

    def latest(self, subject: str) -> Entry | None:
        """The latest value of a subject; None if it has none."""
        found = self.subjects.get(subject)
        return None if found is None else found.latest

    def matching(self, subject: str) -> list[SubjectLog]:
        """The subjects in the cache that match a subject or pattern; each may have a latest value."""
        if is_pattern(subject):
            return list(self._index.matching(subject))
        found = self.subjects.get(subject)
        return [] if found is None else [found]


class Cache:
    """All logs of a node, within limits."""

    def __init__(self, config: CacheConfig) -> None:
        self.config = config
        self.logs: dict[str, Log] = {}
        self.bytes = 0
        self.evicted_by_age = 0
        self.evicted_by_count = 0
        self.evicted_by_bytes = 0

    def open(self, id: str, topic: str, floor: Position = BEGINNING) -> Log:
        """Begin a log: nothing is known of it up to and including `floor`."""
        assert id not in self.logs, id
        log = self.logs[id] = Log(id, topic, floor)
        return log

    def close(self, log: Log) -> None:
        """Forget a log that no longer exists."""
        self.bytes -= log.bytes
        del self.logs[log.id]

    def rename(self, log: Log, id: str) -> None:
        """Call a log otherwise: a copy that takes the place of the log it was made for."""
        assert id not in self.logs, id
        del self.logs[log.id]
        log.id = id
        self.logs[id] = log

    def append(
        self, log: Log, subject: str, at: Position, time: int, value: bytes | None, headers: Headers | None
    ) -> Entry | None:
        """Append the next entry of a log; None (and nothing done) if the log has reached this position already."""
        if at <= log.end:
            return None
        return self.append_to(log, self.subject(log, subject), at, time, value, headers)

    def subject(self, log: Log, subject: str, key: bytes | None = None) -> SubjectLog:
        """What the log has of a subject, for `append_to` at once: a new one has no entries yet.

        Args:
            key: By which `log.by_key` is to have it from now on.
        """
        found = log.subjects.get(subject)
        if found is None:
            found = log.subjects[subject] = SubjectLog(subject, log.floor)
            log._index.add(subject, found)
            self._count(log, SUBJECT_BYTES + len(subject))
        if key is not None:
            found.key = key
            log.by_key[key] = found
        return found

    def append_to(
        self, log: Log, found: SubjectLog, at: Position, time: int, value: bytes | None, headers: Headers | None
    ) -> Entry:
        """As `append`, where the subject has been looked up, and the log has not reached this position."""
        log.end = at
        log.appended += 1
        size = ENTRY_BYTES
        if not found.entries:
            log._idle.pop(found.subject, None)
            if found.latest is not None:
                size -= size_of(found.latest)
        entry = Entry(at, found.last, time, value, headers)
        found.last = at
        found.latest = None if value is None else entry
        found.entries.append(entry)
        log._order.append(found)
        if value is not None:
            size += len(value)
        if headers:
            size += _headers_size(headers)
        if len(found.entries) > self.config.messages_per_subject:
            oldest = found.entries.pop(0)
            found.floor = oldest.at
            log.evicted_to = max(log.evicted_to, oldest.at)
            found.skip += 1
            self.evicted_by_count += 1
            size += TOKEN_BYTES - size_of(oldest)
        log.bytes += size
        self.bytes += size
        return entry

    def skip(self, log: Log, at: Position) -> None:
        """Pass over the next entry of a log that has none here yet: it is known to exist and is not kept."""
        assert not log.subjects
        log.floor = log.end = log.evicted_to = max(at, log.end)

    def advance(self, log: Log, at: Position) -> None:
        """The log has reached `at`, by an entry that no subject sees (a repeat, a record that cannot be mapped)."""
        log.end = max(at, log.end)

    def begin_epoch(self, log: Log, start: EpochStart) -> Truncation | None:
        """One of Kafka's logs goes on, next or later, with a higher epoch than its end has.

        What the log has at that offset or behind is forgotten: Kafka has lost it.
        """
        at = start.first
        if at[1] > log.end[1]:
            if not log.epochs or log.epochs[-1].first[0] < at[0]:
                log.epochs.append(start)
            return None
        epoch = log.epochs[0].before[0] if log.epochs else log.end[0]
        starts = [start for start in log.epochs if start.first[1] < at[1]]
        if starts:
            epoch = starts[-1].first[0]
        truncation = Truncation((epoch, at[1] - 1) if at[1] else BEGINNING, (at[0], at[1] - 1))
        self._truncate(log, truncation)
        log.epochs = [*starts, EpochStart(truncation.last, at)]
        return truncation

    def _truncate(self, log: Log, truncation: Truncation) -> None:
        last = truncation.last
        if last[1] < log.floor[1]:
            self.tear(log, truncation.next)
            return
        lost: dict[SubjectLog, int] = {}
        for found in [*log.subjects.values()]:
            entries = found.entries[bisect_right(found.entries, last[1], key=_seq) :]
            if entries:
                del found.entries[len(found.entries) - len(entries) :]
                self._count(log, -sum(map(size_of, entries)))
                lost[found] = len(entries)
                found.last = entries[0].prev
                found.latest = None
                if found.entries and found.entries[-1].value is not None:
                    found.latest = found.entries[-1]
            is_lost = not found.entries and (entries or (found.latest is not None and found.latest.at > last))
            found.floor = min(found.floor, last)
            if is_lost:  # what its latest value was before is not known any more
                lost[found] = len(entries) + found.skip
                self._count(log, -TOKEN_BYTES * found.skip)
                self._remove(log, found)
                log.floor = max(log.floor, found.floor)
        kept = []
        for found in reversed(log._order):
            if lost.get(found):
                lost[found] -= 1
                log._removed += 1
            else:
                kept.append(found)
        log._order = deque(reversed(kept))
        log.evicted_to = min(log.evicted_to, last)
        log.end = truncation.next

    def restore(
        self, log: Log, subject: str, floor: Position, prev: Position | None, latest: Entry | None, now: float
    ) -> None:
        """Put in a subject as another cache has it, before its entries are appended (mesh/cache/export.py).

        Args:
            prev: Of its first entry.
            latest: If it has no entries: what outlived them.
        """
        assert subject not in log.subjects, subject
        found = log.subjects[subject] = SubjectLog(subject, floor)
        log._index.add(subject, found)
        found.last = prev
        size = SUBJECT_BYTES + len(subject)
        if latest is not None:
            found.last, found.latest = latest.at, latest
            log._idle[subject] = (now, found)
            size += size_of(latest)
        self._count(log, size)

    def tear(self, log: Log, at: Position) -> None:
        """Entries up to `at` were missed: forget what came before, for nothing reaches across the hole."""
        self._count(log, -log.bytes)
        log.subjects.clear()
        log.by_key.clear()
        log._index.clear()
        log._order.clear()
        log._marks.clear()
        log._idle.clear()
        log._removed = log.appended
        log.epochs.clear()
        log.floor = log.end = log.evicted_to = at

    def expire(self, now: float, share: int = 1) -> None:
        """Let go of what is too old, or too much. Call it often; `now` is monotonic, in seconds.

        Args:
            share: One part in so many of what is too old leaves now, the rest with the next calls: the messages of a
                second came one by one, and are not to leave in one go.
        """
        for log in self.logs.values():
            marks = log._marks
            if not marks or (marks[-1][1] != log.appended and now >= marks[-1][0] + MARK_S):
                marks.append((now, log.appended))
            while marks and marks[0][0] <= now - self.config.ttl_s:
                log._due = marks.popleft()[1]
            late = log._due - log._removed
            for _ in range(min(late, max(late // share, EVICT_AT_ONCE))):
                self.evicted_by_age += self._evict(log, now)
            while log._idle:
                since, found = next(iter(log._idle.values()))
                if since > now - self.config.snapshot_ttl_s:
                    break
                self._forget(log, found)
        self.limit(now)

    def limit(self, now: float) -> None:
        """Let go of the oldest until the bytes are within their limit. Cheap when they are; call after each batch."""
        while self.bytes > self.config.bytes_max:
            log = max(self.logs.values(), key=_bytes)
            assert log._order or log._idle, "bytes are counted that no entry holds"
            for _ in range(EVICT_AT_ONCE):
                if log._order:
                    self.evicted_by_bytes += self._evict(log, now)
                elif log._idle:
                    self._forget(log, next(iter(log._idle.values()))[1])

    def _evict(self, log: Log, now: float) -> int:
        """Remove the oldest token and its entry; the number of entries removed (0 if it had left before)."""
        found = log._order.popleft()
        log._removed += 1
        if found.skip:
            found.skip -= 1
            self._count(log, -TOKEN_BYTES)
            return 0
        entry = found.entries.pop(0)
        found.floor = entry.at
        log.evicted_to = max(log.evicted_to, entry.at)
        if found.entries or found.latest is None:
            self._count(log, -size_of(entry))
        if not found.entries:
            if found.latest is None or not log.keeps_latest:
                self._forget(log, found)
            else:
                log._idle[found.subject] = (now, found)
        return 1

    def _forget(self, log: Log, found: SubjectLog) -> None:
        assert not found.entries
        self._remove(log, found)
        log.floor = max(log.floor, found.floor)

    def _remove(self, log: Log, found: SubjectLog) -> None:
        """A subject that has no entries any more."""
        log._idle.pop(found.subject, None)
        del log.subjects[found.subject]
        if found.key is not None:
            del log.by_key[found.key]
        log._index.remove(found.subject)
        size = SUBJECT_BYTES + len(found.subject)
        if found.latest is not None:
            size += size_of(found.latest)
        self._count(log, -size)

    def _count(self, log: Log, size: int) -> None:
        log.bytes += size
        self.bytes += size


def _seq(entry: Entry) -> int:
    return entry.at[1]


def _epoch(start: EpochStart) -> int:
    return start.first[0]


def _at_of_pair(pair: tuple[str, Entry]) -> Position:
    return pair[1].at


def _bytes(log: Log) -> int:
    return log.bytes


def size_of(entry: Entry) -> int:
    """Memory of an entry, about."""
    return ENTRY_BYTES + len(entry.value or b"") + (_headers_size(entry.headers) if entry.headers else 0)


def _headers_size(headers: Headers) -> int:
    return sum(120 + len(name) + len(value or b"") for name, value in headers)
