"""Which workers stand still."""

from __future__ import annotations

from collections.abc import Collection

from node.standstill import Standstill

TICK_S = 0.05


class Watched:
    """A clock, ticking."""

    def __init__(self) -> None:
        self.now = 100.0
        self.standstill = Standstill()
        self.waited_s: dict[int, float] = {}

    def joined(self, worker: int) -> None:
        self.waited_s[worker] = 0.0
        self.standstill.joined(self.now, worker)

    def heard(self, worker: int) -> None:
        self.standstill.heard(worker)

    def tick(self, late_s: float = 0.0, waiting: Collection[int] = ()) -> list[int]:
        self.now += TICK_S + late_s
        for worker in waiting:
            self.waited_s[worker] += TICK_S + late_s
        return self.standstill.tick(self.now, self.waited_s)

    def run(self, seconds: float, late_s: float = 0.0, waiting: Collection[int] = ()) -> list[int]:
        """Time passes, in ticks that each come that late; some workers wait for a processor meanwhile."""
        until = self.now + seconds
        found = []
        while self.now < until:
            found += self.tick(late_s, waiting)
        return found


def test_one_that_is_silent_for_three_seconds_stands_still_and_is_named_once() -> None:
    watched = Watched()
    watched.joined(1)
    watched.joined(2)
    assert watched.run(2.0) == []
    watched.heard(2)
    assert watched.run(0.9) == []
    assert watched.run(0.2) == [1]
    assert watched.run(1.5) == []
    assert watched.run(1.0) == [2]


def test_one_that_has_not_spoken_yet_or_is_gone_is_not_watched() -> None:
    watched = Watched()
    watched.joined(1)
    watched.standstill.gone(1)
    assert watched.run(10.0) == []


def test_a_node_that_stood_still_itself_has_only_not_read() -> None:
    watched = Watched()
    watched.joined(1)
    assert watched.tick(late_s=60.0) == []
    watched.heard(1)
    assert watched.run(2.5) == []


def test_a_starved_node_waits_longer() -> None:
    watched = Watched()
    watched.joined(1)
    assert watched.run(8.0, late_s=0.25) == []  # a third of its time
    assert watched.run(2.0, late_s=0.25) == [1]


def test_one_that_waits_for_a_processor_does_not_stand_still() -> None:
    watched = Watched()
    watched.joined(1)
    watched.joined(2)
    assert watched.run(10.0, waiting=[1]) == [2]
    assert watched.run(2.9) == []
    assert watched.run(0.2) == [1], "it had the processor, and said nothing"


def test_what_a_worker_waited_before_it_spoke_is_not_given_to_it_again() -> None:
    watched = Watched()
    watched.joined(1)
    watched.run(60.0, waiting=[1])
    watched.heard(1)
    assert watched.run(2.9) == []
    assert watched.run(0.2) == [1]
