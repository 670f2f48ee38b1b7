"""What Kafka has of the mapped topics, as far as its answers are to be believed.

"Not allowed", "does not say now" and "not there" are different answers, and only the last ends a log. A list of all
topics tells none of them apart: it leaves out what may not be seen, and a broker that lags behind the others leaves out
what is new. So a topic that is missing in the list is asked for by name, and it is gone when two answers in a row say
that there is no such topic.

Not here: asking Kafka (discovery.py), which error is which answer (errors.py), what follows from it (node/topics.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum, auto
from typing import TypeAlias

import msgspec

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


Said: TypeAlias = Known | Silence


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

    def take(self, said: Mapping[str, Said]) -> None:
        """Go by an answer to `to_describe`. Within an incarnation partitions are never removed."""
        before, absent_before = self.found, self._absent
        self.found, self.forbidden, self.unsure, self._absent = {}, set(), set(), set()
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
