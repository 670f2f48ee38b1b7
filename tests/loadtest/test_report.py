"""The report: percentiles, goals, the table and the JSON."""

import pytest

from loadtest.report import Row, as_json, percentile, table

FAST = Row("a.per_cpu_s", 50_000.4, "1/s", 75_000, 40_000, 60_000)
SLOW = Row("a.p99_ms", 12.3456, "ms", 4, 10, None, less_is_better=True)


def test_a_percentile_counts_messages_not_samples() -> None:
    assert percentile([30, 10, 20], [1, 1, 1], 0.5) == 20
    assert percentile([30, 10, 20], [98, 1, 1], 0.5) == 30
    assert percentile([30, 10, 20], [1, 98, 1], 0.98) == 10
    assert percentile([30, 10, 20], [1, 98, 1], 0.99) == 20
    assert percentile([30, 10, 20], [1, 98, 1], 1) == 30
    with pytest.raises(ValueError, match="no samples"):
        percentile([], [], 0.5)


def test_a_goal_is_reached_from_the_right_side() -> None:
    assert FAST.reaches(40_000)
    assert not FAST.reaches(60_000)
    assert SLOW.reaches(13)
    assert not SLOW.reaches(10)


def test_the_table_marks_goals() -> None:
    header, fast, slow = table([FAST, SLOW]).splitlines()
    assert header.split() == ["value", "unit", "floor", "ratio", "goal", "stretch"]
    assert fast.split() == ["a.per_cpu_s", "50,000", "1/s", "75,000", "0.67", "40,000", "ok", "60,000", "NO"]
    assert slow.split() == ["a.p99_ms", "12.35", "ms", "4.00", "3.09", "10.00", "NO", "-"]


def test_a_row_as_json() -> None:
    assert as_json(SLOW) == {"name": "a.p99_ms", "value": 12.346, "unit": "ms", "floor": 4, "ratio": 3.086, "goal": 10}
    assert as_json(Row("x", 1, "s", None))["ratio"] is None
