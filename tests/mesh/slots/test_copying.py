"""One log becomes equal to another: what is asked for, and what this node may say it holds meanwhile."""

from __future__ import annotations

from typing import Any

from mesh.slots.copying import Copying, Fetch, LogState, Range, Trimmed
from mesh.slots.slot import CacheWanted, Opened
from mesh.slots.slot_log import EpochTable, SlotLog
from tests.mesh.slots.slot_bench import LOG, Bench, items, state


def held(bench: Bench) -> tuple[int, int, int, int, list[int], EpochTable]:
    """What the slot holds: accepted epoch, base, end, commit, the items, the table."""
    slot = bench.slot
    return slot.accepted, slot.log.base, slot.log.end, slot.commit, [i.number for i in slot.log.items], slot.log.table


def bench_with(*numbers: int, commit: int = 0, **config: Any) -> Bench:
    """A follower of epoch 4 with these items. (Where two of three commit, it would know that all are committed.)"""
    bench = Bench("a", commit_quorum=3, **config)
    bench.follow(0.0, "c", 4, *numbers, commit=commit)
    return bench


def copying(bench: Bench, log: LogState, epoch: int = 6) -> Copying:
    bench.slot.promise(epoch)
    one = Copying(bench.slot, epoch, "b", log)
    one.step(1.0)
    return one


def test_only_what_is_missing_is_fetched_and_nothing_changes_before_all_is_here() -> None:
    bench = bench_with(1, 2, 3)
    before = held(bench)
    one = copying(bench, state([(4, 0), (5, 2)], 5))
    assert bench.sends() == [("b", Fetch(0, 6, 2))]
    one.receive(1.1, "b", Range(0, 6, 2, items(8), 0))
    assert bench.sends() == [("b", Fetch(0, 6, 3))], "at once when something came"
    assert held(bench) == before, "the claim (4, 3) is still true, and must be"
    assert not one.is_done
    one.receive(1.2, "b", Range(0, 6, 3, items(9, 10), 0))
    assert one.is_done
    assert bench.sends() == []
    one.finish()
    assert held(bench) == (6, 0, 5, 0, [1, 2, 8, 9, 10], [(4, 0), (5, 2)])


def test_nothing_to_copy() -> None:
    bench = bench_with(1, 2, 3)
    one = copying(bench, state([(4, 0), (6, 3)], 3))
    assert one.is_done
    one.finish()
    assert held(bench) == (6, 0, 3, 0, [1, 2, 3], [(4, 0), (6, 3)])
    assert bench.sends() == []


def test_what_the_other_lacks_is_dropped() -> None:
    bench = bench_with(1, 2, 3, commit=1)
    one = copying(bench, state([(4, 0), (6, 2)], 2))
    assert one.is_done
    one.finish()
    assert held(bench) == (6, 0, 2, 1, [1, 2], [(4, 0), (6, 2)])


def test_an_answer_that_does_not_fit_is_not_taken() -> None:
    bench = bench_with(1)
    one = copying(bench, state([(4, 0)], 5))
    bench.sends()
    one.receive(1.1, "c", Range(0, 6, 1, items(2), 0))  # of another node
    one.receive(1.1, "b", Range(0, 5, 1, items(2), 0))  # of another epoch
    one.receive(1.1, "b", Range(0, 6, 0, items(1, 2), 0))  # again
    one.receive(1.1, "b", Range(0, 6, 3, items(4), 0))  # too early
    assert bench.sends() == []
    one.receive(1.1, "b", Range(0, 6, 1, items(2, 3), 0))
    one.receive(1.1, "b", Range(0, 6, 1, items(2, 3), 0))  # twice
    assert bench.sends() == [("b", Fetch(0, 6, 3))]


def test_more_than_was_there_when_it_began_is_cut_off() -> None:
    bench = bench_with(1)
    one = copying(bench, state([(4, 0), (6, 2)], 3))
    one.receive(1.1, "b", Range(0, 6, 1, items(2, 3, 4, 5), 0))
    assert one.is_done
    one.finish()
    assert held(bench)[2:5] == (3, 0, [1, 2, 3])


def test_it_asks_again_after_a_while() -> None:
    bench = bench_with(1, retry_s=0.5)
    one = copying(bench, state([(4, 0)], 5))
    bench.sends()
    one.step(1.4)
    assert bench.sends() == []
    one.step(1.5)
    assert bench.sends() == [("b", Fetch(0, 6, 1))]


def test_a_range_without_items_is_not_answered_at_once() -> None:
    """Two nodes that have nothing for each other do not keep each other busy: see also `Fetch` in test_replication."""
    bench = bench_with(1)
    copying(bench, state([(4, 0)], 5))
    other = Bench("b", promised=6)
    for to, fetch in bench.sends():
        assert to == "b"
        other.receive(1.1, "a", fetch)
    assert other.sends() == []


def test_another_log_takes_the_place_of_one_that_ended() -> None:
    bench = Bench("d")
    bench.follow(0.0, "c", 4, 1, 2, commit=2)
    one = copying(bench, state([(6, 0)], 1, incarnation="M"))
    assert bench.events(Opened) == [Opened(0, "M")]
    assert held(bench) == (0, 0, 0, 0, [], [])
    one.receive(1.1, "b", Range(0, 6, 0, items(9), 0))
    one.finish()
    assert held(bench) == (6, 0, 1, 0, [9], [(6, 0)])
    assert bench.slot.repeats.original(("p", 1, "/c/x")) is None


class TestFromCache:
    """The other has let go of what this node lacks."""

    def test_at_the_beginning_of_a_new_node(self) -> None:
        bench = Bench("a")
        one = copying(bench, state([(4, 90), (6, 120)], 130, base=100))
        assert bench.events() == [Opened(0, LOG), CacheWanted(0, LOG, "b")]
        assert bench.sends() == []
        one.receive(1.1, "b", Range(0, 6, 0, items(1), 0))
        one.step(9.0)
        assert bench.sends() == [], "nothing is asked for before the cache is here"
        one.cache_filled(2.0, (4, 19))  # index 109
        assert bench.sends() == [("b", Fetch(0, 6, 110))]
        one.receive(2.1, "b", Range(0, 6, 110, items(*range(110, 130)), 0))
        one.finish()
        assert held(bench) == (6, 110, 130, 110, [*range(110, 130)], [(4, 90), (6, 120)])
        assert bench.slot.is_synced

    def test_it_has_let_go_of_more_meanwhile(self) -> None:
        bench = bench_with(1, 2)
        one = copying(bench, state([(4, 0)], 30))
        bench.forget_outputs()
        one.receive(1.1, "b", Range(0, 6, 2, items(3, 4), 0))
        one.receive(1.2, "b", Trimmed(0, 6, 4))
        assert bench.events() == [], "it has what was let go of"
        one.receive(1.2, "b", Trimmed(0, 6, 20))
        assert bench.events() == [CacheWanted(0, LOG, "b")]
        one.cache_filled(2.0, (4, 24))
        one.receive(2.1, "b", Range(0, 6, 25, items(26, 27, 28, 29, 30), 0))
        one.finish()
        assert held(bench) == (6, 25, 30, 25, [26, 27, 28, 29, 30], [(4, 0)])

    def test_the_cache_is_ahead_of_the_log_as_it_was(self) -> None:
        bench = Bench("a")
        one = copying(bench, state([(6, 0)], 130, base=100))
        one.cache_filled(2.0, (6, 500))
        assert one.is_done
        one.finish()
        assert held(bench) == (6, 130, 130, 130, [], [(6, 0)])
        assert bench.slot.log.position(129) == (6, 129)

    def test_a_cache_that_nobody_waits_for(self) -> None:
        bench = bench_with(1, 2)
        one = copying(bench, state([(4, 0)], 4))
        one.cache_filled(1.1, (4, 3))
        one.receive(1.2, "b", Range(0, 6, 2, items(3, 4), 0))
        one.finish()
        assert held(bench) == (6, 0, 4, 0, [1, 2, 3, 4], [(4, 0)])

    def test_this_node_has_let_go_of_what_the_other_has(self) -> None:
        """The other's log may be older than what this node has let go of only if they have nothing in common here."""
        bench = Bench("a")
        bench.slot.incarnation = LOG
        bench.slot.log = SlotLog(50, [(4, 40)])
        one = copying(bench, state([(3, 0), (6, 20)], 60))
        assert one.waits_for_cache
        assert bench.events() == [CacheWanted(0, LOG, "b")]


def test_an_observer_of_what_is_lost_goes_on_from_what_is_not() -> None:
    """W voters lost their memory at once: what they had committed is gone, though an observer has it still."""
    bench = Bench("d")
    bench.follow(0.0, "a", 4, 1, 2, 3, commit=3)
    one = copying(bench, state([(4, 0), (6, 1)], 2))
    assert held(bench)[3] == 3
    one.receive(1.1, "b", Range(0, 6, 1, items(9), 0))
    one.finish()
    assert held(bench) == (6, 0, 2, 1, [1, 9], [(4, 0), (6, 1)])
