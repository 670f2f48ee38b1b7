"""Latency over time, from samples."""

from loadtest.overload import p99_by_time


def test_what_was_due_in_a_span_counts_for_it_whenever_it_came() -> None:
    due = [1_000, 1_100, 1_499, 1_500, 2_600]
    latency = [10, 5_000, 20, 30, 40]
    assert p99_by_time(due, latency, [98, 1, 1, 1, 7], 1_000, 500) == [(1_000, 20), (1_500, 30), (2_500, 40)]
