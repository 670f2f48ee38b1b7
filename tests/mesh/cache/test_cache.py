"""The cache against a model that remembers everything: what it has is right, and what it says it lacks it lacks."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mesh.cache.cache import Cache, CacheConfig
from mesh.log import BEGINNING, Entry, Position
from tests.support.seeds import examples
from tests.support.truth import covers

SUBJECTS = ["/t/a", "/t/b", "/t/p/a", "/t/p/b", "/t"]
PATTERNS = ["/t/*", "/t/p/*"]


class CacheAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache(CacheConfig(ttl_s=10, messages_per_subject=3, bytes_max=5000, snapshot_ttl_s=20))
        self.log = self.cache.open("0.x", "t")
        self.other = self.cache.open("1.x", "t")
        self.all: list[tuple[str, Position, bytes | None]] = []
        self.now = 0.0
        self.epoch = 0
        self.seq = -1

    @rule(
        subject=st.sampled_from(SUBJECTS),
        hole=st.integers(1, 3),
        value=st.sampled_from([b"v", b"x" * 300, None]),
        by_key=st.booleans(),
    )
    def append(self, subject: str, hole: int, value: bytes | None, by_key: bool) -> None:
        self.seq += hole
        at = (self.epoch, self.seq)
        entry: Entry | None
        if by_key and at > self.log.end:
            key = subject.encode()
            found = self.log.by_key.get(key) or self.cache.subject(self.log, subject, key)
            entry = self.cache.append_to(self.log, found, at, 1, value, None)
        else:
            entry = self.cache.append(self.log, subject, at, 1, value, None)
        assert entry is not None
        before = [position for name, position, _ in self.all if name == subject]
        assert entry.prev in (None, before[-1] if before else None)
        self.all.append((subject, at, value))

    @rule(value=st.sampled_from([b"y" * 200, b""]))
    def append_elsewhere(self, value: bytes) -> None:
        self.cache.append(self.other, "/t/a", (0, self.other.end[1] + 1), 1, value, None)

    @rule()
    def append_again(self) -> None:
        if self.all:
            assert self.cache.append(self.log, self.all[-1][0], self.all[-1][1], 1, b"again", None) is None

    @rule(truncated=st.integers(0, 3))
    def epoch_rises(self, truncated: int) -> None:
        self.epoch += 1
        self.seq = max(self.seq - truncated, -1)

    @rule(after=st.floats(0, 12))
    def time_passes(self, after: float) -> None:
        self.now += after
        self.cache.expire(self.now)

    @rule()
    def bytes_are_limited(self) -> None:
        self.cache.limit(self.now)
        assert self.cache.bytes <= 5000

    @rule()
    def torn(self) -> None:
        self.seq += 5
        self.cache.tear(self.log, (self.epoch, self.seq))

    @invariant()
    def what_is_here_is_complete_from_its_floor(self) -> None:
        for subject in SUBJECTS:
            floor = self.log.floor_of(subject)
            assert self.log.reaches(subject, floor)
            assert floor == BEGINNING or not self.log.reaches(subject, (floor[0], floor[1] - 1))
            for start in (floor, (floor[0], floor[1] + 1)):
                wanted = [(at, value) for name, at, value in self.all if name == subject and at > start]
                assert [(e.at, e.value) for e in self.log.after(subject, start)] == wanted
        for pattern in PATTERNS:
            floor = self.log.floor_of(pattern)
            wanted_pairs = [(name, at) for name, at, _ in self.all if covers(pattern, name) and at > floor]
            got, position = [], floor
            while position < self.log.end:
                pairs, reached = self.log.after_matching(pattern, position, 2)
                assert len(pairs) <= 2
                assert reached > position
                got += [(name, e.at) for name, e in pairs]
                position = reached
            assert got == wanted_pairs
            newest = [(name, e.at) for name, e in itertools.islice(self.log.newest_of(pattern, 3), 3)]
            held = [
                (one.subject, entry.at)
                for one in self.log.subjects.values()
                for entry in one.entries
                if covers(pattern, one.subject)
            ]
            assert newest == sorted(held, key=lambda pair: pair[1], reverse=True)[:3]
            assert {one.subject for one in self.log.matching(pattern)} == {
                name for name in self.log.subjects if covers(pattern, name)
            }

    @invariant()
    def latest_is_the_last_value_or_nothing(self) -> None:
        for subject in SUBJECTS:
            last = [(at, value) for name, at, value in self.all if name == subject][-1:]
            if (entry := self.log.latest(subject)) is not None:
                assert [(entry.at, entry.value)] == last
                assert entry.value is not None

    @invariant()
    def chains_are_whole(self) -> None:
        for subject in SUBJECTS:
            entries = self.log.after(subject, BEGINNING)
            for before, entry in itertools.pairwise(entries):
                assert entry.prev == before.at

    @invariant()
    def a_key_finds_what_its_subject_finds(self) -> None:
        subjects = self.log.subjects
        assert self.log.by_key == {one.key: one for one in subjects.values() if one.key is not None}
        assert all(subjects[key.decode()] is found for key, found in self.log.by_key.items())

    @invariant()
    def bytes_are_what_is_held(self) -> None:
        assert self.cache.bytes == self.log.bytes + self.other.bytes
        for log in (self.log, self.other):
            assert log.bytes >= 0
            if not log.subjects:
                assert log.bytes == 0


TestCacheAgainstModel = CacheAgainstModel.TestCase
TestCacheAgainstModel.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)


def cache(**limits: float) -> Cache:
    values = {"ttl_s": 10, "messages_per_subject": 1000, "bytes_max": 10**9, "snapshot_ttl_s": 100} | limits
    return Cache(CacheConfig(**values))  # type: ignore[arg-type]


def test_the_latest_value_outlives_its_entry() -> None:
    held = cache()
    log = held.open("0.x", "t")
    held.append(log, "/t/a", (0, 0), 1, b"v", None)
    held.expire(0.0)
    held.expire(11.0)
    assert log.after("/t/a", BEGINNING) == []
    assert (latest := log.latest("/t/a")) is not None
    assert latest.value == b"v"
    assert log.floor_of("/t/a") == (0, 0)
    assert log.floor_of("/t/b") == BEGINNING
    held.expire(112.0)
    assert log.latest("/t/a") is None
    assert log.subjects == {}
    assert held.bytes == 0
    assert log.floor_of("/t/b") == (0, 0)


def test_what_is_too_old_leaves_in_parts_and_all_of_it_leaves() -> None:
    cache = Cache(CacheConfig(10, 100_000, 1 << 30, 100))
    log = cache.open("0.x", "t")
    for seq in range(2000):
        cache.append(log, f"/t/{seq % 50}", (0, seq), -1, b"1", None)
    cache.expire(0.0)
    left = []
    now = 10.0
    while log.held:
        cache.expire(now, 8)
        left.append(log.held)
        now += 0.05
    assert left[:3] == [1750, 1532, 1341]
    assert len(left) < 40
    assert cache.evicted_by_age == 2000


def test_a_tombstone_deletes_the_latest_value_and_stays_in_the_history() -> None:
    held = cache()
    log = held.open("0.x", "t")
    held.append(log, "/t/a", (0, 0), 1, b"v", None)
    held.append(log, "/t/a", (0, 1), 1, None, None)
    assert log.latest("/t/a") is None
    assert [entry.value for entry in log.after("/t/a", (0, 0))] == [None]


def test_the_largest_log_gives_way_when_bytes_run_out() -> None:
    held = cache(bytes_max=50_000)
    small, large = held.open("0.x", "t"), held.open("1.x", "t")
    held.append(small, "/t/a", (0, 0), 1, b"v", None)
    for seq in range(200):
        held.append(large, f"/t/{seq % 7}", (0, seq), 1, b"x" * 500, None)
        held.limit(0.0)
    assert held.bytes <= 50_000
    assert len(small.after("/t/a", BEGINNING)) == 1
    assert held.evicted_by_bytes > 0


@given(st.lists(st.sampled_from([0, 1, 2]), max_size=30))
def test_a_hot_subject_keeps_its_newest(values: list[int]) -> None:
    held = cache(messages_per_subject=5)
    log = held.open("0.x", "t")
    for seq, _ in enumerate(values):
        held.append(log, "/t/hot", (0, seq), 1, b"v", None)
    assert [entry.at[1] for entry in log.after("/t/hot", BEGINNING)] == list(range(len(values)))[-5:]


def test_what_kafka_has_compacted_away_precedes_nothing() -> None:
    """A client that reads from Kafka what the cache let go of never gets it, and would take it for missing."""
    held = Cache(CacheConfig(ttl_s=10, messages_per_subject=2, bytes_max=1 << 20, snapshot_ttl_s=100))
    log = held.open("0.x", "t")
    for seq in range(8):
        held.append(log, "/t/b" if seq % 2 else "/t/a", (0, seq), 1, b"v", None)

    def prevs() -> list[Position | None]:
        return [entry.prev for entry in log.after("/t/a", BEGINNING)]

    log.unlink("/t/a", BEGINNING, (0, 2), {(0, 2)})
    assert prevs() == [(0, 2), (0, 4)], "Kafka has it"
    log.unlink("/t/a", (0, 2), (0, 3), set())
    assert prevs() == [(0, 2), (0, 4)], "it was not looked for"
    log.unlink("/t/a", BEGINNING, (0, 3), {(0, 0)})
    assert prevs() == [None, (0, 4)]
    log.unlink("/t/*", BEGINNING, (0, 7), {(0, 7)})
    assert prevs() == [None, (0, 4)], "what is here follows what is here"
    for subject, seq, prev in (("/t/a", 8, None), ("/t/b", 9, (0, 7))):
        entry = held.append(log, subject, (0, seq), 1, b"v", None)
        assert entry is not None
        assert entry.prev == prev
