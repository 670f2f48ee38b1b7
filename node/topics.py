"""The Kafka partitions that the node knows of, each as a log: what exists, what has ended, what is being read.

A log's id is `<partition>.<incarnation>`; the incarnation comes from Kafka's topic id, so a topic that is deleted
and created again has new logs (DESIGN 3).

    starting --- where to read from is known ---> filling --- the end was reached ---> loaded
        (also: the partition has no leader)                                                |
                                                       gone from Kafka's metadata ---> ended

Not here: asking Kafka (node/kafka/discovery.py), the entries (mesh/cache.py).
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Collection

from gateway.mapping import Mapping
from gateway.settings import TopicRule
from mesh.cache import Log
from mesh.log import Position
from mesh.repeats import Repeats

ENDED_REMEMBERED_MAX = 1000


def incarnation_of(topic_id: bytes) -> str:
    """Eight characters that name one incarnation of a topic."""
    return base64.urlsafe_b64encode(hashlib.sha256(topic_id).digest()[:6]).decode()


class Source:
    """One partition as a log."""

    __slots__ = (
        "generation",
        "is_late",
        "is_new",
        "loaded",
        "log",
        "log_id",
        "partition",
        "repeats",
        "rule",
        "skips_first",
        "topic",
        "torn",
        "warm_until_ms",
    )

    def __init__(
        self, topic: str, partition: int, log_id: str, rule: TopicRule, is_new: bool = False, is_late: bool = False
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.log_id = log_id
        self.rule = rule
        self.is_new = is_new
        """It appeared while the node was watching: everything in it is new."""
        self.is_late = is_late
        """It was not known when the node began to watch, new or not."""
        self.log: Log | None = None
        """None while it is not known where to read from."""
        self.loaded = False
        self.generation = 0
        """Records read in an earlier generation are not of this log (node/kafka/reader.py)."""
        self.repeats: Repeats | None = None
        """Only where clients may publish."""
        self.warm_until_ms = 0
        """Entries with an earlier time only fill `repeats` (see mesh/repeats.py)."""
        self.skips_first = False
        """The first entry is not kept: only it tells the epoch from which on the log is known."""
        self.torn: Position | None = None
        """Set while entries after this position were missed and the next one has not been read yet."""


class Topics:
    """All sources of a node, by topic and log id."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.known = False
        """Whether Kafka has been asked successfully at least once."""
        self.sources: dict[str, dict[str, Source]] = {}
        self.by_partition: dict[tuple[str, int], Source] = {}
        self._unsure: set[str] = set()
        """Topics that exist and have never been found."""
        self._ended: OrderedDict[str, Position] = OrderedDict()

    def update(
        self, found: dict[str, tuple[str, int]], unsure: Collection[str] = ()
    ) -> tuple[list[Source], list[Source]]:
        """What Kafka has now; returns new and ended sources.

        Args:
            found: Topic -> (incarnation, number of partitions).
            unsure: Topics that exist, but of which Kafka does not say more now.
        """
        first, self.known = not self.known, True
        begun, ended = [], []
        for topic in [*self.sources]:
            incarnation, count = found.get(topic, ("", 0))
            for source in [*self.sources[topic].values()]:
                if source.partition >= count or source.log_id != _log_id(source.partition, incarnation):
                    self._end(source)
                    ended.append(source)
        for topic, (incarnation, count) in found.items():
            rule = self.mapping.rule_for(topic)
            if rule is None:
                continue
            sources = self.sources.setdefault(topic, {})
            for partition in range(count):
                log_id = _log_id(partition, incarnation)
                if log_id not in sources:
                    # Not new: what was there all the time and could only not be seen, or seems to have come back.
                    is_new = not (first or topic in self._unsure or log_id in self._ended)
                    source = Source(topic, partition, log_id, rule, is_new, is_late=not first)
                    sources[log_id] = self.by_partition[topic, partition] = source
                    begun.append(source)
        self._unsure = (self._unsure - found.keys()) | set(unsure)
        return begun, ended

    def forget_end(self, log_id: str) -> None:
        """A log ended before all of it was read."""
        self._ended.pop(log_id, None)

    def ended_at(self, log_id: str) -> Position | None:
        """The last position that was read of a log that has ended, while that is remembered."""
        return self._ended.get(log_id)

    def of(self, topic: str) -> dict[str, Source]:
        """The sources of a topic by log id; empty if there is no such topic."""
        return self.sources.get(topic, {})

    def _end(self, source: Source) -> None:
        del self.sources[source.topic][source.log_id]
        del self.by_partition[source.topic, source.partition]
        if not self.sources[source.topic]:
            del self.sources[source.topic]
        if source.log is not None and source.loaded:
            self._ended[source.log_id] = source.log.end
            if len(self._ended) > ENDED_REMEMBERED_MAX:
                self._ended.popitem(last=False)


def _log_id(partition: int, incarnation: str) -> str:
    return f"{partition}.{incarnation}"
