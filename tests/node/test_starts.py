"""Where partitions are begun to be read."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from gateway.link.settings import TopicRule
from node.kafka.events import StartFound, Where
from node.kafka.starts import (
    AGAIN_S,
    EARLIEST,
    FILL_RECORDS_MAX,
    LATEST,
    NO_RECORD,
    REPEATS_BACK,
    REPEATS_BACK_MAX,
    Answers,
    Depth,
    Offset,
    StartQuestion,
    Starts,
)
from node.topics import Source

WALL_MS = 1_000_000_000
SINCE_MS, WARM_SINCE_MS = WALL_MS - 600_000, WALL_MS - 900_000
DEPTH = Depth(ttl_s=600, retry_window_s=300, records_max=10**9)


def source(partition: int = 0, *, publish: bool = False, is_new: bool = False) -> Source:
    return Source("t", partition, f"{partition}.x", TopicRule("t", publish=publish), is_new)


def ask(
    starts: Starts, leaders: dict[Where, int], times: Collection[str] = (), now: float = 0.0
) -> list[StartQuestion]:
    return starts.questions(now, WALL_MS, leaders, times)


def start(one: Source, answers: dict[int, Offset], *, log_times: bool = False, depth: Depth = DEPTH) -> StartFound:
    """Where one partition is begun, of a broker that answers so."""
    starts = Starts(depth)
    starts.want(0.0, one)
    [question] = ask(starts, {("t", 0): 1}, ["t"] if log_times else [])
    assert question.wheres().keys() == answers.keys()
    [found] = starts.answered(0.0, question, {what: {("t", 0): offset} for what, offset in answers.items()}, 1)
    assert found.source is one
    assert starts.is_idle
    return found


def test_what_is_new_is_read_from_its_beginning() -> None:
    for one in (source(is_new=True), source(is_new=True, publish=True)):
        found = start(one, {EARLIEST: (7, 2)})
        assert (found.offset, found.floor, found.skips_first, found.warm_until) == (7, (2, 6), False, 0)


def test_by_position_where_times_are_those_of_producers() -> None:
    found = start(source(), {EARLIEST: (7, 1), LATEST: (50, 3)})
    assert (found.offset, found.floor, found.skips_first) == (7, (1, 6), False)
    found = start(source(), {EARLIEST: (7, 1), LATEST: (FILL_RECORDS_MAX + 50, 3)})
    assert (found.offset, found.skips_first) == (50, True)
    assert found.floor == (1, 6)
    found = start(source(), {EARLIEST: (0, 0), LATEST: (0, 0)})
    assert (found.offset, found.floor) == (0, (0, -1))


def test_partitions_share_what_the_cache_could_hold() -> None:
    starts = Starts(Depth(600, 300, records_max=1000))
    one = source()
    starts.want(0.0, one)
    [question] = ask(starts, {("t", 0): 1})
    answers: Answers = {EARLIEST: {("t", 0): (0, 0)}, LATEST: {("t", 0): (5000, 0)}}
    assert starts.answered(0.0, question, answers, 10)[0].offset == 4900


@pytest.mark.parametrize(
    ("since", "offset", "floor", "skips"),
    [((720, 2), 720, (2, 719), False), ((NO_RECORD, 0), 650, (1, 6), True), ((7, 1), 7, (1, 6), False)],
)
def test_by_time_where_times_are_the_logs_own(since: Offset, offset: int, floor: Offset, skips: bool) -> None:
    found = start(source(), {EARLIEST: (7, 1), LATEST: (750, 3), SINCE_MS: since}, log_times=True)
    assert (found.offset, found.floor, found.skips_first) == (offset, floor, skips)


def test_by_time_no_more_than_the_cache_could_hold() -> None:
    answers = {EARLIEST: (7, 1), LATEST: (50, 3), SINCE_MS: (8, 1)}
    found = start(source(), answers, log_times=True, depth=Depth(600, 300, 10))
    assert (found.offset, found.skips_first) == (40, True)


@pytest.mark.parametrize(
    ("by_time", "back"),
    [
        (NO_RECORD, 900_000 - REPEATS_BACK),
        (0, 900_000 - REPEATS_BACK_MAX),
        (850_000, 850_000),
        (899_999, 900_000 - REPEATS_BACK),
    ],
)
def test_publishes_before_the_first_that_is_kept_are_looked_at(by_time: int, back: int) -> None:
    found = start(source(publish=True), {EARLIEST: (7, 1), LATEST: (1_000_000, 3), WARM_SINCE_MS: (by_time, 0)})
    assert (found.warm_until, found.offset, found.skips_first) == (900_000, back, True)


def test_one_question_to_each_broker_that_leads() -> None:
    starts = Starts(DEPTH)
    sources = [source(number) for number in range(4)]
    for one in sources:
        starts.want(0.0, one)
    leaders = {("t", 0): 1, ("t", 1): 2, ("t", 2): 1, ("t", 3): -1}
    first, second = ask(starts, leaders)
    assert first.wheres() == {EARLIEST: [("t", 0), ("t", 2)], LATEST: [("t", 0), ("t", 2)]}
    assert second.wheres() == {EARLIEST: [("t", 1)], LATEST: [("t", 1)]}
    assert ask(starts, leaders) == []
    [third] = ask(starts, {**leaders, ("t", 3): 3})
    assert [*third.sources] == [sources[3]]


def test_what_a_broker_does_not_answer_is_asked_again_and_delays_no_other() -> None:
    starts = Starts(DEPTH)
    for number in range(3):
        starts.want(0.0, source(number))
    leaders = {("t", 0): 1, ("t", 1): 1, ("t", 2): 2}
    first, second = ask(starts, leaders)
    part: Answers = {EARLIEST: {("t", 0): (0, 0), ("t", 1): (0, 0)}, LATEST: {("t", 1): (5, 0)}}
    [found] = starts.answered(1.0, first, part, 3)
    assert found.source.partition == 1
    assert ask(starts, leaders, now=1.0) == []
    [again] = ask(starts, leaders, now=1.0 + AGAIN_S)
    assert again.wheres()[EARLIEST] == [("t", 0)]
    assert starts.answered(9.0, second, {}, 3) == []
    assert not starts.is_idle


def test_a_topic_that_has_ended_is_not_asked_for() -> None:
    starts = Starts(DEPTH)
    starts.want(0.0, source())
    starts.forget({"other": 1})
    assert starts.is_idle
    assert ask(starts, {("t", 0): 1}) == []
