"""Nodes that leave hand over to one that stays, also when several leave at once."""

from __future__ import annotations

from typing import Any

from mesh.slots.slot import Committed, Role
from mesh.slots.slots import LEAVE_TOLD_S
from tests.mesh.slots.slot_world import World


def coordinator(world: World) -> str:
    found = [
        name
        for name, node in world.nodes.items()
        if node.slots is not None and node.slots.by_number[0].role is Role.COORDINATOR
    ]
    assert len(found) == 1
    return found[0]


def leave(world: World, *names: str) -> None:
    """All at once, and repeat it as the shell does."""
    for _ in range(40):
        for name in names:
            world.leave(name)
        world.run(50)


def test_of_three_the_one_that_stays_gets_the_slot_and_keeps_everything() -> None:
    committed: list[tuple[str, Any]] = []

    def listen(now: int, name: str, what: Any, to: str) -> None:
        if isinstance(what, Committed):
            committed.append((name, what))

    world = World("abc", listen=listen)
    world.run(3_000)
    world.publish("a", "p", 1, "x")
    world.run(500)
    first = coordinator(world)
    stays, other = [name for name in "cba" if name != first]
    incarnation = committed[-1][1].incarnation
    leave(world, first, other)
    assert coordinator(world) == stays
    for name in (first, other):
        world.crash(name)
    world.declare([stays])
    world.run(2_000)
    for name in (first, other):
        world.start(name)
    world.declare("abc")
    world.run(5_000)
    node = world.nodes[coordinator(world)]
    assert node.slots is not None
    assert node.slots.by_number[0].incarnation == incarnation, "no memory was lost"
    assert node.slots.by_number[0].commit == 1


def test_where_all_leave_nothing_is_waited_for() -> None:
    world = World("abc")
    world.run(3_000)
    leave(world, *"abc")
    assert sum(node.slots.to_hand_over for node in world.nodes.values() if node.slots is not None) == 0
    assert LEAVE_TOLD_S < 0.5
