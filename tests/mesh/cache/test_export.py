"""A log that was sent to another cache answers there as it did here, and never claims more."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.cache.cache import Cache, CacheConfig, Log
from mesh.cache.export import Export, ExportLimits, Import, LogHead, Part, is_whole_after
from mesh.log import BEGINNING, Entry, Position
from mesh.repeats import Repeats
from tests.support.seeds import examples

SUBJECTS = ["/t/a", "/t/b", "/t/p/a", "/t/p/b", "/t"]
PATTERNS = ["/t/*", "/t/p/*"]
CONFIG = CacheConfig(ttl_s=10, messages_per_subject=3, bytes_max=5000, snapshot_ttl_s=20)

values = st.sampled_from([b"v", b"x" * 300, None])


def appends(subjects: list[str]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.tuples(st.just("append"), st.sampled_from(subjects), st.integers(1, 3), values)


others = st.one_of(
    st.tuples(st.just("expire"), st.floats(0, 12)),
    st.tuples(st.sampled_from(["epoch", "limit", "tear", "advance"])),
)
# Mostly appends, and many to one subject: so that entries leave for every reason there is.
steps = st.lists(
    st.one_of(appends(SUBJECTS), appends(SUBJECTS), appends(SUBJECTS[:1]), appends(SUBJECTS[:2]), others),
    min_size=5,
    max_size=60,
)
limits = st.builds(ExportLimits, st.integers(1, 7), st.sampled_from([1, 400, 1 << 20]))


class Built:
    """A cache with one log to which things happen."""

    def __init__(self, config: CacheConfig = CONFIG) -> None:
        self.cache = Cache(config)
        self.log = self.cache.open("0.x", "t")
        self.now = 0.0
        self.at: Position = BEGINNING

    def run(self, steps: list[tuple]) -> None:  # type: ignore[type-arg]
        for step in steps:
            match step:
                case ("append", subject, hole, value):
                    self.at = (self.at[0], self.at[1] + hole)
                    self.cache.append(self.log, subject, self.at, self.at[1], value, [("h", b"1")])
                case ("expire", after):
                    self.now += after
                    self.cache.expire(self.now)
                case ("epoch",):
                    self.at = (self.at[0] + 1, max(-1, self.at[1] - 2))
                case ("limit",):
                    self.cache.limit(self.now)
                case ("tear",):
                    self.at = (self.at[0], self.at[1] + 5)
                    self.cache.tear(self.log, self.at)
                case ("advance",):
                    self.at = (self.at[0], self.at[1] + 1)
                    self.cache.advance(self.log, self.at)


def pages_of(export: Export) -> list[Part]:
    """All pages, as they come out of the wire."""
    pages, is_last = [], False
    while not is_last:
        part, is_last = export.page()
        pages.append(msgspec.msgpack.decode(msgspec.msgpack.encode(part), type=Part))
    return pages


def copied(log: Log, page: ExportLimits, config: CacheConfig = CONFIG) -> tuple[Cache, Log]:
    export = Export.copy(log, None, page)
    head = msgspec.msgpack.decode(msgspec.msgpack.encode(export.head), type=LogHead)
    cache = Cache(config)
    copy = cache.open(log.id, head.topic)
    loading = Import(cache, copy, None, head)
    for part in pages_of(export):
        loading.take(0.0, part)
    loading.finish()
    return cache, copy


def all_after(log: Log, pattern: str, position: Position) -> list[tuple[str, Entry]]:
    """However often it takes: two logs with the same entries may stop at different ones."""
    found: list[tuple[str, Entry]] = []
    while position < log.end:
        pairs, position = log.after_matching(pattern, position, 100)
        found += pairs
    return found


def answers(log: Log, from_positions: list[Position]) -> list[object]:
    found: list[object] = [log.end]
    for subject in [*SUBJECTS, *PATTERNS, "/other"]:
        found += [
            log.floor_of(subject),
            [(one.subject, msgspec.to_builtins(one.latest)) for one in log.matching(subject)],
            list(itertools.islice(log.newest_of(subject, 4), 4)),
            [log.reaches(subject, position) for position in from_positions],
        ]
        for position in from_positions:
            if subject in PATTERNS:
                found.append(all_after(log, subject, position))
            else:
                found.append(log.after(subject, position))
    return found


@given(steps, limits)
@settings(max_examples=examples(150), deadline=None)
def test_a_copy_answers_as_the_original(steps: list[tuple], page: ExportLimits) -> None:  # type: ignore[type-arg]
    built = Built()
    built.run(steps)
    cache, copy = copied(built.log, page)
    epochs = range(built.at[0] + 1)
    positions = [(epoch, seq) for epoch in epochs for seq in range(-1, built.log.end[1] + 2)]
    assert answers(copy, positions) == answers(built.log, positions)
    assert cache.bytes == copy.bytes
    # All accounts come out even when everything is let go of.
    cache.expire(100.0)
    cache.expire(200.0)
    cache.expire(300.0)
    assert not copy.subjects
    assert cache.bytes == 0


def test_a_copy_does_not_claim_what_a_hot_subject_has_lost() -> None:
    built = Built()
    built.run([("append", "/t/b", 1, b"v"), *[("append", "/t/a", 1, b"v")] * 5])
    _, copy = copied(built.log, ExportLimits(100, 1 << 20))
    assert not copy.reaches("/t/a", (0, 1))
    assert copy.reaches("/t/a", (0, 2))
    assert copy.reaches("/t/b", BEGINNING)


@given(steps, steps, limits)
@settings(max_examples=examples(100), deadline=None)
def test_a_copy_goes_on_as_the_original(first: list[tuple], more: list[tuple], page: ExportLimits) -> None:  # type: ignore[type-arg]
    """What is appended later is appended alike; only age may differ, and so the bytes."""
    more = [step for step in more if step[0] not in ("expire", "limit")]
    built = Built()
    built.run(first)
    copy = Built()
    copy.cache, copy.log = copied(built.log, page)
    copy.at = built.at
    built.run(more)
    copy.run(more)
    positions = [(epoch, seq) for epoch in range(built.at[0] + 1) for seq in range(-1, built.log.end[1] + 2, 2)]
    assert answers(copy.log, positions) == answers(built.log, positions)


@given(steps, limits, st.integers(1, 2))
@settings(max_examples=examples(60), deadline=None)
def test_a_smaller_cache_claims_less(steps: list[tuple], page: ExportLimits, most: int) -> None:  # type: ignore[type-arg]
    built = Built()
    built.run(steps)
    small = CacheConfig(ttl_s=10, messages_per_subject=most, bytes_max=5000, snapshot_ttl_s=20)
    _, copy = copied(built.log, page, small)
    for subject in SUBJECTS:
        floor = copy.floor_of(subject)
        assert floor >= built.log.floor_of(subject)
        assert copy.after(subject, floor) == built.log.after(subject, floor)


@given(steps, steps, limits)
@settings(max_examples=examples(150), deadline=None)
def test_a_repair_brings_all_that_follows_or_is_refused(
    first: list[tuple],  # type: ignore[type-arg]
    more: list[tuple],  # type: ignore[type-arg]
    page: ExportLimits,
) -> None:
    built = Built()
    built.run(first)
    cache, behind = copied(built.log, ExportLimits(1000, 1 << 20))
    after = behind.end
    reference = Built(CacheConfig(ttl_s=1000, messages_per_subject=1000, bytes_max=10**9, snapshot_ttl_s=1000))
    reference.at = built.at
    built.run(more)
    reference.run([step for step in more if step[0] != "tear"])
    export = Export.repair(built.log, None, after, page)
    if export is None:
        assert any(not built.log.reaches(subject, after) for subject in [*SUBJECTS, "/other"])
        return
    found = [pair for part in pages_of(export) for pair in part.entries]
    assert not any(part.subjects or part.repeats for part in pages_of(export))
    everything = [(s, e.at) for subject in ("/t/*", "/t") for s, e in reference.log.newest_of(subject, 1000)]
    if ("tear",) not in more:
        assert [(s, e.at) for s, e in found] == sorted(everything, key=lambda pair: pair[1])
        for subject, entry in found:
            cache.append(behind, subject, entry.at, entry.time, entry.value, entry.headers)
        cache.advance(behind, export.head.end)
        assert behind.end == built.log.end
        for subject in SUBJECTS:
            mine, others = behind.after(subject, after), built.log.after(subject, after)
            assert [(e.at, e.value) for e in mine] == [(e.at, e.value) for e in others]
            # A node that has forgotten a subject does not know `prev` of its next entry; the asker may.
            assert all(other.prev in (None, one.prev) for one, other in zip(mine, others, strict=True))


def test_pages_are_of_one_instant() -> None:
    """Whatever happens to the log between two pages."""
    built = Built(CacheConfig(ttl_s=10, messages_per_subject=3, bytes_max=10**6, snapshot_ttl_s=20))
    built.run([("append", "/t/a", 1, b"1"), ("append", "/t/b", 1, b"2"), ("append", "/t/a", 1, b"3")])
    export = Export.copy(built.log, None, ExportLimits(1, 1 << 20))
    parts = [export.page()[0]]
    built.run([("append", "/t/a", 1, b"4"), ("append", "/t/a", 1, b"5"), ("append", "/t/new", 1, b"6")])
    built.run([("expire", 1.0), ("expire", 11.0), ("expire", 50.0), ("tear",)])
    parts += pages_of(export)
    assert [row.subject for part in parts for row in part.subjects] == ["/t/a", "/t/b"]
    assert [entry.value for part in parts for _, entry in part.entries] == [b"1", b"2", b"3"]
    assert export.head.end == (0, 2)


def test_what_left_because_there_was_too_much_of_it_makes_a_repair_impossible() -> None:
    built = Built()
    built.run([("append", "/t/a", 1, b"v")] * 5)
    assert not is_whole_after(built.log, (0, 0))
    assert is_whole_after(built.log, (0, 1))


def test_the_memory_of_publishes_goes_along() -> None:
    built = Built()
    repeats = Repeats(1000)
    for seq in range(10):
        built.run([("append", "/t/a", 1, b"v")])
        repeats.admit(("p", seq, "/t/a"), built.at, seq * 200)
    export = Export.copy(built.log, repeats, ExportLimits(3, 1 << 20))
    repeats.admit(("p", 99, "/t/a"), (0, 99), 5000)
    cache = Cache(CONFIG)
    there = Repeats(1000)
    loading = Import(cache, cache.open("0.x", "t"), there, export.head)
    for part in pages_of(export):
        loading.take(0.0, part)
    assert there.original(("p", 3, "/t/a")) is None
    assert [there.original(("p", seq, "/t/a")) for seq in range(4, 10)] == [(0, seq) for seq in range(4, 10)]
    assert not there.admit(("p", 5, "/t/a"), (0, 10), 1900)
    assert there.admit(("p", 4, "/t/a"), (0, 11), 2000)


def test_after_a_repair_no_more_is_remembered_than_at_the_peer() -> None:
    """The peer dropped a repeat that, by its time, let go of the oldest publish; a repair does not show it."""
    peer, here = Repeats(1000), Repeats(1000)
    for repeats in (peer, here):
        repeats.admit(("p", 0, "/t/a"), (0, 0), 0)
        repeats.admit(("p", 1, "/t/a"), (0, 1), 500)
    assert not peer.admit(("p", 1, "/t/a"), (0, 2), 1200)
    assert here.original(("p", 0, "/t/a")) == (0, 0)
    here.forget_before(peer.oldest)
    assert here.original(("p", 0, "/t/a")) is None
    assert here.original(("p", 1, "/t/a")) == (0, 1)
    here.forget_before(None)
    assert len(here) == 0
