"""What moves is told where it comes to rest."""

from dataclasses import replace
from random import Random

from mesh.slots.slot import SlotConfig
from node.core import AMNESIC_S, NodeCore
from node.effects import LogLine
from node.settled import Settled
from tests.node.cores import VOTER


def test_it_is_told_at_the_second_look_that_finds_it_the_same_and_once() -> None:
    settled = Settled(0)
    assert [settled.look(value) for value in (5, 9, 9, 9, 0, 0)] == [False, False, True, False, False, True]
    assert settled.told == 0


def test_what_comes_and_goes_between_two_looks_is_not_told() -> None:
    settled = Settled(0)
    assert not any(settled.look(value) for value in (0, 7, 0, 7, 0))


def test_more_looks_may_have_to_find_it_the_same() -> None:
    settled = Settled(0, 3)
    assert [settled.look(value) for value in (5, 5, 5, 6, 6, 6, 6)] == [False] * 6 + [True]


def test_a_voter_with_a_new_disk_is_logged_once_it_has_waited_for_others_a_while() -> None:
    node = NodeCore(100.0, replace(VOTER, slots=SlotConfig(voters=("a", "b", "c"))), "boot", None, Random(1))

    def logged(now: float) -> list[dict[str, object]]:
        node.tick(now)
        effects = node.take_effects(now)
        return [one.fields for one in effects if isinstance(one, LogLine) and one.name == "promises_unknown"]

    for second in range(1, AMNESIC_S + 1):
        assert logged(100.0 + second) == [], "voters that start together hear from each other soon"
    assert [fields["waits_for"] for fields in logged(101.0 + AMNESIC_S)] == [["b", "c"]]
    assert logged(102.0 + AMNESIC_S) == []
