"""One partition of the model: what Kafka has of it, and everything that a reader could ever have seen.

Positions are (leader epoch, offset), as everywhere. What was readable once is never forgotten (`seen`): a truncation
takes records away that some reader may have had, and gives their offsets to others of a later epoch.

Not here: topics and brokers (cluster.py), what a subscriber must get (checkers/).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from mesh.log import Headers, Position
from mesh.subject import from_key
from tests.sim.schedule import Schedule

PUBLISHER, SEQ = "whimbrel-publisher", "whimbrel-seq"
"""Headers of a record that a client has published."""

Publish = tuple[bytes, bytes]
NEVER = 1e9


class Transaction:
    """Open until its producer ends it."""

    __slots__ = ("is_aborted", "is_open")

    def __init__(self) -> None:
        self.is_open = True
        self.is_aborted = False


class Record:
    """One offset: a record, or the marker that ends a transaction."""

    __slots__ = ("epoch", "headers", "is_marker", "key", "offset", "time", "transaction", "value")

    def __init__(self, offset: int, epoch: int, key: bytes | None, value: bytes | None, time: int) -> None:
        self.offset = offset
        self.epoch = epoch
        self.key = key
        self.value = value
        self.time = time
        self.headers: Headers | None = None
        self.transaction: Transaction | None = None
        self.is_marker = False


class Seen:
    """A record that was readable at some time, and what has become of it."""

    __slots__ = ("at", "is_doubtful", "is_lost", "is_removed", "original", "publish", "record", "shown_at", "subject")

    def __init__(self, record: Record, subject: str, shown_at: float) -> None:
        self.record = record
        self.shown_at = shown_at
        self.at: Position = (record.epoch, record.offset)
        self.subject = subject
        self.publish = publish_of(record.headers)
        self.is_lost = False
        """Truncated: a reader may have had it or not."""
        self.is_removed = False
        """Deleted by retention, or compacted away."""
        self.original: Seen | None = None
        """It repeats this earlier publish."""
        self.is_doubtful = False
        """It repeats a publish that was lost: who has seen that one drops it, and who has not does not."""

    @property
    def is_due(self) -> bool:
        """Whether every reader that comes by must get it now."""
        return not (self.is_lost or self.is_removed or self.is_doubtful or self.original is not None)

    @property
    def is_repeat(self) -> bool:
        """Whether no reader may get it: what it repeats still stands before it."""
        return self.original is not None and not self.original.is_lost and not self.original.is_removed


class PartitionLog:
    """One partition of one incarnation of a topic."""

    def __init__(self, schedule: Schedule, topic: str, number: int, log_id: str) -> None:
        self._schedule = schedule
        self.topic = topic
        self.number = number
        self.id = log_id
        self.epoch = 0
        self.low = 0
        self.end = 0
        """The next offset."""
        self.records: list[Record] = []
        self.has_leader = True
        self.gone_at = NEVER
        self.was_truncated = False
        self.lost_unseen: set[bytes] = set()
        """Values that Kafka had taken, and lost before anybody could read them."""
        self.seen: list[Seen] = []
        """In the order of their positions."""
        self.by_position: dict[Position, Seen] = {}
        self._shown = 0
        self._epochs: list[tuple[int, int]] = [(0, 0)]
        """(epoch, its first offset)."""
        self._open: dict[Transaction, int] = {}
        """Open transactions and where each begins."""
        self._publishes: dict[Publish, list[Seen]] = {}
        self._subjects: dict[str, list[Seen]] = {}

    @property
    def is_gone(self) -> bool:
        """Whether its topic was deleted."""
        return self.gone_at < NEVER

    # Writing.

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        time: int,
        headers: Headers | None = None,
        transaction: Transaction | None = None,
    ) -> int:
        """Append a record; its offset."""
        record = Record(self.end, self.epoch, key, value, time)
        record.headers, record.transaction = headers, transaction
        if transaction is not None:
            self._open.setdefault(transaction, record.offset)
        self._append(record)
        return record.offset

    def finish(self, transaction: Transaction, is_aborted: bool, time: int) -> None:
        """Commit or abort a transaction: a marker takes an offset."""
        transaction.is_open, transaction.is_aborted = False, is_aborted
        self._open.pop(transaction, None)
        marker = Record(self.end, self.epoch, None, None, time)
        marker.is_marker = True
        self._append(marker)

    def elect(self, truncate_to: int | None = None) -> None:
        """Another broker leads; what it does not have, from `truncate_to` on, is lost."""
        if truncate_to is not None and truncate_to < self.end:
            cut = bisect_left(self.records, truncate_to, key=_offset)
            for record in self.records[cut:]:
                if record.transaction is not None and record.transaction.is_open:
                    record.transaction.is_open, record.transaction.is_aborted = False, True
                    del self._open[record.transaction]
                seen = self.by_position.get((record.epoch, record.offset))
                self.was_truncated = True
                if seen is not None:
                    seen.is_lost = True
                elif record.value is not None:
                    self.lost_unseen.add(record.value)
            del self.records[cut:]
            self.end = truncate_to
            self._shown = min(self._shown, truncate_to)
            while len(self._epochs) > 1 and self._epochs[-1][1] >= truncate_to:
                self._epochs.pop()
        self.epoch += 1
        self.has_leader = True
        self._epochs.append((self.epoch, self.end))
        self._show()

    def delete(self) -> None:
        """Its topic is deleted."""
        self.gone_at = self._schedule.now
        for record in self.records:
            if record.value is not None and (record.epoch, record.offset) not in self.by_position:
                self.lost_unseen.add(record.value)

    def delete_before(self, offset: int) -> None:
        """Retention."""
        self.low = max(self.low, min(offset, self.stable))
        cut = bisect_left(self.records, self.low, key=_offset)
        for record in self.records[:cut]:
            self._removed(record)
        del self.records[:cut]

    def compact(self) -> None:
        """Of each key only its last committed record stays; deleted ones go altogether."""
        last = {record.key: record.offset for record in self.readable(0, self.end)}
        kept: list[Record] = []
        for record in self.records:
            if record.offset < self.stable and not record.is_marker and last.get(record.key, -1) > record.offset:
                self._removed(record)
            else:
                kept.append(record)
        self.records = kept

    # Reading.

    @property
    def stable(self) -> int:
        """The last stable offset: where the first open transaction begins."""
        return min(self._open.values(), default=self.end)

    def readable(self, begin: int, most: int) -> list[Record]:
        """Committed records from an offset on, below the last stable offset."""
        found: list[Record] = []
        stable = self.stable
        for record in self.records[bisect_left(self.records, begin, key=_offset) :]:
            if record.offset >= stable or len(found) >= most:
                break
            if _is_committed(record):
                found.append(record)
        return found

    def offset_since(self, time: int, end: int) -> tuple[int, int] | None:
        """Offset and epoch of the first record whose time is not below this, if that stands before an end."""
        for record in self.records:
            if record.time >= time and not record.is_marker:
                return (record.offset, record.epoch) if record.offset < end else None
        return None

    def epoch_at(self, offset: int) -> int:
        """The leader epoch that an offset belongs to."""
        return self._epochs[max(bisect_right(self._epochs, offset, key=_first) - 1, 0)][0]

    def end_of(self, epoch: int) -> int:
        """The offset at which an epoch's records end (OffsetForLeaderEpoch, KIP-320)."""
        return next((first for later, first in self._epochs if later > epoch), self.end)

    # What readers must get.

    def between(self, wanted: str, after: Position, to: Position) -> Iterator[Seen]:
        """What was ever readable of a subject or pattern after one position, up to and including another."""
        is_pattern = wanted.endswith("/*")
        order = self.seen if is_pattern else self._subjects.get(wanted, [])
        for index in range(bisect_right(order, after, key=_at), len(order)):
            found = order[index]
            if found.at > to:
                return
            if not is_pattern or covers(wanted, found.subject):
                yield found

    # Private.

    def _append(self, record: Record) -> None:
        self.records.append(record)
        self.end = record.offset + 1
        self._show()

    def _show(self) -> None:
        stable = self.stable
        for record in self.records[bisect_left(self.records, self._shown, key=_offset) :]:
            if record.offset >= stable:
                break
            if _is_committed(record):
                self._see(Seen(record, from_key(self.topic, record.key), self._schedule.now))
        self._shown = max(self._shown, stable)

    def _see(self, seen: Seen) -> None:
        if seen.publish is not None:
            before = self._publishes.setdefault(seen.publish, [])
            seen.original = next((one for one in before if one.original is None and not one.is_lost), None)
            seen.is_doubtful = seen.original is None and bool(before)
            before.append(seen)
        assert not self.seen or seen.at > self.seen[-1].at
        self.seen.append(seen)
        self.by_position[seen.at] = seen
        self._subjects.setdefault(seen.subject, []).append(seen)

    def _removed(self, record: Record) -> None:
        seen = self.by_position.get((record.epoch, record.offset))
        if seen is not None:
            seen.is_removed = True


def covers(wanted: str, subject: str) -> bool:
    """Whether a subject or pattern is about a subject."""
    return subject.startswith(wanted[:-1]) if wanted.endswith("/*") else wanted == subject


def publish_of(headers: Headers | None) -> Publish | None:
    """(publisher, seq) as the headers say."""
    found = dict(headers or ())
    publisher, seq = found.get(PUBLISHER), found.get(SEQ)
    return (publisher, seq) if publisher is not None and seq is not None else None


def _is_committed(record: Record) -> bool:
    return not record.is_marker and (record.transaction is None or not record.transaction.is_aborted)


def _offset(record: Record) -> int:
    return record.offset


def _first(epoch: tuple[int, int]) -> int:
    return epoch[1]


def _at(seen: Seen) -> Position:
    return seen.at
