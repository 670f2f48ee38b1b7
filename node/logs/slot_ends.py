"""Places of clients that are after the end of a slot's log here: the log gets there, or it has lost them.

The node that the client comes from may have been ahead of this one, so nothing is said before this node surely has
what the slot's coordinator has. A coordinator that was deposed unseen is found out within SURE_S: until then what it
said last counts for nothing.

Not here: what the client is told (node/backfill/backfill.py), Kafka's logs (node/kafka/replay.py).
"""

from __future__ import annotations

from mesh.slots.slots import Slots
from node.backfill.questions import Measure

SURE_S = 1.5
"""More than a coordinator takes to notice that it has no quorum, and others that it is silent
(`SlotConfig.quorum_lost_s`, `silence_s`).
"""


class SlotEnds:
    """Questions that wait for their answers."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._asked: dict[int, tuple[float, Measure]] = {}
        """By ticket: since when."""

    def ask(self, now: float, ticket: int, measure: Measure) -> None:
        """Whether the log gets to this position; `tick` answers."""
        self._asked[ticket] = now, measure

    def cancel(self, ticket: int) -> bool:
        """Cancel a question. Returns whether it was asked here."""
        return self._asked.pop(ticket, None) is not None

    def tick(self, now: float) -> list[tuple[int, bool]]:
        """About every 50 ms: the answers that are known now, by ticket."""
        answers = []
        for ticket, (since, measure) in self._asked.items():
            end = measure.source.end
            if end is not None and end >= measure.position:
                answers.append((ticket, True))
            elif now - since >= SURE_S and self._slots.ends_before(measure.source.partition, measure.position):
                answers.append((ticket, False))
        for ticket, _ in answers:
            del self._asked[ticket]
        return answers
