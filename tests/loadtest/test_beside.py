"""Two checkouts beside each other: pairs, costs, intervals and verdicts."""

import pytest

from loadtest.beside import beside_json, beside_table, compare, interval
from loadtest.report import Row


def rate(value: float, floor: float | None = None) -> Row:
    return Row("a.per_cpu_s", value, "1/s", floor)


def latency(value: float) -> Row:
    return Row("a.p99_ms", value, "ms", None, less_is_better=True)


def test_an_interval_drops_as_much_as_it_may_at_both_ends() -> None:
    assert interval([3]) == (3, 3)
    assert interval([5, 1, 4, 2, 3]) == (1, 5)  # 94 % sure; 62 % without the outermost
    assert interval([7, 1, 2, 6, 3, 5, 4]) == (2, 6)  # 87.5 %
    assert interval(range(12)) == (3, 8)  # 85 %


def test_a_cost_above_one_is_worse_for_rates_and_for_latencies() -> None:
    slower, later = compare([([rate(1000), latency(10)], [rate(800), latency(12)])] * 4)
    assert slower.costs == [1.25] * 4
    assert later.costs == [1.2] * 4
    assert {slower.verdict, later.verdict} == {"LOSS"}


def test_a_verdict_needs_the_whole_interval() -> None:
    def verdict(*here: float) -> str:
        return compare([([latency(100)], [latency(value)]) for value in here])[0].verdict

    assert verdict(106, 107, 106, 120) == "LOSS"
    assert verdict(104, 100, 90, 105) == "kept"
    assert verdict(104, 100, 90, 120) == "open"
    assert verdict(200, 200, 200) == "open", "three are too few"
    assert verdict(300, 100, 100, 100, 100, 100, 100) == "kept", "one of seven may be anything"


def test_only_runs_of_the_same_round_are_compared() -> None:
    (found,) = compare([([rate(10)], [rate(20)]), ([], [rate(5)]), ([rate(10)], [])])
    assert (found.other, found.here) == ((10,), (20,))
    assert compare([([], [])]) == []


def test_the_table_says_both_and_how_alike_the_floors_were() -> None:
    found = compare([([rate(1000, 500)], [rate(1100, 600)])] * 2)
    header, line = beside_table(found).splitlines()
    assert header.split() == ["other", "here", "unit", "cost", "from", "to", "rounds", ">", "1.05?", "floors"]
    assert line.split() == ["a.per_cpu_s", "1,000", "1,100", "1/s", "0.909", "0.909", "0.909", "2", "open", "1.20"]
    assert beside_json(found[0])["cost"] == pytest.approx(0.9091)
