"""Which workers have room for connections, and who is told: a full worker leaves new ones to the others while it can.

Not here: how a worker does that (gateway/worker.py).
"""

from __future__ import annotations

from gateway.link.events import Room
from node.effects import Effects
from node.interest import WorkerId


class Vacancies:
    """Tells each worker whether others have room, as soon as that changes."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._has_room: dict[WorkerId, bool] = {}
        self._told: dict[WorkerId, bool] = {}
        """What each worker was told last. One that was told nothing takes it that the others have no room."""

    def joined(self, worker: WorkerId) -> None:
        """A worker has begun, without connections."""
        self._has_room[worker] = True
        self._tell()

    def measured(self, worker: WorkerId, connections: float, connections_max: float) -> None:
        """What the worker counts."""
        if worker in self._has_room:
            self._has_room[worker] = connections < connections_max
            self._tell()

    def left(self, worker: WorkerId) -> None:
        """The worker is gone."""
        self._has_room.pop(worker, None)
        self._told.pop(worker, None)
        self._tell()

    def repeat(self) -> None:
        """Once a second: what was said may have been lost."""
        self._tell(again=True)

    def _tell(self, again: bool = False) -> None:
        with_room = sum(self._has_room.values())
        for worker, has_room in self._has_room.items():
            others = with_room > has_room
            if others is not self._told.get(worker, False) or (again and worker in self._told):
                self._told[worker] = others
                self._effects.to_worker(worker, Room(others))
