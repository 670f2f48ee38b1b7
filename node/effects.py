"""What a node's core wants done. The shell performs the effects in the order in which they come.

Nothing of the core runs in between, so an effect is the whole of what the shell needs to know of it.

Not here: who wants what (core.py), how it is done (node.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from gateway.link.events import FromNode, Live
from mesh.log import Entry, Headers, Position
from mesh.packets import Packet
from mesh.revocations import Revocation
from mesh.slots.detours import Datagram
from mesh.transport.links import PeerAddress
from node.backfill.questions import KafkaQuestion
from node.interest import WorkerId
from node.topics import Source

# To workers.


class ToWorker(msgspec.Struct, frozen=True, gc=False):
    """Send an event to a worker, after all earlier ones."""

    worker: WorkerId
    event: FromNode


class Resync(msgspec.Struct, frozen=True, gc=False):
    """Leave out a number of the worker's link, so that it says `CatchUp`."""

    worker: WorkerId


# To the disk.


class SaveRevocations(msgspec.Struct, frozen=True):
    """Keep these for the next start, instead of those kept before."""

    entries: list[Revocation]


# To other nodes.


class SavePromises(msgspec.Struct, frozen=True):
    """Make this durable, slot -> epoch; then `promises_saved`, or `promises_failed`."""

    promises: Mapping[int, int]


class ToPeer(msgspec.Struct, frozen=True, gc=False):
    """Send a packet to a node, or to EVERYONE (mesh/slots/slot.py). It may be lost."""

    to: str
    packet: Packet


class DatagramToPeer(msgspec.Struct, frozen=True, gc=False):
    """Send a datagram to a node that links of TCP do not reach. It may be lost, doubled and overtaken."""

    to: str
    packet: Datagram


class LinkPeers(msgspec.Struct, frozen=True):
    """Have links to exactly these nodes: name -> where."""

    peers: dict[str, PeerAddress]


class TellMembers(msgspec.Struct, frozen=True, gc=False):
    """Spread this by membership: what the others should know of this node (node/cluster/meta.py)."""

    meta: bytes


# To token issuers.


class SaveKeys(msgspec.Struct, frozen=True):
    """Keep a key set that was fetched just now, for the next start."""

    url: str
    jwks: bytes


class FetchKeys(msgspec.Struct, frozen=True):
    """Fetch a key set; answered by `keys_fetched`."""

    url: str


# To Kafka.


class Produce(msgspec.Struct, frozen=True, gc=False):
    """Write a record; answered by `Delivered` or `NotDelivered`."""

    ticket: int
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    publisher: str
    """A record without a key goes to the partition that its publisher always uses."""
    partitions: int
    """How many the topic has; 0: not known."""


class CreateTopic(msgspec.Struct, frozen=True, gc=False):
    """Create a topic; answered by `TopicCreated`."""

    topic: str


class LookUpTopics(msgspec.Struct, frozen=True, gc=False):
    """Find out at once which topics and partitions there are; answered by a `Found` with this number or a higher."""

    number: int


class FindStart(msgspec.Struct, frozen=True, gc=False):
    """Find out from where to read a partition; answered by `StartFound` once Kafka can tell."""

    source: Source


class ReadFrom(msgspec.Struct, frozen=True, gc=False):
    """Read a partition from this offset on, whether it is read already or not.

    Records read before this is obeyed come with a lower generation.
    """

    topic: str
    partition: int
    offset: int
    generation: int


class StopReading(msgspec.Struct, frozen=True, gc=False):
    """Read a partition no more."""

    topic: str
    partition: int
    generation: int


class AskKafka(msgspec.Struct, frozen=True, gc=False):
    """Read back what the cache does not have; answered by `ScanDone`, `LocateDone`, `MeasureDone` or `Unanswered`."""

    ticket: int
    question: KafkaQuestion


class CancelQuestion(msgspec.Struct, frozen=True, gc=False):
    """The answer is no longer needed."""

    ticket: int


# To the store of tables (node/tables/). What is of an earlier generation than the store is not done.


class OpenTable(msgspec.Struct, frozen=True, gc=False):
    """Have a table for a log, a new one if there is none; answered by `TableOpened`."""

    generation: int
    log: str
    tombstones_s: float
    """How long Kafka keeps the log's tombstones."""


class BeginTable(msgspec.Struct, frozen=True, gc=False):
    """Empty a table: it is current, and complete nowhere."""

    generation: int
    log: str


class DropTable(msgspec.Struct, frozen=True, gc=False):
    """The log is gone, or is no table any more."""

    generation: int
    log: str


class TableWrite(msgspec.Struct, frozen=True, gc=False):
    """Changes of one table, at most one of a subject, and the position that it has with them."""

    log: str
    changes: list[tuple[str, Entry]]
    at: Position
    is_current: bool
    """Nothing is known to follow in Kafka."""


class WriteTables(msgspec.Struct, frozen=True, gc=False):
    """Write all of it or nothing; answered by `TablesWritten`."""

    generation: int
    writes: list[TableWrite]


class AskTable(msgspec.Struct, frozen=True, gc=False):
    """Read rows of a subject or pattern, after all earlier writes; answered by `TableAnswer`."""

    generation: int
    ticket: int
    log: str
    subject: str
    after: str
    """Only subjects behind this one."""
    rows_max: int
    bytes_max: int
    """Of values; at least one row comes, whatever its size."""


TableEffect: TypeAlias = OpenTable | BeginTable | DropTable | WriteTables | AskTable

# To people.


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """A line for the log: levels as in `logging`."""

    name: str
    level: int
    fields: dict[str, object]


Effect: TypeAlias = (
    ToWorker | Resync
    | FetchKeys | SaveKeys | SaveRevocations
    | SavePromises | ToPeer | DatagramToPeer | LinkPeers | TellMembers
    | Produce | CreateTopic | LookUpTopics | FindStart | ReadFrom | StopReading | AskKafka | CancelQuestion
    | OpenTable | BeginTable | DropTable | WriteTables | AskTable
    | LogLine
)  # fmt: skip

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40


class Effects:
    """The effects of a node in the order of the decisions, until the shell takes them.

    Live messages for a worker that follow each other share one event, however many batches they came from: what
    waits together travels together.
    """

    __slots__ = ("_effects", "_live")

    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self._live: dict[WorkerId, Live] = {}
        """The last thing that a worker is told, where that is live messages."""

    def add(self, effect: Effect) -> None:
        """Add an effect, to be performed after those added before."""
        self._effects.append(effect)

    def to_worker(self, worker: WorkerId, event: FromNode) -> None:
        """Send an event to a worker, after all earlier ones."""
        self._live.pop(worker, None)
        self._effects.append(ToWorker(worker, event))

    def live(self, worker: WorkerId, read_at: float) -> Live:
        """The live messages that this worker is told next, to be added to at once; these were read at that time."""
        live = self._live.get(worker)
        if live is None:
            live = self._live[worker] = Live({}, ([], []), ([], []), read_at)
            self._effects.append(ToWorker(worker, live))
        return live

    def resync(self, worker: WorkerId) -> None:
        """Have a worker say `CatchUp`."""
        self._live.pop(worker, None)
        self._effects.append(Resync(worker))

    def log(self, name: str, level: int = INFO, **fields: object) -> None:
        """A line for the log."""
        self._effects.append(LogLine(name, level, fields))

    def take(self) -> list[Effect]:
        """All of them, once."""
        effects, self._effects = self._effects, []
        self._live.clear()
        return effects
