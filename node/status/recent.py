"""What has happened to a node and its cluster lately, in sentences, newest last: for the console of the page.

A core: it compares what is so with what was so a second ago.

Not here: what is so now (problems.py), the log with all details (gateway/link/logs.py).
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

EVENTS_MAX = 100
MOVES_WITHIN_S, MOVES_QUIET_S = 10, 2
"""Slots move one by one, and are reported together: once none has moved for the second time, or after the first."""


@dataclass(slots=True)
class Observation:
    """What is so at this moment."""

    ready: bool
    kafka_error: str
    """Empty while Kafka answers, and where there is none."""
    members: dict[str, str]
    """Name to state (`alive`, `suspect`, `dead`, `left`), of all nodes but this one."""
    coordinators: dict[int, str]
    """Slot to the node that coordinates it; slots without one are missing."""
    restarts: dict[int, int]
    """Worker to how often it was started again."""


@dataclass(slots=True)
class Recent:
    """Fed once a second."""

    events: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=EVENTS_MAX))
    """When (milliseconds since 1970) and what."""
    _before: Observation | None = None
    _moves: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    """Slots that went from one coordinator to another, not told yet."""
    _moving_s: int = 0
    _quiet_s: int = 0

    def second(self, wall_ms: int, now: Observation) -> None:
        """Say what has changed."""
        before, self._before = self._before, now
        if before is None:
            return
        found = _changes(before, now)
        moved = _moved(before.coordinators, now.coordinators)
        self._moves += moved
        self._moving_s += bool(self._moves)
        self._quiet_s = 0 if moved else self._quiet_s + 1
        if self._moves and (self._quiet_s >= MOVES_QUIET_S or self._moving_s >= MOVES_WITHIN_S):
            found += [_move(old, new, count) for (old, new), count in self._moves.items()]
            self._moves.clear()
            self._moving_s = 0
        self.events.extend((wall_ms, text) for text in found)


def _changes(before: Observation, now: Observation) -> list[str]:
    found = []
    if now.ready and not before.ready:
        found.append("this node is ready")
    if now.kafka_error and not before.kafka_error:
        found.append(f"Kafka does not answer: {now.kafka_error}")
    elif before.kafka_error and not now.kafka_error:
        found.append("Kafka answers")
    for name, state in now.members.items():
        if before.members.get(name) != state:
            found.append(f"node {name} is {state}")
    for worker, restarts in now.restarts.items():
        if restarts > before.restarts.get(worker, 0):
            found.append(f"worker {worker} was started again")
    return found


def _moved(before: dict[int, str], now: dict[int, str]) -> Counter[tuple[str | None, str | None]]:
    pairs = ((before.get(slot), now.get(slot)) for slot in before.keys() | now.keys())
    return Counter((old, new) for old, new in pairs if old != new)


def _move(old: str | None, new: str | None, count: int) -> str:
    slots = "1 slot" if count == 1 else f"{count} slots"
    if new is None:
        return f"{slots} lost the coordinator {old}"
    return f"{new} coordinates {slots}" + (f" instead of {old}" if old else "")
