"""Publishes: one outcome each, whoever asks how often; bounded; nothing waits for ever."""

from __future__ import annotations

from gateway.link import codes
from gateway.link.events import Publish, Published, Refused
from gateway.link.settings import TopicRule
from gateway.link.topic_rules import Mapping
from node.effects import CreateTopic, Effects, LookUpTopics, Produce
from node.logs.look_ups import LookUps
from node.publish_mark import marked
from node.publishing import GRACE_S, READ_BACK_S, Publishing, PublishingConfig
from node.topics import Topics

WORKER, OTHER = 1, 2


EFFECTS = Effects()


def publishing(in_flight: int = 3, remembered: int = 3) -> Publishing:
    EFFECTS.take()
    topics = Topics(Mapping([]), [TopicRule("chat", "text", True)], 1)
    config = PublishingConfig(timeout_s=5, in_flight_max=in_flight, remembered_max=remembered)
    return Publishing(config, topics, LookUps(EFFECTS), EFFECTS, "boot")


def publish(pid: int, seq: int = 0, subject: str = "/t/k", value: bytes | None = b"1") -> Publish:
    return Publish(pid, subject, "publisher", seq, value, [("h", b"v")])


def produced(core: Publishing) -> list[Produce]:
    return [effect for effect in EFFECTS.take() if isinstance(effect, Produce)]


def test_what_is_produced() -> None:
    core = publishing()
    core.publish(0, 0, WORKER, publish(1, 7, "/t/%FF/a", None))
    core.publish(0, 0, WORKER, publish(2, 8, "/t"))
    first, second = produced(core)
    assert (first.topic, first.key, first.value) == ("t", b"\xff/a", None)
    assert first.headers[0] == ("h", b"v")
    found = marked("/t/%FF/a", first.headers)
    assert found is not None
    assert found[0] == ("publisher", 7, "/t/%FF/a")
    assert (second.key, second.ticket) == (None, first.ticket + 1)
    assert produced(core) == []
    assert core.in_flight == 2


def test_it_is_confirmed_when_it_was_read_back() -> None:
    core = publishing()
    core.publish(0, 0, WORKER, publish(1))
    (produce,) = produced(core)
    core.delivered(1, produce.ticket, "0.x")
    assert core.take_events(now=7.0) == []
    core.applied(("publisher", 0, "/t/k"), "0.x", (0, 5))
    assert core.take_events(now=9.5) == [(WORKER, Published(1, "0.x", (0, 5)))]
    assert (core.in_flight, core.accepted) == (0, 1)
    assert (core.publish_s.sum, sum(core.publish_s.counts)) == (9.5, 1)
    core.tick(100)
    core.delivered(101, produce.ticket, "0.x")
    assert core.take_events(now=0) == []


def test_what_is_on_its_way_is_confirmed_by_its_own_attempt_only() -> None:
    core = publishing()
    core.publish(0, 0, WORKER, publish(1))
    (produce,) = produced(core)
    found = marked("/t/k", produce.headers)
    assert found is not None
    core.applied(found[0], "0.x", (0, 4), 12345)
    assert core.take_events(now=0) == []
    core.applied(found[0], "0.x", (0, 4), found[1])
    assert core.take_events(now=0) == [(WORKER, Published(1, "0.x", (0, 4)))]


def test_read_back_before_the_delivery_report() -> None:
    core = publishing()
    core.publish(0, 0, WORKER, publish(1))
    (produce,) = produced(core)
    core.applied(("publisher", 0, "/t/k"), "0.x", (0, 5))
    assert core.take_events(now=0) == [(WORKER, Published(1, "0.x", (0, 5)))]
    core.delivered(1, produce.ticket, "0.x")
    core.failed(produce.ticket, codes.OUTCOME_UNKNOWN, "too late")
    assert core.take_events(now=0) == []


def test_delivered_and_never_read_back_is_confirmed_without_a_position() -> None:
    core = publishing()
    core.publish(0, 0, WORKER, publish(1))
    core.delivered(1, produced(core)[0].ticket, "0.x")
    core.tick(1 + READ_BACK_S - 0.01)
    assert core.take_events(now=0) == []
    core.tick(1 + READ_BACK_S)
    assert core.take_events(now=0) == [(WORKER, Published(1, "0.x", None))]


def test_the_same_again_while_it_is_on_its_way_waits_for_the_same_outcome() -> None:
    core = publishing()
    core.publish(0, 0, WORKER, publish(1))
    core.publish(0, 0, OTHER, publish(9))
    (produce,) = produced(core)
    core.failed(produce.ticket, codes.KAFKA_UNAVAILABLE, "why")
    assert core.take_events(now=0) == [
        (WORKER, Refused(1, codes.KAFKA_UNAVAILABLE, "why")),
        (OTHER, Refused(9, codes.KAFKA_UNAVAILABLE, "why")),
    ]
    assert (core.retries_recognised, core.failed_count, core.in_flight) == (1, 1, 0)
    core.publish(1, 0, WORKER, publish(2))
    assert len(produced(core)) == 1  # after a failure it is tried anew


def test_the_same_again_afterwards_gets_the_original_outcome() -> None:
    core = publishing(remembered=2)
    for seq in range(3):
        core.applied(("publisher", seq, "/t/k"), "0.x", (0, seq))
    core.publish(0, 0, WORKER, publish(5, 2))
    assert core.take_events(now=0) == [(WORKER, Published(5, "0.x", (0, 2)))]
    assert produced(core) == []
    core.publish(0, 0, WORKER, publish(6, 0))  # forgotten: the log will tell
    assert len(produced(core)) == 1


def test_the_same_number_for_another_subject_is_another_publish() -> None:
    core = publishing()
    core.publish(0, 0, WORKER, publish(1))
    core.publish(0, 0, WORKER, publish(2, subject="/t/l"))
    core.publish(0, 0, WORKER, publish(3, subject="/chat/k"))
    assert [effect.key for effect in produced(core)] == [b"k", b"l"]
    assert [item.subject for item in core.take_items()] == ["/chat/k"]
    core.applied(("publisher", 0, "/t/l"), "0.x", (0, 5))
    assert core.take_events(now=0) == [(WORKER, Published(2, "0.x", (0, 5)))]
    core.publish(0, 0, OTHER, publish(9))  # the first one, which is on its way
    core.applied(("publisher", 0, "/t/k"), "0.x", (0, 6))
    core.publish(0, 0, OTHER, publish(10, subject="/t/l"))
    assert core.take_events(now=0) == [
        (WORKER, Published(1, "0.x", (0, 6))),
        (OTHER, Published(9, "0.x", (0, 6))),
        (OTHER, Published(10, "0.x", (0, 5))),
    ]


def test_the_queue_is_bounded() -> None:
    core = publishing(in_flight=2)
    for seq in range(3):
        core.publish(0, 0, WORKER, publish(seq, seq))
    assert len(produced(core)) == 2
    ((worker, refused),) = core.take_events(now=0)
    assert worker == WORKER
    assert isinstance(refused, Refused)
    assert (refused.pid, refused.code) == (2, codes.QUEUE_FULL)
    core.publish(0, 0, WORKER, publish(7, 0))  # one that is on its way takes no more room
    assert core.take_events(now=0) == []


def test_nothing_waits_for_ever() -> None:
    core = publishing()
    core.publish(0, 0, WORKER, publish(1))
    core.tick(5 + GRACE_S - 0.01)
    assert core.take_events(now=0) == []
    core.tick(5 + GRACE_S)
    ((_, refused),) = core.take_events(now=0)
    assert isinstance(refused, Refused)
    assert refused.code == codes.OUTCOME_UNKNOWN
    assert core.in_flight == 0


def test_a_worker_that_is_gone_is_told_nothing() -> None:
    core = publishing()
    core.publish(0, 0, WORKER, publish(1))
    core.publish(0, 0, OTHER, publish(2))
    core.forget(WORKER)
    core.applied(("publisher", 0, "/t/k"), "0.x", (0, 0))
    assert core.take_events(now=0) == [(OTHER, Published(2, "0.x", (0, 0)))]


def test_what_is_for_a_namespace_becomes_an_item_with_the_time_it_came() -> None:
    core = publishing()
    core.publish(0, 1234, WORKER, publish(1, 7, "/chat/room"))
    (item,) = core.take_items()
    assert (item.subject, item.publisher, item.number, item.time) == ("/chat/room", "publisher", 7, 1234)
    assert produced(core) == []
    assert core.take_items() == []


class Absent:
    """Publishing by a node to which Kafka has told that it has a topic `there` only."""

    def __init__(self) -> None:
        self.effects = Effects()
        self.topics = Topics(Mapping([TopicRule("new-*", "json", True), TopicRule("*", "json", True)]))
        self.look_ups = LookUps(self.effects)
        config = PublishingConfig(5, 10, 10, creates=frozenset({"new-*"}))
        self.core = Publishing(config, self.topics, self.look_ups, self.effects, "boot")
        self.found({})

    def found(self, topics: dict[str, tuple[str, int]], number: int = 0) -> None:
        self.topics.update({"there": ("x", 2), **topics})
        self.look_ups.answered(number)
        self.core.looked_up(number)

    def publish(self, pid: int, topic: str, now: float = 0) -> None:
        self.core.publish(now, 0, WORKER, publish(pid, pid, f"/{topic}/k"))


def test_a_topic_that_two_answers_of_kafka_do_not_have_is_a_final_error() -> None:
    node = Absent()
    node.publish(1, "typo")
    assert node.effects.take() == [LookUpTopics(1)]
    node.found({}, 1)  # one broker may lag behind the others
    assert node.core.take_events(0) == []
    assert node.effects.take() == [LookUpTopics(2)]
    node.found({}, 2)
    ((_, refused),) = node.core.take_events(0)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.reason) == (codes.NOT_MAPPED, "Kafka has no topic 'typo' that this node may see")
    assert node.effects.take() == []


def test_a_topic_that_turns_out_to_be_there_gets_its_publishes_in_order() -> None:
    node = Absent()
    node.publish(1, "late")
    node.publish(2, "late")
    node.publish(3, "there")
    assert [one.ticket for one in node.effects.take() if isinstance(one, Produce)] == [3]
    node.found({"late": ("y", 4)}, 1)
    made = [one for one in node.effects.take() if isinstance(one, Produce)]
    assert [(one.ticket, one.partitions) for one in made] == [(1, 4), (2, 4)]
    node.core.tick(5 + GRACE_S)
    assert node.core.in_flight == 2  # these have waited for Kafka twice
    node.core.tick(5 + 5 + GRACE_S)
    assert node.core.in_flight == 0


def test_a_topic_is_created_where_the_mapping_says_so_and_once() -> None:
    node = Absent()
    node.publish(1, "new-a")
    node.publish(2, "new-a")
    node.effects.take()
    node.found({}, 2)
    assert [one for one in node.effects.take() if isinstance(one, CreateTopic)] == [CreateTopic("new-a")]
    node.core.topic_created("new-a", 0, "")
    node.found({}, 3)  # no broker that was asked knows of it yet
    assert CreateTopic("new-a") not in node.effects.take()
    node.found({"new-a": ("y", 1)}, 4)
    assert [one.ticket for one in node.effects.take() if isinstance(one, Produce)] == [1, 2]


def test_a_topic_that_cannot_be_created() -> None:
    node = Absent()
    node.publish(1, "new-a")
    node.found({}, 2)
    node.core.topic_created("new-a", codes.FORBIDDEN, "no")
    assert node.core.take_events(0) == [(WORKER, Refused(1, codes.FORBIDDEN, "no"))]
    assert node.core.in_flight == 0


def test_while_kafka_does_not_say_whether_it_has_the_topic_the_publish_waits_no_longer_than_others() -> None:
    node = Absent()
    node.publish(1, "typo")
    node.publish(2, "typo", now=1)
    node.core.tick(5)
    ((_, refused),) = node.core.take_events(0)
    assert isinstance(refused, Refused)
    assert (refused.pid, refused.code) == (1, codes.KAFKA_UNAVAILABLE)
    node.effects.take()
    node.found({"typo": ("y", 1)}, 1)
    assert [one.ticket for one in node.effects.take() if isinstance(one, Produce)] == [2]
