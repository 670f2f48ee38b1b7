"""The slots' logs on a node: a voter and an observer, as whole cores."""

from __future__ import annotations

from dataclasses import replace

from gateway.link import events as link
from mesh.slots.slot import SlotConfig
from node.effects import Resync
from tests.node.cores import VOTER, WORKER, Nodes, OneNode, messages


class Pair(Nodes):
    """The voter `a` and the observer `b`."""

    def __init__(self, per_subject: int = 1000) -> None:
        config = replace(
            VOTER,
            slots=SlotConfig(voters=("a",), tail_items_max=10),
            cache=replace(VOTER.cache, messages_per_subject=per_subject),
        )
        super().__init__(config, replace(config, name="b", cluster_address="b:1"))
        self.a, self.b = self.nodes["a"], self.nodes["b"]
        self.number = 0
        self.run(1.0)

    def publish(self, count: int, subject: str = "/chat/x") -> None:
        for _ in range(count):
            self.number += 1
            event = link.Publish(self.number, subject, "p", self.number, b"v%d" % self.number, [])
            self.a.core.worker_event(self.now, 1000, WORKER, event)
        self.run(0.2)


def values(node: OneNode, subject: str = "/chat/x") -> list[bytes | None]:
    log = node.core.topics.slots[0]
    assert log is not None
    return [entry.value for entry in log.after(subject, (0, -1))]


def live_count(node: OneNode) -> int:
    return sum(len(messages(event)) for event in node.told() if isinstance(event, link.Live))


def test_what_is_committed_is_in_both_caches_and_goes_out_live() -> None:
    pair = Pair()
    pair.b.told()
    pair.b.subscribe(1, "/chat/x", link.Start("now"))
    answer, page = pair.b.told()
    assert isinstance(answer, link.Answer)
    assert answer.answer == "fresh"
    assert isinstance(page, link.Page)
    assert page.final
    pair.publish(3)
    assert values(pair.a) == values(pair.b) == [b"v1", b"v2", b"v3"]
    assert live_count(pair.b) == 3
    confirmed = [event.pid for event in pair.a.told() if isinstance(event, link.Published)]
    assert confirmed == [1, 2, 3]


def test_the_same_number_for_another_subject_is_another_message_on_every_node() -> None:
    pair = Pair()
    for node in (pair.a, pair.b, pair.a):
        for pid, subject in enumerate(("/chat/x", "/chat/y")):
            publish = link.Publish(pid, subject, "p", 1, subject.encode(), [])
            node.core.worker_event(pair.now, 1000, WORKER, publish)
        pair.run(0.2)
    for node, times in ((pair.a, 2), (pair.b, 1)):
        assert values(node, "/chat/x") == [b"/chat/x"]
        assert values(node, "/chat/y") == [b"/chat/y"]
        told = [(event.pid, event.at) for event in node.told() if isinstance(event, link.Published)]
        assert sorted(told) == sorted([(0, (1, 0)), (1, (1, 1))] * times)


def test_an_observer_that_missed_what_the_coordinator_let_go_of_copies_what_follows_from_its_cache() -> None:
    pair = Pair()
    pair.b.subscribe(1, "/chat/x", link.Start("now"))
    pair.publish(3)
    pair.is_cut = True
    pair.publish(40)
    pair.is_cut = False
    pair.run(1.0)
    assert values(pair.b) == values(pair.a)
    assert live_count(pair.b) == 43
    assert pair.b.all(Resync) == []
    # The memory of publishes came along: a repeat is one here, too.
    originals = [node.core.slots.by_number[0].repeats.original(("p", 20, "/chat/x")) for node in (pair.a, pair.b)]
    assert originals[0] == originals[1] is not None


def test_what_no_cache_has_any_more_makes_the_observer_begin_anew_and_its_subscribers_resume() -> None:
    pair = Pair(per_subject=5)
    pair.publish(3)
    pair.b.subscribe(1, "/chat/x", link.Start("now"))
    pair.b.told()
    pair.is_cut = True
    pair.publish(40)
    pair.is_cut = False
    pair.run(2.0)
    assert values(pair.b) == values(pair.a) == [b"v%d" % n for n in range(39, 44)]
    assert pair.b.all(Resync) == [Resync(WORKER)]
    assert live_count(pair.b) == 0
    log = pair.b.core.topics.slots[0]
    assert log is not None
    catch_up = link.CatchUp(1, {"chat": {log.id: (1, 2)}})
    pair.b.core.worker_event(pair.now, 1000, WORKER, catch_up)
    pair.run(2.0)
    resuming, gap, missed = (event for event in pair.b.told() if not isinstance(event, link.Servers))
    assert resuming == link.Resuming(1)
    assert isinstance(gap, link.LogGap)
    assert (gap.gap.start, gap.gap.why) == ((1, 2), "retention")
    assert isinstance(missed, link.Missed)
    assert (len(missed.json[0]), missed.is_live) == (5, True)
    # Who resumes from before is told what is missing.
    pair.b.subscribe(2, "/chat/x", link.Start("resume", place={log.id: (1, 2)}))
    pair.run(2.0)
    (answer,) = [event for event in pair.b.told() if isinstance(event, link.Answer)]
    assert answer.answer == "gap"
    assert [(gap.start, gap.why) for gap in answer.gaps] == [((1, 2), "retention")]
    pair.publish(1)
    assert values(pair.b)[-1] == b"v44"
