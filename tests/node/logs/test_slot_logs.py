"""The mesh's logs on a node: a voter and an observer as cores, joined by lists, with the real cache and readings."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec

from gateway.link.events import JSON, Live, Start, Subscribe
from gateway.link.settings import TopicRule
from gateway.link.topic_rules import Mapping
from mesh.cache.cache import Cache, CacheConfig
from mesh.cache.state_transfer import CacheAsk, CacheMore, CacheNo, CachePage, StateTransfer, StateTransferConfig
from mesh.repeats import Repeats
from mesh.slots.forwarding import ForwardingConfig
from mesh.slots.slot import SlotConfig
from mesh.slots.slot_log import Item
from mesh.slots.slots import Slots
from node.backfill.backfill import PageLimits
from node.backfill.backfills import Readings
from node.intake import Intake
from node.interest import Interest
from node.logs.slot_logs import MeshLogs
from node.publishing import Publishing, PublishingConfig
from node.topics import Topics

CHAT = TopicRule("chat", "text", True)
_CATCH_UP = (CacheAsk, CacheMore, CachePage, CacheNo)


class Half:
    """One node without sockets; a voter if it is called `a`."""

    def __init__(self, name: str, per_subject: int = 1000) -> None:
        self.name = name
        self.topics = Topics(Mapping([]), [CHAT], 1)
        self.cache = Cache(CacheConfig(600, per_subject, 1 << 30, 600))
        self.interest = Interest()
        self.publishing = Publishing(PublishingConfig(5, 1000, 1000), self.topics.namespaces)
        self.intake = Intake(self.cache, self.topics, self.interest, 1024, self.publishing.applied)
        self.readings = Readings(self.topics, self.interest, PageLimits(500, 1 << 20))
        self.workers = SimpleNamespace(resync=self._resync)
        self.resyncs = 0
        self.live: list[str] = []
        config = SlotConfig(voters=("a",), tail_items_max=10)
        self.replica = Slots(0, name, f"{name}1", config, ForwardingConfig(), 1, {}, Random(name))
        self.replica.members(0, ["a", "b"])
        self.catch_up = StateTransfer(self._held, StateTransferConfig(page_rows_max=5))
        self.logs = MeshLogs(self, self.replica, self.catch_up)  # type: ignore[arg-type]
        self.logs.peers = ["b" if name == "a" else "a"]

    def _resync(self) -> None:
        self.resyncs += 1
        self.interest.forget(1)
        self.readings.forget(1)

    def _held(self, log_id: str) -> tuple[Any, Repeats | None] | None:
        held = self.logs.log_of(log_id)
        return None if held is None else (held, self.replica.by_number[0].repeats)

    def hand_out(self, batches: dict[int, Live]) -> None:
        self.live += [frame.decode("latin-1") for batch in batches.values() for frame in batch.json[1]]

    def pass_on(self) -> bool:
        happened = [*self.replica.take_events(), *self.catch_up.take_events()]
        for said in happened:
            if type(said).__module__ == "mesh.cache.state_transfer":
                self.logs.caught_up(said)  # type: ignore[arg-type]
            else:
                self.logs.happened(said)  # type: ignore[arg-type]
        return bool(happened)

    def subscribe(self, sid: int, subject: str, start: Start) -> None:
        self.readings.subscribe(1, Subscribe(sid, sid, subject, JSON, start))

    def told(self) -> list[Any]:
        return [event for _, event in self.readings.take_events()]


class Pair:
    """Both, and the network between them."""

    def __init__(self, per_subject: int = 1000) -> None:
        self.now = 0.0
        self.a, self.b = Half("a", per_subject), Half("b", per_subject)
        self.is_cut = False
        self.number = 0
        self.run(1.0)

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.05)):
            self.now += 0.05
            for half in (self.a, self.b):
                half.replica.tick(self.now)
                half.catch_up.tick(self.now)
                half.logs.retry()
            for _ in range(12):
                for half, other in ((self.a, self.b), (self.b, self.a)):
                    half.replica.settle(self.now)
                    for _, packet in [*half.replica.take_sends(), *half.catch_up.take_sends()]:
                        if not self.is_cut:
                            copy = msgspec.msgpack.decode(msgspec.msgpack.encode(packet), type=type(packet))
                            target: Any = other.catch_up if isinstance(packet, _CATCH_UP) else other.replica
                            target.receive(self.now, half.name, f"{half.name}1", copy)
                    half.pass_on()

    def publish(self, count: int, subject: str = "/chat/x") -> None:
        for _ in range(count):
            self.number += 1
            self.a.replica.publish(self.now, Item(subject, "p", self.number, b"v%d" % self.number, None, 0))
        self.run(0.2)


def values(half: Half, subject: str = "/chat/x") -> list[bytes | None]:
    held = half.topics.slots[0]
    assert held is not None
    return [entry.value for entry in held.after(subject, (0, -1))]


def test_what_is_committed_is_in_both_caches_and_goes_out_live() -> None:
    pair = Pair()
    pair.b.subscribe(1, "/chat/x", Start("now"))
    answer, page = pair.b.told()
    assert answer.answer == "fresh"
    assert page.final
    pair.publish(3)
    assert values(pair.a) == values(pair.b) == [b"v1", b"v2", b"v3"]
    assert len(pair.b.live) == 3


def test_an_observer_that_missed_what_the_coordinator_let_go_of_copies_what_follows_from_its_cache() -> None:
    pair = Pair()
    pair.b.subscribe(1, "/chat/x", Start("now"))
    pair.publish(3)
    pair.is_cut = True
    pair.publish(40)
    pair.is_cut = False
    pair.run(1.0)
    assert values(pair.b) == values(pair.a)
    assert len(pair.b.live) == 43
    assert pair.b.resyncs == 0
    # The memory of publishes came along: a repeat is one here, too.
    assert pair.b.replica.by_number[0].repeats.original(("p", 20)) == pair.a.replica.by_number[0].repeats.original(
        ("p", 20)
    )


def test_what_no_cache_has_any_more_makes_the_observer_begin_anew_and_its_subscribers_resume() -> None:
    pair = Pair(per_subject=5)
    pair.publish(3)
    pair.b.subscribe(1, "/chat/x", Start("now"))
    pair.b.told()
    pair.is_cut = True
    pair.publish(40)
    pair.is_cut = False
    pair.run(2.0)
    assert values(pair.b) == values(pair.a) == [b"v%d" % n for n in range(39, 44)]
    assert pair.b.resyncs == 1
    assert pair.b.live == []
    # Who resumes from before is told what is missing.
    log_id = pair.b.topics.slots[0].id  # type: ignore[union-attr]
    pair.b.subscribe(2, "/chat/x", Start("resume", place={log_id: (1, 2)}))
    assert pair.b.readings.take_questions(), "it is asked of peers, who do not have it either"
    pair.publish(1)
    assert values(pair.b)[-1] == b"v44"
