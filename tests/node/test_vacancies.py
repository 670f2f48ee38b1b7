"""Whether workers are told that others have room."""

from __future__ import annotations

from gateway.link.events import Room, Stats
from node.effects import ToWorker
from tests.node.cores import ALONE, OneNode


class Told:
    """Workers 1 and 2 of a node."""

    def __init__(self) -> None:
        self.node = OneNode(ALONE)
        self.node.core.worker_joined(self.node.now, 2)

    def news(self) -> dict[int, bool]:
        """What each is told last since this was asked."""
        told = self.node.all(ToWorker)
        return {one.worker: one.event.others for one in told if isinstance(one.event, Room)}

    def measured(self, worker: int, connections: int, connections_max: int = 50) -> None:
        stats = Stats({"connections": connections, "connections_max": connections_max})
        self.node.core.worker_event(self.node.now, 0, worker, stats)


def test_workers_that_begin_have_room() -> None:
    assert Told().news() == {1: True, 2: True}


def test_who_is_full_or_has_room_again_is_told_to_the_others_at_once() -> None:
    told = Told()
    told.news()
    told.measured(1, 49)
    assert told.news() == {}
    told.measured(1, 50)
    assert told.news() == {2: False}
    told.measured(2, 50)
    assert told.news() == {1: False}
    told.measured(2, 50, connections_max=60)
    assert told.news() == {1: True}


def test_a_worker_that_is_gone_has_no_room() -> None:
    told = Told()
    told.news()
    told.node.core.worker_gone(told.node.now, 2)
    assert told.news() == {1: False}
    told.measured(2, 0)  # said before it died
    assert told.news() == {}


def test_it_is_said_again_every_second() -> None:
    told = Told()
    told.news()
    told.node.now += 1.1
    told.node.core.tick(told.node.now)
    assert told.news() == {1: True, 2: True}
