"""Repeats of a publish are recognised within the window, by the log alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.repeats import Repeats


def test_the_first_is_admitted_and_the_next_is_a_repeat_of_it() -> None:
    repeats = Repeats(1000)
    assert repeats.admit(("p", 1, "/t/k"), (0, 5), 100)
    assert not repeats.admit(("p", 1, "/t/k"), (0, 6), 200)
    assert repeats.original(("p", 1, "/t/k")) == (0, 5)
    assert repeats.admit(("p", 2, "/t/k"), (0, 7), 200)
    assert repeats.admit(("q", 1, "/t/k"), (0, 8), 200)
    assert repeats.original(("r", 1, "/t/k")) is None


def test_the_same_number_for_another_subject_is_another_publish() -> None:
    repeats = Repeats(1000)
    assert repeats.admit(("p", 1, "/t/k"), (0, 5), 100)
    assert repeats.admit(("p", 1, "/t/l"), (0, 6), 100)
    assert [repeats.original(("p", 1, subject)) for subject in ("/t/k", "/t/l")] == [(0, 5), (0, 6)]


def test_what_is_older_than_the_window_is_forgotten() -> None:
    repeats = Repeats(1000)
    repeats.admit(("p", 1, "/t/k"), (0, 0), 100)
    assert not repeats.admit(("p", 1, "/t/k"), (0, 1), 1100)
    assert repeats.admit(("p", 1, "/t/k"), (0, 2), 1101)
    assert repeats.original(("p", 1, "/t/k")) == (0, 2)
    assert len(repeats) == 1


publishes = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 300)), max_size=60)


@given(publishes)
def test_as_a_search_through_the_log_would_say(log: list[tuple[int, int]]) -> None:
    """Times only rise here, as Kafka's append times do."""
    repeats = Repeats(500)
    time = 0
    admitted: dict[int, int] = {}
    for offset, (publish, later) in enumerate(log):
        time += later
        fresh = repeats.admit(("p", publish, "/t/k"), (0, offset), time)
        assert fresh == (publish not in admitted or admitted[publish] < time - 500)
        if fresh:
            admitted[publish] = time


@given(publishes, st.integers(0, 20))
def test_a_reader_that_begins_one_window_earlier_drops_the_same(log: list[tuple[int, int]], cut: int) -> None:
    times = []
    time = 0
    for _, later in log:
        time += later
        times.append(time)
    whole, late = Repeats(500), Repeats(500)
    for offset, ((publish, _), time) in enumerate(zip(log, times, strict=True)):
        shown = whole.admit(("p", publish, "/t/k"), (0, offset), time)
        # A chain of repeats, each within the window of the one before, reaches back only to the first's window.
        if cut < len(times) and time >= times[cut] - 1000:
            shown_late = late.admit(("p", publish, "/t/k"), (0, offset), time)
            if offset >= cut and not any(
                other == publish and times[cut] - 1500 <= at < times[cut] - 1000
                for (other, _), at in zip(log, times, strict=True)
            ):
                assert shown == shown_late
