"""What moves is told where it comes to rest."""

from node.settled import Settled


def test_it_is_told_at_the_second_look_that_finds_it_the_same_and_once() -> None:
    settled = Settled(0)
    assert [settled.look(value) for value in (5, 9, 9, 9, 0, 0)] == [False, False, True, False, False, True]
    assert settled.told == 0


def test_what_comes_and_goes_between_two_looks_is_not_told() -> None:
    settled = Settled(0)
    assert not any(settled.look(value) for value in (0, 7, 0, 7, 0))
