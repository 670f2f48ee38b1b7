"""One subscription's way from where it starts to live: the answer, then pages, then live in every log.

Each log of the subject's topic goes this way by itself, so that a log that cannot be read now does not delay
the others:

    waiting -> asking Kafka where to start -> replaying from Kafka -> from the cache -> live

What the cache has is read from the cache; what it no longer has, from Kafka by scans that end where the cache
begins. A log becomes live in the same step in which the last of its entries is put on a page and the worker's
interest is registered; no entry can be applied in between, so none is lost and none is sent twice.

Invariants:
- `at` of a log's backfill is the position up to which everything has been put on pages or stated as a gap.
- A page goes out only when the worker has asked for it (one credit at the start, one per `More`).
- One step looks at a bounded number of subjects and logs: what there is of a pattern is looked through in slices.

Not here: what is remembered of each log (node/backfill/log_backfill.py), many subscriptions at once
(node/backfill/backfills.py), answering questions (node/backfill/scan.py, node/kafka/replay.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from itertools import islice

import msgspec

from gateway.link.events import MSGPACK, Answer, Page, Start, Subscribe
from gateway.link.messages import encode_json, encode_msgpack
from mesh.cache.cache import Log
from mesh.cache.gathering import Gathering
from mesh.cache.prefix_index import SLICE
from mesh.log import BEGINNING, Entry, Gap, Place, Position, Truncation
from mesh.subject import is_pattern
from node.backfill.log_backfill import LogBackfill, Looking, Stage
from node.backfill.questions import KafkaQuestion, LatestValues, Locate, Measure, Scan, Scanned
from node.topics import Source

ANSWER_WITHIN_S = 2
"""After this time the client is answered even if Kafka has not; logs that lack an answer are reported as waiting."""


GATHERED_MAX = 5_000
"""Entries of a pattern that are gathered from the cache at once."""
STEP_COST = 1_000
"""A step ends where it has cost so much: a millisecond or two."""
GAPS_MAX = 1_000
"""On one page."""


class PageLimits(msgspec.Struct, frozen=True):
    """How much goes on one page."""

    messages: int
    bytes: int


_NOT_YET = (Stage.WAITING, Stage.ASKING)
_AT_ONCE = ("latest", "now", "at", "resume")
"""Kinds of starts that need no looking for a place."""


class Backfill:
    """One subscription that is not live in every log yet.

    Inputs say what has happened; after each, `step` says what follows from it.
    """

    def __init__(self, worker: int, subscribe: Subscribe, limits: PageLimits) -> None:
        self.worker = worker
        self.client = (worker, subscribe.client)
        """Whose turn it takes."""
        self.sid = subscribe.sid
        self.sub = subscribe.sub
        self.subject = subscribe.subject
        self.encoding = subscribe.encoding
        self.begin: Start = subscribe.start
        self.limits = limits
        self.logs: dict[str, LogBackfill] = {}
        self.unknown: Place = {}
        """Positions in logs that the client names and this node does not know (yet); another node may know them."""
        self.look_up = 0
        """The look-up after which a log that is still unknown is gone; 0: none is needed."""
        self.opened = False
        """Whether the topic's logs have been known at least once."""
        self.answer_sent = False
        self.seconds = 0
        """How often `retry` was called."""
        self.waiting_told = False
        self.final_told = False
        """Whether the last page was final: another one only with something on it."""
        self.credit = True
        self.gaps: list[Gap] = []
        """Not yet told."""
        self.lives: Place = {}
        """Logs that became live and are not told yet."""
        self.is_unfinished = False
        """Whether the last step could have gone on at once."""
        self._until = STEP_COST
        """Others have their turn once it has cost so much."""
        self._gives_up = False
        """What is unknown is gone."""
        self.cost = 0
        """What has been done for it: entries, subjects and logs that were looked at."""

    # Inputs.

    def open(self, sources: dict[str, Source], ended_at: dict[str, Position]) -> None:
        """The topic's logs are known: begin with each. `ended_at` has the ends of logs that no longer exist."""
        self.opened = True
        self.cost += len(sources) + len(self.begin.place)
        for source in sources.values():
            self.logs[source.log_id] = LogBackfill(source)
        if self.begin.kind in ("at", "resume"):
            for log_id, position in self.begin.place.items():
                if log_id in sources or position is None:
                    continue
                if log_id not in ended_at:
                    self.unknown[log_id] = position
                elif position < ended_at[log_id]:
                    self.gaps.append(Gap(log_id, position, None, self._why_gone()))

    def at_once(self, sources: dict[str, Source]) -> list[Answer | Page] | None:
        """The whole way in one step, instead of `open` and `step`: for a subject whose logs can all be read, of which
        the cache has all that is asked for, and that fits a page. None: it is not as simple as that.
        """
        kind, place, subject = self.begin.kind, self.begin.place, self.subject
        if kind not in _AT_ONCE or not sources or is_pattern(subject) or not place.keys() <= sources.keys():
            return None
        frames: list[bytes] = []
        starts: Place = {}
        ends: Place = {}
        for log_id, source in sources.items():
            held = source.log
            if held is None or not source.loaded:
                return None
            start = end = held.end
            if kind == "latest":
                if source.is_table and subject not in held.subjects:
                    return None
                found = [] if (latest := held.latest(subject)) is None else [latest]
            elif kind == "now":
                found = []
            else:
                start = place.get(log_id, BEGINNING if kind == "resume" else end) or end
                if start > end or not held.reaches(subject, start) or held.truncation(start) is not None:
                    return None
                found = held.after(subject, start)
            if len(frames) + len(found) >= self.limits.messages:
                return None
            frames += [self._frame(source, subject, entry, kind == "latest") for entry in found]
            starts[log_id], ends[log_id] = start, end
        data = b"".join(frames)
        if len(data) >= self.limits.bytes:
            return None
        answer = Answer(self.sid, "full" if kind == "resume" else "fresh", starts, [], [])
        return [answer, Page(self.sid, data, ends, [], True)]

    def give_up_unknown(self) -> None:
        """Kafka, or the slots' coordinators, were asked since: what is still unknown is gone, with the next steps."""
        self._gives_up = True

    def add_log(self, source: Source) -> None:
        """A log has appeared since the subscription began: everything after its place must be read."""
        log = self.logs[source.log_id] = LogBackfill(source)
        if self.unknown.pop(source.log_id, None) is None:
            log.start = BEGINNING

    def join_log(self, source: Source) -> None:
        """A log can be read that could not be found when the subscription began."""
        self.unknown.pop(source.log_id, None)
        self.logs[source.log_id] = LogBackfill(source)

    def remove_log(self, log_id: str, was_read: bool) -> None:
        """A log ended: what had not been read of it will not come.

        Args:
            was_read: Whether the node has read all of it; else there may be more behind what it has, also for a client
                that is ahead of it.
        """
        log = self.logs.pop(log_id, None)
        self.lives.pop(log_id, None)
        if log is None or log.stage is Stage.LIVE:
            return
        if log.start is not None:
            position = max(log.at, log.start)
        elif (named := self.begin.place.get(log_id)) is not None:
            position = named
        else:
            return
        held = log.source.log
        if not was_read or held is None or not log.source.loaded or position < held.end:
            self.gaps.append(Gap(log_id, position, None, log.source.why_gone))

    def located(self, log: LogBackfill, position: Position | None) -> None:
        """Answers `Locate`; None: there was no such record. Whatever came after the first question counts too."""
        assert log.first_end is not None
        # The cache may still have what Kafka has deleted.
        found = [] if log.kept is None else [(log.kept[0], log.kept[1] - 1)]
        log.start = min([*found, *([] if position is None else [position]), log.first_end])
        log.stage = Stage.WAITING

    def measured(self, log: LogBackfill, truncation: Truncation | None) -> None:
        """Answers `Measure`, asked because the client is ahead of the cache: the log gets there, or has lost it."""
        if truncation is not None:
            assert log.source.log is not None
            # Of what Kafka has lost this node's cache may still have some, until its reader gets there: not twice.
            known = min(log.at, log.source.log.end)
            self._go_on_after(log, Truncation(truncation.last, max(truncation.next, known)))
        log.stage = Stage.READING

    def ended_before(self, log: LogBackfill) -> None:
        """Answers `Measure` of a slot's log: it does not get to where the client is."""
        assert log.source.log is not None
        end = log.source.log.end
        if log.at > end:
            self.gaps.append(Gap(log.source.log_id, log.at, end, "memory_lost"))
            log.start = log.at = log.cut = end
        log.stage = Stage.READING

    def latest_found(self, log: LogBackfill, rows: list[tuple[str, Entry]], is_last: bool) -> None:
        """Answers `LatestValues`: rows of the log's table, in order of their subjects."""
        # A row that has changed since the backfill began follows as a message, behind others of its subject: sent as
        # a latest value first, it would make the client take those for repeats.
        log.buffer = [row for row in reversed(rows) if row[1].at <= log.cut]
        log.snapshot = bool(log.buffer)
        log.table_after = None if is_last else rows[-1][0]
        log.stage = Stage.READING

    def scanned(self, log: LogBackfill, scanned: Scanned) -> None:
        """Answers `Scan`."""
        self.gaps += scanned.gaps
        if scanned.gaps and not log.answered:
            log.start = scanned.start
        assert log.source.log is not None
        there = {entry.at for _, entry in scanned.found}
        log.source.log.unlink(self.subject, scanned.start, scanned.reached, there)
        log.at = scanned.start
        log.buffer = scanned.found[::-1]
        log.cut = scanned.reached
        log.stage = Stage.READING

    def postpone(self, log: LogBackfill) -> None:
        """Kafka could not be asked."""
        log.stage = Stage.WAITING
        log.postponed = True

    def retry(self) -> None:
        """A second has passed: ask again what could not be asked before."""
        self.seconds += 1
        for log in self.logs.values():
            log.postponed = False

    def more(self) -> None:
        """The worker asks for the next page."""
        self.credit = True

    # Outputs.

    @property
    def has_unknown(self) -> bool:
        """Whether others have to be asked for logs that the client names."""
        return bool(self.unknown) and not self._gives_up

    @property
    def is_stuck(self) -> bool:
        """Whether it waits for something that another second may bring."""
        return not self.answer_sent or any(log.postponed for log in self.logs.values())

    @property
    def is_asking(self) -> bool:
        """Whether Kafka is being asked something."""
        return any(log.stage is Stage.ASKING for log in self.logs.values())

    def step(self) -> tuple[list[Answer | Page], list[tuple[LogBackfill, KafkaQuestion]], bool]:
        """Go on as far as possible: events for the worker, questions for Kafka, and whether the backfill is over."""
        self.cost += 1
        self._until = self.cost + STEP_COST
        self.is_unfinished = False
        if self._gives_up and self.unknown:
            self._take_unknown()
        questions: list[tuple[LogBackfill, KafkaQuestion]] = []
        for log in self.logs.values():
            if self._is_enough:
                break
            if (question := self._prepare(log)) is not None:
                questions.append((log, question))
        events: list[Answer | Page] = []
        if not self.answer_sent and not self._is_enough and (self.seconds >= ANSWER_WITHIN_S or not self.is_asking):
            readable = [log for log in self.logs.values() if log.stage not in _NOT_YET]
            if readable or not (self.logs or self.unknown):
                events.append(self._answer())
        if self.answer_sent and self.credit and not self._is_enough:
            page, more = self._page()
            questions += more
            if page is not None:
                self.credit = page.final
                events.append(page)
        is_live = not self.unknown and all(log.stage is Stage.LIVE for log in self.logs.values())
        return events, questions, self.answer_sent and is_live and self.credit and not self.is_unfinished

    # Private.

    @property
    def _is_enough(self) -> bool:
        """Whether others have their turn now; then there is more to be done."""
        self.is_unfinished = self.is_unfinished or self.cost >= self._until
        return self.is_unfinished

    def _take_unknown(self) -> None:
        """Some of the logs that are gone."""
        gone = {log_id: self.unknown[log_id] for log_id in islice(self.unknown, GAPS_MAX)}
        for log_id in gone:
            del self.unknown[log_id]
        why = self._why_gone()
        self.gaps += [Gap(log_id, position, None, why) for log_id, position in gone.items()]
        self.cost += len(gone)

    def _why_gone(self) -> str:
        return next((log.source.why_gone for log in self.logs.values()), "log_gone")

    def _prepare(self, log: LogBackfill) -> KafkaQuestion | None:
        """Bring a waiting log to where it can be read, or say what must be asked first."""
        if log.stage is not Stage.WAITING or not log.source.loaded or log.postponed:
            return None
        if log.looking is None:
            log.looking = self._begin(log)
        return self._look(log)

    def _look(self, log: LogBackfill) -> KafkaQuestion | None:
        """Go on with what is done in slices; at its end what has to be asked."""
        assert log.looking is not None
        try:
            next(log.looking)
        except StopIteration as end:
            log.looking = None
            found: KafkaQuestion | None = end.value
            return found
        self.is_unfinished = True
        return None

    def _begin(self, log: LogBackfill) -> Looking:
        """Find where to start."""
        held = log.source.log
        assert held is not None
        if log.start is None:
            kind = self.begin.kind
            is_of_table = kind == "latest" and log.source.is_table and self.subject not in held.subjects
            if is_of_table and not log.source.is_table_complete:
                return None
            if kind == "time":
                log.first_end = log.first_end or held.end
                is_reached, log.kept = yield from held.since(self.subject, self.begin.number)
                if not is_reached:
                    log.stage = Stage.ASKING
                    return Locate(log.source, self.begin.number)
                self.located(log, None)
            elif kind in ("at", "resume"):
                unnamed = BEGINNING if kind == "resume" else held.end
                named = self.begin.place.get(log.source.log_id, unnamed)
                log.start = held.end if named is None else named
            elif kind == "last":
                self._start_at_last(self.begin.number)
            else:
                log.start = held.end
            if is_of_table:
                log.table_after = ""
            elif kind == "latest":
                # What changes from here on follows as messages.
                log.cut = held.end
                yield from self._find_rows(log, held)
        assert log.start is not None
        if log.at < log.start:
            log.at = log.start
        log.cut = max(log.cut, log.at)
        if log.table_after is not None:
            return self._ask_table(log)
        held = log.source.log
        assert held is not None
        if log.at > held.end:
            log.stage = Stage.ASKING
            return Measure(log.source, log.at)
        question = None if log.rows else (yield from self._scan(log))
        if question is None:
            log.stage = Stage.READING
        return question

    def _find_rows(self, log: LogBackfill, held: Log) -> Generator[None, None, None]:
        """The subjects whose latest values are wanted."""
        if not is_pattern(self.subject):
            log.rows = held.matching(self.subject)
            return
        for number, rows in enumerate(held.matching_in_slices(self.subject)):
            if number:
                yield
            log.rows += rows
            self.cost += len(rows)

    def _ask_table(self, log: LogBackfill) -> LatestValues | None:
        """The next rows of the log's table, once that is complete."""
        assert log.table_after is not None
        log.stage = Stage.ASKING if log.source.is_table_complete else Stage.WAITING
        return LatestValues(log.source, self.subject, log.table_after) if log.source.is_table_complete else None

    def _scan(self, log: LogBackfill) -> Looking:
        """The scan that must come first, if the cache does not reach back to where this log stands."""
        held = log.source.log
        assert held is not None
        if log.at < held.evicted_to:
            floor = yield from self._floor(held)
            if log.at < floor:
                log.stage = Stage.ASKING
                return Scan(log.source, self.subject, log.at, floor, self.limits.messages)
        held = log.source.log
        assert held is not None
        truncation = held.truncation(log.at)
        if truncation is not None:
            self._go_on_after(log, truncation)
        return None

    def _floor(self, held: Log) -> Generator[None, None, Position]:
        """The lowest position from which nothing is missing in the cache."""
        if not is_pattern(self.subject):
            return held.floor_of(self.subject)
        floor = held.floor
        for number, subjects in enumerate(held.matching_in_slices(self.subject)):
            if number:
                yield
            floor = max([floor, held.floor, *(one.floor for one in subjects)])
            self.cost += len(subjects)
        return floor

    def _go_on_after(self, log: LogBackfill, truncation: Truncation) -> None:
        """Kafka has lost where this log stands."""
        self.gaps.append(Gap(log.source.log_id, truncation.last, truncation.next, "truncated"))
        log.at = log.cut = truncation.next
        if not log.answered:
            log.start = truncation.next

    def _answer(self) -> Answer:
        self.answer_sent = True
        at: Place = {**self.unknown}
        waiting = [*self.unknown]
        for log_id, log in self.logs.items():
            if log.stage in _NOT_YET:
                waiting.append(log_id)
                start = log.start or self.begin.place.get(log_id)
                if start is not None:
                    at[log_id] = start
            else:
                assert log.start is not None
                at[log_id] = log.start
                log.answered = True
        gaps, self.gaps = self.gaps, []
        kind = "gap" if gaps else "full" if self.begin.kind == "resume" else "fresh"
        return Answer(self.sid, kind, at, gaps, waiting)

    def _page(self) -> tuple[Page | None, list[tuple[LogBackfill, KafkaQuestion]]]:
        """Fill a page from the logs that can be read now; None if there is nothing to say yet."""
        frames: list[bytes] = []
        questions: list[tuple[LogBackfill, KafkaQuestion]] = []
        gaps, self.gaps = self.gaps[:GAPS_MAX], self.gaps[GAPS_MAX:]
        size = 0
        full = bool(self.gaps)
        for log in self.logs.values():
            while log.stage is Stage.READING and not full and not self._is_enough:
                while log.buffer and not full:
                    subject, entry = log.buffer.pop()
                    frame = self._frame(log.source, subject, entry, log.snapshot)
                    if frames and size + len(frame) > self.limits.bytes:
                        log.buffer.append((subject, entry))
                        full = True
                        break
                    frames.append(frame)
                    size += len(frame)
                    if not log.snapshot:
                        log.at = entry.at
                    full = len(frames) >= self.limits.messages or size >= self.limits.bytes
                if not log.buffer:
                    question = self._refill(log)
                    if question is not None:
                        questions.append((log, question))
                    if frames and self.gaps:
                        full = True  # the gap comes behind what is on this page: it is told before the next one
                    else:
                        gaps += self.gaps
                        self.gaps = []
        final = not self.gaps and all(log.stage in (Stage.LIVE, Stage.WAITING) for log in self.logs.values())
        if not (frames or self.lives or gaps or (final and not self.final_told)):
            return None, questions
        self.final_told = final
        self.cost += len(frames)
        page = Page(self.sid, b"".join(frames), self.lives, gaps, final)
        self.lives = {}
        return page, questions

    def _refill(self, log: LogBackfill) -> KafkaQuestion | None:
        """The buffer is empty: go on with what the cache has since, or with Kafka, or be live."""
        if log.looking is None:
            if log.table_after is not None:
                return self._ask_table(log)
            if log.rows:
                self._take_rows(log)
                return None
            log.snapshot = False
            log.at = max(log.at, log.cut)
            log.looking = self._read(log)
        return self._look(log)

    def _read(self, log: LogBackfill) -> Looking:
        """Fill the buffer, or be live."""
        question = yield from self._scan(log)
        if question is not None or self.gaps:
            return question
        held = log.source.log
        assert held is not None
        if log.at < held.end:
            if not is_pattern(self.subject):
                log.buffer = [(self.subject, entry) for entry in held.after(self.subject, log.at)]
                log.cut = held.end
            elif not (yield from self._gather(log, held)):
                return None
            log.buffer.reverse()
            if log.buffer or log.cut < held.end:
                return None
            log.at = held.end
        log.stage = Stage.LIVE
        # A client that comes from a node that is ahead must not make others believe that all up to there was sent.
        self.lives[log.source.log_id] = min(log.at, held.end)
        return None

    def _gather(self, log: LogBackfill, held: Log) -> Generator[None, None, bool]:
        """Put entries of a pattern in the buffer. False: what has happened meanwhile must be looked at first."""
        found = held.tail_after(self.subject, log.at, GATHERED_MAX)
        if found is not None:
            log.buffer, log.cut = found, held.end
            return True
        self.cost += min(held.most(self.subject), GATHERED_MAX)
        if self.cost >= self._until:
            yield
        epochs = len(held.epochs)
        gathering = Gathering(held.matching_in_slices(self.subject), held.end, log.at, GATHERED_MAX)
        for _ in gathering.slices():
            self.cost += SLICE
            yield
        self.cost += len(gathering.found)
        is_true = log.source.log is held and held.floor <= log.at and len(held.epochs) == epochs
        if is_true and gathering.is_complete:
            log.buffer, log.cut = gathering.found, gathering.reached
        return is_true and gathering.is_complete

    def _take_rows(self, log: LogBackfill) -> None:
        """Put the next latest values in the buffer.

        One that has changed since the backfill began follows as a message, behind others of its subject: sent as a
        latest value first, it would make the client take those for repeats.
        """
        rows = log.rows[-self.limits.messages :]
        del log.rows[-self.limits.messages :]
        log.buffer = [(one.subject, one.latest) for one in rows if one.latest is not None and one.latest.at <= log.cut]
        log.snapshot = bool(log.buffer)

    def _frame(self, source: Source, subject: str, entry: Entry, is_snapshot: bool) -> bytes:
        encode = encode_msgpack if self.encoding == MSGPACK else encode_json
        return encode(subject, source.log_id, entry, source.rule.value, self.sub, is_snapshot)

    def _start_at_last(self, count: int) -> None:
        """Start the loaded logs so that the last `count` messages that the cache has of them all follow.

        Of each log these are the last by position, whatever their times say; times only decide between logs.
        """
        heads: list[tuple[int, int, LogBackfill, Entry, Iterator[tuple[str, Entry]]]] = []
        for number, log in enumerate(self.logs.values()):
            held = log.source.log
            if held is not None and log.source.loaded and log.start is None:
                log.start = held.end
                entries = held.newest_of(self.subject, count)
                if (head := next(entries, None)) is not None:
                    heads.append((-head[1].time, number, log, head[1], entries))
        heapq.heapify(heads)
        for _ in range(count):
            if not heads:
                break
            _, number, log, entry, entries = heads[0]
            log.start = (entry.at[0], entry.at[1] - 1)
            self.cost += 1
            if (head := next(entries, None)) is not None:
                heapq.heapreplace(heads, (-head[1].time, number, log, head[1], entries))
            else:
                heapq.heappop(heads)
