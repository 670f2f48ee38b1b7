"""What must have reached a subscriber, judged from outside: Kafka's records against what the subscriber wrote down.

A subscriber writes down, in order,
where it began (`Fresh`), when it was live (`Live`), each message (`Got`) and each gap that was said (`Gapped`).
`check` compares the two and says each breach of the promises of client/PROTOCOL.md in a sentence:

- each record of the subject after the start is received once, in order within its subject and log, byte by byte;
- or it lies in a gap that was said, and could really not be had then;
- what a gap covers was not received, and `prev`, where it is told, is the subject's previous record.

Not here: what Kafka has had (truth.py), reading it and subscribing (tests/chaos).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.support.truth import BEFORE_ALL, Fact, Position, Truth, covers, topic_of

SHOWN_MAX = 5
"""Breaches of one kind that are spelt out; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """The subscription began: after `at`; in the logs of `waiting` it begins later, where it becomes live."""

    at: Mapping[str, Position]
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Live:
    at: Mapping[str, Position]


@dataclass(frozen=True, slots=True)
class Got:
    """A message that the application was given."""

    subject: str
    log: str
    at: Position
    prev: Position | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    time: int | None
    snapshot: bool


@dataclass(frozen=True, slots=True)
class Gapped:
    """A gap that was said, with the time (seconds since 1970) at which it was heard."""

    log: str
    start: Position | None
    end: Position | None
    why: str
    heard_at: float


Noted: TypeAlias = Fresh | Live | Got | Gapped


@dataclass(slots=True)
class Seen:
    """All that one subscription wrote down."""

    name: str
    subject: str
    start: str = "latest"
    """latest, now, last, time."""
    time: int = 0
    """For `time`: milliseconds since 1970."""
    noted: list[Noted] = field(default_factory=list)

    @property
    def got(self) -> list[Got]:
        return [one for one in self.noted if isinstance(one, Got)]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the node was configured to keep and to read back: a gap within it is false."""

    replay_messages: int
    cache_is_roomy: bool
    """Nothing leaves the cache during the run: every snapshot must come."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was not kept. `kind` is one of lost, repeat, order, wrong, phantom, early, snapshot, gap."""

    kind: str
    text: str


HEARD_LATE_S = 5.0
"""How much later than the node the independent reader may have a record."""


class _Check:
    """One subscription against the truth."""

    def __init__(self, truth: Truth, seen: Seen, limits: Limits) -> None:
        self.truth = truth
        self.seen = seen
        self.limits = limits
        self.topic = topic_of(seen.subject)
        self.facts = list(truth.of(seen.subject))
        self.breaches: list[Breach] = []
        self.logs: dict[int, str] = {}
        self.fresh: Fresh | None = None
        self.begins: dict[int, Position] = {}
        self.waiting: set[int] = set()
        self.had: dict[int, set[Position]] = defaultdict(set)
        self.last: dict[tuple[int, str], Position] = {}
        self.gaps: dict[int, list[tuple[Position, Position]]] = defaultdict(list)

    def run(self) -> list[Breach]:
        for one in self.seen.noted:
            match one:
                case Fresh():
                    self._fresh(one)
                case Live():
                    self._live(one)
                case Got():
                    self._got(one)
                case Gapped():
                    self._gapped(one)
        if self.fresh is None:
            self._breach("lost", "it was never answered")
        else:
            self._snapshots_are_all_there()
            self._nothing_is_lost()
        return self.breaches

    def _breach(self, kind: str, text: str) -> None:
        self.breaches.append(Breach(kind, f"{self.seen.name} ({self.seen.subject}): {text}"))

    def _partition(self, log: str) -> int:
        partition = int(log.partition(".")[0])
        if self.logs.setdefault(partition, log) != log:
            self._breach("wrong", f"partition {partition} was called {self.logs[partition]} and {log}")
        return partition

    def _fresh(self, fresh: Fresh) -> None:
        self.fresh = fresh
        self.begins = {self._partition(log): at for log, at in fresh.at.items()}
        self.waiting = {self._partition(log) for log in fresh.waiting} - self.begins.keys()

    def _live(self, live: Live) -> None:
        for log, at in live.at.items():
            partition = self._partition(log)
            if partition in self.waiting:
                self.waiting.discard(partition)
                self.begins[partition] = at

    def _got(self, got: Got) -> None:
        partition = self._partition(got.log)
        where = f"{got.subject} {got.log} {got.at}"
        fact = self.truth.fact(self.topic, partition, got.at)
        if fact is None:
            return self._breach("phantom", f"{where} is not to be seen in Kafka")
        if not covers(self.seen.subject, got.subject):
            self._breach("wrong", f"{where} is not what it subscribed to")
        told = (got.subject, got.value, got.headers, got.time)
        real = (fact.subject, fact.value, fact.headers, fact.time)
        if told != real:
            self._breach("wrong", f"{where} is {str(told)[:300]}, in Kafka {str(real)[:300]}")
        if got.prev is not None and got.prev != fact.prev:
            self._breach("wrong", f"{where} has prev {got.prev}, in Kafka {fact.prev}")
        before = self.last.get((partition, got.subject), BEFORE_ALL)
        if got.at in self.had[partition]:
            return self._breach("repeat", f"{where} came twice")
        if got.at <= before:
            self._breach("order", f"{where} came after {before}")
        self.had[partition].add(got.at)
        self.last[partition, got.subject] = max(got.at, before)
        if any(start < got.at <= end for start, end in self.gaps[partition]):
            self._breach("gap", f"{where} came although a gap was said to cover it")
        begin = self.begins.get(partition, BEFORE_ALL)
        if not got.snapshot and partition not in self.waiting and got.at <= begin:
            self._breach("early", f"{where} came, but it begins after {begin}")
        if got.snapshot:
            self._snapshot(got, fact, begin)
        return None

    def _snapshot(self, got: Got, fact: Fact, begin: Position) -> None:
        where = f"the snapshot {got.subject} {got.log} {got.at}"
        if self.seen.start != "latest" or fact.value is None:
            self._breach("snapshot", f"{where} was not asked for")
        newer = [f.at for f in self.facts if f.subject == got.subject and f.partition == fact.partition]
        if any(got.at < at <= begin for at in newer):
            self._breach("snapshot", f"{where} is not the latest up to {begin}")

    def _snapshots_are_all_there(self) -> None:
        if self.seen.start != "latest" or not self.limits.cache_is_roomy:
            return
        latest: dict[tuple[int, str], Fact] = {}
        for fact in self.facts:
            if fact.at <= self.begins.get(fact.partition, BEFORE_ALL):
                latest[fact.partition, fact.subject] = fact
        for fact in latest.values():
            if fact.value is not None and fact.at not in self.had[fact.partition]:
                self._breach("snapshot", f"{fact.subject} [{fact.partition}] {fact.at}, the latest value, did not come")

    def _gapped(self, gap: Gapped) -> None:
        what = f"gap {gap.log} {gap.start} to {gap.end} ({gap.why})"
        partition = self._partition(gap.log)
        if gap.end is None or gap.why not in ("retention", "replay_limit"):
            return self._breach("gap", f"{what}: nothing of the kind has happened")
        start = gap.start or BEFORE_ALL
        self.gaps[partition].append((start, gap.end))
        low = self.truth.low(self.topic, partition, gap.heard_at)
        high = self.truth.high(self.topic, partition, gap.heard_at + HEARD_LATE_S)
        for fact in self.facts:
            if fact.partition != partition or not start < fact.at <= gap.end:
                continue
            if fact.at in self.had[partition]:
                self._breach("gap", f"{what}: {fact.at} had been received")
            elif fact.at[1] >= low and (gap.why == "retention" or fact.at[1] >= high - self.limits.replay_messages):
                self._breach("gap", f"{what}: {fact.at} could be had (low watermark {low}, end {high})")
        return None

    def _nothing_is_lost(self) -> None:
        for fact in self.facts:
            if fact.at in self.had[fact.partition] or fact.partition in self.waiting:
                continue
            is_asked_for = self.seen.start == "time" and fact.time >= self.seen.time
            if fact.at <= self.begins.get(fact.partition, BEFORE_ALL) and not is_asked_for:
                continue
            if not any(start < fact.at <= end for start, end in self.gaps[fact.partition]):
                self._breach("lost", f"{fact.subject} [{fact.partition}] {fact.at} (prev {fact.prev}) never came")


def check(truth: Truth, seen: Seen, limits: Limits) -> list[Breach]:
    """Everything that is wrong with what a subscription received; empty if all promises were kept."""
    return _Check(truth, seen, limits).run()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a publisher was told about one publish."""

    publisher: str
    seq: int
    subject: str
    value: bytes | None
    log: str | None
    """None: it was not acknowledged."""
    at: Position | None
    sent_at: float
    answered_at: float


def check_publishes(truth: Truth, outcomes: list[Outcome]) -> list[Breach]:
    """Acknowledged publishes are in Kafka where it was said; no publish is there in two logs."""
    breaches = []
    by_log: dict[tuple[str, str], list[tuple[float, float, Position]]] = defaultdict(list)
    for one in outcomes:
        what = f"publish {one.publisher} {one.seq} to {one.subject}"
        found = truth.publishes.get((one.publisher, one.seq), [])
        if len({fact.partition for fact in found}) > 1:
            breaches.append(Breach("repeat", f"{what} is in partitions {[fact.partition for fact in found]}"))
        if any((fact.subject, fact.value) != (one.subject, one.value) for fact in found):
            breaches.append(Breach("wrong", f"{what} is not in Kafka as it was published"))
        if one.log is None:
            continue
        if not found:
            breaches.append(Breach("lost", f"{what} was acknowledged at {one.log} {one.at}, and is not in Kafka"))
        elif one.at is not None and (one.log.partition(".")[0], one.at) != (str(found[0].partition), found[0].at):
            breaches.append(Breach("wrong", f"{what} was acknowledged at {one.log} {one.at}, Kafka: {found[0].at}"))
        else:
            by_log[one.log, one.publisher].append((one.sent_at, one.answered_at, found[0].at))
    for (log, publisher), same in by_log.items():
        newest = BEFORE_ALL
        answered = sorted(same, key=lambda one: one[1])
        done = 0
        for sent_at, _, at in sorted(same):
            while done < len(answered) and answered[done][1] < sent_at:
                newest = max(newest, answered[done][2])
                done += 1
            if at < newest:
                breaches.append(Breach("order", f"{publisher} in {log}: {at} was sent after {newest} was acknowledged"))
    return breaches


def shown(breaches: list[Breach]) -> str:
    """For people: a few of each kind, and how many there are."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for one in breaches:
        kinds[one.kind].append(one.text)
    lines = []
    for kind, texts in kinds.items():
        lines.append(f"{kind}: {len(texts)}")
        lines += [f"  {text}" for text in texts[:SHOWN_MAX]]
    return "\n".join(lines)
