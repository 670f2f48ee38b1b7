"""The logs that the node knows of: what exists, what has ended, what is being read.

Of Kafka each partition is a log, `<partition>.<incarnation>`; the incarnation comes from Kafka's topic id, so a topic
that is deleted and created again has new logs. Of the mesh each slot is one, `s<slot>.<incarnation>`, shared
by all namespaces; a subject of a namespace is in the one slot that its hash says.

    starting --- where to read from is known ---> filling --- the end was reached ---> loaded
        (also: the partition has no leader)                                                |
                                                       gone from Kafka's metadata ---> ended

Not here: asking Kafka (node/kafka/discovery.py), the entries (mesh/cache/cache.py).
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Collection, Sequence

from gateway.link.settings import TopicRule
from gateway.link.topic_rules import Mapping
from mesh.cache.cache import Log
from mesh.log import Position
from mesh.placement import slot_of
from mesh.repeats import Repeats
from mesh.subject import is_pattern, topic_of

ENDED_REMEMBERED_MAX = 1000


def incarnation_of(topic_id: bytes) -> str:
    """Eight characters that name one incarnation of a topic."""
    return base64.urlsafe_b64encode(hashlib.sha256(topic_id).digest()[:6]).decode()


class Source:
    """One log as the source of a topic: a partition of it, or a slot of the mesh for the subjects of a namespace."""

    __slots__ = (
        "begun_at",
        "earliest",
        "generation",
        "is_continuous",
        "is_late",
        "is_new",
        "is_slot",
        "is_table",
        "is_table_complete",
        "live_from",
        "loaded",
        "log",
        "log_id",
        "partition",
        "repeats",
        "rule",
        "skips_first",
        "topic",
        "torn",
        "warm_until",
    )

    def __init__(
        self, topic: str, partition: int, log_id: str, rule: TopicRule, is_new: bool = False, is_late: bool = False
    ) -> None:
        self.topic = topic
        self.partition = partition
        """Kafka's number of the partition, or the number of the slot."""
        self.log_id = log_id
        self.rule = rule
        self.is_slot = False
        self.is_table = False
        """Of a compacted topic of Kafka: its latest values are in the node's store (node/tables/)."""
        self.is_table_complete = False
        """The store has them all."""
        self.is_new = is_new
        """It appeared while the node was watching: everything in it is new."""
        self.is_late = is_late
        """It was not known when the node began to watch, new or not."""
        self.log: Log | None = None
        """None while it is not known where to read from."""
        self.loaded = False
        self.live_from: Position | None = None
        """Where those became live in it that were live in its topic before it could be read."""
        self.generation = 0
        """Records read in an earlier generation are not of this log (node/kafka/reader.py)."""
        self.is_continuous = False
        """Since the node's own reader was told to read, what it has delivered joins what the log had."""
        self.repeats: Repeats | None = None
        """Only where clients may publish."""
        self.warm_until = 0
        """Entries below this offset only fill `repeats` (mesh/repeats.py)."""
        self.skips_first = False
        """The first entry is not kept: only it tells the epoch from which on the log is known."""
        self.begun_at = self.earliest = 0
        """Offsets: from where Kafka's partition was read first, and the first that it had."""
        self.torn: Position | None = None
        """Set while entries after this position were missed and the next one has not been read yet."""

    @property
    def why_gone(self) -> str:
        """Why the log is no longer there, if it is not: the `why` of a gap."""
        return "memory_lost" if self.is_slot else "log_gone"

    @property
    def end(self) -> Position | None:
        """Where the log ends here; None while it is not open."""
        return None if self.log is None else self.log.end


class Topics:
    """All sources of a node, by topic and log id."""

    def __init__(self, mapping: Mapping, namespaces: Sequence[TopicRule] = (), slots: int = 0) -> None:
        self.mapping = mapping
        """Of Kafka's topics; namespaces come before it."""
        self.namespaces = {rule.name: rule for rule in namespaces}
        self.slots: list[Log | None] = [None] * slots
        """The log of each slot; None while it is not known."""
        self._slot_by_log: dict[str, int] = {}
        self._slot_sources: dict[str, dict[int, Source]] = {name: {} for name in self.namespaces}
        self.known = False
        """Whether Kafka has been asked successfully at least once."""
        self.sources: dict[str, dict[str, Source]] = {}
        self.by_partition: dict[tuple[str, int], Source] = {}
        self._by_log: dict[str, Source] = {}
        self._unsure: set[str] = set()
        """Topics that existed, or may have, when they had never been found."""
        self._hidden: set[str] = set()
        """Those that are so now."""
        self._ended: OrderedDict[str, Position] = OrderedDict()

    def update(
        self, found: dict[str, tuple[str, int]], unsure: Collection[str] = (), recreated: Collection[str] = ()
    ) -> tuple[list[Source], list[Source]]:
        """What Kafka has now; returns new and ended sources.

        Args:
            found: Topic -> (incarnation, number of partitions).
            unsure: Topics that exist, or may exist, but of which Kafka does not say more now.
            recreated: Topics that are new, though their incarnation is one that has ended.
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
            rule = self.rule_of_kafka(topic)
            if rule is None:
                continue
            sources = self.sources.setdefault(topic, {})
            for partition in range(count):
                log_id = _log_id(partition, incarnation)
                if log_id not in sources:
                    # Not new: what was there all the time and could only not be seen, or seems to have come back.
                    seems_old = log_id in self._ended and topic not in recreated
                    is_new = not (first or topic in self._unsure or seems_old)
                    source = Source(topic, partition, log_id, rule, is_new, is_late=not first)
                    sources[log_id] = self.by_partition[topic, partition] = self._by_log[log_id] = source
                    begun.append(source)
        self._hidden = set(unsure) - found.keys()
        self._unsure = (self._unsure - found.keys()) | self._hidden
        return begun, ended

    def forget_end(self, log_id: str) -> None:
        """A log ended before all of it was read."""
        self._ended.pop(log_id, None)

    def ended_at(self, log_id: str) -> Position | None:
        """The last position that was read of a log that has ended, while that is remembered."""
        return self._ended.get(log_id)

    def of(self, topic: str) -> dict[str, Source]:
        """The sources of a topic or namespace by log id; empty if there is no such topic."""
        if topic in self.namespaces:
            return {source.log_id: source for source in self._slot_sources[topic].values()}
        return self.sources.get(topic, {})

    def of_subject(self, subject: str) -> dict[str, Source] | None:
        """The sources that can have messages of a subject or pattern; None while they are not known."""
        topic = topic_of(subject)
        if topic not in self.namespaces:
            return None if not self.known or topic in self._hidden else self.of(topic)
        sources = self._slot_sources[topic]
        if not is_pattern(subject):
            source = sources.get(slot_of(subject, len(self.slots)))
            return None if source is None else {source.log_id: source}
        return self.of(topic) if len(sources) == len(self.slots) else None

    def is_absent(self, topic: str) -> bool:
        """Whether Kafka, when it was asked last, did not have this topic."""
        return self.known and topic not in self.sources and topic not in self._unsure

    def rule_of_kafka(self, topic: str) -> TopicRule | None:
        """The rule of one of Kafka's topics; None if it is not mapped."""
        return None if topic in self.namespaces else self.mapping.rule_for(topic)

    def knows(self, log_id: str) -> bool:
        """Whether this is the log of a partition that is there, or has ended not long ago."""
        return log_id in self._by_log or log_id in self._ended

    def is_mapped(self, topic: str) -> bool:
        """Whether one of Kafka's topics concerns this node. May be called from any thread."""
        return self.rule_of_kafka(topic) is not None

    def open_slot(self, slot: int, log: Log) -> tuple[list[Source], list[Source]]:
        """A slot has this log from here on; returns new and ended sources, one of each namespace."""
        ended = self.of_slot(slot)
        before = self.slots[slot]
        is_new = before is not None
        if before is not None:
            del self._slot_by_log[before.id]
        self.slots[slot] = log
        self._slot_by_log[log.id] = slot
        begun = []
        for name, rule in self.namespaces.items():
            source = Source(name, slot, log.id, rule, is_new, is_late=is_new)
            source.is_slot = True
            source.log = log
            self._slot_sources[name][slot] = source
            begun.append(source)
        return begun, ended

    def replace_slot(self, slot: int, log: Log) -> None:
        """The slot's log is another object from here on, by the same id: a copy has taken its place."""
        self.slots[slot] = log
        for source in self.of_slot(slot):
            source.log = log

    def slot_of_log(self, log_id: str) -> int | None:
        """The slot whose log this is, if it is one's."""
        return self._slot_by_log.get(log_id)

    def of_slot(self, slot: int) -> list[Source]:
        """The sources of a slot, one of each namespace."""
        return [source for sources in self._slot_sources.values() if (source := sources.get(slot)) is not None]

    def share_of(self, source: Source) -> tuple[int, int] | None:
        """Which of its topic's subjects a source has: those of (slot, number of slots); None: any."""
        return (source.partition, len(self.slots)) if source.is_slot else None

    def share_of_log(self, topic: str, log_id: str) -> tuple[int, int] | None:
        """As `share_of`, of a log that may be gone."""
        return (slot_number(log_id), len(self.slots)) if topic in self.namespaces else None

    def all(self) -> list[Source]:
        """Every source there is."""
        kafka = [source for sources in self.sources.values() for source in sources.values()]
        return kafka + [source for sources in self._slot_sources.values() for source in sources.values()]

    def _end(self, source: Source) -> None:
        del self.sources[source.topic][source.log_id]
        del self.by_partition[source.topic, source.partition]
        del self._by_log[source.log_id]
        if not self.sources[source.topic]:
            del self.sources[source.topic]
        if source.log is not None and source.loaded:
            self._ended[source.log_id] = source.log.end
            if len(self._ended) > ENDED_REMEMBERED_MAX:
                self._ended.popitem(last=False)


def slot_log_id(slot: int, incarnation: str) -> str:
    """The id of a slot's log."""
    return f"s{slot}.{incarnation}"


def slot_number(log_id: str) -> int:
    """The slot whose log has this id."""
    return int(log_id[1 : log_id.index(".")])


def _log_id(partition: int, incarnation: str) -> str:
    return f"{partition}.{incarnation}"
