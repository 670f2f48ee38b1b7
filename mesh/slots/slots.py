"""All slots of one node: one state machine that takes packets, time and publishes, and says what is to be done.

    publish -> forwarding -> (the slot's coordinator) -> replication -> committed -> event `Committed`, on every node

A voter that does not know what it has promised, because its disk is new or was lost, is *amnesic*: it could grant an
epoch lower than one it granted before. So it ignores everything about the slots until every other voter has told it
what that voter has promised, and then promises the highest of these. This is safe: a candidate that still holds a
forgotten grant has promised that epoch itself, and one that died has lost it (a grant is to one start of a candidate).

Contract: after the inputs of a turn call `settle`; take the promises, make them durable and say `promises_saved`, or
`promises_failed` if that cannot be done (a full disk); then take the sends and the events. Whatever rests on a promise
(to stand, to grant, to acknowledge in its epoch) is put out after `promises_saved` only. A voter that cannot save keeps
what it has: its memory, the slots that it coordinates, the logs that it follows. It just lets no other epoch begin, and
does not count where one has begun without it.

Not here: who is alive (membership/membership.py), bytes and sockets (transport/wire.py, transport/transport.py),
caches (node/).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import TypeAlias, cast

import msgspec

from mesh.log import Position
from mesh.placement import rank, slot_of
from mesh.repeats import Repeats
from mesh.slots.copying import Fetch, Range, Trimmed
from mesh.slots.detours import CameByOthers, Datagram, Detours, OthersPacket
from mesh.slots.election import Election, Grant, Resign, Vote
from mesh.slots.forwarding import (
    AlreadyCommitted,
    Forward,
    Forwarding,
    ForwardingConfig,
    PublishCommitted,
    PublishRefused,
    Streams,
)
from mesh.slots.obstacle import Lack, Obstacle
from mesh.slots.pieces import Held, Piece
from mesh.slots.reach import Deafness, LinkHello, Reach, Relayed
from mesh.slots.replication import Append, AppendOk, Commit, Reject, Replication, StartEpoch, Sync
from mesh.slots.slot import (
    EVERYONE,
    NEVER,
    Committed,
    NodeName,
    Repeated,
    Role,
    RoleChanged,
    Slot,
    SlotConfig,
    SlotEvent,
    SlotOutputs,
)
from mesh.slots.slot_log import Item

BEACON_S = 0.1
LEAVE_TOLD_S = 0.25
"""A node that leaves hands over so much later, when it knows which others leave, too."""
LEAVE_RETRY_S = 1.0
"""For slots that could not be handed over."""
BEACON_ROWS_MAX = 32
"""More slots are told in several, so that each has room in a datagram."""
RECALL_RETRY_S = 0.3
SAVE_RETRY_S = 1.0
"""Between attempts to save promises, once that has failed."""
MOVE_EVERY_S = 0.2
"""Between slots that are moved to where they belong; a move holds up one slot's publishes for an election."""
STABLE_S = 10.0
"""How long the voters must have been the same before, and all have heard each other. A rolling restart waits for it."""


class Beacon(msgspec.Struct, array_like=True, tag="beacon", gc=False):
    """What the sender coordinates: (slot, epoch, end, commit, whether it can commit, whether it takes publishes)."""

    rows: list[tuple[int, int, int, int, bool, bool]]
    deaf: list[Deafness] = []
    """Links that are missing, as far as the sender knows."""
    unsynced: list[int] = []
    """Slots whose log the sender, a voter, has lost with its memory."""
    cannot_save: bool = False
    """The sender's disk takes no promises."""
    is_leaving: bool = False
    """The sender is about to end."""


class Recall(msgspec.Struct, array_like=True, tag="recall", gc=False):
    """An amnesic voter asks another what that has promised."""


class Recalled(msgspec.Struct, array_like=True, tag="recalled", gc=False):
    """Answers `Recall` of that start of the asker: slot -> epoch."""

    boot: str
    promised: dict[int, int]


_OwnPacket: TypeAlias = (
    Vote | Grant | Resign | StartEpoch | Sync | Append | AppendOk | Commit | Reject | Fetch | Range | Trimmed
    | Forward | AlreadyCommitted | Beacon | Recall | Recalled
)  # fmt: skip
SlotsPacket: TypeAlias = _OwnPacket | Relayed
_RelayedPacket: TypeAlias = _OwnPacket | OthersPacket | Piece | Held
decode_relayed = msgspec.msgpack.Decoder(list[_RelayedPacket]).decode
"""What is in `Relayed.payload`."""
_FREQUENT = (Append, AppendOk, Commit)
"""Nearly all packets under load, so they are recognised first."""


SlotsEvent: TypeAlias = SlotEvent | PublishCommitted | PublishRefused | CameByOthers

_CUMULATIVE = (AppendOk, Commit)
"""Both are tuples, because a union in a call of `isinstance` is built with each call."""


class Slots:
    """One node's share in all slots."""

    election_type: type[Election] = Election

    def __init__(
        self,
        now: float,
        me: NodeName,
        boot: str,
        config: SlotConfig,
        forwarding: ForwardingConfig,
        slots: int,
        promises: Mapping[int, int] | None,
        rng: Random,
    ) -> None:
        """Begin with nothing in memory.

        Args:
            promises: Slot -> the epoch that this voter has promised before; None if that is not known.
        """
        self.me = me
        self.boot = boot
        self.config = config
        self._out = SlotOutputs()
        promised = promises or {}
        is_disk_new = promises is None
        self.by_number = [Slot(n, me, boot, config, promised.get(n, 0), self._out, is_disk_new) for n in range(slots)]
        self.replications = [Replication(slot) for slot in self.by_number]
        self.elections = [
            self.election_type(slot, replication, rng)
            for slot, replication in zip(self.by_number, self.replications, strict=True)
        ]
        self.forwarding = Forwarding(forwarding, slots, now)
        self._streams = [Streams() for _ in range(slots)]
        self.detours = Detours(me, boot, config.voters, Beacon)
        self.reach: Reach = self.detours.reach
        self._lacking: dict[NodeName, Beacon] = {}
        """The last beacon of each other voter that lacks something: memory, or a disk that takes promises."""
        self._unknown: dict[NodeName, None] = {}
        """Other voters whose promises an amnesic voter does not know yet."""
        self.is_amnesic = promises is None and me in config.voters
        if self.is_amnesic:
            self._unknown = {voter: None for voter in config.voters if voter != me}
            self._remember()
        self._saving: dict[int, int] = {}
        """Promises that are being made durable."""
        self._save_at = NEVER
        """Not before."""
        self.cannot_save = False
        """Whether the last attempt to make promises durable has failed."""
        self._now = now
        self._recalled_at = NEVER
        self._beacon_at = NEVER
        self._move_at = now
        self._voters: list[NodeName] = []
        self._stable_since = now
        self.is_leaving = False
        self._hand_over_at = NEVER
        """When the others know that this node leaves, if it does."""
        self._leaving: dict[NodeName, None] = {}
        """Other voters that have said so."""
        self.packets_refused = 0
        self._events: list[SlotsEvent] = []

    # Questions.

    @property
    def missing_voters(self) -> list[NodeName]:
        """Voters that an amnesic node must hear from before it takes part."""
        return [*self._unknown]

    @property
    def coordinated(self) -> list[Slot]:
        """The slots that this node coordinates."""
        return [slot for slot in self.by_number if slot.role is Role.COORDINATOR]

    @property
    def is_synced(self) -> bool:
        """Whether this node holds the log of every slot's coordinator."""
        return all(slot.accepted and not replication.copying for slot, replication in self._pairs())

    @property
    def to_hand_over(self) -> int:
        """Slots that this node coordinates, and that another voter could that stays."""
        return len(self.coordinated) if any(self.stays(voter) for voter in self._voters) else 0

    def stays(self, node: NodeName) -> bool:
        """Whether this is another node, and has not said that it leaves."""
        return node != self.me and node not in self._leaving

    def delay_s(self) -> dict[NodeName, float]:
        """As coordinator: how long each other node took to hold what was sent last, the slowest slot of each."""
        found: dict[NodeName, float] = {}
        for replication in self.replications:
            for name, delay in replication.acknowledgements.delay_s.items():
                found[name] = max(delay, found.get(name, 0.0))
        return found

    def slot_of(self, subject: str) -> int:
        """The slot of a subject."""
        return slot_of(subject, len(self.by_number))

    @property
    def missing_links(self) -> list[tuple[NodeName, NodeName]]:
        """(speaker, listener) of living nodes: what the first says does not get to the second, except by others."""
        return self.reach.missing_links

    def ends_before(self, number: int, position: Position) -> bool:
        """Whether this node holds the slot's log as its coordinator does, and that ends before a position."""
        log = self.by_number[number].log
        return self.replications[number].is_current and log.position(log.end - 1) < position

    def obstacle(self, number: int) -> Obstacle | None:
        """Why a slot takes no publishes now; None if it does."""
        if self.by_number[number].accepts:
            return None
        if self.is_amnesic:
            return Obstacle(Lack.PROMISES, tuple(self._unknown))
        config = self.config
        away = tuple(voter for voter in config.voters if not self.reach.is_reached(voter))
        here = [voter for voter in config.voters if voter not in away]
        if len(here) < config.elect_quorum:
            return Obstacle(Lack.VOTERS, away)
        if away and sum(not self._is_unsynced(voter, number) for voter in here) < config.elect_quorum:
            return Obstacle(Lack.MEMORY, away)
        full = tuple(voter for voter in here if self._has_full_disk(voter))
        if full and len(here) - len(full) < config.elect_quorum:
            return Obstacle(Lack.DISK, full)
        return Obstacle(Lack.COORDINATOR)

    def _is_unsynced(self, voter: NodeName, number: int) -> bool:
        if voter == self.me:
            return not self.by_number[number].is_synced
        beacon = self._lacking.get(voter)
        return beacon is not None and number in beacon.unsynced

    def _has_full_disk(self, voter: NodeName) -> bool:
        beacon = self._lacking.get(voter)
        return self.cannot_save if voter == self.me else beacon is not None and beacon.cannot_save

    # Inputs.

    def members(self, now: float, alive: Collection[NodeName]) -> None:
        """Who is alive, this node included."""
        self.detours.members(alive)
        voters = [voter for voter in self.config.voters if voter in alive]
        if voters != self._voters:
            self._voters, self._stable_since = voters, now
            for number, election in enumerate(self.elections):
                election.voters(rank(f"slot {number}", voters))

    def publish(self, now: float, item: Item) -> None:
        """A client of this node publishes; answered by `PublishCommitted` or `PublishRefused`."""
        slot = self.by_number[self.slot_of(item.subject)]
        publish = item.publish_key
        original = slot.repeats.original(publish)
        if original is not None:
            self.forwarding.stands(slot.number, publish, original)
        else:
            self.forwarding.publish(now, slot.number, item)

    def receive(self, now: float, sender: NodeName, boot: str, packet: SlotsPacket) -> None:
        """A packet of another node, from that start of it."""
        if isinstance(packet, Beacon):
            self._hear(sender, boot, packet, is_direct=True)
        elif isinstance(packet, Relayed):
            self._relayed(now, sender, boot, packet)
            return
        self._receive(now, sender, boot, packet)

    def _receive(self, now: float, sender: NodeName, boot: str, packet: _OwnPacket) -> None:
        if isinstance(packet, _FREQUENT) and not self.is_amnesic and 0 <= packet.slot < len(self.by_number):
            self.replications[packet.slot].receive(now, sender, boot, packet)
        elif isinstance(packet, Recall):
            self._out.sends.append((sender, Recalled(boot, {slot.number: slot.promised for slot in self.by_number})))
        elif isinstance(packet, Recalled):
            self._recalled(sender, packet)
        elif self.is_amnesic:
            return
        elif isinstance(packet, Beacon):
            self._beacon(now, sender, boot, packet)
        elif not 0 <= packet.slot < len(self.by_number):
            self.packets_refused += 1
        elif isinstance(packet, Forward):
            self._forward(now, sender, boot, packet)
        elif isinstance(packet, AlreadyCommitted):
            # Of any other node the log may not be known here in which the publish stands.
            if sender == self.by_number[packet.slot].coordinator:
                self.forwarding.committed(now, packet.slot, packet.publish, packet.at)
        elif isinstance(packet, Resign) and self.is_leaving:
            return  # the sender could not know it yet: it stands again itself
        elif isinstance(packet, Vote | Grant | Resign):
            self.elections[packet.slot].receive(now, sender, boot, packet)
        elif not (isinstance(packet, Range | Trimmed) and self.elections[packet.slot].fetched(now, sender, packet)):
            self.replications[packet.slot].receive(now, sender, boot, packet)

    def receive_datagram(self, now: float, sender: NodeName, boot: str, packet: Datagram) -> None:
        """A datagram of another node that is alive, in that start of it."""
        if isinstance(packet, LinkHello):
            self.reach.hear_hello(sender, packet.deaf)
        else:
            self._relayed(now, sender, boot, packet)

    def cache_filled(self, now: float, slot: int, end: Position, repeats: Repeats | None = None) -> None:
        """Answers `CacheWanted`: the cache has everything of the slot's log up to this position.

        Args:
            repeats: The memory of publishes that came with a whole copy; a repair has put its part in already.
        """
        if repeats is not None:
            self.by_number[slot].repeats = repeats
        self.elections[slot].cache_filled(now, end)
        self.replications[slot].cache_filled(now, end)
        original = self.by_number[slot].repeats.original
        for publish in self.forwarding.waiting(slot):
            if (at := original(publish)) is not None:
                self.forwarding.committed(now, slot, publish, at)

    def promises_saved(self, now: float) -> None:
        """The promises that were taken are on the disk: go on with what waits for them."""
        saved, self._saving = self._saving, {}
        self.cannot_save = False
        for number, epoch in saved.items():
            slot = self.by_number[number]
            slot.durable = max(slot.durable, epoch)
            self.elections[number].promise_saved(now)
            self.replications[number].promise_saved()
        self.settle(now)

    def promises_failed(self, now: float) -> None:
        """They could not be saved; it is tried again after SAVE_RETRY_S."""
        wanted = self._saving | self._out.promises
        self._saving, self._out.promises = {}, {number: self.by_number[number].promised for number in wanted}
        self.cannot_save = True
        self._save_at = now + SAVE_RETRY_S
        for number in wanted:
            self.elections[number].promise_failed(now)

    def leave(self, now: float) -> None:
        """Hand over what this node coordinates, then stop: repeat this until `to_hand_over` is 0, within bounds."""
        if not self.is_leaving:
            self.is_leaving = True
            self._beacon_at = NEVER
            self._hand_over_at = self._move_at = now + LEAVE_TOLD_S
        elif now >= self._hand_over_at:
            self._move(now)

    def tick(self, now: float) -> None:
        """About every 50 ms."""
        self.detours.tick(now)
        if self.is_amnesic:
            if now - self._recalled_at >= RECALL_RETRY_S:
                self._recalled_at = now
                self._out.sends += [(voter, Recall()) for voter in self._unknown]
        else:
            for replication, election in zip(self.replications, self.elections, strict=True):
                replication.tick(now)
                election.tick(now)
            self._look_who_is_silent(now)
            if not self.reach.is_whole:
                self._stable_since = now
            if now >= self._move_at:
                self._move_at = now + (LEAVE_RETRY_S if self.is_leaving else MOVE_EVERY_S)
                self._move(now)
        if now - self._beacon_at >= BEACON_S:
            self._beacon_at = now
            unsynced = [slot.number for slot in self.by_number if slot.is_voter and not slot.is_synced]
            rows = [self._row(now, slot) for slot in self.coordinated]
            deaf = self.reach.rows()
            for first in range(0, max(len(rows), 1), BEACON_ROWS_MAX):
                some = rows[first : first + BEACON_ROWS_MAX]
                self._out.sends.append((EVERYONE, Beacon(some, deaf, unsynced, self.cannot_save, self.is_leaving)))
        self.forwarding.tick(now)

    def settle(self, now: float) -> None:
        """Bring what was put in to its end. Many inputs before one `settle` are cheaper than one each."""
        self._now = now
        while True:
            for to, forward in self.forwarding.take_sends():
                if to == self.me:
                    self._forward(now, self.me, self.boot, forward)
                else:
                    self._out.sends.append((to, forward))
            if not self._out.events:
                break
            events, self._out.events = self._out.events, []
            for event in events:
                self._take_note(now, event)
            self._events += events
        self._events += self.forwarding.take_events()

    # Outputs.

    def take_promises(self) -> dict[int, int]:
        """Promises to make durable, slot -> epoch; answer with `promises_saved` or `promises_failed`."""
        if self.is_amnesic or self._saving or self._now < self._save_at:
            return {}  # amnesic: after another restart, what is known so far would look like everything
        self._saving, self._out.promises = self._out.promises, {}
        return dict(self._saving)

    def take_sends(self) -> Sequence[tuple[NodeName, SlotsPacket]]:
        """Packets and where to: a node, or EVERYONE."""
        # All that say something to a slot's `send` are parts of this, and say these packets only.
        taken, self._out.sends = cast("list[tuple[NodeName, SlotsPacket]]", self._out.sends), []
        return self.detours.send(self._now, _without_superseded(taken) if len(taken) > 1 else taken)

    def take_datagrams(self) -> list[tuple[NodeName, Datagram]]:
        """Packets for nodes that hear this one faintly (reach.py)."""
        return self.detours.take_datagrams()

    def take_events(self) -> list[SlotsEvent]:
        """What has happened, in order."""
        events, self._events = self._events, []
        return events

    # By way of others (detours.py).

    def _relayed(self, now: float, sender: NodeName, boot: str, relayed: Relayed) -> None:
        """Packets on their way by others: to this node, or through it."""
        try:
            payload = self.detours.relay(sender, boot, relayed)
        except ValueError:
            self.packets_refused += 1
            return
        if payload is None:
            return
        for packet in self._decoded(payload):
            if isinstance(packet, Piece):
                for message in self.detours.piece(relayed.origin, relayed.boot, packet):
                    for whole in self._decoded(message):
                        self._receive_relayed(now, relayed, whole)
            else:
                self._receive_relayed(now, relayed, packet)

    def _receive_relayed(self, now: float, relayed: Relayed, packet: _RelayedPacket) -> None:
        if isinstance(packet, Held):
            self.detours.held(now, relayed.origin, relayed.boot, packet)
        elif isinstance(packet, Piece):
            self.packets_refused += 1  # a piece within a piece
        elif isinstance(packet, OthersPacket):
            self._events.append(self.detours.came(relayed, packet))
        else:
            if isinstance(packet, Beacon):
                self._hear(relayed.origin, relayed.boot, packet, is_direct=False)
            self._receive(now, relayed.origin, relayed.boot, packet)

    def _decoded(self, payload: bytes) -> list[_RelayedPacket]:
        try:
            packets: list[_RelayedPacket] = decode_relayed(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.packets_refused += 1
            return []
        return packets

    def _hear(self, sender: NodeName, boot: str, beacon: Beacon, is_direct: bool) -> None:
        self.reach.hear(sender, boot, beacon.deaf, is_direct)
        if beacon.is_leaving:
            self._leaving[sender] = None
        else:
            self._leaving.pop(sender, None)
        if beacon.unsynced or beacon.cannot_save:
            self._lacking[sender] = beacon
        else:
            self._lacking.pop(sender, None)

    # Private.

    def _look_who_is_silent(self, now: float) -> None:
        """A coordinator that is not heard takes no publishes, whatever it said last.

        A voter would stand; an observer can only wait, and its clients are to know.
        """
        for slot in self.by_number:
            if slot.accepts and slot.coordinator != self.me and now - slot.heard_at >= self.config.silence_s:
                slot.accepts = False
                self._look_who_takes(now, slot.number)

    def _take_note(self, now: float, event: SlotEvent) -> None:
        """What the slots say concerns the publishes that wait."""
        committed = self.forwarding.committed
        match event:
            case Committed():
                if self.forwarding.is_waiting(event.slot):
                    for at, item in event.entries:
                        committed(now, event.slot, item.publish_key, at)
            case Repeated():
                committed(now, event.slot, event.publish, event.at)
            case RoleChanged():
                self._streams[event.slot].restart()
                self._look_who_takes(now, event.slot, is_new=True)

    def _look_who_takes(self, now: float, number: int, is_new: bool = False) -> None:
        slot = self.by_number[number]
        self.forwarding.coordinated(now, number, slot.coordinator if slot.accepts else "", is_new)

    def _beacon(self, now: float, sender: NodeName, boot: str, beacon: Beacon) -> None:
        for number, epoch, end, commit, can_commit, accepts in beacon.rows:
            if 0 <= number < len(self.by_number):
                reminder = Append(number, epoch, end, commit, [])
                slot = self.by_number[number]
                heard_at = slot.heard_at
                self.replications[number].receive(now, sender, boot, reminder)
                if not can_commit:
                    slot.heard_at = heard_at  # one that cannot commit, though it is heard, is as good as silent
                if slot.coordinator == sender:
                    slot.accepts = accepts
                    self._look_who_takes(now, number)

    def _row(self, now: float, slot: Slot) -> tuple[int, int, int, int, bool, bool]:
        replication = self.replications[slot.number]
        accepts = replication.accepts(now)
        if slot.accepts != accepts:
            slot.accepts = accepts
            self._look_who_takes(now, slot.number)
        return slot.number, slot.accepted, slot.log.end, slot.commit, replication.has_quorum(now), accepts

    def _forward(self, now: float, sender: NodeName, boot: str, forward: Forward) -> None:
        replication = self.replications[forward.slot]
        if not replication.accepts(now):
            return
        items = self._streams[forward.slot].take(sender, boot, forward)
        for item, at in replication.publish(now, items):
            before = AlreadyCommitted(forward.slot, item.publish_key, at)
            if sender == self.me:
                self.forwarding.committed(now, forward.slot, item.publish_key, at)
            else:
                self._out.sends.append((sender, before))

    def _remember(self) -> None:
        if self.is_amnesic and not self._unknown:
            self.is_amnesic = False
            self._out.promises = {slot.number: slot.promised for slot in self.by_number}  # also of 0: it is known now

    def _recalled(self, sender: NodeName, recalled: Recalled) -> None:
        if recalled.boot == self.boot and self._unknown.pop(sender, self) is None:
            for number, epoch in recalled.promised.items():
                if 0 <= number < len(self.by_number):
                    self.by_number[number].promise(max(epoch, self.by_number[number].promised))
            self._remember()

    def _move(self, now: float) -> None:
        """Hand slots over: all of them when this node leaves, else one at a time to where it belongs.

        To none that leaves: where all but one stop at once, that one knows then that it has every item (election.py).
        """
        is_stable = now - self._stable_since >= STABLE_S
        for slot, replication, election in zip(self.by_number, self.replications, self.elections, strict=True):
            if slot.role is not Role.COORDINATOR or replication.is_resigning or not (is_stable or self.is_leaving):
                continue
            order = rank(f"slot {slot.number}", self._voters)
            order = [
                voter for voter in order if voter not in self._leaving and replication.lead(now, voter) is not None
            ]
            others = [voter for voter in order if voter != self.me]
            if self.is_leaving and others:
                election.resign(now, others[0])
            elif not self.is_leaving and order and order[0] != self.me:
                election.resign(now, order[0])
                return

    def _pairs(self) -> zip[tuple[Slot, Replication]]:
        return zip(self.by_number, self.replications, strict=True)


def _without_superseded(sends: list[tuple[NodeName, SlotsPacket]]) -> list[tuple[NodeName, SlotsPacket]]:
    """Of several acknowledgements or commits of one slot the last says it all."""
    said: dict[tuple[object, ...], None] = {}
    kept = []
    for to, packet in reversed(sends):
        if isinstance(packet, _CUMULATIVE):
            key = (to, type(packet), packet.slot, packet.epoch)
            if key in said:
                continue
            said[key] = None
        kept.append((to, packet))
    kept.reverse()
    return kept
