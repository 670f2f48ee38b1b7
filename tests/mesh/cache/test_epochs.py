"""A log of Kafka's that lost its end: what the cache forgets, and what it knows of places in what was lost."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from mesh.cache.cache import ENTRY_BYTES, SUBJECT_BYTES, TOKEN_BYTES, Cache, CacheConfig, Log, size_of
from mesh.cache.export import Export, ExportLimits, Import
from mesh.log import EpochStart, Position, Truncation

CONFIG = CacheConfig(ttl_s=10, messages_per_subject=3, bytes_max=10**9, snapshot_ttl_s=20)


def apply(cache: Cache, log: Log, subject: str, at: Position, value: bytes | None = b"v") -> Truncation | None:
    truncation = cache.begin_epoch(log, EpochStart(log.end, at)) if at[0] > log.end[0] else None
    assert at > log.end
    cache.append_to(log, cache.subject(log, subject, subject.encode()), at, 1, value, None)
    return truncation


def truncated() -> tuple[Cache, Log]:
    """0..149 of epoch 0, of which 120 on are lost; 120..129 of epoch 1."""
    cache = Cache(CONFIG)
    log = cache.open("0.x", "t")
    for offset in range(150):
        assert apply(cache, log, f"/t/k{offset // 2}", (0, offset)) is None
    for offset in range(120, 130):
        told = apply(cache, log, "/t/new", (1, offset))
        assert told == (Truncation((0, 119), (1, 119)) if offset == 120 else None)
    return cache, log


def test_what_was_lost_is_forgotten_and_who_has_had_it_is_known() -> None:
    _, log = truncated()
    assert held(log)[-5:] == [(0, 118), (0, 119), (1, 127), (1, 128), (1, 129)]
    assert log.latest("/t/k60") is None
    assert log.truncation((0, 149)) == log.truncation((0, 120)) == Truncation((0, 119), (1, 119))
    assert log.truncation((0, 119)) is log.truncation((1, 120)) is log.truncation((1, 119)) is None


def test_a_clean_change_of_leaders_truncates_nothing() -> None:
    cache = Cache(CONFIG)
    log = cache.open("0.x", "t")
    for at in ((0, 0), (0, 1), (2, 2), (5, 7)):
        assert apply(cache, log, "/t/a", at) is None
    assert log.truncation((0, 1)) is log.truncation((2, 2)) is log.truncation((2, 6)) is None
    assert log.truncation((0, 2)) == Truncation((0, 1), (2, 1))


def test_of_two_truncations_the_lower_one_counts() -> None:
    cache, log = truncated()
    assert apply(cache, log, "/t/a", (2, 125)) == Truncation((1, 124), (2, 124))
    assert apply(cache, log, "/t/a", (4, 110)) == Truncation((0, 109), (4, 109))
    assert log.epochs == [EpochStart((0, 109), (4, 110))]
    for place in ((0, 149), (1, 124), (2, 125)):
        assert log.truncation(place) == Truncation((0, 109), (4, 109))


def test_more_is_lost_than_the_cache_has() -> None:
    cache = Cache(CONFIG)
    log = cache.open("0.x", "t", (0, 99))
    apply(cache, log, "/t/a", (0, 100))
    assert apply(cache, log, "/t/a", (1, 50)) == Truncation((0, 49), (1, 49))
    assert not log.reaches("/t/a", (0, 100)), "Kafka is to be asked"
    assert log.floor == (1, 49)


def test_what_is_known_travels_with_a_copy() -> None:
    _, log = truncated()
    export = Export.copy(log, None, ExportLimits(1000, 10**6))
    other = Cache(CONFIG)
    copy = other.open("0.x", "t")
    taken = Import(other, copy, None, export.head)
    taken.take(0, export.page()[0])
    taken.finish()
    assert copy.truncation((0, 149)) == Truncation((0, 119), (1, 119))


def test_a_copy_has_what_stands_below_the_floor_of_what_kafka_has_lost() -> None:
    """A subject that was lost whole leaves what was evicted of it as the floor, above entries of others."""
    cache = Cache(replace(CONFIG, messages_per_subject=1))
    log = cache.open("0.x", "t")
    for offset, subject in enumerate(("/t/a", "/t/c", "/t/b", "/t/c")):
        apply(cache, log, subject, (0, offset))
    assert apply(cache, log, "/t/d", (1, 3)) == Truncation((0, 2), (1, 2))
    assert log.floor == (0, 1)
    export = Export.copy(log, None, ExportLimits(1000, 10**6))
    other = Cache(CONFIG)
    copy = other.open("0.x", "t")
    taken = Import(other, copy, None, export.head)
    taken.take(0, export.page()[0])
    taken.finish()
    assert held(copy) == held(log) == [(0, 0), (0, 2), (1, 3)]
    assert (copy.floor, copy.end) == (log.floor, log.end)


def test_whatever_is_lost_bytes_and_tokens_are_those_of_what_is_left() -> None:
    rng = Random(3)
    for _ in range(300):
        cache = Cache(CONFIG)
        log = cache.open("0.x", "t")
        epoch, offset, now = 0, -1, 0.0
        for _ in range(rng.randrange(60)):
            offset += 1
            if rng.random() < 0.08:
                epoch, offset = epoch + 1, max(0, offset - rng.randrange(15))
            apply(cache, log, rng.choice(["/t/a", "/t/b", "/t/c"]), (epoch, offset), rng.choice([b"v", None, b"xx"]))
            if rng.random() < 0.1:
                now += rng.randrange(12)
                cache.expire(now)
            entries = sum(len(one.entries) for one in log.subjects.values())
            skipped = sum(one.skip for one in log.subjects.values())
            assert log.held == entries + skipped
            assert log.bytes == cache.bytes == expected_bytes(log)
            assert all(entry.at <= (epoch, offset) for one in log.subjects.values() for entry in one.entries)
            seqs = [at[1] for at in held(log)]
            assert seqs == sorted(set(seqs)), "an offset has one record"
            copied = [entry.at[1] for _, entry in Export.copy(log, None, ExportLimits(999, 10**6)).page()[0].entries]
            assert copied == seqs
            assert all(one.floor <= log.end for one in log.subjects.values())
            assert log.by_key == {subject.encode(): one for subject, one in log.subjects.items()}
        for _ in range(3):  # marked, gone, the latest values gone
            now += 100
            cache.expire(now)
        assert log.bytes == log.held == 0


def held(log: Log) -> list[Position]:
    return sorted(entry.at for one in log.subjects.values() for entry in one.entries)


def expected_bytes(log: Log) -> int:
    assert ENTRY_BYTES > TOKEN_BYTES
    size = 0
    for one in log.subjects.values():
        size += SUBJECT_BYTES + len(one.subject) + TOKEN_BYTES * one.skip + sum(map(size_of, one.entries))
        if not one.entries and one.latest is not None:
            size += size_of(one.latest)
    return size
