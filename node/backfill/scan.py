"""Several scans of one partition answered in one pass over its records, so that many that resume at once read it once.

A pass covers a bounded stretch of the partition: a scan that is not finished then says how far it got and is asked
again, behind whoever waited meanwhile. A pass may begin too early, to recognise repeated publishes. Where Kafka has
lost records and given their offsets to others, a scan begins at the first of these.

Not here: reading Kafka (node/kafka/replay.py), who asks (node/backfill/backfill.py), what Kafka has lost
(truncation.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from mesh.log import Entry, Gap, Position, Truncation
from mesh.repeats import Repeats
from mesh.subject import is_pattern, patterns_of
from node.backfill.questions import Scan, Scanned
from node.intake import subject_of
from node.kafka.events import Record
from node.publish_mark import marked

STRETCH_RECORDS = 20_000
"""Of one pass."""
SCAN_BYTES = 1024 * 1024
"""A scan stops when it has found this much."""

Ticketed: TypeAlias = tuple[int, Scan]
"""A scan and the ticket by which it was asked."""


class ReplayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is read back from Kafka."""

    messages_max: int
    """Records per scan; what lies further back is a gap. 0: none at all."""
    retry_window_ms: int
    """Where clients may publish: about so much earlier to begin, to recognise repeats."""
    subject_bytes_max: int
    threads: int


class _Scan:
    """One scan on its way through a pass."""

    __slots__ = (
        "after",
        "begin",
        "chains",
        "done",
        "found",
        "gaps",
        "reached",
        "scan",
        "size",
        "start",
        "ticket",
        "why",
    )

    def __init__(self, ticket: int, scan: Scan, truncation: Truncation | None) -> None:
        self.ticket = ticket
        self.scan = scan
        self.gaps: list[Gap] = []
        """Before it begins."""
        self.after = scan.after
        """Where it would begin if nothing were deleted or too much."""
        if truncation is not None:
            self.after = truncation.next
            self.gaps.append(Gap(scan.source.log_id, truncation.last, truncation.next, "truncated"))
        self.begin = self.after[1] + 1
        """The first offset that it can have."""
        self.why = ""
        """Why that is not the one after `after`."""
        self.start: Position | None = self.after
        """None until the first record after a hole tells from which position it goes on."""
        self.reached = self.after
        self.found: list[tuple[str, Entry]] = []
        self.size = 0
        self.done = False
        self.chains: dict[str, Position] = {}

    def clip(self, low: int, messages_max: int) -> None:
        """Begin later where Kafka has deleted what was asked for, or it is too much."""
        if self.after >= self.scan.until:
            return
        until = self.scan.until[1] + 1
        allowed = until - messages_max
        if low > self.begin and low >= allowed:
            self.begin, self.why = low, "retention"
        elif allowed > self.begin:
            self.begin, self.why = min(allowed, until), "replay_limit"
        if self.why:
            self.start = None

    def go_on_from(self, at: Position) -> bool:
        """The next record of the partition is at `at`; whether it is known now from which position the scan goes on."""
        if self.start is None and at[1] >= self.begin:
            self.start = min((at[0], at[1] - 1), self.scan.until)
        return self.start is not None

    def take(self, subject: str, at: Position, record: Record) -> None:
        """The next record that is for this scan."""
        if self.start is None or at <= self.start:
            return
        if at > self.scan.until:
            self.finish(self.scan.until)
            return
        self.reached = at
        value, stamp, headers = record[5], record[6], record[7]
        self.found.append((subject, Entry(at, self.chains.get(subject), stamp, value, headers)))
        self.chains[subject] = at
        self.size += len(value or b"")
        self.done = len(self.found) >= self.scan.messages_max or self.size >= SCAN_BYTES

    def finish(self, reached: Position) -> None:
        """There is nothing more up to `reached`."""
        if not self.done:
            self.done = True
            self.reached = max(self.reached, reached)

    def result(self) -> Scanned:
        """What was found; nothing at all if the pass ended before this scan began."""
        if self.start is None:
            return Scanned(self.after, self.gaps, [], self.after)
        gaps = [*self.gaps, Gap(self.scan.source.log_id, self.after, self.start, self.why)] if self.why else self.gaps
        return Scanned(self.start, gaps, self.found, max(self.reached, self.start))


class Pass:
    """Feed it records from `begin` on, in order, until `take` says that it is enough or there are no more."""

    def __init__(
        self,
        scans: Sequence[Ticketed],
        truncated: Mapping[Position, Truncation],
        low: int,
        limits: ReplayLimits,
    ) -> None:
        """Plan a pass.

        Args:
            truncated: Those of the positions after which is scanned that Kafka has lost, and where it goes on.
            low: The first offset that the partition has.
        """
        self._limits = limits
        planned = [_Scan(ticket, scan, truncated.get(scan.after)) for ticket, scan in scans]
        for one in planned:
            one.clip(low, limits.messages_max)
        self.begin = min(one.begin for one in planned)
        self._scans = [one for one in planned if one.begin < self.begin + STRETCH_RECORDS]
        self.later = [(one.ticket, one.scan) for one in planned if one.begin >= self.begin + STRETCH_RECORDS]
        """Scans that are too far ahead for this pass."""
        self.end = max(one.scan.until[1] for one in self._scans) + 1
        """The offset behind the last that can be wanted."""
        self._exact: dict[str, list[_Scan]] = {}
        self._patterns: dict[str, list[_Scan]] = {}
        for one in self._scans:
            table = self._patterns if is_pattern(one.scan.subject) else self._exact
            table.setdefault(one.scan.subject, []).append(one)
        publishes = scans[0][1].source.rule.publish
        self.repeats = Repeats(limits.retry_window_ms) if publishes else None
        """Feed records from one retry window earlier on where this is not None."""
        self._clipped = [one for one in self._scans if one.start is None]
        self._open = len(self._scans)
        self._records = 0
        self._last: Position | None = None

    def take(self, record: Record) -> bool:
        """The next record; whether more are wanted."""
        topic, _, offset, epoch, key, _, _, headers = record
        at = (epoch, offset)
        subject = subject_of(topic, key, self._limits.subject_bytes_max)
        if self.repeats is not None and subject is not None:
            found = marked(subject, headers)
            if found is not None and not self.repeats.admit(found[0], at, 0, found[1]):
                subject = None
        if self._clipped:
            self._clipped = [one for one in self._clipped if not one.go_on_from(at)]
        for one in self._wanting(subject):
            if not one.done:
                one.take(subject or "", at, record)
                self._open -= one.done
        self._last = at
        self._records += offset >= self.begin
        return self._open > 0 and self._records < STRETCH_RECORDS

    def finish(self, at_end: bool) -> list[tuple[int, Scanned]]:
        """The answers, by ticket. `at_end`: there are no more records up to `end`."""
        for one in self._scans:
            if at_end:
                if one.start is None:
                    one.start = one.scan.until
                one.finish(one.scan.until)
            elif self._last is not None and one.start is not None:
                one.finish(min(self._last, one.scan.until))
        return [(one.ticket, one.result()) for one in self._scans]

    def _wanting(self, subject: str | None) -> list[_Scan]:
        if subject is None:
            return []
        found = self._exact.get(subject, [])
        if self._patterns:
            found = [*found, *(one for name in patterns_of(subject) for one in self._patterns.get(name, ()))]
        return found
