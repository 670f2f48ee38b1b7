"""The wheel: nothing early, nothing late, nothing twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.sockets.wheel import NEVER, Wheel

TICK_S = 0.05


class Item:
    def __init__(self) -> None:
        self.wake = NEVER


def test_an_item_is_due_once_not_early_and_at_most_two_ticks_late() -> None:
    wheel: Wheel[Item] = Wheel(100.0, TICK_S)
    item = Item()
    wheel.schedule(100.02, item, 1.0)
    assert wheel.advance(101.019) == []
    assert wheel.advance(101.02 + 2 * TICK_S) == [item]
    assert item.wake == NEVER
    assert wheel.advance(200.0) == []


def test_scheduling_again_replaces() -> None:
    wheel: Wheel[Item] = Wheel(0.0, TICK_S)
    item = Item()
    wheel.schedule(0.0, item, 1.0)
    wheel.schedule(0.0, item, 5.0)
    assert wheel.advance(4.9) == []
    wheel.schedule(4.9, item, 0.0)
    assert wheel.advance(5.0) == [item]
    assert wheel.advance(60.0) == []


def test_a_pause_of_the_process_makes_everything_due_in_order() -> None:
    wheel: Wheel[Item] = Wheel(0.0, TICK_S)
    items = [Item() for _ in range(5)]
    for delay, item in zip((5, 1, 4, 2, 3), items, strict=True):
        wheel.schedule(0.0, item, delay)
    assert wheel.advance(1000.0) == [items[1], items[3], items[4], items[2], items[0]]


def test_what_will_never_be_due_is_left_out() -> None:
    wheel: Wheel[Item] = Wheel(0.0, TICK_S)
    item = Item()
    wheel.schedule(0.0, item, 1.0)
    item.wake = NEVER
    assert wheel.advance(10.0) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(0, 3), st.floats(0, 2)),
        max_size=40,
    )
)
def test_as_if_each_item_had_a_timer(steps: list[tuple[int, float, float]]) -> None:
    wheel: Wheel[Item] = Wheel(0.0, TICK_S)
    items = [Item() for _ in range(4)]
    deadlines: dict[int, float] = {}
    now = 0.0
    for which, delay, passed in steps:
        wheel.schedule(now, items[which], delay)
        deadlines[which] = now + delay
        now += passed
        for item in wheel.advance(now):
            deadline = deadlines.pop(items.index(item))
            assert deadline <= now + 1e-9
        assert all(deadline > now - 2 * TICK_S - 1e-9 for deadline in deadlines.values())
