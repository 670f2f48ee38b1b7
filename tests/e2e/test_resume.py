"""Where subscriptions start and how they resume: from the cache, from Kafka, or with a gap that is true."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.records import Record
from tests.e2e.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.produce import Source
from tests.support.subscriber import Subscriber, assert_exactly, live_subscriber, settled
from whimbrel.start import After, Last, Latest, Now, Resume, Since, Start

pytestmark = pytest.mark.slow

SHORT = {"cache.ttl": "500ms", "cache.snapshot_ttl": "600ms"}
"""So that soon everything has to come from Kafka."""


def delete_records(kafka: RealKafka, topic: str, partition: int, before: int) -> None:
    """As retention would."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    where = TopicPartition(topic, partition, before)
    admin.delete_records([where])[where].result(10)


def until_cold(node: RunningNode, topic: str) -> None:
    """Return when the cache holds nothing of the only topic."""
    time.sleep(0.5)  # what was just produced has been read by then
    node.wait(lambda: node.status()["cache"]["messages"] == 0, f"end of the cache of {topic}")


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("subject", ["/{}/a", "/{}", "/{}/*", "/{}/p/*"])
def test_where_a_subscription_starts(
    node: RunningNode,
    real_kafka: RealKafka,
    source: Source,
    unique_topic: Callable[[], str],
    subject: str,
    encoding: str,
) -> None:
    topic = unique_topic()
    subject = subject.format(topic)
    real_kafka.create_topic(topic, 2)
    now_ms = int(time.time() * 1000)
    keys = ["a", None, "p/a", "p/b"]

    def add(first: int, count: int) -> None:
        for number in range(first, first + count):
            for key in keys:
                partition = number % 2 if key is None else len(key) % 2
                source.add(topic, key, b"%d" % number, partition=partition, timestamp=now_ms - 10_000 + number * 100)
        source.flush()

    def mine(records: list[Record]) -> list[Record]:
        wanted: dict[str, list[bytes | None]] = {
            f"/{topic}/a": [b"a"],
            f"/{topic}": [None],
            f"/{topic}/*": [b"a", b"p/a", b"p/b"],
            f"/{topic}/p/*": [b"p/a", b"p/b"],
        }
        return [record for record in records if record.key in wanted[subject]]

    add(0, 10)
    logs = node.wait_for_topic(topic, 2)
    node.wait(lambda: sum(one["end"][1] + 1 for one in node.partitions(topic)) == 40, "40 records")
    before = mine(real_kafka.read_all(topic))
    newest = {
        record.partition if record.key is None else record.key: record
        for record in sorted(before, key=lambda record: record.timestamp_ms)
    }
    from_middle = [record for record in before if record.timestamp_ms >= now_ms - 9500]
    at = {}
    for partition, log in enumerate(logs):
        earlier = [r for r in before if r.partition == partition and r not in from_middle]
        at[log] = max(((max(r.leader_epoch, 0), r.offset) for r in earlier), default=(0, -1))
    starts: list[tuple[Start, list[Record]]] = [
        (Now(), []),
        (Latest(), list(newest.values())),
        (Last(3), sorted(before, key=lambda record: record.timestamp_ms)[-3:]),
        (Since(now_ms - 9500), from_middle),
        (After(at), from_middle),
    ]
    subs = [(Subscriber(node.url, subject, start=start, encoding=encoding), want) for start, want in starts]
    try:
        for sub, _ in subs:
            sub.__enter__()
            sub.wait_live(logs)
        add(10, 5)
        new = [r for r in mine(real_kafka.read_all(topic)) if r.timestamp_ms >= now_ms - 9000]
        for sub, want in subs:
            sub.wait_messages(len(want) + len(new))
            if isinstance(sub.start, Last):
                assert sorted(m.time or 0 for m in sub.messages) == sorted(r.timestamp_ms for r in want + new)
            else:
                assert_exactly(sub.messages, want + new)
            assert [m.snapshot for m in sub.messages].count(True) == (len(want) if sub.start == Latest() else 0)
        settled(subs[0][0], 0.2)
        for sub, want in subs:
            assert len(sub.messages) == len(want) + len(new)
    finally:
        for sub, _ in subs:
            sub.client.close()


@pytest.mark.parametrize("subject", ["/{}/k1", "/{}/*", "/{}"])
def test_what_the_cache_no_longer_has_comes_from_kafka(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str], subject: str
) -> None:
    """Also after the node was killed and started again; through several pages, with live messages in between."""
    topic = unique_topic()
    real_kafka.create_topic(topic, 2)
    node = start_node(real_kafka.bootstrap, topic, settings={**SHORT, "client.outbox_bytes": "1KiB"})
    source = Source(real_kafka.bootstrap)

    def add(count: int) -> None:
        for number in range(count):
            source.add(topic, f"k{number % 3}", b"%d" % number)
            source.add(topic, None, b"%d" % number)
        source.flush()

    def mine() -> list[Record]:
        return [
            record
            for record in real_kafka.read_all(topic)
            if (record.key is None) == (subject == "/{}") and (subject != "/{}/k1" or record.key == b"k1")
        ]

    with live_subscriber(node, topic, subject.format(topic), 2) as sub:
        add(30)
        sub.wait_messages(len(mine()))
        early = sub.subscription.place
        first = list(sub.messages)
        logs = sub.live_logs
    add(60)
    until_cold(node, topic)
    for killed in (False, True):
        if killed:
            node.kill()
            node.start()
            until_cold(node, topic)
        replayed = node.metric("whimbrel_replay_records_total")
        with Subscriber(node.url, subject.format(topic), start=Resume(early)) as resumed:
            add(5)
            resumed.wait_live(logs)
            resumed.wait_messages(len(mine()) - len(first))
            assert_exactly(first + settled(resumed, 0.2), mine())
            assert not resumed.gaps
        node.wait(lambda was=replayed: node.metric("whimbrel_replay_records_total") > was, "count of what was read")


def test_more_than_replay_messages_is_a_gap_that_is_true(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str]
) -> None:
    topic = unique_topic()
    real_kafka.create_topic(topic)
    node = start_node(real_kafka.bootstrap, topic, settings={**SHORT, "replay.messages": "20"})
    source = Source(real_kafka.bootstrap)
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        source.send(topic, "k", b"first")
        sub.wait_messages(1)
        place = sub.subscription.place
    for number in range(100):
        source.add(topic, f"k{number % 7}", b"%d" % number)
    source.flush()
    node.wait(lambda: node.partitions(topic)[0]["end"][1] == 100, "100 records")
    until_cold(node, topic)
    with Subscriber(node.url, f"/{topic}/*", start=Resume(place)) as resumed:
        resumed.wait_live(sub.live_logs)
        (gap,) = resumed.gaps
        assert (gap.why, gap.start) == ("replay_limit", place[gap.log])
        assert gap.end is not None
        assert 80 <= gap.end[1] + 20 <= 101
        assert_exactly(resumed.messages, [r for r in real_kafka.read_all(topic) if r.offset > gap.end[1]])
        source.send(topic, "k", b"live")
        resumed.wait_messages(101 - gap.end[1])
        assert len(resumed.gaps) == 1


@pytest.mark.parametrize("left", [0, 10])
def test_what_kafka_has_deleted_is_a_gap_that_is_true(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str], left: int
) -> None:
    """Whether nothing or something is left after `retention`."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    node = start_node(real_kafka.bootstrap, topic, settings=SHORT)
    source = Source(real_kafka.bootstrap)
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        source.send(topic, "k", b"first")
        sub.wait_messages(1)
        place = sub.subscription.place
    for number in range(99):
        source.add(topic, f"k{number % 7}", b"%d" % number)
    source.flush()
    node.wait(lambda: node.partitions(topic)[0]["end"][1] == 99, "100 records")
    until_cold(node, topic)
    delete_records(real_kafka, topic, 0, 100 - left)
    with Subscriber(node.url, f"/{topic}/*", start=Resume(place)) as resumed:
        resumed.wait_live(sub.live_logs)
        (gap,) = resumed.gaps
        assert (gap.why, gap.start, gap.end) == ("retention", place[gap.log], (0, 99 - left))
        assert_exactly(resumed.messages, real_kafka.read_all(topic))
        source.send(topic, "k", b"live")
        resumed.wait_messages(left + 1)
        assert_exactly(resumed.messages, real_kafka.read_all(topic))


def test_records_deleted_before_the_node_has_read_them(
    start_node: StartNode, real_kafka: RealKafka, unique_topic: Callable[[], str]
) -> None:
    """The node is stopped, as by a long pause of its machine, while Kafka deletes what it should read next."""
    topic = unique_topic()
    real_kafka.create_topic(topic)
    node = start_node(real_kafka.bootstrap, topic)
    source = Source(real_kafka.bootstrap)
    with live_subscriber(node, topic, f"/{topic}/*") as sub:
        source.send(topic, "k", b"first")
        first = sub.wait_messages(1)[0]
        node.process.send_signal(signal.SIGSTOP)
        try:
            for number in range(50):
                source.add(topic, "k", b"%d" % number)
            source.flush()
            delete_records(real_kafka, topic, 0, 40)
        finally:
            node.process.send_signal(signal.SIGCONT)
        sub.wait(lambda one: any(m.at[1] == 50 for m in one.messages), "the last record")
        got = {m.at[1] for m in sub.messages}
        lost = set(range(51)) - got
        for gap in sub.gaps:
            assert gap.why == "retention"
            assert gap.start is not None
            assert gap.end is not None
            assert not got & set(range(gap.start[1] + 1, gap.end[1] + 1))
            lost -= set(range(gap.start[1] + 1, gap.end[1] + 1))
        assert not lost, "lost without a gap"
        assert first.at not in {gap.end for gap in sub.gaps}
        with Subscriber(node.url, f"/{topic}/*", start=Resume({first.log: first.at})) as resumed:
            resumed.wait_live([first.log])
            assert {m.at[1] for m in resumed.messages} | {
                offset for gap in resumed.gaps if gap.end for offset in range(1, gap.end[1] + 1)
            } == set(range(1, 51))
