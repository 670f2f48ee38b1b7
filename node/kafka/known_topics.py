"""What Kafka has of the mapped topics, as far as its answers are to be believed.

"Not allowed", "does not say now" and "not there" are different answers, and only the last ends a log. A list of all
topics tells none of them apart: it leaves out what may not be seen, and a broker that lags behind the others leaves out
what is new. So a topic that is missing in the list is asked for by name, and it is gone when two answers in a row say
that there is no such topic.

A topic without an id that is created again is known by its end alone: within an incarnation that never goes back,
unless the epoch rises. Two answers in a row that say so are believed.

Not here: asking Kafka (discovery.py), which error is which answer (errors.py), what follows from it (node/topics.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum, auto
from typing import TypeAlias

import msgspec

from mesh.log import Position

_NO_ID = "A" * 22
"""How Kafka's zero id is written: it comes from brokers that do not give topics ids."""


class Known(msgspec.Struct, frozen=True):
    """One incarnation of a topic."""

    id: bytes
    """Names the incarnation."""
    partitions: int
    is_by_name: bool = False
    """Kafka gave it no id: when it is deleted and created again it looks the same."""


class Silence(Enum):
    """Why nothing more is said of a topic."""

    ABSENT = auto()
    """It does not exist."""
    FORBIDDEN = auto()
    UNSURE = auto()
    """It exists, or did, but Kafka does not say more now."""


Description: TypeAlias = Known | Silence


class KnownTopics:
    """The mapped topics that there are, to go by."""

    def __init__(self, named: Collection[str]) -> None:
        """Know nothing yet.

        Args:
            named: Topics that the configuration names in full: they are asked for even if no list has them.
        """
        self._named = named
        self.found: dict[str, Known] = {}
        self.forbidden: set[str] = set()
        """Topics that Kafka does not let us describe, whether they were found before or not."""
        self.unsure: set[str] = set()
        """Topics that exist, but have not been identified yet."""
        self.recreated: set[str] = set()
        """Topics without an id that are there again, and new."""
        self._ends: dict[tuple[str, int], Position] = {}
        """Where partitions of topics without an id ended."""
        self._went_back: set[str] = set()
        """Topics whose end was before that, in the last answer."""
        self._replaced: set[str] = set()
        """Topics that have made way for another of their name since the last answer to `to_describe`."""
        self._absent: set[str] = set()
        """Topics that were not there in the last answer, and are believed to exist for now."""

    @property
    def lacks_ids(self) -> bool:
        """Whether there are topics without an id."""
        return any(topic.is_by_name for topic in self.found.values())

    def to_describe(self, listed: Collection[str]) -> list[str]:
        """The topics to ask for by name, after a list of all."""
        return [*dict.fromkeys((*listed, *self.found, *self._named))]

    def identify(self, cluster_id: str, topic: str, topic_id: str, partitions: int) -> Known:
        """A topic that is there.

        Args:
            cluster_id: Empty if Kafka does not give one.
            topic_id: As Kafka writes it; empty if it is not known.
        """
        if topic_id not in ("", _NO_ID):
            return Known(topic_id.encode(), partitions)
        if (known := self.found.get(topic)) is not None:
            return Known(known.id, partitions, known.is_by_name)
        return Known(f"{cluster_id}/{topic}".encode(), partitions, is_by_name=True)

    def take(self, said: Mapping[str, Description]) -> None:
        """Go by an answer to `to_describe`. Within an incarnation partitions are never removed."""
        before, absent_before = self.found, self._absent
        self.found, self.forbidden, self.unsure, self._absent = {}, set(), set(), set()
        self.recreated, self._replaced = self._replaced & said.keys(), set()
        for topic, one in said.items():
            known = before.get(topic)
            if isinstance(one, Known):
                if known is not None and known.id == one.id:
                    one = Known(one.id, max(one.partitions, known.partitions), one.is_by_name)
                self.found[topic] = one
                continue
            if one is Silence.FORBIDDEN:
                self.forbidden.add(topic)
            elif one is Silence.UNSURE and known is None:
                self.unsure.add(topic)
            if known is not None and not (one is Silence.ABSENT and topic in absent_before):
                self.found[topic] = known
                if one is Silence.ABSENT:
                    self._absent.add(topic)

    def to_measure(self) -> list[tuple[str, int]]:
        """The partitions whose ends are to be asked for."""
        return [
            (name, partition)
            for name, topic in self.found.items()
            if topic.is_by_name
            for partition in range(topic.partitions)
        ]

    @property
    def is_in_doubt(self) -> bool:
        """Whether the next answers should come soon."""
        return bool(self._went_back or self._replaced)

    def measured(self, ends: Mapping[tuple[str, int], Position]) -> None:
        """Go by what Kafka has answered to `to_measure`. A topic that was created again is left out until the next
        answer to `to_describe`: its old log ends before the new one begins.
        """
        went_back = {where[0] for where, end in ends.items() if end < self._ends.get(where, end)}
        self._replaced = went_back & self._went_back
        self._went_back = went_back - self._replaced
        for topic in self._replaced:
            del self.found[topic]
        known = self._ends | {where: end for where, end in ends.items() if where[0] not in went_back}
        self._ends = {where: end for where, end in known.items() if where[0] in self.found}
