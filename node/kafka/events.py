"""What Kafka's threads tell the node's core: what there is, what was read, and what became of questions and publishes.

Not here: the threads (the other files of this folder), what follows from it (node/logs/kafka_logs.py).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from mesh.feed import feed_log
from mesh.log import Position, Truncation
from node.backfill.questions import Scanned, TableRead
from node.topics import Source

Record: TypeAlias = feed_log.Record
"""As the feed carries it to other nodes."""

Where: TypeAlias = tuple[str, int]
"""(topic, partition)."""

# Discovery.


class Found(msgspec.Struct, gc=False):
    """What Kafka has of the mapped topics: topic -> (incarnation, number of partitions)."""

    brokers: list[str]
    topics: dict[str, tuple[str, int]]
    leaderless: set[Where]
    """Partitions that nobody can read at the moment."""
    unsure: set[str]
    """Topics that exist, but have not been identified yet."""
    look_up: int = 0
    """The last `LookUpTopics` that came before Kafka was asked."""
    compacted: dict[str, float] = {}
    """Topics whose configuration says so -> how long Kafka keeps their tombstones, in seconds."""
    undescribed: frozenset[str] = frozenset()
    """Topics whose configuration this node may not see."""
    forbidden: frozenset[str] = frozenset()
    """Topics that this node may not describe: whether they are there Kafka does not say."""
    lacks_ids: bool = False
    """Kafka gives no topic ids: a topic that is deleted and created again looks the same."""
    recreated: frozenset[str] = frozenset()
    """Topics that have been, and everything in them is new."""


class StartFound(msgspec.Struct, gc=False):
    """Answers `FindStart`: read this source from `offset`; nothing is known of it up to and including `floor`."""

    source: Source
    offset: int
    earliest: int
    """The first offset that the partition has."""
    floor: Position
    warm_until: int
    """What is below this offset is read only to recognise publishes that come again; 0: nothing is."""
    skips_first: bool = False
    """Kafka did not tell the epoch of what stands at `offset`: it must not be kept. `floor` is then that of the first
    offset that there is."""


class StartUnknown(msgspec.Struct, gc=False):
    """Kafka does not answer `FindStart`, for now; it is asked again."""

    source: Source
    reason: str


class Unreachable(msgspec.Struct, gc=False):
    """Kafka did not answer."""

    reason: str


# Reading.


class Records(msgspec.Struct, gc=False):
    """A batch of records in order, read before any `ReadFrom` of a later generation was obeyed."""

    generation: int
    records: list[Record]
    size: int
    """Bytes of memory, about."""
    read_at: float
    """Seconds of the clock of `now`."""


class EndReached(msgspec.Struct, gc=False):
    """Everything that may be read of the partition has been handed over."""

    generation: int
    topic: str
    partition: int
    offset: int
    """What comes next has this offset at least: what ends a transaction takes offsets, too."""


class OutOfRange(msgspec.Struct, gc=False):
    """The partition no longer has the offset that was to be read next."""

    generation: int
    topic: str
    partition: int


class Watermarks(msgspec.Struct, gc=False):
    """How far each partition goes, as far as fetching has told: (high watermark, last stable offset).

    What is between the two belongs to transactions that are not finished, or waits for them, and cannot be read yet.
    """

    ends: dict[Where, tuple[int, int]]


class Flow(msgspec.Struct, gc=False):
    """For which partitions Kafka has ceased to answer, and for which it answers (again)."""

    generation: int
    stalled: list[Where]
    flowing: list[Where]


class NotAllowed(msgspec.Struct, gc=False):
    """Kafka does not let this node read the partition. When it does, reading goes on by itself."""

    generation: int
    topic: str
    partition: int


class ReadError(msgspec.Struct, gc=False):
    """Any other error of Kafka's; librdkafka retries by itself."""

    text: str
    where: Where | None = None
    """The partition that it said it of."""


# Producing.


class Delivered(msgspec.Struct, gc=False):
    """Kafka has the record of `Produce`."""

    ticket: int
    topic: str
    partition: int


class NotDelivered(msgspec.Struct, gc=False):
    """Kafka does not have it, or did not say; `code` as in gateway/link/codes.py."""

    ticket: int
    code: int
    reason: str
    topic: str = ""


class ProducerState(msgspec.Struct, gc=False):
    """Whether a producer can produce."""

    batch_bytes: int
    """Names the producer."""
    error: str
    """Why it cannot; empty: it can."""


class TopicCreated(msgspec.Struct, gc=False):
    """Answers `CreateTopic`; `code` and `reason` say why the topic is not there, if it is not."""

    topic: str
    code: int = 0
    reason: str = ""


# Answers to `AskKafka`.


class ScanDone(msgspec.Struct, gc=False):
    """Answers `Scan`."""

    ticket: int
    scanned: Scanned


class LocateDone(msgspec.Struct, gc=False):
    """Answers `Locate`; None: there is no such record yet."""

    ticket: int
    position: Position | None


class MeasureDone(msgspec.Struct, gc=False):
    """Answers `Measure`; None: the position has not been lost."""

    ticket: int
    truncation: Truncation | None


class TableReadDone(msgspec.Struct, gc=False):
    """Answers `ReadTable`."""

    ticket: int
    read: TableRead


class Unanswered(msgspec.Struct, gc=False):
    """Kafka could not be asked, or did not answer in time."""

    ticket: int
    reason: str


KafkaEvent: TypeAlias = (
    Found | StartFound | StartUnknown | Unreachable
    | Records | EndReached | OutOfRange | Watermarks | Flow | NotAllowed | ReadError
    | Delivered | NotDelivered | ProducerState | TopicCreated
    | ScanDone | LocateDone | MeasureDone | TableReadDone | Unanswered
)  # fmt: skip
