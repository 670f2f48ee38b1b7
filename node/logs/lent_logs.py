"""The logs of this node's cache from which peers are answered: those that are whole up to their end.

Not here: what peers ask (mesh/cache/state_transfer.py, mesh/cache/peer_scan.py).
"""

from __future__ import annotations

from mesh.cache.cache import Log
from mesh.repeats import Repeats
from mesh.slots.slots import Slots
from node.topics import Source, Topics


class LentLogs:
    """Slots' logs and Kafka's, by id."""

    def __init__(self, topics: Topics, slots: Slots) -> None:
        self._topics = topics
        self._slots = slots
        self.incomplete: set[str] = set()
        """Slots' logs that lack something which is on its way."""
        self.fed: dict[str, Source] = {}
        """Kafka's logs that are open to the feed, by id."""

    def lend(self, log_id: str) -> tuple[Log, Repeats | None] | None:
        """A log with its memory of publishes, if peers may be answered from it."""
        number = self._topics.slot_of_log(log_id)
        if number is not None:
            log, slot = self._topics.slots[number], self._slots.by_number[number]
            if log is None or not slot.accepted or log_id in self.incomplete:
                return None
            return log, slot.repeats
        source = self.fed.get(log_id)
        if source is None or source.log is None or not source.loaded:
            return None
        return source.log, source.repeats

    def lend_log(self, log_id: str) -> Log | None:
        """As `lend`, for those who do not care for publishes."""
        lent = self.lend(log_id)
        return None if lent is None else lent[0]
