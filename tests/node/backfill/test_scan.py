"""Scans in one pass over a partition: each finds its records, says what it could not have, and makes progress."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.link.settings import TopicRule
from mesh.log import Gap, Position, Truncation
from node.backfill.questions import Scan, Scanned
from node.backfill.scan import STRETCH_RECORDS, Pass, ReplayLimits
from node.kafka.events import Record
from node.publish_mark import mark
from node.topics import Source

LIMITS = ReplayLimits(messages_max=10**6, retry_window_ms=1000, subject_bytes_max=100, threads=1)


def record(offset: int, key: bytes = b"a", epoch: int = 0, publish: str = "", time: int = 0) -> Record:
    headers = mark((publish, 1, f"/t/{key.decode()}"), f"attempt-{offset}")[0] if publish else None
    return ("t", 0, offset, epoch, key, b"%d" % offset, time, headers)


def scan(subject: str, after: Position, until: Position, most: int = 100, publish: bool = False) -> Scan:
    return Scan(Source("t", 0, "0.x", TopicRule("t", publish=publish)), subject, after, until, most)


def run(
    scans: list[Scan],
    records: Iterable[Record],
    low: int = 0,
    limits: ReplayLimits = LIMITS,
    truncated: dict[Position, Truncation] | None = None,
) -> list[Scanned]:
    planned = Pass(list(enumerate(scans)), truncated or {}, low, limits)
    for one in records:
        if one[2] >= min(planned.end, 10**9):
            break
        if not planned.take(one):
            return [scanned for _, scanned in planned.finish(at_end=False)]
    return [scanned for _, scanned in planned.finish(at_end=True)]


def offsets(scanned: Scanned) -> list[int]:
    return [entry.at[1] for _, entry in scanned.found]


def test_each_scan_finds_its_own() -> None:
    records = [record(n, b"a" if n % 2 else b"p/b") for n in range(10)]
    exact, pattern, everything = run(
        [scan("/t/a", (0, 2), (0, 8)), scan("/t/p/*", (0, -1), (0, 5)), scan("/t/*", (0, 6), (0, 9))], records
    )
    assert offsets(exact) == [3, 5, 7]
    assert offsets(pattern) == [0, 2, 4]
    assert offsets(everything) == [7, 8, 9]
    assert [one.reached for one in (exact, pattern, everything)] == [(0, 8), (0, 5), (0, 9)]
    assert [entry.prev for _, entry in exact.found] == [None, (0, 3), (0, 5)]


def test_a_full_scan_says_how_far_it_got() -> None:
    (found,) = run([scan("/t/a", (0, -1), (0, 9), most=3)], [record(n) for n in range(10)])
    assert offsets(found) == [0, 1, 2]
    assert found.reached == (0, 2)


def test_what_kafka_has_deleted_is_said_with_the_position_from_which_it_goes_on() -> None:
    (found,) = run([scan("/t/a", (0, 1), (3, 9))], [record(n, epoch=2) for n in range(5, 10)], low=5)
    assert (found.start, found.gaps) == ((2, 4), [Gap("0.x", (0, 1), (2, 4), "retention")])
    assert offsets(found) == [5, 6, 7, 8, 9]
    (nothing,) = run([scan("/t/a", (0, 1), (3, 9))], [], low=5)
    assert (nothing.start, nothing.reached) == ((3, 9), (3, 9))
    assert nothing.gaps == [Gap("0.x", (0, 1), (3, 9), "retention")]


def test_what_is_too_much_is_said_too() -> None:
    limits = msgspec.structs.replace(LIMITS, messages_max=4)
    (found,) = run([scan("/t/a", (0, 1), (0, 9))], [record(n) for n in range(10)], limits=limits)
    assert (found.start, found.gaps) == ((0, 5), [Gap("0.x", (0, 1), (0, 5), "replay_limit")])
    assert offsets(found) == [6, 7, 8, 9]
    (none,) = run(
        [scan("/t/a", (0, 1), (0, 9))],
        [record(n) for n in range(10)],
        limits=msgspec.structs.replace(LIMITS, messages_max=0),
    )
    assert (none.start, none.found) == ((0, 9), [])
    assert none.gaps == [Gap("0.x", (0, 1), (0, 9), "replay_limit")]


def test_what_kafka_lost_is_said_and_what_came_in_its_place_is_found() -> None:
    records = [record(n, epoch=0 if n < 5 else 1) for n in range(10)]
    truncated = {(0, 7): Truncation((0, 4), (1, 4))}
    (found,) = run([scan("/t/a", (0, 7), (1, 9))], records, truncated=truncated)
    assert (found.start, found.gaps) == ((1, 4), [Gap("0.x", (0, 4), (1, 4), "truncated")])
    assert [entry.at for _, entry in found.found] == [(1, 5), (1, 6), (1, 7), (1, 8), (1, 9)]
    # The cache begins in the midst of what was lost: there is nothing to read back.
    (found,) = run([scan("/t/a", (0, 7), (0, 8))], records, truncated=truncated)
    assert (found.start, found.found, found.reached) == ((1, 4), [], (1, 4))


def test_what_was_lost_and_what_is_too_much_are_said_one_after_the_other() -> None:
    records = [record(n, epoch=0 if n < 5 else 1) for n in range(10)]
    limits = msgspec.structs.replace(LIMITS, messages_max=2)
    truncated = {(0, 7): Truncation((0, 4), (1, 4))}
    (found,) = run([scan("/t/a", (0, 7), (1, 9))], records, limits=limits, truncated=truncated)
    assert found.gaps == [Gap("0.x", (0, 4), (1, 4), "truncated"), Gap("0.x", (1, 4), (1, 7), "replay_limit")]
    assert offsets(found) == [8, 9]


def test_a_repeated_publish_is_not_found_though_its_original_lies_before_the_scan() -> None:
    records = [record(0, publish="p"), record(1), record(2, publish="p"), record(3)]
    (found,) = run([scan("/t/a", (0, 1), (0, 3), publish=True)], records)
    assert offsets(found) == [3]


def test_a_pass_is_bounded_and_the_scan_goes_on_from_there() -> None:
    end = 2 * STRETCH_RECORDS + 10
    wanted = scan("/t/a", (0, -1), (0, end))
    rounds = 0
    while wanted.after < wanted.until:
        first = wanted.after[1] + 1
        (found,) = run([wanted], (record(n, b"other") for n in range(first, end + 1)))
        assert found.reached > wanted.after
        wanted = scan("/t/a", found.reached, wanted.until)
        rounds += 1
    assert rounds == 3


def test_scans_far_ahead_wait_for_a_later_pass() -> None:
    near, far = scan("/t/a", (0, -1), (0, 50)), scan("/t/a", (0, 10**6), (0, 10**6 + 5))
    planned = Pass([(1, near), (2, far)], {}, 0, LIMITS)
    assert planned.later == [(2, far)]
    assert planned.end == 51
