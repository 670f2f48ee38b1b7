"""Takes records in: record -> subject -> entry in a log -> cache -> live batches for the workers that want them.

Read it downwards to follow a message. Each message is encoded once per encoding that some worker wants, as the
finished WebSocket frame that will be sent.

Not here: reading Kafka (node/kafka/reader.py), subscriptions that are not live yet (node/backfill/backfill.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

from gateway.link.events import JSON, MSGPACK, Live
from gateway.link.messages import encode_json, encode_msgpack
from mesh.cache.cache import Cache, Log
from mesh.log import Entry, Gap, Headers, Place, Position
from mesh.repeats import PUBLISHER_HEADER, SEQ_HEADER
from mesh.slots.slot_log import Item
from mesh.subject import from_key, topic_of
from node.interest import Interest, WorkerId
from node.topics import Source, Topics, slot_number

Record: TypeAlias = tuple[str, int, int, int, bytes | None, bytes | None, int, Headers | None]
"""topic, partition, offset, leader epoch, key, value, time (ms, -1 for none), headers."""

Applied: TypeAlias = Callable[[tuple[str, int], str, Position], None]
"""Called with (publisher, seq), log and position of every publish that a log turns out to hold."""


TOPIC_BYTES_MAX = 251
"""A topic with its two slashes."""


class Intake:
    """Applies batches of records; what goes to the workers is in the return value."""

    def __init__(
        self, cache: Cache, topics: Topics, interest: Interest, subject_bytes_max: int, applied: Applied
    ) -> None:
        self._cache = cache
        self._topics = topics
        self._interest = interest
        self._subject_bytes_max = subject_bytes_max
        self._key_bytes_surely_fits = (subject_bytes_max - TOPIC_BYTES_MAX) // 3
        """Escaping makes a byte three at most."""
        self._applied = applied
        self.records = 0
        self.repeats_dropped = 0
        self.unmapped = 0
        self.unmapped_last = ""
        """What the last record was that could not be mapped, for people."""
        self.rates: Counter[str] = Counter()
        """Messages by subject since somebody last took them, for the busiest subjects."""

    def apply(self, records: Sequence[Record], generation: int) -> tuple[dict[WorkerId, Live], list[tuple[str, Gap]]]:
        """Apply records in order. Returns a live batch per worker that wants any, and gaps that the logs now have.

        `generation` is that of the assignments with which they were read: what was read before a log's own
        assignment belongs to the log that the partition was before.
        """
        self.records += len(records)
        by_partition = self._topics.by_partition
        append = self._cache.append
        hand_out = HandOut(self._interest, self.rates)
        gaps: list[tuple[str, Gap]] = []
        for topic, partition, offset, epoch, key, value, time, headers in records:
            source = by_partition.get((topic, partition))
            if source is None or source.log is None or generation < source.generation:
                continue  # its log ended while this record was on its way
            log = source.log
            at = (epoch, offset)
            if at <= log.end and not source.skips_first:
                continue  # read twice: by a feeder and by this node, or again after Kafka had lost some
            if source.skips_first:
                source.skips_first = False
                self._cache.skip(log, at)
                continue
            if source.torn is not None and at > log.end:
                gap = self._mend(source, at)
                if source.loaded:  # before that nobody is live in it, and a reading finds the hole by itself
                    gaps.append((topic, gap))
            subject = self._subject(topic, key)
            if subject is None or (source.repeats is not None and not self._admit(source, at, time, headers)):
                self._cache.advance(log, at)
                continue
            entry = append(log, subject, at, time, value, headers)
            if entry is not None and source.loaded:
                hand_out.add(source, subject, entry)
        return hand_out.batches(), gaps

    def commit(self, log: Log, entries: Sequence[tuple[Position, Item]], end: Position) -> dict[WorkerId, Live]:
        """Apply committed items of a slot, in order, up to `end`. Returns a live batch per worker that wants any."""
        self.records += len(entries)
        sources = {source.topic: source for source in self._topics.of_slot(slot_number(log.id))}
        hand_out = HandOut(self._interest, self.rates)
        for at, item in entries:
            entry = self._cache.append(log, item.subject, at, item.time, item.value, item.headers)
            source = sources.get(topic_of(item.subject))
            if entry is not None and source is not None and source.loaded:
                hand_out.add(source, item.subject, entry)
        self._cache.advance(log, end)
        return hand_out.batches()

    def repair(self, log: Log, sources: Sequence[Source], entries: Sequence[tuple[str, Entry]]) -> dict[WorkerId, Live]:
        """Apply entries that a peer had and this node missed, in order. Returns a live batch per worker."""
        self.records += len(entries)
        by_topic = {source.topic: source for source in sources}
        hand_out = HandOut(self._interest, self.rates)
        for subject, missed in entries:
            source = by_topic.get(topic_of(subject))
            if source is not None and source.repeats is not None:
                publish = publish_of(missed.headers)
                if publish is not None and source.repeats.admit(publish, missed.at, missed.time):
                    self._applied(publish, log.id, missed.at)
            entry = self._cache.append(log, subject, missed.at, missed.time, missed.value, missed.headers)
            if entry is not None and source is not None and source.loaded:
                hand_out.add(source, subject, entry)
        return hand_out.batches()

    def ends(self) -> dict[str, Place]:
        """Up to where every loaded log has been applied: topic -> log -> position."""
        ends: dict[str, Place] = {}
        for source in self._topics.all():
            if source.log is not None and source.loaded:
                ends.setdefault(source.topic, {})[source.log_id] = source.log.end
        return ends

    def _subject(self, topic: str, key: bytes | None) -> str | None:
        subject = subject_of(topic, key, self._subject_bytes_max)
        if subject is None:
            self.unmapped += 1
            self.unmapped_last = f"a key of {len(key or b'')} bytes in topic {topic!r}"
        return subject

    def _admit(self, source: Source, at: Position, time: int, headers: Headers | None) -> bool:
        """Whether subscribers see the entry: not a repeat, and not one that only warms up the memory of publishes."""
        assert source.repeats is not None
        assert source.log is not None
        publish = publish_of(headers)
        fresh = publish is None or source.repeats.admit(publish, at, time)
        if publish is not None:
            original = source.repeats.original(publish)
            assert original is not None
            self._applied(publish, source.log_id, original)
        if source.warm_until_ms:
            if time < source.warm_until_ms:
                self._cache.skip(source.log, at)
                return False
            source.warm_until_ms = 0
        if not fresh:
            self.repeats_dropped += 1
        return fresh

    def _mend(self, source: Source, at: Position) -> Gap:
        assert source.log is not None
        before = (at[0], at[1] - 1)
        gap = Gap(source.log_id, source.torn, before, "retention")
        self._cache.tear(source.log, before)
        source.torn = None
        return gap


def subject_of(topic: str, key: bytes | None, bytes_max: int) -> str | None:
    """The subject of a record; None if it would be longer than this."""
    if key is not None and len(key) > bytes_max:
        return None
    subject = from_key(topic, key)
    return subject if len(subject) <= bytes_max // 4 or len(subject.encode()) <= bytes_max else None


def publish_of(headers: Headers | None) -> tuple[str, int] | None:
    """The (publisher, seq) of an entry that came in through a gateway."""
    publisher = seq = None
    for name, value in headers or ():
        if name == PUBLISHER_HEADER:
            publisher = value
        elif name == SEQ_HEADER:
            seq = value
    if publisher is None or seq is None or not seq.isdigit() or len(seq) > 16:
        return None
    return publisher.decode("latin-1"), int(seq)


class HandOut:
    """Live batches in the making: each message is encoded once per encoding that some worker wants."""

    def __init__(self, interest: Interest, rates: Counter[str]) -> None:
        self._wanting_json, self._wanting_msgpack = interest.finder(JSON), interest.finder(MSGPACK)
        self._rates = rates
        self._batches: dict[WorkerId, Live] = {}
        self._touched: dict[tuple[str, str], Source] = {}

    def add(self, source: Source, subject: str, entry: Entry) -> None:
        """The next message of a loaded log."""
        self._touched[source.topic, source.log_id] = source
        self._rates[subject] += 1
        epoch, seq = entry.at
        if workers := self._wanting_json(subject):
            frame = encode_json(
                subject, source.log_id, epoch, seq, entry.prev, entry.time, entry.value, source.rule.value,
                entry.headers,
            )  # fmt: skip
            for worker in workers:
                subjects, frames = self._batch(worker).json
                subjects.append(subject)
                frames.append(frame)
        if workers := self._wanting_msgpack(subject):
            frame = encode_msgpack(
                subject, source.log_id, epoch, seq, entry.prev, entry.time, entry.value, source.rule.value,
                entry.headers,
            )  # fmt: skip
            for worker in workers:
                subjects, frames = self._batch(worker).msgpack
                subjects.append(subject)
                frames.append(frame)

    def batches(self) -> dict[WorkerId, Live]:
        """What each worker gets, with the ends that the logs have now."""
        ends: dict[str, Place] = {}
        for source in self._touched.values():
            assert source.log is not None
            ends.setdefault(source.topic, {})[source.log_id] = source.log.end
        for batch in self._batches.values():
            batch.ends = ends
        return self._batches

    def _batch(self, worker: WorkerId) -> Live:
        batch = self._batches.get(worker)
        if batch is None:
            batch = self._batches[worker] = Live({}, ([], []), ([], []))
        return batch
