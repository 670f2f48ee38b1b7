"""One pass over a stretch of a compacted partition, for its table: the last record of every key.

It begins somewhat too early where clients may publish, to recognise publishes that come again.

Not here: reading Kafka (node/kafka/replay.py), what becomes of the changes (node/tables/tables.py).
"""

from __future__ import annotations

from mesh.log import BEGINNING, Entry, Truncation
from mesh.repeats import Repeats
from node.backfill.questions import ReadTable, TableRead
from node.backfill.scan import ReplayLimits
from node.intake import subject_of
from node.kafka.events import Record
from node.publish_mark import marked

STRETCH_RECORDS = 10_000
STRETCH_BYTES = 4 << 20
REPEATS_BACK = 10_000
"""Records before the first that is wanted which are read where clients may publish."""


class TablePass:
    """Feed it records from `begin` on, in order, until `take` says that it is enough or there are no more."""

    def __init__(self, question: ReadTable, truncation: Truncation | None, low: int, limits: ReplayLimits) -> None:
        """Plan a pass.

        Args:
            truncation: If Kafka has lost the position after which is read.
            low: The first offset that the partition has.
        """
        after = question.after
        self.is_lost = truncation is not None or (after != BEGINNING and low > after[1] + 1)
        self.end = question.until[1] + 1
        self._after = after
        self._until = question.until
        self._bytes_max = limits.subject_bytes_max
        self._repeats = Repeats(limits.retry_window_ms) if question.source.rule.publish else None
        back = REPEATS_BACK if self._repeats is not None else 0
        self.begin = max(low, after[1] + 1 - back)
        self._changes: dict[str, Entry] = {}
        self._reached = after
        self._records = self._size = 0

    def take(self, record: Record) -> bool:
        """The next record; whether more are wanted."""
        topic, _, offset, epoch, key, value, time, headers = record
        at = (epoch, offset)
        subject = subject_of(topic, key, self._bytes_max)
        if self._repeats is not None and subject is not None:
            found = marked(subject, headers)
            if found is not None and not self._repeats.admit(found[0], at, 0, found[1]):
                subject = None
        if at <= self._after:
            return True
        self._reached = at
        if subject is not None:
            self._changes.pop(subject, None)
            self._changes[subject] = Entry(at, None, time, value, headers)
            self._size += len(value or b"")
        self._records += 1
        return self._records < STRETCH_RECORDS and self._size < STRETCH_BYTES

    def finish(self, at_end: bool) -> TableRead:
        """The answer. `at_end`: there are no more records up to `end`."""
        reached = max(self._reached, self._until) if at_end else self._reached
        return TableRead([*self._changes.items()], reached, self.is_lost)
