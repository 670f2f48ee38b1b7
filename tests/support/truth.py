"""What an independent reader found in Kafka, and until when it could be had there.

Nothing of the node or the SDKs is used here, so that a mistake there is not repeated.

Not here: who must have received what (checker.py).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

Position: TypeAlias = tuple[int, int]
BEFORE_ALL: Position = (-1, -1)

PUBLISHER, SEQ = "whimbrel-publisher", "whimbrel-seq"
_ESCAPED = re.compile("[%*\x00-\x1f\x7f\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Fact:
    """A record in Kafka that subscribers are to see."""

    topic: str
    partition: int
    at: Position
    subject: str
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    time: int
    prev: Position | None
    """The subject's previous record in this partition."""


def subject_of(topic: str, key: bytes | None) -> str:
    """The subject of a record, from PROTOCOL.md section 1."""
    if key is None:
        return f"/{topic}"
    text = key.decode("utf-8", "surrogateescape")
    return f"/{topic}/" + _ESCAPED.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", text)


def covers(pattern: str, subject: str) -> bool:
    """Whether a subject or pattern covers a subject."""
    return subject.startswith(pattern[:-1]) if pattern.endswith("/*") else pattern == subject


class Truth:
    """What Kafka has had. Add records in the order of their partition; ask when all are there."""

    def __init__(self) -> None:
        self.facts: dict[tuple[str, int], list[Fact]] = defaultdict(list)
        self.publishes: dict[tuple[str, int], list[Fact]] = defaultdict(list)
        """Every record of a publish, repeats too."""
        self._known: dict[tuple[str, int], dict[Position, Fact]] = defaultdict(dict)
        self._last: dict[tuple[str, int, str], Position] = {}
        self._offsets: dict[tuple[str, int], tuple[list[float], list[int]]] = defaultdict(lambda: ([], []))
        self._low: dict[tuple[str, int], tuple[list[float], list[int]]] = defaultdict(lambda: ([], []))

    def add(
        self,
        topic: str,
        partition: int,
        at: Position,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]],
        time: int,
        seen_at: float,
    ) -> None:
        """A committed record; `seen_at` is when the independent reader had it."""
        where = (topic, partition)
        assert at[1] > (self._offsets[where][1] or [-1])[-1], f"{where} {at} was read out of order"
        self._offsets[where][0].append(seen_at)
        self._offsets[where][1].append(at[1])
        subject = subject_of(topic, key)
        found = dict(headers)
        shown = tuple((name, v) for name, v in headers if not name.startswith("whimbrel-"))
        prev = self._last.get((topic, partition, subject))
        fact = Fact(topic, partition, at, subject, value, shown, time, prev)
        publisher, seq = found.get(PUBLISHER), found.get(SEQ)
        if publisher is not None and seq is not None:
            same = self.publishes[publisher.decode(), int(seq)]
            same.append(fact)
            if any(one.partition == partition for one in same[:-1]):
                return  # a retry that reached Kafka twice: no subscriber sees the second one
        self._last[topic, partition, subject] = at
        self.facts[where].append(fact)
        self._known[where][at] = fact

    def deleting(self, topic: str, partition: int, low: int, now: float) -> None:
        """From now on Kafka may no longer have what is below `low`."""
        times, lows = self._low[topic, partition]
        times.append(now)
        lows.append(low)

    def low(self, topic: str, partition: int, when: float) -> int:
        """Records below this offset may have been gone from Kafka by then."""
        times, lows = self._low[topic, partition]
        return max(lows[: bisect_right(times, when)], default=0)

    def high(self, topic: str, partition: int, when: float) -> int:
        """The offset after the last one that the independent reader had by then."""
        times, offsets = self._offsets[topic, partition]
        count = bisect_right(times, when)
        return offsets[count - 1] + 1 if count else 0

    def fact(self, topic: str, partition: int, at: Position) -> Fact | None:
        return self._known[topic, partition].get(at)

    def of(self, subject: str) -> Iterator[Fact]:
        """The records that a subscription to a subject or pattern is about, in order within each partition."""
        topic = topic_of(subject)
        for where, facts in self.facts.items():
            if where[0] == topic:
                yield from (fact for fact in facts if covers(subject, fact.subject))


def topic_of(subject: str) -> str:
    return subject.split("/", 2)[1]
