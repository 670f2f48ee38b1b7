"""What workers have said to a node and it has not handled yet: handled soon, some of it at a time.

Not here: in which order (node/worker_queue.py, as shipped), what handling means (node.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from gateway.link.events import FromWorker
from node.worker_queue import WorkerEvent, WorkerQueue
from tests.sim.schedule import Schedule

LATER_S = 0.004
"""How long it is put off, at most."""
HANDLED_MAX = 20
"""So many events less one are handled at once, at most."""
AHEAD_MAX = 1
"""Less than a real node's, since there are few clients: so subscribes are often handled in another order."""


class SaidByWorkers:
    """To one process."""

    def __init__(
        self,
        schedule: Schedule,
        rng: Random,
        queue_type: type[WorkerQueue],
        handle: Callable[[Callable[[], list[WorkerEvent]]], bool],
    ) -> None:
        """`handle` takes what is to be handled now, unless it cannot now; whether this process still runs."""
        self._schedule = schedule
        self._rng = rng
        self._queue = queue_type(AHEAD_MAX)
        self._handle = handle
        self._is_scheduled = False

    def put(self, worker: int, events: Sequence[FromWorker]) -> None:
        """This worker says so."""
        self._queue.put(worker, events)
        self._later()

    def _later(self) -> None:
        if self._queue and not self._is_scheduled:
            self._is_scheduled = True
            self._schedule.after(self._rng.random() * LATER_S, self._now)

    def _now(self) -> None:
        self._is_scheduled = False
        if self._handle(self._take):
            self._later()

    def _take(self) -> list[WorkerEvent]:
        count = min(self._rng.randrange(1, HANDLED_MAX), len(self._queue))
        return [said for _ in range(count) if (said := self._queue.take()) is not None]
