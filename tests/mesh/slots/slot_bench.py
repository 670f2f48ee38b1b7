"""One node's share in slot 0 on a bench: packets and time in, exact packets and events out.

Not here: several nodes that talk to each other (slot_transcript.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from mesh.log import Position
from mesh.slots.copying import LogState, Range, Trimmed
from mesh.slots.election import Election, Grant, Resign, Vote
from mesh.slots.replication import Append, Replication, StartEpoch
from mesh.slots.slot import Role, Slot, SlotConfig, SlotEvent, SlotOutputs
from mesh.slots.slot_log import EpochTable, Item

LOG = "L"
"""The incarnation of the log, unless a test says otherwise."""


def item(number: int, publisher: str = "p", clock: int = 0) -> Item:
    """A publish."""
    return Item("/c/x", publisher, number, b"%d" % number, None, 7, clock)


def items(*numbers: int) -> list[Item]:
    """Several."""
    return [item(number) for number in numbers]


def state(table: EpochTable, end: int, base: int = 0, incarnation: str = LOG) -> LogState:
    """What a log holds."""
    return LogState(incarnation, table, base, end, 0)


class Bench:
    """The cores of one slot, as Replica joins them. The start (boot) of node `x` is `x1`."""

    def __init__(
        self, me: str = "a", voters: Sequence[str] = ("a", "b", "c"), promised: int = 0, **config: Any
    ) -> None:
        self.out = SlotOutputs()
        config.setdefault("quorum_lost_s", 2.0)
        self.slot = Slot(0, me, f"{me}1", SlotConfig(voters=tuple(voters), **config), promised, self.out)
        self.replication = Replication(self.slot)
        self.election = Election(self.slot, self.replication, Random(1))
        self.election.voters(voters)
        self.can_save = True
        self._promises: dict[int, int] = {}

    def receive(self, now: float, sender: str, packet: Any, boot: str | None = None) -> None:
        """A packet comes in."""
        boot = boot or f"{sender}1"
        if isinstance(packet, Vote | Grant | Resign):
            self.election.receive(now, sender, boot, packet)
        elif not (isinstance(packet, Range | Trimmed) and self.election.fetched(now, sender, packet)):
            self.replication.receive(now, sender, boot, packet)
        self.save(now)

    def promise(self, epoch: int) -> None:
        """The node promises an epoch as a voter does that votes: it knows no coordinator then."""
        self.slot.promise(epoch)
        self.slot.become(Role.FOLLOWER, "")

    def tick(self, now: float) -> None:
        """Time goes on."""
        self.replication.tick(now)
        self.election.tick(now)
        self.save(now)

    def save(self, now: float) -> None:
        """Make promises durable, as slots.py does it, or fail to."""
        promises, self.out.promises = self.out.promises, {}
        if promises and self.can_save:
            self.slot.durable = promises[0]
            self._promises |= promises
            self.election.promise_saved(now)
            self.replication.promise_saved()
        elif promises:
            self.out.promises = {0: self.slot.promised}
            self.election.promise_failed(now)

    def cache_filled(self, now: float, end: Position) -> None:
        """The cache was copied."""
        self.election.cache_filled(now, end)
        self.replication.cache_filled(now, end)

    # What came out since the last call.

    def sends(self) -> list[tuple[str, Any]]:
        """Packets and where to."""
        sends, self.out.sends = self.out.sends, []
        return sends

    def events(self, *types: type) -> list[SlotEvent]:
        """Events, of these types if some are given."""
        events, self.out.events = self.out.events, []
        return [event for event in events if not types or isinstance(event, types)]

    def promises(self) -> dict[int, int]:
        """What was made durable."""
        promises, self._promises = self._promises, {}
        return promises

    def forget_outputs(self) -> None:
        """What came out until here is of no interest."""
        self.sends(), self.events(), self.promises()

    # Ways to a state.

    def follow(self, now: float, coordinator: str, epoch: int, *numbers: int, commit: int = 0) -> None:
        """Follow a coordinator whose log has these publishes, all of this epoch."""
        self.receive(now, coordinator, StartEpoch(0, epoch, state([(epoch, 0)], 0), 0, self.slot.boot))
        self.receive(now, coordinator, Append(0, epoch, 0, commit, items(*numbers)))
        assert (self.slot.accepted, self.slot.log.end) == (epoch, len(numbers))
        self.forget_outputs()

    def stand(self, now: float) -> int:
        """Wait until the coordinator was silent for so long that this voter stands; returns the epoch."""
        self.tick(now)
        self.tick(now + 1)
        assert self.slot.role is Role.CANDIDATE
        return self.slot.promised

    def grant(self, now: float, voter: str, accepted: int, log: LogState, is_synced: bool = True, **more: Any) -> None:
        """A voter grants what this node stands for."""
        self.receive(now, voter, Grant(0, self.slot.promised, self.slot.boot, is_synced, accepted, log, **more))

    def coordinate(self, now: float, *numbers: int) -> int:
        """Follow, stand, and coordinate a log with these publishes of epoch 1; returns the epoch."""
        self.follow(now - 10, "b", 1, *numbers)
        self.stand(now - 1)
        self.grant(now, "b", 1, state([(1, 0)], len(numbers)))
        assert self.slot.role is Role.COORDINATOR
        self.forget_outputs()
        return self.slot.accepted
