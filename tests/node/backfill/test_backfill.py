"""One subscription on its way to live: logs that end meanwhile, places ahead of a log, Kafka that takes long."""

from __future__ import annotations

import re

import pytest

from gateway.link.events import Answer, Page, Start, Subscribe
from gateway.link.settings import TopicRule
from mesh.cache.cache import Cache, CacheConfig
from mesh.log import Entry, EpochStart, Gap, Place, Truncation
from node.backfill.backfill import ANSWER_WITHIN_S, Backfill, PageLimits
from node.backfill.questions import LatestValues, Locate, Measure
from node.topics import Source


def source(cache: Cache, partition: int, count: int, loaded: bool = True) -> Source:
    found = Source("t", partition, f"{partition}.x", TopicRule("t"), is_new=False)
    found.log = cache.open(found.log_id, "t")
    for offset in range(count):
        cache.append(found.log, "/t/k", (0, offset), 0, b"1", None)
    found.loaded = loaded
    return found


def backfill(start: Start, *sources: Source, page: int = 2) -> Backfill:
    found = Backfill(1, Subscribe(1, 2, "/t/*", 0, start), PageLimits(page, 10**6))
    found.open({one.log_id: one for one in sources}, {})
    return found


def ended(found: Backfill, log_id: str, was_read: bool = True) -> tuple[list[Gap], Place, bool]:
    """What is said after the end of a log: gaps, logs that are live, and whether the backfill is over."""
    found.remove_log(log_id, was_read)
    found.more()
    events, questions, over = found.step()
    assert questions == []
    gaps = [gap for event in events for gap in event.gaps]
    lives = {log: at for event in events if isinstance(event, Page) for log, at in event.live.items()}
    return gaps, lives, over


def cache() -> Cache:
    return Cache(CacheConfig(60, 100, 10**9, 60))


def test_between_two_pages() -> None:
    found = backfill(Start("resume", place={"0.x": (0, 0)}), source(cache(), 0, 10))
    answer, page = found.step()[0]
    assert isinstance(answer, Answer)
    assert answer.answer == "full"
    assert isinstance(page, Page)
    assert not page.final
    assert ended(found, "0.x") == ([Gap("0.x", (0, 2), None, "log_gone")], {}, True)


def test_before_it_could_be_read_at_all() -> None:
    kept = cache()
    found = backfill(
        Start("resume", place={"0.x": (0, 4), "1.x": (0, 2)}), source(kept, 0, 0, False), source(kept, 1, 3)
    )
    found.step()
    assert ended(found, "0.x") == ([Gap("0.x", (0, 4), None, "log_gone")], {}, True)


def test_before_anything_was_said() -> None:
    found = backfill(Start("resume", place={"0.x": (0, 4)}), source(cache(), 0, 9, False))
    assert found.step()[0] == []
    found.remove_log("0.x", was_read=True)
    events, _, over = found.step()
    assert isinstance(events[0], Answer)
    assert (events[0].answer, events[0].gaps) == ("gap", [Gap("0.x", (0, 4), None, "log_gone")])
    assert over


def test_nothing_was_missed() -> None:
    kept = cache()
    for start in (Start("resume", place={"0.x": (0, 8)}), Start("latest"), Start("now")):
        found = backfill(start, source(kept, 0, 9))
        found.step()
        assert ended(found, "0.x") == ([], {}, True)
        kept.close(kept.logs["0.x"])


def test_a_client_that_is_ahead_of_a_node_may_have_missed_what_neither_has() -> None:
    """A voter was cut off before it had what the client already has, and then the others lost their memory."""
    for was_read, gaps in ((False, [Gap("0.x", (0, 4), None, "log_gone")]), (True, [])):
        found = backfill(Start("resume", place={"0.x": (0, 4)}), source(cache(), 0, 3))
        assert [question for _, question in found.step()[1]] == [Measure(found.logs["0.x"].source, (0, 4))]
        assert ended(found, "0.x", was_read)[0] == gaps


def test_a_new_subscription_that_had_begun_nowhere() -> None:
    found = backfill(Start("latest"), source(cache(), 0, 9, False))
    found.step()
    assert ended(found, "0.x")[0] == []


def test_a_log_that_appeared_and_ended_before_it_was_read() -> None:
    kept = cache()
    found = backfill(
        Start("resume", place={"0.x": (0, 0), "1.x": (0, 0)}), source(kept, 0, 3), source(kept, 1, 9), page=3
    )
    _, page = found.step()[0]
    assert isinstance(page, Page)
    late = source(kept, 2, 1)
    found.add_log(late)
    assert page.live == {"0.x": (0, 2)}
    gaps, lives, _ = ended(found, "2.x")
    assert (gaps, "2.x" in lives) == ([Gap("2.x", (0, -1), None, "log_gone")], False)


def test_what_kafka_loses_between_two_pages_is_told_behind_what_came_before() -> None:
    """Told before, it would make the client drop the rest of what it has not lost."""
    kept = cache()
    one = source(kept, 0, 10)
    found = backfill(Start("resume", place={"0.x": (0, 0)}), one, page=5)
    found.step()
    assert one.log is not None
    kept.begin_epoch(one.log, EpochStart((0, 9), (1, 8)))
    kept.append(one.log, "/t/k", (1, 8), 0, b"1", None)
    pages = []
    for _ in range(2):
        found.more()
        [page], _, over = found.step()
        assert isinstance(page, Page)
        pages.append((page.data.count(b'"at"'), page.gaps, page.live))
    assert pages == [(4, [], {}), (1, [Gap("0.x", (0, 7), (1, 7), "truncated")], {"0.x": (1, 8)})]
    assert over


def test_a_place_that_the_log_has_lost_is_a_gap_from_what_is_still_true() -> None:
    for place, lost in (((0, 999), Truncation((0, 1), (1, 1))), ((7, 1), Truncation((0, 1), (0, 1)))):
        found = backfill(Start("resume", place={"0.x": place}), source(cache(), 0, 3))
        _, [(log, question)], _ = found.step()
        assert question == Measure(log.source, place)
        found.measured(log, lost)
        (answer, page), questions, over = found.step()
        assert isinstance(answer, Answer)
        assert isinstance(page, Page)
        assert (answer.answer, answer.gaps, answer.at) == (
            "gap",
            [Gap("0.x", lost.last, max(lost.next, (0, 2)), "truncated")],
            {"0.x": max(lost.next, (0, 2))},
        )
        assert (page.live, questions, over) == ({"0.x": (0, 2)}, [], True)


def test_a_place_that_the_log_will_reach_is_kept() -> None:
    found = backfill(Start("resume", place={"0.x": (0, 9)}), source(cache(), 0, 3))
    _, [(log, _)], _ = found.step()
    found.measured(log, None)
    answer, page = found.step()[0]
    assert isinstance(answer, Answer)
    assert isinstance(page, Page)
    assert (answer.answer, answer.at) == ("full", {"0.x": (0, 9)})
    assert page.live == {"0.x": (0, 2)}, "what this node does not have yet it does not say to have sent"


def test_one_log_that_takes_long_does_not_hold_up_the_answer() -> None:
    kept = cache()
    quick, slow = source(kept, 0, 3), source(kept, 1, 3)
    found = backfill(Start("resume", place={"0.x": (0, 1), "1.x": (0, 99)}), quick, slow)
    assert found.step()[0] == []
    for _ in range(ANSWER_WITHIN_S):
        found.retry()
    answer, page = found.step()[0]
    assert isinstance(answer, Answer)
    assert isinstance(page, Page)
    assert (answer.waiting, answer.at) == (["1.x"], {"0.x": (0, 1), "1.x": (0, 99)})
    assert list(page.live) == ["0.x"]


def test_from_a_time_that_the_cache_reaches_nobody_is_asked() -> None:
    held = cache()
    logs = [at_times(held, 0, [100, 200, 300, 400]), at_times(held, 1, []), at_times(held, 2, [100])]
    for oldest in held.logs.values():
        held.append(oldest, "/t/other", (0, 9), 350, b"1", None)
    found = backfill(Start("time", number=250), *logs)
    events, questions, _ = found.step()
    assert questions == []
    answer = events[0]
    assert isinstance(answer, Answer)
    assert (answer.at, answer.waiting) == ({"0.x": (0, 1), "1.x": (0, 8), "2.x": (0, 8)}, [])


def test_from_a_time_that_the_cache_reaches_no_more_kafka_is_asked() -> None:
    kept = Cache(CacheConfig(60, 2, 10**9, 60))
    log = at_times(kept, 0, [100, 200, 300, 400])
    assert log.log is not None
    for time, is_reached in ((250, False), (300, False), (301, True), (999, True)):
        for subject in ("/t/k", "/t/*"):
            with pytest.raises(StopIteration) as found:
                next(log.log.since(subject, time))
            assert found.value.value[0] is is_reached


def test_from_a_time_is_asked_of_kafka_and_of_the_cache() -> None:
    held = source(cache(), 0, 0)
    assert held.log is not None
    kept = Cache(CacheConfig(60, 100, 10**9, 60))
    held.log = kept.open("0.x", "t", floor=(0, 0))
    for offset in (1, 2):
        kept.append(held.log, "/t/k", (0, offset), 9, b"1", None)
    found = backfill(Start("time", number=5), held)
    _, [(log, question)], _ = found.step()
    assert isinstance(question, Locate)
    found.located(log, (0, 1))
    answer = found.step()[0][0]
    assert isinstance(answer, Answer)
    assert answer.at == {"0.x": (0, 0)}


def at_times(cache: Cache, partition: int, times: list[int]) -> Source:
    found = source(cache, partition, 0)
    assert found.log is not None
    for offset, time in enumerate(times):
        cache.append(found.log, "/t/k", (0, offset), time, b"1", None)
    return found


def test_the_last_are_the_last_by_position_whatever_their_times() -> None:
    log = at_times(cache(), 0, [5000, 9000, 1000])
    found = backfill(Start("last", 2), log)
    found.step()
    assert found.logs["0.x"].start == (0, 0)


def test_the_last_over_several_logs_are_as_many_as_were_asked_for() -> None:
    held = cache()
    logs = [at_times(held, 0, [100, 900, 200]), at_times(held, 1, [300, 50]), at_times(held, 2, [])]
    found = backfill(Start("last", 3), *logs)
    found.step()
    starts = {log_id: log.start for log_id, log in found.logs.items()}
    # From the ends backwards: 50 is behind 300, so 200 and 900 come first, then 100 of the first log.
    assert starts == {"0.x": (0, -1), "1.x": (0, 1), "2.x": (0, -1)}


def test_a_latest_value_that_changed_between_two_pages_follows_as_a_message_behind_those_before_it() -> None:
    """Sent as a latest value, it made the client take the messages before it for repeats, though none had come."""
    kept = cache()
    one = source(kept, 0, 3)
    assert one.log is not None
    one.is_table = one.is_table_complete = True
    found = backfill(Start("latest"), one, page=10)
    _, [(log, question)], _ = found.step()
    assert question == LatestValues(one, "/t/*", "")
    for offset in (3, 4):
        kept.append(one.log, "/t/k", (0, offset), 0, b"%d" % offset, None)
    old, new = Entry((0, 1), None, 0, b"1", None), Entry((0, 4), None, 0, b"4", None)
    found.latest_found(log, [("/t/j", old), ("/t/k", new)], True)
    events, questions, over = found.step()
    [page] = [event for event in events if isinstance(event, Page)]
    found_at = re.findall(rb'"at":\[0,(\d)\]', page.data)
    assert (found_at, page.data.count(b'"snapshot":true')) == ([b"1", b"3", b"4"], 1)
    assert (page.live, questions, over) == ({"0.x": (0, 4)}, [], True)
