"""Workers that lost their place are caught up log by log, each once for all its clients (`CatchUp` of the link).

    begun -> entries after the worker's place, in slices, logs in turn -> the log's end -> live
          -> the cache does not reach there: a peer's cache or Kafka is asked, as for a client that resumes -> as above
          -> the log is gone: so it is said

A log becomes live in the same step in which the last of its entries is sent: no entry can be applied in between, so
none is lost and none is sent twice. Until then the worker gets no live messages of it (interest.py), and no
subscription of its topic becomes live (backfills.py).

Not here: one subscription's way (backfill.py), what the worker makes of it (gateway/sessions/subscribing.py).
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from gateway.link.events import JSON, MSGPACK, CatchUp, LogEnded, LogGap, Missed, NewLog, Resuming
from gateway.link.messages import encode_json, encode_msgpack
from mesh.log import Entry, Gap, Position
from mesh.subject import is_pattern, patterns_of, topic_of
from node.backfill.backfills import Backfills, Ticket
from node.backfill.questions import KafkaQuestion, Scan, Scanned
from node.effects import Effects
from node.interest import Interest, WorkerId
from node.topics import Source, Topics

UNTAKEN_BYTES_MAX = 8 * 1024 * 1024
"""Of `Missed` on their way to a worker: several messages for each of thousands of clients, who then get them in one
write. With less, catching up would cost the worker more than live messages do, and it would not come to an end while
there are as many of these as it can take.
"""
SLICE_BYTES = 256 * 1024
"""Of the frames of one `Missed`, about."""
GATHERED_MAX = 5_000
"""Positions of a log that are looked through for it at once."""
SCANNED_MAX = 5_000
"""Entries of one answer of a peer or of Kafka."""


class _Wants:
    """What a worker wants of one topic."""

    __slots__ = ("_exact", "_patterns", "subjects")

    def __init__(self) -> None:
        self.subjects: dict[str, None] = {}
        """Subjects and patterns."""
        self._exact: tuple[set[str], set[str]] = (set(), set())
        self._patterns: tuple[set[str], set[str]] = (set(), set())

    def add(self, encoding: int, subject: str) -> None:
        self.subjects[subject] = None
        (self._patterns if is_pattern(subject) else self._exact)[encoding].add(subject)

    def has(self, encoding: int, subject: str) -> bool:
        patterns = self._patterns[encoding]
        return subject in self._exact[encoding] or (bool(patterns) and not patterns.isdisjoint(patterns_of(subject)))


class _Behind:
    """One log in which a worker is behind."""

    __slots__ = ("at", "buffer", "cut", "is_postponed", "scans", "source", "wants")

    def __init__(self, source: Source, at: Position, wants: _Wants) -> None:
        self.source = source
        self.wants = wants
        self.at = at
        """Up to here the worker has been sent everything, or told that it is missing."""
        self.buffer: list[tuple[str, Entry]] = []
        """What is sent next, newest first (taken from the end)."""
        self.cut = at
        """`at`, once the buffer is empty."""
        self.scans: dict[Ticket, Scanned | None] = {}
        """Questions, each with its answer once that is there."""
        self.is_postponed = False
        """A peer or Kafka could not be asked; not to be asked again before `retry`."""


Turn: TypeAlias = tuple[str, str]
"""A topic and one of its logs."""


class _Worker:
    """One worker that is being caught up."""

    __slots__ = ("behind", "number", "turns", "untaken", "untaken_bytes")

    def __init__(self, number: int) -> None:
        self.number = number
        self.behind: dict[Turn, _Behind] = {}
        self.turns: deque[Turn] = deque()
        """Logs that can go on, in the order of their turns."""
        self.untaken: deque[int] = deque()
        """Sizes of `Missed` that the worker has not taken yet, oldest first."""
        self.untaken_bytes = 0

    @property
    def can_go_on(self) -> bool:
        return bool(self.turns) and self.untaken_bytes < UNTAKEN_BYTES_MAX


class CatchUps:
    """All workers that are being caught up."""

    def __init__(self, topics: Topics, interest: Interest, backfills: Backfills, effects: Effects) -> None:
        self._topics = topics
        self._interest = interest
        self._backfills = backfills
        self._effects = effects
        self._workers: dict[WorkerId, _Worker] = {}
        self._asked: dict[Ticket, tuple[WorkerId, Turn, Scan]] = {}
        self._questions: list[tuple[Ticket, KafkaQuestion]] = []
        self._cancelled: list[Ticket] = []
        self.begun = 0

    # Inputs from workers.

    def begin(self, worker: WorkerId, event: CatchUp) -> None:
        """A worker has lost something, and says up to where it has handed out what it was told."""
        self.forget(worker)
        self.begun += 1
        self._effects.to_worker(worker, Resuming(event.number))
        self._interest.find_again(worker)
        one = _Worker(event.number)
        wanted: dict[str, _Wants] = {}
        for encoding, subject in self._interest.held(worker):
            wanted.setdefault(topic_of(subject), _Wants()).add(encoding, subject)
        for topic, wants in wanted.items():
            place = event.ends.get(topic)
            if place is None:
                continue
            sources = self._topics.of(topic)
            for log_id, at in place.items():
                if (source := sources.get(log_id)) is None or not source.loaded:
                    self._gone(worker, topic, log_id, at)
                else:
                    one.behind[topic, log_id] = _Behind(source, at, wants)
            for log_id, source in sources.items():
                if source.loaded and source.live_from is not None and log_id not in place:
                    share = self._topics.share_of(source)
                    self._effects.to_worker(worker, NewLog(topic, log_id, source.live_from, share))
                    one.behind[topic, log_id] = _Behind(source, source.live_from, wants)
        if one.behind:
            self._workers[worker] = one
            one.turns += one.behind
            for turn in one.behind:
                self._interest.fall_behind(worker, *turn)

    def taken(self, worker: WorkerId, number: int) -> None:
        """A worker has taken a `Missed` of this `CatchUp`."""
        one = self._workers.get(worker)
        if one is not None and one.number == number:
            one.untaken_bytes -= one.untaken.popleft()

    def forget(self, worker: WorkerId) -> None:
        """A worker has lost its place, or is gone."""
        one = self._workers.pop(worker, None)
        if one is not None:
            for behind in one.behind.values():
                self._cancel(behind)

    # Inputs from peers and Kafka.

    def scanned(self, ticket: Ticket, scanned: Scanned) -> None:
        """Answers `Scan`."""
        found = self._asked.pop(ticket, None)
        if found is None:
            return
        worker, turn, scan = found
        one = self._workers[worker]
        behind = one.behind[turn]
        behind.scans[ticket] = scanned
        if behind.source.log is not None:
            there = {entry.at for _, entry in scanned.found}
            behind.source.log.unlink(scan.subject, scanned.start, scanned.reached, there)
        answers = [answer for answer in behind.scans.values() if answer is not None]
        if len(answers) == len(behind.scans):
            behind.scans.clear()
            self._take(worker, behind, answers)
            one.turns.append(turn)

    def unanswered(self, ticket: Ticket) -> None:
        """Kafka could not be asked."""
        found = self._asked.pop(ticket, None)
        if found is not None:
            behind = self._workers[found[0]].behind[found[1]]
            self._cancel(behind)
            behind.is_postponed = True

    def retry(self) -> None:
        """About once a second: ask again what could not be answered, and look whether logs are still there."""
        for one in self._workers.values():
            for turn, behind in one.behind.items():
                behind.is_postponed = False
                if not behind.scans and turn not in one.turns:
                    one.turns.append(turn)

    # Work.

    @property
    def has_work(self) -> bool:
        """Whether a worker can be sent more."""
        return any(one.can_go_on for one in self._workers.values())

    def work(self) -> None:
        """A slice of one log, for each worker that can take it."""
        for worker, one in [*self._workers.items()]:
            if one.can_go_on:
                self._step(worker, one)

    # Outputs.

    def take_questions(self) -> list[tuple[Ticket, KafkaQuestion]]:
        """What to find out; answer each by its ticket."""
        questions, self._questions = self._questions, []
        return questions

    def take_cancelled(self) -> list[Ticket]:
        """Questions whose answers are no longer needed."""
        cancelled, self._cancelled = self._cancelled, []
        return cancelled

    # Private.

    def _step(self, worker: WorkerId, one: _Worker) -> None:
        turn = one.turns.popleft()
        behind = one.behind[turn]
        if self._topics.of(turn[0]).get(turn[1]) is not behind.source:
            self._end(worker, one, turn)
            self._gone(worker, *turn, behind.at)
            return
        if not behind.buffer and not self._fill(worker, turn, behind):
            return
        missed, size = self._missed(one.number, turn, behind)
        log = behind.source.log
        assert log is not None
        missed.is_live = not behind.buffer and behind.at >= log.end
        self._effects.to_worker(worker, missed)
        one.untaken.append(size)
        one.untaken_bytes += size
        if missed.is_live:
            self._end(worker, one, turn)
        else:
            one.turns.append(turn)

    def _fill(self, worker: WorkerId, turn: Turn, behind: _Behind) -> bool:
        """Fill the buffer from the cache; False: a peer or Kafka must be asked first."""
        log, source = behind.source.log, behind.source
        assert log is not None
        subjects = behind.wants.subjects
        floors = {} if behind.at >= log.evicted_to else {one: log.floor_of(one) for one in subjects}
        floor = max(floors.values(), default=behind.at)
        if floor > behind.at:
            if not behind.is_postponed:
                # Of a topic's subjects all but one have a key: two questions are enough.
                unreached = {"/" + turn[0] if one == "/" + turn[0] else f"/{turn[0]}/*" for one in subjects}
                for subject in unreached:
                    ticket = self._backfills.new_ticket()
                    behind.scans[ticket] = None
                    scan = Scan(source, subject, behind.at, floor, SCANNED_MAX)
                    self._asked[ticket] = (worker, turn, scan)
                    self._questions.append((ticket, scan))
            return False
        truncation = log.truncation(behind.at)
        if truncation is not None:
            gap = Gap(log.id, truncation.last, truncation.next, "truncated")
            self._log_gap(worker, turn[0], gap)
            behind.at = truncation.next
        behind.buffer, behind.cut = log.after_any(subjects, behind.at, GATHERED_MAX)
        behind.buffer.reverse()
        return True

    def _take(self, worker: WorkerId, behind: _Behind, answers: list[Scanned]) -> None:
        """What peers or Kafka had, up to where all answers reach."""
        source = behind.source
        start = max(answer.start for answer in answers)
        gaps = {(gap.start, gap.end): gap for answer in answers for gap in answer.gaps}
        for gap in gaps.values():
            self._log_gap(worker, source.topic, gap)
        behind.at = max(behind.at, start)
        behind.cut = max(behind.at, min(answer.reached for answer in answers))
        found = (pair for answer in answers for pair in answer.found if behind.at < pair[1].at <= behind.cut)
        behind.buffer = sorted(found, key=_at_of_pair, reverse=True)
        if not behind.buffer:
            behind.at = behind.cut

    def _missed(self, number: int, turn: Turn, behind: _Behind) -> tuple[Missed, int]:
        """A slice of the buffer as frames, with where it ends, and their size."""
        missed = Missed(number, turn[0], turn[1], behind.at, False, ([], []), ([], []))
        value, wants, buffer = behind.source.rule.value, behind.wants, behind.buffer
        size = 0
        while buffer and size < SLICE_BYTES:
            subject, entry = buffer.pop()
            behind.at = entry.at
            for encoding, encode, (subjects, frames) in (
                (JSON, encode_json, missed.json),
                (MSGPACK, encode_msgpack, missed.msgpack),
            ):
                if wants.has(encoding, subject):
                    frame = encode(subject, turn[1], entry, value)
                    subjects.append(subject)
                    frames.append(frame)
                    size += len(frame)
        if not buffer:
            behind.at = max(behind.at, behind.cut)
        missed.at = behind.at
        return missed, size

    def _gone(self, worker: WorkerId, topic: str, log_id: str, at: Position) -> None:
        """The log is not there any more: whatever the worker had not had of it will not come."""
        share = self._topics.share_of_log(topic, log_id)
        ended_at = self._topics.ended_at(log_id)
        if ended_at is not None and at >= ended_at:
            self._effects.to_worker(worker, LogEnded(topic, log_id, share))
        else:
            self._log_gap(worker, topic, Gap(log_id, at, None, "log_gone" if share is None else "memory_lost"))

    def _log_gap(self, worker: WorkerId, topic: str, gap: Gap) -> None:
        self._backfills.gaps_told[gap.why] += 1
        self._effects.to_worker(worker, LogGap(topic, gap, self._topics.share_of_log(topic, gap.log)))

    def _end(self, worker: WorkerId, one: _Worker, turn: Turn) -> None:
        """The worker is not behind in this log any more."""
        del one.behind[turn]
        if not one.behind:
            del self._workers[worker]
        self._interest.catch_up(worker, *turn)
        self._backfills.caught_up(worker, turn[0])

    def _cancel(self, behind: _Behind) -> None:
        for ticket, answer in behind.scans.items():
            if answer is None and self._asked.pop(ticket, None) is not None:
                self._cancelled.append(ticket)
        behind.scans.clear()


def _at_of_pair(pair: tuple[str, Entry]) -> Position:
    return pair[1].at
