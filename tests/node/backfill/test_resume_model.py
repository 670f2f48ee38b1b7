"""Subscriptions against a model: whatever is evicted, deleted, delayed or interrupted, each subscriber is handed
exactly Kafka's records for its subject, once and in order, except for those that a gap has stated.

The real cores (topics, cache, intake, interest, readings) and the real client rules (whimbrel.place), joined by a FIFO;
Kafka, its retention and the replay threads are a few lines here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from gateway.link.events import Answer, Live, LogEnded, LogGap, NewLog, Page, Start, Subscribe, Waiting
from gateway.link.settings import TopicRule
from gateway.link.topic_rules import Mapping
from mesh.cache import gathering, prefix_index
from mesh.cache.cache import Cache, CacheConfig
from mesh.log import BEGINNING, Entry, Gap, Position
from mesh.subject import from_key
from node.backfill import backfill
from node.backfill.backfill import PageLimits
from node.backfill.backfills import Backfills
from node.backfill.questions import KafkaQuestion, Locate, Measure, Scan, Scanned
from node.effects import Effects, ToWorker
from node.intake import Intake
from node.interest import Interest
from node.kafka.events import Record
from node.logs.look_ups import LookUps
from node.publishing import Publishing, PublishingConfig
from node.topics import Source, Topics
from tests.support.seeds import rounds
from tests.support.truth import covers
from whimbrel.frames import GapSaid
from whimbrel.place import Track, Verdict

TOPIC = "t"
KEYS = [b"a", b"b", b"p/a", b"p/b"]
SUBJECTS = ["/t/a", "/t/p/a", "/t/*", "/t/p/*"]
WORKER = 1
TIME = 1003
"""What a subscription from a time asks for."""


class Partition:
    """Kafka's side: all records ever, and where it begins now."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.next = 0
        self.low = 0
        self.read = 0
        """How many of `records` the node has read."""

    def floor(self) -> Position:
        """The position before the next record that the node reads."""
        if self.read < len(self.records):
            return (self.records[self.read][3], self.records[self.read][2] - 1)
        return (self.records[-1][3], self.records[-1][2]) if self.records else BEGINNING


class Client:
    """One subscription of one client; `expected` is worked out by the model."""

    def __init__(self, sid: int, subject: str, kind: str) -> None:
        self.sid = sid
        self.subject = subject
        self.kind = kind
        self.track = Track()
        self.received: list[tuple[str, Position, bool]] = []
        self.gaps: list[tuple[str, Position, Position]] = []
        self.start: dict[str, Position] = {}
        self.was_answered = False
        self.late: set[str] = set()
        """Logs that could not be read when the subscription was answered: nothing was promised of them yet."""
        self.answered = False
        self.registered = False
        self.more = False
        self.was_live = False


class ResumeModel:
    """A node, its worker's FIFO, clients and Kafka; what happens is drawn from a seed."""

    def __init__(self, slices_max: int = 1_000) -> None:
        """`slices_max` of history are made before something else happens."""
        self.slices_max = slices_max
        self.partitions = [Partition(), Partition()]
        self.clients: list[Client] = []
        self.sid = 0
        self.now = 0.0
        self.epoch = 0
        self.trace: list[str] = []
        self.seen: Counter[str] = Counter()
        """How often each of the ways that are tried here was really gone."""
        self._start_node()

    def _start_node(self) -> None:
        self.topics = Topics(Mapping([TopicRule(TOPIC)]))
        self.cache = Cache(CacheConfig(ttl_s=10, messages_per_subject=3, bytes_max=12_000, snapshot_ttl_s=20))
        self.interest = Interest()
        self.effects = Effects()
        publishing = Publishing(PublishingConfig(5, 10, 10), self.topics, LookUps(self.effects), self.effects, "boot")
        self.intake = Intake(self.cache, self.topics, self.interest, publishing, self.effects, 1000)
        limits = PageLimits(messages=2, bytes=100_000)
        self.backfills = Backfills(self.topics, self.interest, limits, LookUps(self.effects), self.effects)
        self.questions: list[tuple[int, KafkaQuestion]] = []
        self._open(self.topics.update({TOPIC: ("x", len(self.partitions))})[0])

    def _open(self, begun: list[Source]) -> None:
        self.backfills.topics_changed(begun, [])
        for source in begun:
            source.log = self.cache.open(source.log_id, TOPIC, self.partitions[source.partition].floor())
            source.loaded = True
            if source.is_new:
                self.backfills.log_opened(source)
        self.settle()

    def happen(self, rng: Random, steps: int) -> None:
        """Draw what happens; after each step everything must hold."""
        for _ in range(steps):
            step, arguments = self.draw(rng)
            self.trace.append(f"{step.__name__}{arguments}")
            step(*arguments)
            self.check()
        self.finish()
        self.check()

    def draw(self, rng: Random) -> tuple[Callable[..., None], tuple[Any, ...]]:
        """The next step."""
        which, partition = rng.randrange(10), rng.randrange(4)
        steps: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (self.produced, (rng.choice(KEYS), partition, rng.randrange(2), rng.choice([1, 900]))),
            (self.read, (rng.randrange(1, 6),)),
            (self.time_passes, (round(rng.uniform(0, 11), 1),)),
            (self.leader_changes, ()),
            (self.retention, (partition, rng.randrange(31))),
            (self.partition_added, ()),
            (self.subscribe, (rng.choice(SUBJECTS), rng.choice(["latest", "now", "last", "time"]))),
            (self.interrupted, (which,)),
            (self.node_restarts, (rng.randrange(4),)),
            (self.client_takes_a_page, (which,)),
            (self.kafka_answers, (which, rng.random() < 0.3, rng.randrange(1, 4))),
        ]
        return rng.choices(steps, [20, 15, 5, 5, 5, 1, 10, 10, 2, 15, 15])[0]

    def check(self) -> None:
        """Everything that must hold at any time."""
        self.in_order_and_once()
        self.nothing_missing_up_to_the_place()
        self.gaps_are_true()
        self.live_means_up_to_date()

    # What happens.

    def produced(self, key: bytes, partition: int, hole: int, size: int) -> None:
        into = self.partitions[partition % len(self.partitions)]
        number = partition % len(self.partitions)
        into.next += hole
        value = json.dumps("v" * size).encode()
        into.records.append((TOPIC, number, into.next, self.epoch, key, value, 1000 + len(into.records), None))
        into.next += 1

    def read(self, count: int) -> None:
        for number, partition in enumerate(self.partitions):
            batch = partition.records[partition.read : partition.read + count]
            partition.read = min(partition.read + count, len(partition.records))
            self.intake.apply(self.now, self.topics.by_partition[TOPIC, number], batch, self.now)
        self.settle()
        self.cache.limit(self.now)

    def time_passes(self, after: float) -> None:
        self.now += after
        self.cache.expire(self.now)
        self.backfills.retry(lambda topic: "because")
        self.settle()

    def leader_changes(self) -> None:
        self.epoch += 1

    def retention(self, partition: int, up_to: int) -> None:
        kafka = self.partitions[partition % len(self.partitions)]
        read = [record[2] for record in kafka.records[: kafka.read]]
        kafka.low = max(kafka.low, min(up_to, read[-1] + 1 if read else 0))

    def partition_added(self) -> None:
        if len(self.partitions) < 4:
            self.partitions.append(Partition())
            self._open(self.topics.update({TOPIC: ("x", len(self.partitions))})[0])

    def subscribe(self, subject: str, kind: str) -> None:
        if len(self.clients) < 5:
            client = Client(0, subject, kind)
            self.clients.append(client)
            self._subscribe(client, Start(kind, {"last": 4, "time": TIME}.get(kind, 0)))

    def interrupted(self, which: int) -> None:
        if self.clients:
            client = self.clients[which % len(self.clients)]
            if self._may_resume(client):
                self._drop(client)
                self._subscribe(client, Start("resume", place={**client.track.place}))

    def node_restarts(self, behind: int) -> None:
        """With an empty cache that is filled from a little way back; the clients come back before it is full."""
        for partition in self.partitions:
            kept = [number for number, record in enumerate(partition.records) if record[2] >= partition.low]
            first = kept[0] if kept else len(partition.records)
            partition.read = max(first, partition.read - behind)
        self._start_node()
        self.clients = [client for client in self.clients if self._may_resume(client)]
        for client in self.clients:
            self._subscribe(client, Start("resume", place={**client.track.place}))

    def client_takes_a_page(self, which: int) -> None:
        if self.clients:
            client = self.clients[which % len(self.clients)]
            if client.more:
                client.more = False
                self.backfills.more(WORKER, client.sid)
                self.settle()

    def kafka_answers(self, which: int, fails: bool, most: int) -> None:
        if self.questions:
            ticket, question = self.questions.pop(which % len(self.questions))
            self._answer(ticket, question, fails, most)
            self.settle()

    # The other side.

    def _answer(self, ticket: int, question: KafkaQuestion, fails: bool, most: int) -> None:
        self.seen[type(question).__name__] += 1
        kafka = self.partitions[question.source.partition]
        held = [record for record in kafka.records if record[2] >= kafka.low]
        if fails:
            self.backfills.unanswered(ticket)
        elif isinstance(question, Measure):
            lost = question.position[1] >= kafka.next
            assert not lost, "nothing is lost here"
            self.backfills.measured(ticket, None)
        elif isinstance(question, Locate):
            found = [record for record in held if record[6] >= question.time_ms]
            self.backfills.located(ticket, (found[0][3], found[0][2] - 1) if found else None)
        elif isinstance(question, Scan):
            self.backfills.scanned(ticket, self._scan(question, kafka, held, min(most, question.messages_max)))

    def _scan(self, scan: Scan, kafka: Partition, held: list[Record], most: int) -> Scanned:
        start, gaps = scan.after, []
        if kafka.low > scan.after[1] + 1:
            start = min((held[0][3], held[0][2] - 1) if held else scan.until, scan.until)
            gaps = [Gap(scan.source.log_id, scan.after, start, "retention")]
        found: list[tuple[str, Entry]] = []
        for _, _, offset, epoch, key, value, time, headers in held:
            subject = from_key(TOPIC, key)
            if start < (epoch, offset) <= scan.until and covers(scan.subject, subject):
                found.append((subject, Entry((epoch, offset), None, time, value, headers)))
        reached = scan.until if len(found) <= most else found[most - 1][1].at
        return Scanned(start, gaps, found[:most], reached)

    def _subscribe(self, client: Client, start: Start) -> None:
        self.sid += 1
        client.sid = self.sid
        client.answered = client.registered = client.more = False
        self.backfills.subscribe(WORKER, Subscribe(client.sid, client.sid, client.subject, 0, start))
        self.settle()

    def _may_resume(self, client: Client) -> bool:
        return client.was_live or (client.was_answered and client.kind != "latest")

    def _drop(self, client: Client) -> None:
        self.backfills.cancel(WORKER, client.sid)
        if not any(other.subject == client.subject for other in self.clients if other is not client):
            self.interest.drop(WORKER, client.subject, 0)

    def settle(self) -> None:
        """The worker's FIFO, handed on to the clients."""
        for _ in range(self.slices_max):
            if self.backfills.has_work:
                self.backfills.work()
        self.seen["unfinished"] += self.backfills.has_work
        for effect in self.effects.take():
            assert isinstance(effect, ToWorker)
            self._said(effect.event)
        self.questions += self.backfills.take_questions()

    def _said(self, event: Any) -> None:
        match event:
            case Answer():
                self.seen[event.answer] += 1
                self.seen["waiting"] += bool(event.waiting)
                client = self._client(event.sid)
                if client is not None:
                    client.answered = True
                    gaps = [GapSaid(gap.log, gap.start, gap.end, gap.why) for gap in event.gaps]
                    client.track.subscribed(event.answer == "fresh", event.at, event.waiting, gaps)
                    self._gaps(client, event.gaps)
                    if not client.was_answered:
                        client.start = dict(event.at)
                        client.late = {log for log in event.waiting if log not in event.at}
                    client.was_answered = True
            case Page():
                client = self._client(event.sid)
                if client is not None:
                    for gap in event.gaps:
                        client.track.gap(GapSaid(gap.log, gap.start, gap.end, gap.why))
                    self._gaps(client, event.gaps)
                    for message in messages(event.data):
                        self._take(client, message)
                    client.track.now_live(event.live)
                    client.more = not event.final
                    client.registered = client.registered or bool(event.live) or event.final
                    client.was_live = client.was_live or bool(event.live)
            case Live():
                for frame in event.json[1]:
                    for message in messages(frame):
                        for client in self.clients:
                            if (
                                client.registered
                                and covers(client.subject, message["subject"])
                                and message["log"] in client.track.live
                            ):
                                self._take(client, message)
            case NewLog():
                self.seen["new log"] += 1
                for client in self.clients:
                    if client.registered and not client.more:
                        client.track.now_live({event.log: event.at})
            case Waiting() | LogGap() | LogEnded():
                pass

    def _gaps(self, client: Client, gaps: list[Any]) -> None:
        client.gaps += [(gap.log, gap.start or BEGINNING, gap.end) for gap in gaps if gap.end is not None]

    def _take(self, client: Client, message: dict[str, Any]) -> None:
        at = tuple(message["at"])
        prev = tuple(message["prev"]) if "prev" in message else None
        if message.get("snapshot"):
            if client.track.take_snapshot(message["log"], message["subject"], at):
                client.received.append((message["log"], at, True))
            return
        verdict = client.track.take(message["log"], message["subject"], at, prev)
        assert verdict is not Verdict.MISSING, (client.subject, message, client.track.__dict__)
        if verdict is Verdict.HAND_OVER:
            client.received.append((message["log"], at, False))

    def _client(self, sid: int) -> Client | None:
        return next((client for client in self.clients if client.sid == sid), None)

    # What must hold.

    def in_order_and_once(self) -> None:
        for client in self.clients:
            for log in {log for log, _, _ in client.received}:
                ats = [at for one, at, is_snapshot in client.received if one == log and not is_snapshot]
                assert all(before < after for before, after in pairwise(ats)), client.received

    def nothing_missing_up_to_the_place(self) -> None:
        for client in self.clients:
            for log, place in client.track.place.items():
                start = client.start.get(log, BEGINNING)
                got = {at for one, at, _ in client.received if one == log}
                for at in self._wanted(client, log):
                    if place is not None and start < at <= place and at not in got:
                        assert any(one == log and low < at <= high for one, low, high in client.gaps), (
                            at,
                            client.__dict__,
                        )

    def gaps_are_true(self) -> None:
        for client in self.clients:
            for log, low, high in client.gaps:
                kafka = self.partitions[int(log.partition(".")[0])]
                got = {at for one, at, is_snapshot in client.received if one == log and not is_snapshot}
                for at in self._wanted(client, log):
                    if low < at <= high:
                        assert at[1] < kafka.low
                        assert at not in got, (at, client.__dict__, client.track.__dict__)

    def live_means_up_to_date(self) -> None:
        for client in self.clients:
            if client.registered and not client.more:
                for log in client.track.live:
                    start = client.start.get(log, BEGINNING)
                    got = {at for one, at, _ in client.received if one == log}
                    end = self.cache.logs[log].end
                    for at in self._wanted(client, log):
                        if start < at <= end and at not in got:
                            assert any(one == log and low < at <= high for one, low, high in client.gaps), (at, log)

    def _wanted(self, client: Client, log: str) -> list[Position]:
        kafka = self.partitions[int(log.partition(".")[0])]
        if log in client.late:
            return []
        return [(one[3], one[2]) for one in kafka.records if covers(client.subject, from_key(TOPIC, one[4]))]

    def finish(self) -> None:
        """Once Kafka answers and clients take their pages, everyone becomes live in every log."""
        self.slices_max = 1_000
        for _ in range(400):
            while self.questions:
                self._answer(*self.questions.pop(), False, 3)
                self.settle()
            for number, client in enumerate(self.clients):
                if client.more:
                    self.client_takes_a_page(number)
            self.backfills.retry(lambda topic: "because")
            self.settle()
            if not self.questions and not any(client.more for client in self.clients):
                break
        for client in self.clients:
            assert client.track.live == set(self.topics.of(TOPIC)), (client.__dict__, self.backfills.__dict__)
        assert len(self.backfills) == 0
        self.nothing_missing_up_to_the_place()
        self.live_means_up_to_date()


def messages(data: bytes) -> list[dict[str, Any]]:
    """The JSON of consecutive unmasked WebSocket frames."""
    found = []
    while data:
        size, head = data[1], 2
        if size == 126:
            size, head = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, head = int.from_bytes(data[2:10], "big"), 10
        found.append(json.loads(data[head : head + size]))
        data = data[head + size :]
    return found


@pytest.mark.parametrize("first", rounds(4, 100))
def test_everyone_is_handed_everything_once_and_in_order(first: int) -> None:
    assert not run(first, slices_max=1_000)["unfinished"]


@pytest.mark.parametrize("first", rounds(4, 100))
def test_so_is_everyone_whose_history_is_made_in_slices_while_things_happen(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    for module in (prefix_index, gathering, backfill):
        monkeypatch.setattr(module, "SLICE", 1)
    monkeypatch.setattr(backfill, "STEP_COST", 2)
    monkeypatch.setattr(backfill, "GATHERED_MAX", 2)
    assert run(first, slices_max=1)["unfinished"] > 200


def run(first: int, slices_max: int) -> Counter[str]:
    """A hundred seeds."""
    seen: Counter[str] = Counter()
    for seed in range(first, first + 100):
        model = ResumeModel(slices_max)
        try:
            model.happen(Random(seed), steps=60)
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error!r}\n" + "\n".join(model.trace), pytrace=True)
        seen += model.seen
    for way in ("full", "gap", "fresh", "Scan", "Measure", "Locate", "waiting", "new log"):
        assert seen[way] > 10, f"the seeds do not try {way!r}: {seen}"
    return seen
