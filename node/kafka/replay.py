"""Reads back from Kafka what the cache no longer has: native threads that answer the questions of readings.

Each question is answered by itself, but all that are waiting for the same partition are answered in one pass over
it, so that many clients that resume at once do not read it many times.

Not here: who asks, and what is done with the answer (node/backfill/backfill.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from mesh.log import Position, Truncation
from node.backfill.questions import KafkaQuestion, Locate, Measure, ReadTable, Scan, Scanned, TableRead
from node.backfill.scan import Pass, ReplayLimits, Ticketed
from node.backfill.table_pass import TablePass
from node.backfill.truncation import Epochs
from node.kafka.events import KafkaEvent, LocateDone, MeasureDone, ScanDone, TableReadDone, Unanswered
from node.kafka.making import made
from node.kafka.reader import record_of
from node.kafka.starts import REPEATS_BACK, REPEATS_BACK_MAX
from node.kafka.threads import Inbox, start_thread

ASK_S = 5.0
"""Longest wait for Kafka to answer or for the next record; then the question stays unanswered for now."""
CHUNK = 500
PAUSE_S = 0.0005
"""After each chunk, so that live delivery, which shares the interpreter, is not held up."""


class Replay:
    """The threads, as the hub sees them."""

    def __init__(self, properties: dict[str, object], limits: ReplayLimits, inbox: Inbox[KafkaEvent]) -> None:
        """Start the threads."""
        self._properties = properties
        self._limits = limits
        self._inbox = inbox
        self._waiting: dict[tuple[str, int], list[tuple[int, KafkaQuestion]]] = {}
        self._wanted: set[int] = set()
        """Tickets whose answers are still needed."""
        self._changed = threading.Condition()
        self._stopping = False
        self.records = 0
        """Records read back, in all."""
        for number in range(limits.threads):
            start_thread(f"kafka-replay-{number}", self._run)

    @property
    def queue(self) -> int:
        """Questions that no thread has taken yet."""
        with self._changed:
            return sum(len(questions) for questions in self._waiting.values())

    def ask(self, ticket: int, question: KafkaQuestion) -> None:
        """Answered through the inbox."""
        where = (question.source.topic, question.source.partition)
        with self._changed:
            self._wanted.add(ticket)
            self._waiting.setdefault(where, []).append((ticket, question))
            self._changed.notify()

    def cancel(self, ticket: int) -> None:
        """The answer is no longer needed."""
        with self._changed:
            self._wanted.discard(ticket)

    def stop(self) -> None:
        """End the threads, without waiting for an answer of Kafka."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _run(self) -> None:
        consumer = None
        while True:
            with self._changed:
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    break
                where, questions = next(iter(self._waiting.items()))
                del self._waiting[where]
            if consumer is None:
                try:
                    consumer = made(Consumer, {**self._properties, "queued.max.messages.kbytes": 8192})
                except KafkaException as failure:  # no token can be had, say
                    for ticket, _ in questions:
                        self._reply(Unanswered(ticket, str(failure)))
                    continue
            self._answer(Partition(consumer, *where, self._limits), questions)
        if consumer is not None:
            consumer.close()

    def _reply(self, answer: ScanDone | LocateDone | MeasureDone | TableReadDone | Unanswered) -> None:
        with self._changed:
            self._wanted.discard(answer.ticket)
        self._inbox.put(answer)

    def _answer(self, partition: Partition, questions: list[tuple[int, KafkaQuestion]]) -> None:
        left = {ticket: question for ticket, question in questions if ticket in self._wanted}
        scans: list[Ticketed] = []
        measured: dict[Position, Truncation | None] = {}
        try:
            for ticket, question in [*left.items()]:
                if isinstance(question, Measure):
                    at = question.position
                    if at not in measured:  # many that come from the same node are at the same position
                        measured[at] = partition.measure(at)
                    self._reply(MeasureDone(ticket, measured[at]))
                    del left[ticket]
                elif isinstance(question, ReadTable):
                    self._reply(TableReadDone(ticket, partition.read_table(question)))
                    del left[ticket]
                elif isinstance(question, Locate):
                    self._reply(LocateDone(ticket, partition.locate(question.time_ms)))
                    del left[ticket]
                else:
                    assert isinstance(question, Scan), "of Kafka nothing else is asked"
                    scans.append((ticket, question))
            if scans:
                answers, later = partition.scan(scans)
                for ticket, scanned in answers:
                    self._reply(ScanDone(ticket, scanned))
                    del left[ticket]
                for ticket, scan in later:
                    self.ask(ticket, scan)
                    del left[ticket]
        except (KafkaException, NotReadError) as failure:
            for ticket in left:
                self._reply(Unanswered(ticket, str(failure)))
        finally:
            partition.close()
            self.records += partition.records


class NotReadError(Exception):
    """Kafka did not give the records in time."""


class Partition:
    """One partition, read by one consumer for one set of questions."""

    def __init__(self, consumer: Consumer, topic: str, partition: int, limits: ReplayLimits) -> None:
        self._consumer = consumer
        self._topic = topic
        self._partition = partition
        self._limits = limits
        self.records = 0

    def close(self) -> None:
        """Stop fetching."""
        self._consumer.unassign()

    def watermarks(self) -> tuple[int, int]:
        """The first offset that there is, and the one after the last."""
        known = self._consumer.get_watermark_offsets(TopicPartition(self._topic, self._partition), timeout=ASK_S)
        if known is None:
            raise NotReadError(f"{self._topic} [{self._partition}] did not answer within {ASK_S} s")
        return known[0], known[1]

    def locate(self, time_ms: int) -> Position | None:
        """The position before the first record whose time is at or after this; None if there is none yet."""
        low, high = self.watermarks()
        offset = self._offset_at(time_ms, low, high)
        for message in self._read(offset, high):
            if message.timestamp()[1] >= time_ms:
                return (message.leader_epoch() or 0, message.offset() - 1)
        return None

    def measure(self, position: Position) -> Truncation | None:
        """The truncation by which Kafka has lost this position, which was seen before; None if it has not."""
        return self._epochs(*self.watermarks()).truncation(position)

    def read_table(self, question: ReadTable) -> TableRead:
        """A stretch of the partition, for its table."""
        low, high = self.watermarks()
        truncation = self._epochs(low, high).truncation(question.after)
        planned = TablePass(question, truncation, low, self._limits)
        if planned.is_lost:
            return planned.finish(at_end=False)
        for message in self._read(planned.begin, min(planned.end, high)):
            if not planned.take(record_of(message)):
                return planned.finish(at_end=False)
        return planned.finish(at_end=True)

    def scan(self, scans: list[Ticketed]) -> tuple[list[tuple[int, Scanned]], list[Ticketed]]:
        """Answer scans in one pass, and say which are for a later one."""
        low, high = self.watermarks()
        planned = Pass(scans, self._truncated(scans, low, high), low, self._limits)
        begin = planned.begin
        if planned.repeats is not None:
            begin = self._back_by_window(begin, low, high)
        for message in self._read(begin, min(planned.end, high)):
            if not planned.take(record_of(message)):
                return planned.finish(at_end=False), planned.later
        return planned.finish(at_end=True), planned.later

    def _truncated(self, scans: list[Ticketed], low: int, high: int) -> dict[Position, Truncation]:
        """The positions after which is scanned that Kafka has lost: one read for each epoch if it has lost none."""
        epochs = self._epochs(low, high)
        places = sorted({scan.after for _, scan in scans}, reverse=True)
        found = ((place, epochs.truncation(place)) for place in places)
        return {place: truncation for place, truncation in found if truncation is not None}

    def _epochs(self, low: int, high: int) -> Epochs:
        def first_at(offset: int) -> Position | None:
            for message in self._read(offset, high):
                return (message.leader_epoch() or 0, message.offset())
            return None

        return Epochs(low, high, first_at)

    def _back_by_window(self, begin: int, low: int, high: int) -> int:
        """Where to begin so that publishes which come again are recognised.

        By the times of records, which are hearsay, and by position: one odd time decides neither way.
        """
        by_time = begin
        for message in self._read(begin, high):
            by_time = self._offset_at(message.timestamp()[1] - self._limits.retry_window_ms, low, high)
            break
        return max(low, min(begin - REPEATS_BACK, max(by_time, begin - REPEATS_BACK_MAX)))

    def _offset_at(self, time_ms: int, low: int, high: int) -> int:
        """The first offset whose record is not older than this; `low` where Kafka cannot tell (librdkafka's mock)."""
        where = TopicPartition(self._topic, self._partition, max(0, time_ms))
        offset: int = self._consumer.offsets_for_times([where], timeout=ASK_S)[0].offset
        if offset >= 0:
            return offset
        ever = self._consumer.offsets_for_times([TopicPartition(self._topic, self._partition, 0)], timeout=ASK_S)
        return high if ever[0].offset >= 0 else low

    def _read(self, begin: int, end: int) -> _Records:
        """Records from one offset up to another."""
        return _Records(self, self._consumer, TopicPartition(self._topic, self._partition, begin), end)


class _Records:
    """The records of a partition from one offset up to another (exclusive), or to where there are none."""

    def __init__(self, partition: Partition, consumer: Consumer, where: TopicPartition, end: int) -> None:
        self._partition = partition
        self._consumer = consumer
        self._where = where
        self._end = end

    def __iter__(self) -> Iterator[Message]:
        if self._where.offset >= self._end:
            return
        self._consumer.assign([self._where])
        deadline = time.monotonic() + ASK_S
        while True:
            first = self._consumer.poll(0.2)
            if first is None:
                if time.monotonic() > deadline:
                    raise NotReadError(f"{self._where.topic} [{self._where.partition}] gave nothing for {ASK_S} s")
                continue
            for message in [first, *self._consumer.consume(CHUNK - 1, 0)]:
                error = message.error()
                if error is None:
                    deadline = time.monotonic() + ASK_S
                    self._partition.records += 1
                    if message.offset() >= self._end:
                        return
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    return
                elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                    raise NotReadError(f"{self._where.topic} [{self._where.partition}] changed: {error.str()}")
                # Anything else librdkafka tries again by itself, until the deadline.
            if time.monotonic() > deadline:
                raise NotReadError(f"{self._where.topic} [{self._where.partition}] gives nothing but errors")
            time.sleep(PAUSE_S)
