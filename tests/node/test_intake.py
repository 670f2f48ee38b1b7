"""Records in: what workers get, what is dropped, what is counted."""

from __future__ import annotations

import itertools
import json

import pytest

from gateway.link.events import Live
from gateway.link.settings import TopicRule
from gateway.link.topic_rules import Mapping
from mesh.cache.cache import Cache, CacheConfig
from mesh.log import Headers, Position
from mesh.repeats import Attempt, PublishKey, Repeats
from node.effects import Effects, ToWorker
from node.intake import Intake
from node.interest import Interest
from node.kafka.events import Record
from node.logs.look_ups import LookUps
from node.publish_mark import mark
from node.publishing import Publishing, PublishingConfig
from node.topics import Topics

A, B = 1, 2


class Confirmations(Publishing):
    """Keeps what it is told."""

    def __init__(self, topics: Topics, effects: Effects) -> None:
        super().__init__(PublishingConfig(5, 10, 10), topics, LookUps(effects), effects, "boot")
        self.told: list[tuple[PublishKey, str, Position]] = []

    def applied(self, publish_key: PublishKey, log_id: str, at: Position, attempt: Attempt | None = None) -> None:
        self.told.append((publish_key, log_id, at))


class Node:
    """The intake and what it needs: topic `t` with two partitions, loaded."""

    def __init__(self, publish: bool = False, subject_bytes_max: int = 100) -> None:
        self.topics = Topics(Mapping([TopicRule("t", "json", publish)]))
        self.cache = Cache(CacheConfig(60, 100, 10**9, 60))
        self.interest = Interest()
        self.now = 100.0
        self.effects = Effects()
        self.publishing = Confirmations(self.topics, self.effects)
        self.intake = Intake(self.cache, self.topics, self.interest, self.publishing, self.effects, subject_bytes_max)
        begun, _ = self.topics.update({"t": ("x", 2)})
        self.sources = begun
        for source in begun:
            source.log = self.cache.open(source.log_id, "t")
            source.loaded = True
            if publish:
                source.repeats = Repeats(1000)

    def apply(self, *records: Record) -> dict[int, Live]:
        """What each worker gets."""
        for age_s, source in enumerate(self.sources):
            of_source = [one for one in records if one[1] == source.partition]
            self.intake.apply(self.now, source, of_source, self.now - age_s)
        batches: dict[int, Live] = {}
        for effect in self.effects.take():
            assert isinstance(effect, ToWorker)
            assert isinstance(effect.event, Live)
            assert effect.worker not in batches, "live messages that follow each other share one event"
            batches[effect.worker] = effect.event
        return batches

    def end(self, partition: int = 0) -> Position:
        log = self.sources[partition].log
        assert log is not None
        return log.end


def record(
    offset: int,
    key: bytes | None = b"k",
    value: bytes | None = b"1",
    partition: int = 0,
    epoch: int = 0,
    time: int = 5000,
    headers: Headers | None = None,
) -> Record:
    return ("t", partition, offset, epoch, key, value, time, headers)


_attempts = itertools.count()


def by_publisher(seq: int, subject: str = "/t/k") -> Headers:
    """Of another attempt each time."""
    return mark(("p", seq, subject), f"attempt-{next(_attempts)}")[0]


def shown(frames: list[bytes]) -> list[dict[str, object]]:
    return [json.loads(frame[frame.index(b"{") :]) for frame in frames]


def test_each_worker_gets_what_it_wants_in_order_and_in_its_encoding() -> None:
    node = Node()
    node.interest.add(A, "/t/*", 0)
    node.interest.add(A, "/t/k", 0)
    node.interest.add(B, "/t", 1)
    node.interest.add(B, "/t/k", 0)
    batches = node.apply(record(0), record(1, None), record(2, b"other"), record(0, b"k", b"2", partition=1))
    assert batches[A].json[0] == ["/t/k", "/t/other", "/t/k"]
    assert [(one["at"], one["json"]) for one in shown(batches[A].json[1])] == [([0, 0], 1), ([0, 2], 1), ([0, 0], 2)]
    assert batches[A].msgpack == ([], [])
    assert batches[B].json[0] == ["/t/k", "/t/k"]
    assert batches[B].msgpack[0] == ["/t"]
    for batch in batches.values():
        assert batch.ends == {"t": {"0.x": (0, 2), "1.x": (0, 0)}}
    assert dict(node.intake.rates.take(9)) == {"/t/k": 2, "/t": 1, "/t/other": 1}


def test_one_frame_for_all_workers() -> None:
    node = Node()
    node.interest.add(A, "/t/k", 0)
    node.interest.add(B, "/t/*", 0)
    batches = node.apply(record(0))
    assert batches[A].json == batches[B].json


def test_when_they_were_read_goes_with_them() -> None:
    node = Node()
    node.interest.add(A, "/t/*", 0)
    assert node.apply(record(0, partition=1))[A].read_at == node.now - 1
    assert node.apply(record(0), record(1, partition=1))[A].read_at == node.now  # the first of what travels together


def test_the_chain_names_the_previous_message_of_the_subject() -> None:
    node = Node()
    node.interest.add(A, "/t/k", 0)
    frames = shown(node.apply(record(3), record(5, b"x"), record(9, epoch=2))[A].json[1])
    assert [one.get("prev") for one in frames] == [None, [0, 3]]


def test_what_is_read_again_is_not_sent_again() -> None:
    node = Node()
    node.interest.add(A, "/t/*", 0)
    node.apply(record(0), record(1))
    assert node.apply(record(0), record(1)) == {}
    assert list(node.apply(record(1), record(2))[A].json[0]) == ["/t/k"]


def test_nothing_goes_out_while_a_log_is_filling() -> None:
    node = Node()
    node.interest.add(A, "/t/*", 0)
    node.sources[0].loaded = False
    assert node.apply(record(0)) == {}
    assert node.end() == (0, 0)
    assert "0.x" not in node.intake.ends()["t"]
    node.sources[0].loaded = True
    assert node.intake.ends() == {"t": {"0.x": (0, 0), "1.x": (0, -1)}}


@pytest.mark.parametrize(
    ("key", "fits"),
    [(b"k" * 97, True), (b"k" * 98, False), (b"\x00" * 32, True), (b"\x00" * 33, False), (b"k" * 101, False)],
)
def test_a_key_that_is_too_long_is_counted_and_passed_over(key: bytes, fits: bool) -> None:
    node = Node(subject_bytes_max=100)
    node.interest.add(A, "/t/*", 0)
    assert (node.apply(record(0, key)) != {}) is fits
    assert node.intake.unmapped == (not fits)
    assert node.end() == (0, 0)
    if not fits:
        assert f"{len(key)} bytes in topic 't'" in node.intake.unmapped_last
    assert node.apply(record(1))[A].json[0] == ["/t/k"]


def test_the_same_number_for_another_subject_is_no_repeat() -> None:
    node = Node(publish=True)
    node.interest.add(A, "/t/*", 0)
    told = node.apply(record(0, b"k", headers=by_publisher(7)), record(1, b"l", headers=by_publisher(7, "/t/l")))
    assert told[A].json[0] == ["/t/k", "/t/l"]
    assert [key for key, _, _ in node.publishing.told] == [("p", 7, "/t/k"), ("p", 7, "/t/l")]


def test_a_repeat_is_dropped_and_its_original_named() -> None:
    node = Node(publish=True)
    node.interest.add(A, "/t/*", 0)
    node.apply(record(0, headers=by_publisher(7)))
    assert node.apply(record(1, headers=by_publisher(7))) == {}
    assert node.publishing.told == [(("p", 7, "/t/k"), "0.x", (0, 0))] * 2
    assert (node.intake.repeats_dropped, node.end()) == (1, (0, 1))
    frames = shown(node.apply(record(2, headers=by_publisher(8)))[A].json[1])
    assert frames[0]["prev"] == [0, 0]  # the dropped one is in nobody's chain
    assert "headers" not in frames[0]


def test_a_copy_of_the_headers_is_a_record_like_any_other() -> None:
    """The same attempt again, another key, another topic's: nothing is dropped, and no publish looks applied by it."""
    node = Node(publish=True)
    node.interest.add(A, "/t/*", 0)
    node.interest.add(A, "/t", 0)
    headers = by_publisher(7)
    node.apply(record(0, headers=headers))
    told = node.apply(*(record(at, key, headers=headers) for at, key in ((1, b"k"), (2, b"k"), (3, b"l"), (4, None))))
    assert told[A].json[0] == ["/t/k", "/t/k", "/t/l", "/t"]
    assert set(node.publishing.told) == {(("p", 7, "/t/k"), "0.x", (0, 0))}
    assert node.apply(record(5, headers=by_publisher(7))) == {}
    assert node.intake.repeats_dropped == 1


def test_where_clients_may_not_publish_nothing_is_dropped() -> None:
    node = Node(publish=False)
    node.interest.add(A, "/t/*", 0)
    batches = node.apply(record(0, headers=by_publisher(7)), record(1, headers=by_publisher(7)))
    assert len(batches[A].json[1]) == 2


def test_what_only_warms_up_the_memory_of_publishes_is_not_kept() -> None:
    node = Node(publish=True)
    node.sources[0].loaded = False
    node.sources[0].warm_until = 2
    node.apply(record(0, headers=by_publisher(1)), record(1))
    log = node.sources[0].log
    assert log is not None
    assert (log.floor, log.end, log.subjects) == ((0, 1), (0, 1), {})
    node.apply(record(2, headers=by_publisher(1)), record(3))
    assert [entry.at for entry in log.after("/t/k", (0, -1))] == [(0, 3)]  # 2 is a repeat
    assert log.floor == (0, 1)


def test_the_first_record_of_which_only_the_position_is_wanted_may_come_again() -> None:
    node = Node(publish=True)
    source = node.sources[0]
    source.loaded, source.skips_first = False, True
    node.apply(record(100, epoch=3, headers=by_publisher(1)))
    source.loaded = True
    node.apply(record(101, epoch=3, headers=by_publisher(1)))
    assert node.intake.repeats_dropped == 1


@pytest.mark.parametrize("odd", [-1, 0, 5000 - 400_000, 5000 + 400_000, 5000 + 3_600_000])
def test_no_time_of_a_record_makes_a_publish_forgotten_or_known(odd: int) -> None:
    node = Node(publish=True)
    node.interest.add(A, "/t/*", 0)
    node.apply(record(0, headers=by_publisher(7)), record(1, time=odd, headers=by_publisher(8)))
    node.apply(record(2, headers=by_publisher(7)), record(3, time=odd, headers=by_publisher(8)))
    assert node.intake.repeats_dropped == 2


def test_a_publish_is_forgotten_when_this_node_has_known_it_for_the_window() -> None:
    node = Node(publish=True)
    node.interest.add(A, "/t/*", 0)
    node.apply(record(0, headers=by_publisher(7)))
    node.now += 1.0  # the window
    node.apply(record(1, headers=by_publisher(7)))
    assert node.intake.repeats_dropped == 1
    node.now += 0.01
    node.apply(record(2, headers=by_publisher(7)))
    assert node.intake.repeats_dropped == 1


def test_a_log_that_begins_in_an_unknown_epoch_is_known_from_behind_its_first_record() -> None:
    """A reader in an earlier epoch at a higher offset than the beginning must not be told that it has everything."""
    node = Node()
    source = node.sources[0]
    source.loaded, source.skips_first = False, True
    node.apply(record(100, epoch=3), record(101, epoch=3))
    assert source.log is not None
    assert source.log.floor_of("/t/k") == (3, 100)
    assert [entry.at for entry in source.log.after("/t/k", (0, -1))] == [(3, 101)]


def test_keys_find_their_subjects_also_after_these_were_forgotten() -> None:
    node = Node()
    keys = [None, b"", b"a", b"b", b"c*", b"x" * 70]
    expected = ["/t", "/t/", "/t/a", "/t/b", "/t/c%2A", f"/t/{'x' * 70}"]
    log = node.sources[0].log
    assert log is not None
    for begin in (0, 100):
        for turn in range(2):
            at = begin + 10 * turn
            node.apply(*(("t", 0, at + n, 0, key, b"1", 5, None) for n, key in enumerate(keys)))
        assert list(log.subjects) == expected
        assert [len(found.entries) for found in log.subjects.values()] == [2] * 6
        assert {key: found.subject for key, found in log.by_key.items()} == dict(
            zip(keys[1:], expected[1:], strict=True)
        )
        node.cache.tear(log, (0, begin + 50))
        assert not log.by_key
