"""One slot as one node sees it: the state that election and replication share, and what they put out.

A slot is a share of the subjects with one log and, in each epoch, at most one coordinator. What a voter *promised* is
made durable; everything else is in memory. A voter is *synced* while it surely holds in memory all that it ever
acknowledged: not from its start until it has copied the log of a coordinator (replication.py, rule 9).

    follower --- the coordinator is silent ---> candidate --- R grants ---> recovering --- has the best log --->
        ^                                                                                          coordinator
        +------------------------- a higher epoch, or a resignation ------------------------------------+

Invariants:
- `accepted` <= `promised`; a voter whose log is that of epoch `accepted` never again accepts from a lower one.
- `durable` <= `promised`. A voter stands, grants and acknowledges in an epoch only when its promise of it is durable.
- Items below `commit` never change. Only committed items are told to the node.

Not here: voting (election.py), copying and committing (replication.py), many slots (slots.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

import msgspec

from mesh.log import Position
from mesh.repeats import PublishKey, Repeats
from mesh.slots.slot_log import Item, SlotLog

NodeName: TypeAlias = str

EVERYONE: NodeName = ""
"""Destination of what all other nodes are to get."""

NEVER = -1.0e9
"""An instant before any."""

ANY_EPOCH = 1 << 62
"""Above every epoch: what a voter that lost its disk may have promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotConfig:
    """What all nodes of a cluster must have alike, and how patient this one is. Times in seconds."""

    voters: tuple[NodeName, ...]
    """The nodes that count: 1, 3 or 5 of them. All others are observers."""
    commit_quorum: int = 0
    """W: so many voters hold an item before it counts as committed; 0: a majority."""
    elect_quorum: int = 0
    """R: so many voters elect; 0: a majority."""
    silence_s: float = 1.0
    """A coordinator that is silent for this time is replaced."""
    stick_s: float = 0.8
    """A voter that has heard its coordinator within this grants no other (liveness only)."""
    rank_delay_s: float = 0.15
    """Each next candidate in the slot's order waits so much longer, so that one of them wins alone."""
    vote_retry_s: float = 0.6
    """A candidate that did not win tries again after this, and a random part of it more."""
    quorum_lost_s: float = 0.8
    """A coordinator without so many fresh acknowledgements takes no publishes (rule 10)."""
    retry_s: float = 0.15
    """Between repeats of a question that was not answered."""
    range_items_max: int = 500
    range_bytes_max: int = 1 << 20
    tail_items_max: int = 20_000
    """Committed items kept for others to copy; who is further behind copies a cache."""
    tail_bytes_max: int = 8 << 20
    uncommitted_max: int = 10_000
    retry_window_ms: int = 300_000
    """A publish that is repeated within this time, by the log's clock, is recognised ..."""
    repeats_max: int = 100_000
    """... among the last so many of the slot. Both must be the same on all nodes, so that all drop the same repeats."""

    def __post_init__(self) -> None:
        n = len(self.voters)
        if n != len(set(self.voters)) or n < 1:
            raise ValueError(f"voters must be distinct names, found {self.voters}")
        for name in ("commit_quorum", "elect_quorum"):
            object.__setattr__(self, name, getattr(self, name) or n // 2 + 1)
        most = max(self.commit_quorum, self.elect_quorum)
        if self.commit_quorum + self.elect_quorum <= n or 2 * self.elect_quorum <= n or most > n:
            raise ValueError(
                f"R + W > N, 2R > N, R <= N and W <= N must hold, found {self.elect_quorum}, {self.commit_quorum}, {n}"
            )
        if not self.stick_s < self.silence_s:
            raise ValueError(f"stick_s must be below silence_s, found {self.stick_s} and {self.silence_s}")


class Role(Enum):
    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    RECOVERING = "recovering"
    """Elected, and copying the best log among those that voted."""
    COORDINATOR = "coordinator"


class Opened(msgspec.Struct, frozen=True):
    """The slot has another log from here on. Of the one before, if there was one, no more will come."""

    slot: int
    incarnation: str


class Loaded(msgspec.Struct, frozen=True):
    """This node holds the log as its coordinator has it: what is committed has been told, and more will follow."""

    slot: int


class Committed(msgspec.Struct, frozen=True):
    """Committed items in order, each with its position. `end`: the log goes on after it (repeats are left out)."""

    slot: int
    incarnation: str
    entries: list[tuple[Position, Item]]
    end: Position


class Repeated(msgspec.Struct, frozen=True):
    """The log holds a publish once more that it has held already, at `at`: the repeat counts for nothing."""

    slot: int
    publish: PublishKey
    at: Position


class CacheWanted(msgspec.Struct, frozen=True):
    """What this node lacks stands in no log any more: fill the cache from this peer; then `cache_filled`."""

    slot: int
    incarnation: str
    peer: NodeName


class RoleChanged(msgspec.Struct, frozen=True):
    """For people and transcripts: who coordinates the slot now, as far as this node knows."""

    slot: int
    epoch: int
    role: Role
    coordinator: NodeName


SlotEvent: TypeAlias = Opened | Loaded | Committed | Repeated | CacheWanted | RoleChanged


@dataclass(slots=True)
class SlotOutputs:
    """What the slots of a node want done. Nothing of `sends` rests on a promise that is not durable yet."""

    promises: dict[int, int] = field(default_factory=dict)
    """Slot -> epoch."""
    sends: list[tuple[NodeName, msgspec.Struct]] = field(default_factory=list)
    events: list[SlotEvent] = field(default_factory=list)


class Slot:
    """The state. Changed by election.py and replication.py only."""

    def __init__(
        self,
        number: int,
        me: NodeName,
        boot: str,
        config: SlotConfig,
        promised: int,
        out: SlotOutputs,
        is_disk_new: bool = False,
    ) -> None:
        self.number = number
        self.me = me
        self.boot = boot
        self.config = config
        self.out = out
        self.promised = promised
        """No coordinator of a lower epoch gets anything of this node any more."""
        self.durable = promised
        """The promise that is on the disk."""
        self.lost_epoch = ANY_EPOCH if is_disk_new else promised
        """While not synced: no item of a higher epoch was in the memory that this voter lost."""
        self.incarnation = ""
        """Names the log; empty while it is not known. When all memory was lost, another log begins."""
        self.is_voter = me in config.voters
        self.is_synced = False
        self.accepted = 0
        """The epoch whose coordinator's log this is, up to `log.end`. 0: of none."""
        self.is_author = False
        """Whether this node itself coordinated `accepted`: then it has every item of that epoch."""
        self.log = SlotLog()
        self.commit = 0
        """Items below this index are committed."""
        self.repeats = Repeats(config.retry_window_ms, config.repeats_max)
        self.role = Role.FOLLOWER
        self.coordinator: NodeName = ""
        """Of epoch `promised` or `accepted`; empty while it is not known."""
        self.accepts = False
        """Whether that coordinator takes publishes, as it said last."""
        self.heard_at = NEVER
        self._told = (self.promised, self.role, self.coordinator)

    @property
    def holds_log(self) -> bool:
        """Whether the log is what `accepted` says: not at a voter that lost its memory and has not copied one since."""
        return self.is_synced or not self.is_voter

    def send(self, to: NodeName, packet: msgspec.Struct) -> None:
        self.out.sends.append((to, packet))

    @property
    def may_acknowledge(self) -> bool:
        """Whether an acknowledgement of this node in `accepted` is one that it will remember."""
        return not self.is_voter or self.durable >= self.accepted

    def promise(self, epoch: int) -> None:
        """Accept no lower epoch from now on."""
        assert epoch >= self.promised, (epoch, self.promised)
        self.promised = epoch
        self.want_durable(epoch)

    def want_durable(self, epoch: int) -> None:
        """Have a promise put on the disk; what is to rest on it waits for that."""
        if self.is_voter and epoch > self.durable:
            self.out.promises[self.number] = max(epoch, self.out.promises.get(self.number, 0))

    def become(self, role: Role, coordinator: NodeName) -> None:
        """Take this role in the promised epoch, with an event if the role or the epoch is new."""
        told = (self.promised, role, coordinator)
        if told != self._told:
            self._told = told
            self.role, self.coordinator = role, coordinator
            self.accepts = self.accepts and bool(coordinator)
            self.out.events.append(RoleChanged(self.number, self.promised, role, coordinator))

    def open(self, incarnation: str) -> None:
        """The slot has this log; if it had another before, that is gone."""
        if incarnation != self.incarnation:
            self.incarnation = incarnation
            self.log = SlotLog()
            self.commit = self.accepted = 0
            self.is_author = False
            self.repeats = Repeats(self.config.retry_window_ms, self.config.repeats_max)
            self.out.events.append(Opened(self.number, incarnation))

    def commit_to(self, index: int) -> None:
        """Items below this index are committed: tell the node those that are new, without repeats."""
        if index <= self.commit:
            return
        assert index <= self.log.end, (index, self.log.end)
        log, repeats = self.log, self.repeats
        entries = []
        for entry in log.between(self.commit, index):
            at, item = entry
            publish = item.publish_key
            if repeats.admit(publish, at, item.clock) or repeats.original(publish) == at:
                entries.append(entry)  # also what is known already from a peer's memory: it repeats nothing
            elif (original := repeats.original(publish)) is not None:
                self.out.events.append(Repeated(self.number, publish, original))
        self.commit = index
        self.out.events.append(Committed(self.number, self.incarnation, entries, log.position(index - 1)))
        log.trim(index, self.config.tail_items_max, self.config.tail_bytes_max)

    def rank_of(self, order: Sequence[NodeName]) -> int:
        """This node's place in an order of candidates."""
        return order.index(self.me) if self.me in order else len(order)
