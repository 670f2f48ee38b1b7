"""How much passes through a node per second, from counters that only rise.

Not here: the document that shows it (document.py).
"""

from __future__ import annotations

from node.core import NodeCore
from node.workers import SupervisedWorker, Workers

BUSIEST = 10
BUSIEST_EVERY_S = 5


class Throughput:
    """Fed once a second."""

    def __init__(self, now: float, core: NodeCore, workers: Workers) -> None:
        self._core = core
        self._workers = workers
        self._at = now
        self._seconds = 0
        self._records = 0
        self._messages_out: dict[int, float] = {}
        self._appended: dict[str, int] = {}
        self._out_per_s_of: dict[int, float] = {}
        self._per_s_of: dict[str, float] = {}
        self.in_per_s = 0.0
        self.busiest: list[dict[str, object]] = []
        """The busiest subjects, with messages per second."""

    @property
    def out_per_s(self) -> float:
        """Messages sent to clients, of all workers."""
        return sum(self._out_per_s_of.values())

    def out_per_s_of(self, worker: SupervisedWorker) -> float:
        """Messages sent to clients, of one worker."""
        return self._out_per_s_of.get(worker.settings.index, 0.0)

    def per_s_of(self, log_id: str) -> float:
        """Messages of one log."""
        return self._per_s_of.get(log_id, 0.0)

    def second(self, now: float) -> None:
        """Once a second."""
        past = max(now - self._at, 0.1)
        self._at = now
        self._seconds += 1
        records = self._core.intake.records
        self.in_per_s = (records - self._records) / past
        self._records = records
        for worker in self._workers.all:
            index = worker.settings.index
            total = worker.stats.get("messages_out", 0)
            rate = max(0.0, total - self._messages_out.get(index, 0)) / past
            # Workers count once a second too: half of the one before makes up for a second with none or two counts.
            self._out_per_s_of[index] = (self._out_per_s_of.get(index, rate) + rate) / 2
            self._messages_out[index] = total
        logs = self._core.cache.logs.values()
        self._per_s_of = {log.id: (log.appended - self._appended.get(log.id, 0)) / past for log in logs}
        self._appended = {log.id: log.appended for log in logs}
        if self._seconds % BUSIEST_EVERY_S == 0:
            self.busiest = [
                {"subject": subject, "per_s": round(count / BUSIEST_EVERY_S, 1)}
                for subject, count in self._core.intake.rates.take(BUSIEST)
            ]
