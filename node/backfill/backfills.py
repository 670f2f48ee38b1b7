"""All subscriptions of all workers that are on their way to live, and what each is waiting for.

Not here: one subscription's way (node/backfill/backfill.py), live messages (node/intake.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from gateway.link.events import FromNode, LogEnded, LogGap, NewLog, Page, Subscribe, Waiting
from mesh.log import Gap, Position
from mesh.subject import topic_of
from node.backfill.backfill import LogReading, PageLimits, Reading
from node.backfill.questions import Question, Scanned
from node.interest import Interest, WorkerId
from node.topics import Source, Topics

Ticket: TypeAlias = int
"""Names a question to Kafka."""

ReadingId: TypeAlias = tuple[WorkerId, int]


class Readings:
    """Takes workers' requests, news of logs and Kafka's answers; take the events and questions after each."""

    def __init__(self, topics: Topics, interest: Interest, limits: PageLimits) -> None:
        self._topics = topics
        self._interest = interest
        self._limits = limits
        self._readings: dict[ReadingId, Reading] = {}
        self._by_topic: dict[str, dict[ReadingId, None]] = {}
        self._asked: dict[Ticket, tuple[ReadingId, LogReading]] = {}
        self._ticket = 0
        self._events: list[tuple[WorkerId, FromNode]] = []
        self._questions: list[tuple[Ticket, Question]] = []
        self.begun = 0
        self.gaps_told = 0

    def __len__(self) -> int:
        return len(self._readings)

    # Inputs from workers.

    def subscribe(self, worker: WorkerId, subscribe: Subscribe) -> None:
        """A subscription begins."""
        reading = Reading(worker, subscribe, self._limits)
        self.begun += 1
        topic = topic_of(subscribe.subject)
        self._readings[worker, subscribe.sid] = reading
        self._by_topic.setdefault(topic, {})[worker, subscribe.sid] = None
        self._open(reading)
        self._step(reading)

    def more(self, worker: WorkerId, sid: int) -> None:
        """The worker asks for a subscription's next page."""
        reading = self._readings.get((worker, sid))
        if reading is not None:
            reading.more()
            self._step(reading)

    def cancel(self, worker: WorkerId, sid: int) -> None:
        """A subscription ended before it was live."""
        reading = self._readings.get((worker, sid))
        if reading is not None:
            self._remove(reading)

    def forget(self, worker: WorkerId) -> None:
        """The worker is gone."""
        for reading in [one for one in self._readings.values() if one.worker == worker]:
            self._remove(reading)

    # Inputs from Kafka and the mesh.

    def topics_changed(self, begun: list[Source], ended: list[tuple[Source, bool]]) -> None:
        """Topics or partitions appeared or are gone (already so in `Topics`).

        Of each that is gone `ended` says whether all of it was read.
        """
        for source, was_read in ended:
            for reading in self._of(source.topic):
                reading.remove_log(source.log_id)
            if was_read:
                self._tell(LogEnded(source.topic, source.log_id, self._topics.share_of(source)))
            else:
                end = None if source.log is None else source.log.end
                self._log_gap(source, Gap(source.log_id, end, None, source.why_gone))
        for reading in [one for one in self._readings.values() if not one.opened]:
            self._open(reading)
        for source in begun:
            for reading in self._of(source.topic):
                known = self._topics.of_subject(reading.subject) or {}
                if reading.opened and source.log_id in known and source.log_id not in reading.logs:
                    (reading.add_log if source.is_new else reading.join_log)(source)
        for reading in [*self._readings.values()]:
            self._step(reading)

    def log_opened(self, source: Source) -> None:
        """A log that is new since the node was watching can be read from its beginning."""
        assert source.log is not None
        self._tell(NewLog(source.topic, source.log_id, source.log.floor, self._topics.share_of(source)))
        self.log_loaded(source)

    def log_loaded(self, source: Source) -> None:
        """A log has been read up to its end for the first time."""
        assert source.log is not None
        if source.is_late and not source.is_new:
            # Subscriptions that are live without it are live in it from here; what it had before is not theirs.
            if (before := self._topics.ended_at(source.log_id)) is not None and before < source.log.end:
                self._log_gap(source, Gap(source.log_id, before, source.log.end, "unreadable"))
            self._tell(NewLog(source.topic, source.log_id, source.log.end, self._topics.share_of(source)))
        for reading in self._of(source.topic):
            self._step(reading)

    def log_torn(self, topic: str, gap: Gap) -> None:
        """The node itself missed entries of a log."""
        self.gaps_told += 1
        self._tell(LogGap(topic, gap))

    def _log_gap(self, source: Source, gap: Gap) -> None:
        self.gaps_told += 1
        self._tell(LogGap(source.topic, gap, self._topics.share_of(source)))

    def scanned(self, ticket: Ticket, scanned: Scanned) -> None:
        """Answers `Scan`."""
        if (found := self._answered(ticket)) is not None:
            reading, log = found
            reading.scanned(log, scanned)
            self._step(reading)

    def located(self, ticket: Ticket, position: Position | None) -> None:
        """Answers `Locate`."""
        if (found := self._answered(ticket)) is not None:
            reading, log = found
            reading.located(log, position)
            self._step(reading)

    def measured(self, ticket: Ticket, exists: bool) -> None:
        """Answers `Measure`."""
        if (found := self._answered(ticket)) is not None:
            reading, log = found
            reading.measured(log, exists)
            self._step(reading)

    def unanswered(self, ticket: Ticket) -> None:
        """Kafka could not be asked."""
        if (found := self._answered(ticket)) is not None:
            reading, log = found
            reading.postpone(log)
            self._step(reading)

    def retry(self, why: Callable[[str], str]) -> None:
        """About once a second: ask Kafka again, and tell who has no answer yet that it is waiting, and why.

        Args:
            why: What those of a topic wait for.
        """
        for reading in [one for one in self._readings.values() if one.is_stuck]:
            reading.retry()
            self._step(reading)
            if not reading.answer_sent and not reading.waiting_told:
                reading.waiting_told = True
                told = "it is being read back from Kafka" if reading.is_asking else why(topic_of(reading.subject))
                self._events.append((reading.worker, Waiting(reading.sid, told)))

    # Outputs.

    def is_asked(self, ticket: Ticket) -> bool:
        """Whether anybody still waits for the answer to a question. May be called from any thread."""
        return ticket in self._asked

    def take_events(self) -> list[tuple[WorkerId, FromNode]]:
        """What to tell the workers, in order."""
        events, self._events = self._events, []
        return events

    def take_questions(self) -> list[tuple[Ticket, Question]]:
        """What to ask Kafka; answer each by its ticket."""
        questions, self._questions = self._questions, []
        return questions

    # Private.

    def _open(self, reading: Reading) -> None:
        sources = self._topics.of_subject(reading.subject)
        if sources is None:
            return
        ended = {one: at for one in reading.begin.place if (at := self._topics.ended_at(one)) is not None}
        for log_id in self._topics.of(topic_of(reading.subject)).keys() - sources.keys():
            if (named := reading.begin.place.get(log_id)) is not None:
                ended[log_id] = named  # of the namespace, but never of this subject: nothing can be missing
        reading.open(sources, ended)

    def _step(self, reading: Reading) -> None:
        if not reading.opened or (reading.worker, reading.sid) not in self._readings:
            return
        events, questions, over = reading.step()
        for event in events:
            if isinstance(event, Page):
                if event.live or event.final:
                    self._interest.add(reading.worker, reading.subject, reading.encoding)
                self.gaps_told += len(event.gaps)
            else:
                self.gaps_told += len(event.gaps)
            self._events.append((reading.worker, event))
        for log, question in questions:
            self._ticket += 1
            log.ticket = self._ticket
            self._asked[self._ticket] = ((reading.worker, reading.sid), log)
            self._questions.append((self._ticket, question))
        if over:
            self._remove(reading)

    def _answered(self, ticket: Ticket) -> tuple[Reading, LogReading] | None:
        found = self._asked.pop(ticket, None)
        if found is None:
            return None
        reading_id, log = found
        reading = self._readings.get(reading_id)
        if reading is None or reading.logs.get(log.source.log_id) is not log:
            return None
        return reading, log

    def _remove(self, reading: Reading) -> None:
        for log in reading.logs.values():
            self._asked.pop(log.ticket, None)
        del self._readings[reading.worker, reading.sid]
        topic = topic_of(reading.subject)
        del self._by_topic[topic][reading.worker, reading.sid]
        if not self._by_topic[topic]:
            del self._by_topic[topic]

    def _of(self, topic: str) -> list[Reading]:
        return [self._readings[one] for one in self._by_topic.get(topic, ())]

    def _tell(self, event: FromNode) -> None:
        self._events.extend((worker, event) for worker in self._interest.workers)
