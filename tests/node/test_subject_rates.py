"""What is counted of subjects' messages, and what stands for the rest."""

from __future__ import annotations

from node.subject_rates import COUNTED_PER_TICK, SubjectRates


def pass_through(rates: SubjectRates, subject: str, batches: int, size: int) -> None:
    for _ in range(batches):
        counter = rates.counter(size)
        if counter is not None:
            counter[subject] += size


def test_a_few_are_counted_exactly_and_only_once() -> None:
    rates = SubjectRates()
    pass_through(rates, "/t/a", 2, 3)
    pass_through(rates, "/t/b", 1, 1)
    assert rates.take(10) == [("/t/a", 6), ("/t/b", 1)]
    assert rates.take(10) == []


def test_of_many_the_first_of_each_tick_stand_for_all() -> None:
    rates = SubjectRates()
    for _ in range(100):
        for _ in range(COUNTED_PER_TICK // 2):
            pass_through(rates, "/t/a", 1, 15)
            pass_through(rates, "/t/b", 1, 5)
        rates.tick()
    (first, most), (second, less) = rates.take(2)
    everything = 100 * COUNTED_PER_TICK // 2 * 20
    assert (first, second) == ("/t/a", "/t/b")
    assert abs(most - everything * 3 / 4) < everything / 100
    assert abs(most + less - everything) < 1


def test_only_so_many_subjects_are_told() -> None:
    rates = SubjectRates()
    for number in range(5):
        pass_through(rates, f"/t/{number}", 1, number + 1)
    assert [subject for subject, _ in rates.take(2)] == ["/t/4", "/t/3"]
