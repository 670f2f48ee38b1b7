"""Durations in buckets."""

from __future__ import annotations

from mesh.histogram import SECONDS, Histogram


def test_buckets_hold_all_that_took_at_most_so_long() -> None:
    taken = Histogram()
    for seconds in (0.0, 0.001, 0.0011, 0.3, 31.0):
        taken.observe(seconds)
    buckets = dict(taken.buckets())
    assert [*buckets] == [*map(str, SECONDS), "+Inf"]
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.25"], buckets["0.5"]) == (2, 3, 3, 4)
    assert (buckets["30.0"], buckets["+Inf"]) == (4, 5)
    assert abs(taken.sum - 31.3021) < 1e-9


def test_one_observation_may_stand_for_many_and_the_counts_can_be_handed_on() -> None:
    taken = Histogram()
    taken.observe(0.002, 3)
    taken.observe(40.0)
    assert dict(taken.buckets())["0.0025"] == 3
    assert taken.sum == 40.006
    assert Histogram(taken.counts, taken.sum).buckets() == taken.buckets()
