"""Takes records in: record -> subject -> entry in a log -> cache -> live batches for the workers that want them.

Read it downwards to follow a message. Each message is encoded once per encoding that some worker wants, as the
finished WebSocket frame that will be sent.

Not here: reading Kafka (node/kafka/reader.py), subscriptions that are not live yet (node/backfill/backfill.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.link.events import JSON, MSGPACK, Live
from gateway.link.messages import encode_json, encode_msgpack
from mesh.cache.cache import Cache, Log
from mesh.log import Entry, Headers, Place, Position
from mesh.repeats import Attempt, PublishKey, Repeats
from mesh.slots.slot_log import Item
from mesh.subject import from_key, topic_of
from node.effects import Effects
from node.interest import Interest, WorkerId
from node.kafka.events import Record
from node.publish_mark import marked
from node.publishing import Publishing
from node.subject_rates import SubjectRates
from node.topics import Source, Topics, slot_number


class Intake:
    """Applies records in order; what workers get of them goes to the effects."""

    def __init__(
        self,
        cache: Cache,
        topics: Topics,
        interest: Interest,
        publishing: Publishing,
        effects: Effects,
        subject_bytes_max: int,
    ) -> None:
        self._cache = cache
        self._topics = topics
        self._interest = interest
        self._publishing = publishing
        self._effects = effects
        self._subject_bytes_max = subject_bytes_max
        self.records = 0
        self.repeats_dropped = 0
        self.unmapped = 0
        self.unmapped_last = ""
        """What the last record was that could not be mapped, for people."""
        self.rates = SubjectRates()

    def apply(self, now: float, source: Source, records: Sequence[Record], read_at: float) -> None:
        """Apply records of one of Kafka's partitions, as this node has read them, or had them of a feeder."""
        log = source.log
        assert log is not None
        self.records += len(records)
        known, append_to, repeats, is_live = log.by_key.get, self._cache.append_to, source.repeats, source.loaded
        hand_out = HandOut(source, self._interest, self.rates.counter(len(records)), self._effects, read_at)
        for topic, _, offset, epoch, key, value, time, headers in records:
            at = (epoch, offset)
            if source.skips_first:
                source.skips_first = False
                if repeats is not None and (subject := self._subject(topic, key)) is not None:
                    self._admit(now, source, subject, at, headers)  # it may come again all the same
                self._cache.skip(log, at)
                continue
            if at <= log.end:
                continue  # read twice: by a feeder and by this node, or again after Kafka had lost some
            found = None if key is None else known(key)
            subject = self._subject(topic, key) if found is None else found.subject
            if subject is None or (repeats is not None and not self._admit(now, source, subject, at, headers)):
                self._cache.advance(log, at)
                continue
            if found is None:
                found = self._cache.subject(log, subject, key)
            entry = append_to(log, found, at, time, value, headers)
            if is_live:
                hand_out.add(subject, entry)
        hand_out.finish()

    def commit(self, now: float, log: Log, entries: Sequence[tuple[Position, Item]], end: Position) -> None:
        """Apply committed items of a slot, in order, up to `end`."""
        self.records += len(entries)
        hand_outs = self._hand_outs(now, self._topics.of_slot(slot_number(log.id)), len(entries))
        for at, item in entries:
            entry = self._cache.append(log, item.subject, at, item.time, item.value, item.headers)
            hand_out = hand_outs.get(topic_of(item.subject))
            if entry is not None and hand_out is not None and hand_out.source.loaded:
                hand_out.add(item.subject, entry)
        self._cache.advance(log, end)
        for hand_out in hand_outs.values():
            hand_out.finish()

    def repair(self, now: float, log: Log, sources: Sequence[Source], entries: Sequence[tuple[str, Entry]]) -> None:
        """Apply entries that a peer had and this node missed, in order."""
        self.records += len(entries)
        hand_outs = self._hand_outs(now, sources, len(entries))
        for subject, missed in entries:
            hand_out = hand_outs.get(topic_of(subject))
            source = None if hand_out is None else hand_out.source
            if source is not None and source.repeats is not None:
                self._learn(now, source.repeats, log.id, marked(subject, missed.headers), missed.at)
            entry = self._cache.append(log, subject, missed.at, missed.time, missed.value, missed.headers)
            if entry is not None and hand_out is not None and hand_out.source.loaded:
                hand_out.add(subject, entry)
        for hand_out in hand_outs.values():
            hand_out.finish()

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

    def _admit(self, now: float, source: Source, subject: str, at: Position, headers: Headers | None) -> bool:
        """Whether subscribers see the entry: not a repeat, and not one that only warms up the memory of publishes."""
        assert source.repeats is not None
        assert source.log is not None
        fresh = self._learn(now, source.repeats, source.log_id, marked(subject, headers), at)
        if at[1] < source.warm_until:
            self._cache.skip(source.log, at)
            return False
        if not fresh:
            self.repeats_dropped += 1
        return fresh

    def _learn(
        self, now: float, repeats: Repeats, log_id: str, found: tuple[PublishKey, Attempt] | None, at: Position
    ) -> bool:
        """Take note of the publish that an entry is; whether it is none, or not a repeat of one."""
        if found is None:
            return True
        publish, attempt = found
        fresh = repeats.admit(publish, at, clock_ms(now), attempt)
        original = repeats.original(publish)
        assert original is not None
        self._publishing.applied(publish, log_id, original, attempt)
        return fresh

    def _hand_outs(self, now: float, sources: Sequence[Source], messages: int) -> dict[str, HandOut]:
        """One for each topic."""
        counter = self.rates.counter(messages)
        return {source.topic: HandOut(source, self._interest, counter, self._effects, now) for source in sources}


def clock_ms(now: float) -> int:
    """The clock by which publishes in Kafka's logs are remembered: this node's, from when it learned of them."""
    return int(now * 1000)


def subject_of(topic: str, key: bytes | None, bytes_max: int) -> str | None:
    """The subject of a record; None if it would be longer than this."""
    if key is not None and len(key) > bytes_max:
        return None
    subject = from_key(topic, key)
    return subject if len(subject) <= bytes_max // 4 or len(subject.encode()) <= bytes_max else None


class HandOut:
    """Live messages of one source for the workers: each is encoded once per encoding that some worker wants."""

    def __init__(
        self, source: Source, interest: Interest, counter: Counter[str] | None, effects: Effects, read_at: float
    ) -> None:
        self.source = source
        self._log_id = source.log_id
        self._value = source.rule.value
        behind = interest.behind(source.topic, source.log_id)
        self._wanting_json = interest.finder(JSON, source.topic, behind)
        self._wanting_msgpack = interest.finder(MSGPACK, source.topic, behind)
        self._counter = counter
        self._effects = effects
        self._read_at = read_at
        self._lives: dict[WorkerId, Live] = {}

    def add(self, subject: str, entry: Entry) -> None:
        """The next message of the log, which is loaded."""
        if self._counter is not None:
            self._counter[subject] += 1
        if workers := self._wanting_json(subject):
            frame = encode_json(subject, self._log_id, entry, self._value)
            for worker in workers:
                subjects, frames = (self._lives.get(worker) or self._open(worker)).json
                subjects.append(subject)
                frames.append(frame)
        if workers := self._wanting_msgpack(subject):
            frame = encode_msgpack(subject, self._log_id, entry, self._value)
            for worker in workers:
                subjects, frames = (self._lives.get(worker) or self._open(worker)).msgpack
                subjects.append(subject)
                frames.append(frame)

    def finish(self) -> None:
        """Tell the workers up to where they have had the log."""
        source = self.source
        if self._lives:
            assert source.log is not None
            for live in self._lives.values():
                live.ends.setdefault(source.topic, {})[source.log_id] = source.log.end

    def _open(self, worker: WorkerId) -> Live:
        live = self._lives[worker] = self._effects.live(worker, self._read_at)
        return live
