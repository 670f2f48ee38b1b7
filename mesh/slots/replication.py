"""Copying and committing the log of one slot: what its coordinator sends and when an item counts.

Viewstamped Replication (Liskov and Cowling, 2012) and Raft (Ongaro and Ousterhout, 2014) in the form of election.py.

The rules, as they are kept here:

 4. A new coordinator tells everyone its epoch and log (`StartEpoch`). A replica refuses a lower epoch than it
    promised; else it makes its log equal to the coordinator's (copying.py), and only then accepts the epoch and
    acknowledges.
 5. The coordinator appends and sends `Append`; a replica takes what is next, asks for what is missing, and
    acknowledges up to where it has everything. What has a lower epoch than it promised is answered `Reject`.
 6. Items are committed once W voters, the coordinator among them, have acknowledged them *in this epoch*. What the
    coordinator took over from before is committed together with that, never by counting older acknowledgements.
    Where W is 2 a voter that may acknowledge knows at once that what it holds is committed: the coordinator holds it,
    too. All others, and observers, are told (`Commit`).
 8. Whoever learns of a higher epoch is no coordinator any more.
 9. A voter that was restarted is not synced: it acknowledges nothing until it holds the coordinator's log as that was
    when the coordinator heard that this very start (`boot`) of the voter wants it (`Sync`).
10. A coordinator without W fresh acknowledgements takes no publishes.

Not here: who becomes coordinator (election.py), where publishes come from (forwarding.py).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from mesh.log import Position
from mesh.repeats import PublishKey
from mesh.slots.acknowledgements import Acknowledgements
from mesh.slots.copying import Copying, Fetch, LogState, Range, Trimmed, state_of
from mesh.slots.slot import EVERYONE, NEVER, Loaded, NodeName, Role, Slot
from mesh.slots.slot_log import Item

EARLY_MAX = 200
"""Appends kept that came before one that they follow."""


class StartEpoch(msgspec.Struct, array_like=True, tag="start_epoch", gc=False):
    """The sender coordinates `epoch`, with this log. `boot`: of the node whose `Sync` this answers, or empty."""

    slot: int
    epoch: int
    state: LogState
    commit: int
    boot: str


class Sync(msgspec.Struct, array_like=True, tag="sync", gc=False):
    """Asks a coordinator for a `StartEpoch`: the sender does not hold its log."""

    slot: int


class Append(msgspec.Struct, array_like=True, tag="append", gc=False):
    """Items of `epoch` from index `first` on; without items, a reminder of how far the log goes."""

    slot: int
    epoch: int
    first: int
    commit: int
    items: list[Item]


class AppendOk(msgspec.Struct, array_like=True, tag="append_ok", gc=False):
    """The sender holds the coordinator's log up to `end` (exclusive)."""

    slot: int
    epoch: int
    end: int


class Commit(msgspec.Struct, array_like=True, tag="commit", gc=False):
    """Items below `commit` are committed."""

    slot: int
    epoch: int
    commit: int


class Reject(msgspec.Struct, array_like=True, tag="reject", gc=False):
    """The sender has promised a higher epoch than that of a packet it got."""

    slot: int
    promised: int


ReplicationPacket: TypeAlias = StartEpoch | Sync | Append | AppendOk | Commit | Reject | Fetch | Range | Trimmed


class Replication:
    """One slot's log on its way between nodes."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.copying: Copying | None = None
        """On the way to a coordinator's log."""
        self.is_resigning = False
        self.acknowledgements = Acknowledgements(slot.me, slot.config.quorum_lost_s)
        self.repairs = 0
        self._clock_offset = 0.0
        self._uncommitted: dict[PublishKey, None] = {}
        self._coordinator_boot = ""  # an epoch is of one start: once all disks are lost another may have the same
        self._early: dict[int, Append] = {}
        self._end_seen = 0
        self._asked_at = NEVER
        self._is_behind = False
        """The coordinator no longer has what this replica needs next: the whole log must be copied."""
        self._commit_seen = 0

    # As coordinator.

    def start(self, now: float, boots: dict[NodeName, str]) -> None:
        """Elected, with the best log: coordinate from here on. `boots`: of the voters that have voted."""
        slot = self.slot
        slot.log.begin_epoch(slot.promised)
        slot.accepted, slot.is_author = slot.promised, True
        slot.is_synced = True
        self.acknowledgements.begin(now, slot.log.end, boots)
        self._coordinator_boot = slot.boot
        self._clock_offset = slot.log.clock - now * 1000
        uncommitted = slot.log.items[slot.commit - slot.log.base :]
        self._uncommitted = {item.publish_key: None for item in uncommitted}
        slot.become(Role.COORDINATOR, slot.me)
        slot.accepts = True
        self._send_start(EVERYONE, "")
        self._advance()
        slot.out.events.append(Loaded(slot.number))

    def has_quorum(self, now: float) -> bool:
        """Whether W voters have acknowledged something just now (rule 10)."""
        config = self.slot.config
        return self.acknowledgements.has_quorum(now, config.voters, config.commit_quorum)

    def accepts(self, now: float) -> bool:
        """Whether publishes are taken."""
        return (
            self.slot.role is Role.COORDINATOR
            and not self.is_resigning
            and len(self._uncommitted) < self.slot.config.uncommitted_max
            and self.has_quorum(now)
        )

    def publish(self, now: float, items: list[Item]) -> list[tuple[Item, Position]]:
        """Append what is new, in order. Returns what is committed already, with where it stands."""
        slot = self.slot
        assert slot.role is Role.COORDINATOR
        clock = max(slot.log.clock, int(now * 1000 + self._clock_offset))
        new: list[Item] = []
        known: list[tuple[Item, Position]] = []
        for item in items:
            publish = item.publish_key
            if publish in self._uncommitted:
                continue
            original = slot.repeats.original(publish)
            if original is not None:
                known.append((item, original))
                continue
            self._uncommitted[publish] = None
            item.clock = clock
            new.append(item)
        if new:
            first = slot.log.end
            slot.log.append(new)
            self.acknowledgements.append(now, slot.log.end)
            slot.send(EVERYONE, Append(slot.number, slot.accepted, first, slot.commit, new))
            if slot.config.commit_quorum == 1:
                self._advance()
        return known

    def lead(self, now: float, voter: NodeName) -> int | None:
        """How many items a voter lacks, as it said last; None if that is not lately."""
        end = self.acknowledgements.end_of(now, voter)
        return None if end is None else self.slot.log.end - end

    def step_down(self) -> None:
        """No coordinator any more, and not on the way to another's log."""
        self._forget()
        self.copying = None

    def _advance(self) -> None:
        slot = self.slot
        index = self.acknowledgements.held_by(slot.config.voters, slot.config.commit_quorum)
        if index > slot.commit:
            first = slot.commit - slot.log.base
            for item in slot.log.items[first : index - slot.log.base]:
                self._uncommitted.pop(item.publish_key, None)
            slot.commit_to(index)
            if slot.config.commit_quorum != 2 or self.acknowledgements.has_others(slot.config.voters):
                slot.send(EVERYONE, Commit(slot.number, slot.accepted, index))

    def _forget(self) -> None:
        self.is_resigning = False
        self.acknowledgements.clear()
        self._uncommitted = {}
        self._early.clear()
        self._is_behind = False

    # Inputs.

    def receive(self, now: float, sender: NodeName, boot: str, packet: ReplicationPacket) -> None:
        """A packet of another node, from that start of it."""
        match packet:
            case Append():
                self._append(now, sender, boot, packet)
            case AppendOk():
                self._append_ok(now, sender, boot, packet)
            case Commit():
                if self._is_coordinated_by(now, sender, boot, packet.epoch):
                    self._commit_to(packet.commit)
            case StartEpoch():
                self._start(now, sender, boot, packet)
            case Sync():
                self._sync(sender, boot)
            case Fetch():
                self._fetch(sender, packet)
            case Range() | Trimmed():
                self._fetched(now, sender, boot, packet)
            case Reject():
                self._rejected(packet)

    def promise_saved(self) -> None:
        """The promise is on the disk: acknowledge what was only held until now."""
        if self.slot.role is Role.FOLLOWER and self.copying is None and self.slot.holds_log:
            self._acknowledge()

    def tick(self, now: float) -> None:
        """Repeat what was not answered."""
        if self.copying is not None:
            self.copying.step(now)
        elif self.slot.role is Role.FOLLOWER and self._end_seen > self.slot.log.end:
            self._ask(now)

    def cache_filled(self, now: float, end: Position) -> None:
        """Answers CacheWanted."""
        if self.copying is not None:
            self.copying.cache_filled(now, end)
            self._finish_copying(now)

    # As replica.

    @property
    def is_current(self) -> bool:
        """Whether the log here is that of a coordinator that takes publishes, as far as it was heard."""
        slot = self.slot
        if not slot.accepts or self.copying is not None or slot.accepted != slot.promised:
            return False
        return slot.role is Role.COORDINATOR or (bool(slot.coordinator) and self._end_seen == slot.log.end)

    def _is_coordinated_by(self, now: float, sender: NodeName, boot: str, epoch: int) -> bool:
        """Whether what a coordinator says counts here; if not, it or this node is told why."""
        slot = self.slot
        if epoch < slot.promised:
            slot.send(sender, Reject(slot.number, slot.promised))
            return False
        if epoch == slot.accepted and slot.role is Role.COORDINATOR:
            return False  # an echo of this node's own
        slot.heard_at = now
        if boot == self._coordinator_boot and self.copying is not None and self.copying.epoch == epoch:
            return False
        if boot == self._coordinator_boot and epoch == slot.accepted and slot.holds_log and not self._is_behind:
            return True
        self._ask_start(now, sender)
        return False

    def _append(self, now: float, sender: NodeName, boot: str, packet: Append) -> None:
        if not self._is_coordinated_by(now, sender, boot, packet.epoch):
            return
        log = self.slot.log
        self._end_seen = max(self._end_seen, packet.first + len(packet.items))
        if packet.first > log.end:
            if packet.items and len(self._early) < EARLY_MAX:
                self._early[packet.first] = packet
            self._ask(now)
        else:
            log.append(packet.items[log.end - packet.first :])
            while self._early and (follows := self._early.pop(log.end, None)) is not None:
                log.append(follows.items)
            if self._early and len(self._early) == EARLY_MAX:
                self._early = {first: early for first, early in self._early.items() if first > log.end}
        self._acknowledge()
        self._commit_to(packet.commit)

    def _acknowledge(self) -> None:
        slot = self.slot
        if slot.coordinator and slot.may_acknowledge:
            slot.send(slot.coordinator, AppendOk(slot.number, slot.accepted, slot.log.end))
            if slot.is_voter and slot.config.commit_quorum == 2:
                self._commit_to(slot.log.end)

    def _commit_to(self, commit: int) -> None:
        self._commit_seen = max(self._commit_seen, commit)
        self.slot.commit_to(min(self._commit_seen, self.slot.log.end))

    def _start(self, now: float, sender: NodeName, boot: str, packet: StartEpoch) -> None:
        slot = self.slot
        if packet.epoch < slot.promised:
            slot.send(sender, Reject(slot.number, slot.promised))
            return
        slot.heard_at = now
        if slot.is_voter and not slot.is_synced and packet.boot != slot.boot:
            self._ask_start(now, sender)
            return
        if boot == self._coordinator_boot and self.copying is not None and self.copying.epoch == packet.epoch:
            return
        if boot == self._coordinator_boot and packet.epoch == slot.accepted and slot.holds_log and not self._is_behind:
            if packet.boot not in ("", slot.boot):
                self._ask_start(now, sender)  # it takes this node for an earlier start of it
            return
        is_same_log = packet.state.incarnation == slot.incarnation and packet.epoch == slot.accepted
        if is_same_log and slot.holds_log and packet.state.end < slot.log.end:
            self._ask_start(now, sender)  # late: in one epoch the coordinator's log only grows
            return
        assert slot.role is not Role.COORDINATOR or packet.epoch > slot.accepted, "two coordinators in one epoch"
        slot.promise(packet.epoch)
        self.step_down()
        self._coordinator_boot = boot
        slot.become(Role.FOLLOWER, sender)
        slot.accepts = True  # unless its beacon says otherwise
        self._end_seen, self._commit_seen = packet.state.end, packet.commit
        self.copying = Copying(slot, packet.epoch, sender, packet.state)
        self.copying.step(now)
        self._finish_copying(now)

    def _finish_copying(self, now: float) -> None:
        copying, slot = self.copying, self.slot
        if copying is not None and copying.is_done:
            copying.finish()
            self.copying = None
            self._acknowledge()
            self._commit_to(self._commit_seen)
            slot.out.events.append(Loaded(slot.number))

    def _fetched(self, now: float, sender: NodeName, boot: str, came: Range | Trimmed) -> None:
        slot = self.slot
        if self.copying is not None and boot == self._coordinator_boot:
            self.copying.receive(now, sender, came)
            self._finish_copying(now)
        elif sender == slot.coordinator and came.epoch == slot.accepted and slot.role is Role.FOLLOWER:
            if isinstance(came, Range):
                self.repairs += 1
                self._asked_at = NEVER
                self._append(now, sender, boot, Append(slot.number, came.epoch, came.first, came.commit, came.items))
            elif slot.log.end < came.base:
                self._is_behind = True
                self._asked_at = NEVER
                self._ask_start(now, sender)

    def _ask(self, now: float) -> None:
        slot = self.slot
        if now - self._asked_at >= slot.config.retry_s and slot.coordinator:
            self._asked_at = now
            slot.send(slot.coordinator, Fetch(slot.number, slot.accepted, slot.log.end))

    def _ask_start(self, now: float, sender: NodeName) -> None:
        self._end_seen = 0  # the log is followed no more: nothing is missing of it
        if now - self._asked_at >= self.slot.config.retry_s:
            self._asked_at = now
            self.slot.send(sender, Sync(self.slot.number))

    # As the one that is asked.

    def _append_ok(self, now: float, sender: NodeName, boot: str, packet: AppendOk) -> None:
        slot = self.slot
        if slot.role is not Role.COORDINATOR or packet.epoch != slot.accepted:
            return
        if (known := self.acknowledgements.boot_of(sender, boot)) != boot:
            # Said before its memory was lost; or that start is over, and this one is to ask (`_start`).
            self._send_start(sender, known)
            return
        if packet.end > slot.log.end:
            return  # of another log, that an earlier start of this node had in this epoch
        is_further = self.acknowledgements.take(now, sender, packet.end)
        if is_further and packet.end > slot.commit and sender in slot.config.voters:
            self._advance()

    def _sync(self, sender: NodeName, boot: str) -> None:
        slot = self.slot
        if slot.role is Role.COORDINATOR:
            self.acknowledgements.restart(sender, boot)
            self._send_start(sender, boot)

    def _send_start(self, to: NodeName, boot: str) -> None:
        slot = self.slot
        slot.send(to, StartEpoch(slot.number, slot.accepted, state_of(slot), slot.commit, boot))

    def _fetch(self, sender: NodeName, packet: Fetch) -> None:
        """Of the epoch that is coordinated here, or of the one that a candidate with this node's vote recovers for."""
        slot, log = self.slot, self.slot.log
        if packet.epoch not in (slot.accepted, slot.promised) or packet.first >= log.end:
            return
        if packet.first < log.base:
            slot.send(sender, Trimmed(slot.number, packet.epoch, log.base))
        else:
            items = log.slice(packet.first, slot.config.range_items_max, slot.config.range_bytes_max)
            slot.send(sender, Range(slot.number, packet.epoch, packet.first, items, slot.commit))

    def _rejected(self, packet: Reject) -> None:
        slot = self.slot
        if packet.promised > slot.promised:
            slot.promise(packet.promised)
            self.step_down()
            slot.become(Role.FOLLOWER, "")
