"""The gateway workers that are attached to this node, and what of the node goes when one goes.

Not here: their processes and the link (node/workers.py).
"""

from __future__ import annotations

from gateway.link.events import CatchUp
from node.admissions import AdmissionConfig, Admissions
from node.backfill.backfills import Backfills
from node.backfill.catch_ups import CatchUps
from node.effects import Effects
from node.interest import Interest, WorkerId
from node.publishing import Publishing
from node.vacancies import Vacancies


class AttachedWorkers:
    """By id, in the order in which they came."""

    def __init__(
        self,
        interest: Interest,
        backfills: Backfills,
        catch_ups: CatchUps,
        publishing: Publishing,
        effects: Effects,
        admission: AdmissionConfig,
    ) -> None:
        self._interest = interest
        self._backfills = backfills
        self._catch_ups = catch_ups
        self._publishing = publishing
        self._effects = effects
        self.ids: dict[WorkerId, None] = {}
        self.vacancies = Vacancies(effects)
        self.admissions = Admissions(admission, effects)

    def join(self, worker: WorkerId) -> None:
        """A worker has begun."""
        self.ids[worker] = None
        self.vacancies.joined(worker)

    def lost_place(self, worker: WorkerId) -> None:
        """The worker misses something that it was told: it gets no live messages until it has said `CatchUp`."""
        self._interest.lose(worker)
        self._stop_working_for(worker)

    def catch_up(self, worker: WorkerId, event: CatchUp) -> None:
        """The worker has found out that it misses something."""
        self._backfills.forget(worker)
        self._catch_ups.begin(worker, event)

    def leave(self, worker: WorkerId) -> None:
        """The worker is gone."""
        self.ids.pop(worker, None)
        self.vacancies.left(worker)
        self.admissions.gone(worker)
        self._interest.forget(worker)
        self._stop_working_for(worker)

    def resync(self) -> None:
        """Have all of them caught up."""
        for worker in self.ids:
            self.lost_place(worker)
            self._effects.resync(worker)

    def _stop_working_for(self, worker: WorkerId) -> None:
        self._backfills.forget(worker)
        self._catch_ups.forget(worker)
        self._publishing.forget(worker)
