"""Which workers stand still."""

from __future__ import annotations

from node.standstill import Standstill

TICK_S = 0.05


class Watched:
    """A clock, ticking."""

    def __init__(self) -> None:
        self.now = 100.0
        self.standstill = Standstill(self.now)

    def tick(self, late_s: float = 0.0) -> list[int]:
        self.now += TICK_S + late_s
        return self.standstill.tick(self.now)

    def run(self, seconds: float, late_s: float = 0.0) -> list[int]:
        """Time passes, in ticks that each come that late."""
        until = self.now + seconds
        found = []
        while self.now < until:
            found += self.tick(late_s)
        return found


def test_one_that_is_silent_for_three_seconds_stands_still_and_is_named_once() -> None:
    watched = Watched()
    watched.standstill.heard(1)
    watched.standstill.heard(2)
    assert watched.run(2.0) == []
    watched.standstill.heard(2)
    assert watched.run(0.9) == []
    assert watched.run(0.2) == [1]
    assert watched.run(1.5) == []
    assert watched.run(1.0) == [2]


def test_one_that_has_not_spoken_yet_or_is_gone_is_not_watched() -> None:
    watched = Watched()
    watched.standstill.heard(1)
    watched.standstill.gone(1)
    assert watched.run(10.0) == []


def test_a_node_that_stood_still_itself_has_only_not_read() -> None:
    watched = Watched()
    watched.standstill.heard(1)
    assert watched.tick(late_s=60.0) == []
    watched.standstill.heard(1)
    assert watched.run(2.5) == []


def test_a_starved_node_waits_longer() -> None:
    watched = Watched()
    watched.standstill.heard(1)
    assert watched.run(8.0, late_s=0.25) == []  # a third of its time
    assert watched.run(2.0, late_s=0.25) == [1]
