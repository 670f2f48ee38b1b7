"""Which partitions Kafka has stopped to answer for, told from the figures that librdkafka gives of itself.

A fetch waits at the broker for `fetch.wait.max.ms` at most, so a connection that is well receives something that often,
records or none. A partition *flows* while it is being fetched from a broker that is connected and owes no answer (so it
is while librdkafka's queue is full), and when that broker was last heard. It is *stalled* when it has not flowed for
`stall_s`: the network drops everything (of which TCP says nothing for long), the broker is gone or hangs, or nobody
leads the partition.

Rules:
- After an assignment the first verdict is always told, then every change.
- Time runs by librdkafka's clock, and time in which no figures came is not counted: then this process stood still, and
  it may have received what it has not looked at.
- A broker that was called stalled and then did answer is slow: it is waited for longer, for a while.

Not here: what follows from it (mesh/feed/feed.py), the thread that asks (reader.py).
"""

from __future__ import annotations

import msgspec

from node.kafka.events import Where
from node.kafka.figures import BrokerFigures, Figures

EVERY_S = 0.2
"""How often librdkafka gives its figures; with 100 partitions that takes 0.4 % of a core."""
ANSWER_S = 0.4
"""How much longer than a fetch waits an answer may take."""
SLOW_STALL_S = 1.0
"""For how long the partitions of a slow broker need not flow: another node is to go on within 1.5 s."""
SLOW_MAX_S = 1.5
"""A broker that answers even later is not slow: it was away."""
SLOW_FOR_S = 60.0

NOBODY = -1
"""The broker of a partition that is not fetched; librdkafka numbers addresses so whose broker it does not know."""


class Verdicts(msgspec.Struct, gc=False):
    """What has changed."""

    stalled: list[Where]
    flowing: list[Where]


class _Watched:
    __slots__ = ("flowed_at", "has_flowed", "is_stalled")

    def __init__(self) -> None:
        self.flowed_at: float | None = None
        """When it last flowed, or was first looked at; None before that."""
        self.has_flowed = False
        """Since it was assigned: the first time takes longer, for a connection may have to be made."""
        self.is_stalled: bool | None = None
        """As was last told; None if nothing was."""


class Stalls:
    """The partitions that are read."""

    def __init__(self, stall_s: float, every_s: float = EVERY_S) -> None:
        self._stall_s = stall_s
        self._every_s = every_s
        self._watched: dict[Where, _Watched] = {}
        self._looked_at: float | None = None
        self._slow_until: dict[int, float] = {}
        """By broker."""

    def assigned(self, topic: str, partition: int) -> None:
        """It is read from now on, or from another place."""
        self._watched[topic, partition] = _Watched()

    def unassigned(self, topic: str, partition: int) -> None:
        """It is not read any more."""
        self._watched.pop((topic, partition), None)

    def look(self, seen: Figures) -> Verdicts:
        """What librdkafka says every `every_s`."""
        now = seen.ts / 1e6
        stood_still_s = 0.0 if self._looked_at is None else max(0.0, now - self._looked_at - 2 * self._every_s)
        self._looked_at = now
        heard = {one.nodeid: _heard_at(now, one) for one in seen.brokers.values() if one.state == "UP"}
        heard.pop(NOBODY, None)
        verdicts = Verdicts([], [])
        for where, watched in self._watched.items():
            partition = seen.partition(where)
            broker = partition.broker if partition is not None and partition.fetch_state == "active" else NOBODY
            if watched.flowed_at is None:
                watched.flowed_at = now
                continue
            before = watched.flowed_at
            watched.flowed_at = max(before + stood_still_s, heard.get(broker, 0.0))
            if now - watched.flowed_at > self._patience_s(now, broker):
                if not watched.is_stalled:
                    watched.is_stalled = True
                    verdicts.stalled.append(where)
            elif watched.flowed_at > before + stood_still_s and watched.is_stalled is not False:
                if watched.is_stalled and watched.has_flowed and watched.flowed_at < before + SLOW_MAX_S:
                    self._slow_until[broker] = now + SLOW_FOR_S
                watched.has_flowed, watched.is_stalled = True, False
                verdicts.flowing.append(where)
        return verdicts

    def _patience_s(self, now: float, broker: int) -> float:
        return max(self._stall_s, SLOW_STALL_S) if now < self._slow_until.get(broker, 0.0) else self._stall_s


def stall_s(fetch_wait_s: float) -> float:
    """For how long a partition need not flow before it is stalled."""
    return fetch_wait_s + ANSWER_S


def _heard_at(now: float, broker: BrokerFigures) -> float:
    """When a broker last answered, or had no request to answer."""
    if not broker.waitresp_cnt:
        return now
    return now - broker.rxidle / 1e6 if broker.rxidle >= 0 else 0.0
