"""The vocabulary of the feed: packets, events, settings, and what a node knows of one log.

Not here: what is done with it (feed.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import msgspec

from mesh.log import BEGINNING, Headers, Position

EVERYONE = ""
"""Destination of what all other nodes are to get."""
BATCH_BYTES_MAX = 1 << 20
"""Of records in one packet, about; one record is always sent, whatever its size."""
RECORD_BYTES = 100
"""Of a record besides its key, value and headers, about."""

Record: TypeAlias = tuple[str, int, int, int, bytes | None, bytes | None, int, Headers | None]
"""topic, partition, offset, leader epoch, key, value, time (ms, -1 for none), headers."""


class FeedBeacon(msgspec.Struct, array_like=True, tag="feed_beacon", gc=False):
    """The sender feeds these logs, and has each up to there; it feeds no others."""

    feeds: list[tuple[str, Position]]
    is_leaving: bool


class FeedBatch(msgspec.Struct, array_like=True, tag="feed_batch", gc=False):
    """All records of a log after `before` up to `after`, as the sender's reader delivered them."""

    log: str
    before: Position
    after: Position
    records: list[Record]
    is_torn: bool
    """Kafka has deleted what lay between `before` and the first record."""


FeedPacket: TypeAlias = FeedBeacon | FeedBatch


class Apply(msgspec.Struct, frozen=True):
    """Apply records that another node has read. The log's end is `after` then.

    `is_torn`: what lay between the log's end and the first of them cannot be had.
    """

    log: str
    records: list[Record]
    after: Position
    is_torn: bool


class Read(msgspec.Struct, frozen=True):
    """Let the node's own reader read the log from its end on."""

    log: str


class Stop(msgspec.Struct, frozen=True):
    """The node's own reader is not to read the log any more."""

    log: str


class Repair(msgspec.Struct, frozen=True):
    """Get what follows `after` from a peer; then `repaired`, or `unrepaired`."""

    log: str
    after: Position
    peers: list[str]


FeedEvent: TypeAlias = Apply | Read | Stop | Repair


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedConfig:
    """Times in seconds."""

    direct: bool = False
    """Every node reads for itself."""
    beacon_s: float = 0.1
    silence_s: float = 1.0
    """A feeder that is silent for this time is replaced."""
    step_s: float = 0.2
    """Each next in rank waits so much longer, so that one takes over alone."""
    settle_s: float = 3.0
    """A node takes over from a feeder that is well only after nothing has changed for this long."""
    behind_s: float = 0.1
    """Batches may arrive this long after a beacon that already includes them."""
    repair_s: float = 1.0
    """A repair that makes no progress for this time has failed."""
    repair_again_s: float = 2.0
    repair_peers_max: int = 2
    early_max: int = 500
    """Batches of one log kept while there is a hole before them."""
    early_bytes_max: int = 32 << 20
    """Memory for early batches of all logs together."""


class FeedRole(Enum):
    FILLING = "filling"
    """The own reader fills the log: nothing else counts yet."""
    FOLLOWING = "following"
    FEEDING = "feeding"
    MENDING = "mending"
    """The own reader reads to get over a hole, or to see when Kafka answers again, for this node alone."""


class FeedLog:
    """One log."""

    __slots__ = (
        "behind",
        "end",
        "feeder",
        "goal",
        "id",
        "is_doubted",
        "is_proven",
        "is_repairing",
        "quiet_at",
        "repair_again_at",
        "repair_until",
        "repaired_from",
        "role",
        "settled_at",
    )

    def __init__(self, id: str, end: Position) -> None:
        self.id = id
        self.end = end
        self.role = FeedRole.FILLING
        self.is_proven = False
        """The own reader has delivered something, or reached Kafka's end, since it was told to read."""
        self.is_doubted = False
        """The own reader gets no answer from Kafka."""
        self.feeder = ""
        """Who was heard last."""
        self.quiet_at = 0.0
        """When the log will count as having no feeder, unless one is heard before."""
        self.goal: tuple[str, str, Position] | None = None
        """A better feeder, its boot, and the end at which it takes over."""
        self.settled_at = 0.0
        self.behind: tuple[Position, float] | None = None
        """An end that a feeder has and this node has not, and since when."""
        self.is_repairing = False
        self.repaired_from = BEGINNING
        self.repair_until = 0.0
        self.repair_again_at = 0.0

    @property
    def reads(self) -> bool:
        """Whether the own reader is on."""
        return self.role is not FeedRole.FOLLOWING

    @property
    def feeds(self) -> bool:
        """Whether this node is the one that reads for all."""
        return self.role is FeedRole.FEEDING and self.is_well

    @property
    def is_well(self) -> bool:
        """Whether this node's own reader makes progress, as far as is known."""
        return self.is_proven and not self.is_doubted

    def move(self, end: Position) -> None:
        """The log has reached `end`."""
        self.end = max(self.end, end)
        if self.behind is not None and self.end >= self.behind[0]:
            self.behind = None


def position_of(record: Record) -> Position:
    """Where a record stands in its log."""
    return record[3], record[2]


def record_bytes(record: Record) -> int:
    """Memory of a record, about."""
    headers = sum(len(name) + len(value or b"") for name, value in record[7] or ())
    return RECORD_BYTES + len(record[4] or b"") + len(record[5] or b"") + headers


def batches(
    log: str, before: Position, after: Position, records: Sequence[Record], is_torn: bool
) -> Iterator[FeedBatch]:
    """Records as packets that are not too large."""
    chunk: list[Record] = []
    size = 0
    for record in records:
        cost = record_bytes(record)
        if chunk and size + cost > BATCH_BYTES_MAX:
            middle = position_of(chunk[-1])
            yield FeedBatch(log, before, middle, chunk, is_torn)
            before, chunk, size, is_torn = middle, [], 0, False
        chunk.append(record)
        size += cost
    if after > before:
        yield FeedBatch(log, before, after, chunk, is_torn)
