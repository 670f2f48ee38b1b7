"""How a slot gets its next coordinator: voted epochs, after Viewstamped Replication (Liskov and Cowling, "Viewstamped
Replication Revisited", 2012) and Raft (Ongaro and Ousterhout, 2014).

The rules, as they are kept here:

 1. A synced voter stands when the coordinator has been silent for a while or is not among the living; the voters do so
    one after the other, in an order that differs from slot to slot. Being wrong about it costs an election, never
    an item.
 2. It promises itself the next epoch and asks all voters. A voter grants a higher epoch than it has promised; not,
    though, while it hears its coordinator well, unless that hands over. It stands and grants only once the promise is
    on its disk: where that fails, nothing has happened.
 3. With R grants of synced voters it takes the best log among them, by (accepted epoch, end), adopts all of it,
    committed or not, and coordinates (replication.py).
11. When fewer than R voters are synced nobody can be elected by rule 3. Then *all* N voters are asked. The best log of
    those that are synced is taken if nothing committed can be missing in it: fewer than W voters have lost their
    memory; or fewer than W of those have promised, before they lost it, the epoch of an item that this log has not
    (`_is_whole`). Else memory is lost: the slot begins another log, with another name, so that everybody is told.
12. A coordinator that leaves or hands over stops taking publishes, waits until its log is committed, and asks a voter
    that holds all of it to stand.

Why there are never two coordinators in one epoch: each voter promises an epoch to one candidate, promises are durable,
and 2R > N. Why nothing committed is lost: it is held by W voters that accepted it in some epoch e; R + W > N, so
one of them is among those who elect any later one, and its log is better than any that lacks it.

Not here: what a grant is worth while a voter does not know its promises (slots.py, "amnesia").
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeAlias

import msgspec

from mesh.log import Position
from mesh.slots.copying import Copying, LogState, Range, Trimmed, state_of
from mesh.slots.replication import Reject, Replication
from mesh.slots.slot import ANY_EPOCH, NEVER, NodeName, Role, Slot

RECOVERY_MAX_S = 5.0
HAND_OVER_MAX_S = 1.5
"""A successor that does not hold everything by then does not get the slot: until then no publishes are taken."""
UNSYNCED_DELAY_S = 0.5
"""Voters that lost their memory stand later than those that did not."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Vote(msgspec.Struct, array_like=True, tag="vote", gc=False):
    """The sender wants to coordinate `epoch`."""

    slot: int
    epoch: int
    is_transfer: bool
    """The coordinator wants it, too."""
    is_synced: bool = True
    """The sender surely holds in memory what it acknowledged."""


class Grant(msgspec.Struct, array_like=True, tag="grant", gc=False):
    """The sender has promised `epoch` to the candidate, that start of it, and holds this log."""

    slot: int
    epoch: int
    boot: str
    """Of the candidate."""
    is_synced: bool
    accepted: int
    state: LogState
    is_author: bool = False
    """The sender coordinated `accepted` itself."""
    lost_epoch: int = ANY_EPOCH
    """If the sender is not synced: the memory that it lost held no item of a higher epoch."""


class Resign(msgspec.Struct, array_like=True, tag="resign", gc=False):
    """The coordinator of `epoch` asks the receiver to take over."""

    slot: int
    epoch: int


ElectionPacket: TypeAlias = Vote | Grant | Resign


class Election:
    """One slot's elections, as one voter takes part in them."""

    def __init__(self, slot: Slot, replication: Replication, rng: Random) -> None:
        self.slot = slot
        self.replication = replication
        self.elections_won = 0
        self.memory_losses = 0
        """Logs that this node began anew though some voter still held one that may have been incomplete."""
        self._rng = rng
        self._order: list[NodeName] = []
        self._due: float | None = None
        """When to stand, if nothing else happens."""
        self._standing: tuple[int, bool] | None = None
        """The epoch to stand for, once the promise is durable, and whether the coordinator asked for it."""
        self._granting: tuple[NodeName, str, Vote] | None = None
        """The vote to grant (sender, its boot, vote), once the promise is durable."""
        self._grants: dict[NodeName, Grant] = {}
        self._boots: dict[NodeName, str] = {}
        self._recovery: Copying | None = None
        """Counts only while the role is RECOVERING, which replication.py ends when it hears of a higher epoch."""
        self._recovery_until = 0.0
        self._successor: NodeName = ""
        self._hand_over_until = 0.0

    # Inputs.

    def voters(self, order: Sequence[NodeName]) -> None:
        """The living voters, in the order in which they are to coordinate this slot."""
        self._order = list(order)

    def receive(self, now: float, sender: NodeName, boot: str, packet: ElectionPacket) -> None:
        """A packet of another node, from that start of it."""
        if not self.slot.is_voter:
            return
        match packet:
            case Vote():
                self._vote(now, sender, boot, packet)
            case Grant():
                self._granted(now, sender, boot, packet)
            case Resign():
                slot = self.slot
                if slot.role is Role.FOLLOWER and slot.is_synced and packet.epoch == slot.accepted == slot.promised:
                    self._stand(now, is_transfer=True)

    def tick(self, now: float) -> None:
        """Stand if it is time."""
        slot, config = self.slot, self.slot.config
        if not slot.is_voter:
            return
        if slot.role is Role.COORDINATOR:
            self._hand_over(now)
            return
        if slot.role is Role.RECOVERING:
            self._recover(now)
            return
        needed = config.elect_quorum if slot.is_synced else len(config.voters)
        is_living = slot.coordinator in self._order or not slot.coordinator
        if (is_living and now - slot.heard_at < config.silence_s) or len(self._order) < needed:
            self._due = None
        elif self._due is None:
            delay_s = config.rank_delay_s * slot.rank_of(self._order)
            self._due = now + delay_s + (0.0 if slot.is_synced else UNSYNCED_DELAY_S)
        elif now >= self._due:
            self._stand(now, is_transfer=False)

    def fetched(self, now: float, sender: NodeName, packet: Range | Trimmed) -> bool:
        """An answer to a question; whether it was this election's."""
        if self.slot.role is not Role.RECOVERING or self._recovery is None:
            return False
        self._recovery.receive(now, sender, packet)
        self._recover(now)
        return True

    def cache_filled(self, now: float, end: Position) -> None:
        """Answers CacheWanted."""
        if self.slot.role is Role.RECOVERING and self._recovery is not None:
            self._recovery.cache_filled(now, end)
            self._recover(now)

    def resign(self, now: float, successor: NodeName) -> None:
        """Hand the slot over to another voter as soon as everything is committed."""
        if self.slot.role is Role.COORDINATOR and successor != self.slot.me:
            self._successor = successor
            self._hand_over_until = now + HAND_OVER_MAX_S
            self.replication.is_resigning = True

    def promise_saved(self, now: float) -> None:
        """What this voter wanted to promise is on its disk."""
        slot = self.slot
        standing, granting = self._standing, self._granting
        self._standing = self._granting = None
        if standing is not None and slot.promised < standing[0] <= slot.durable:
            self._begin(now, *standing)
        if granting is not None and slot.promised < granting[2].epoch <= slot.durable:
            self._give(now, *granting)

    def promise_failed(self, now: float) -> None:
        """The promise could not be saved: it is as if there had been no candidate."""
        if self._standing is not None:
            self._due = now + self.slot.config.vote_retry_s
        self._standing = self._granting = None

    # Standing.

    def _stand(self, now: float, is_transfer: bool) -> None:
        slot = self.slot
        if self._standing is None and self._granting is None:
            self._standing = (slot.promised + 1, is_transfer)
            slot.want_durable(slot.promised + 1)

    def _begin(self, now: float, epoch: int, is_transfer: bool) -> None:
        slot, config = self.slot, self.slot.config
        slot.promise(epoch)
        self.replication.step_down()
        self._recovery = None
        slot.become(Role.CANDIDATE, "")
        self._grants = {slot.me: self._grant(slot.boot)}
        self._boots = {}
        # One that needs all votes leaves time to one that may need fewer: the last in the order, too, has had its turn.
        patience = 1 if slot.is_synced else 2
        self._due = now + patience * config.vote_retry_s * (1 + self._rng.random())
        for voter in config.voters:
            if voter != slot.me:
                slot.send(voter, Vote(slot.number, slot.promised, is_transfer, slot.is_synced))
        self._count(now)

    def _granted(self, now: float, sender: NodeName, boot: str, grant: Grant) -> None:
        slot = self.slot
        is_ours = grant.epoch == slot.promised and grant.boot == slot.boot and sender in slot.config.voters
        if slot.role is Role.CANDIDATE and is_ours:
            self._grants[sender] = grant
            self._boots[sender] = boot
            self._count(now)

    def _count(self, now: float) -> None:
        slot, config = self.slot, self.slot.config
        synced = {name: grant for name, grant in self._grants.items() if grant.is_synced}
        if len(synced) < config.elect_quorum and len(self._grants) < len(config.voters):
            return
        self.elections_won += 1
        best = max(
            synced, key=lambda name: (synced[name].accepted, synced[name].state.end, name == slot.me), default=""
        )
        if not best or not self._is_whole(synced[best].accepted):
            self.memory_losses += bool(best)
            slot.open("".join(self._rng.choice(_LETTERS) for _ in range(8)))
            self._win(now)
            return
        if best == slot.me:
            self._win(now)
            return
        slot.become(Role.RECOVERING, "")
        self._recovery = Copying(slot, slot.promised, best, synced[best].state)
        self._recovery_until = now + RECOVERY_MAX_S
        self._recovery.step(now)
        self._recover(now)

    def _is_whole(self, accepted: int) -> bool:
        """Whether the best log among the grants, of this epoch, surely has everything that was ever committed.

        What is committed in an epoch is held by W voters, its coordinator among them, and each of them has promised
        that epoch on its disk before it acknowledged anything. So what no synced voter holds was held by W voters that
        have lost their memory. They have promised the epoch of `accepted` at least; a higher one, if the coordinator
        of `accepted` still has its memory, for then all of that epoch is here.
        """
        grants = self._grants.values()
        lost = [grant.lost_epoch for grant in grants if not grant.is_synced]
        is_author_here = any(grant.is_synced and grant.is_author and grant.accepted == accepted for grant in grants)
        least = accepted + is_author_here
        return sum(epoch >= least for epoch in lost) < self.slot.config.commit_quorum

    def _recover(self, now: float) -> None:
        recovery = self._recovery
        assert recovery is not None
        if recovery.is_done:
            recovery.finish()
            self._win(now)
        elif now >= self._recovery_until:
            self._recovery = None
            self.slot.become(Role.FOLLOWER, "")
        else:
            recovery.step(now)

    def _win(self, now: float) -> None:
        self._recovery = None
        self._due = None
        self.replication.start(now, self._boots)

    # Voting.

    def _vote(self, now: float, sender: NodeName, boot: str, vote: Vote) -> None:
        slot = self.slot
        if vote.epoch <= slot.promised:
            slot.send(sender, Reject(slot.number, slot.promised))
            return
        is_worse = slot.is_synced and not vote.is_synced
        if (not vote.is_transfer and self._is_content(now, sender)) or (is_worse and slot.role is Role.RECOVERING):
            return
        wanted = self._standing[0] if self._standing is not None else self._granting[2].epoch if self._granting else 0
        if vote.epoch > wanted:
            self._standing, self._granting = None, (sender, boot, vote)
            slot.want_durable(vote.epoch)

    def _give(self, now: float, sender: NodeName, boot: str, vote: Vote) -> None:
        slot, config = self.slot, self.slot.config
        slot.promise(vote.epoch)
        self.replication.step_down()
        self._recovery = None
        slot.become(Role.FOLLOWER, "")
        self._due = now + config.rank_delay_s * slot.rank_of(self._order)
        if slot.is_synced and not vote.is_synced:
            slot.heard_at = NEVER  # the candidate cannot win before this voter does: so this one stands, above it
        else:
            self._due += config.vote_retry_s
            slot.send(sender, self._grant(boot))

    def _is_content(self, now: float, candidate: NodeName) -> bool:
        slot = self.slot
        if slot.role is Role.COORDINATOR:
            return self.replication.has_quorum(now)
        return slot.coordinator not in ("", candidate) and now - slot.heard_at < slot.config.stick_s

    def _grant(self, boot: str) -> Grant:
        slot = self.slot
        return Grant(
            slot.number, slot.promised, boot, slot.is_synced, slot.accepted, state_of(slot), slot.is_author,
            slot.lost_epoch,
        )  # fmt: skip

    # Handing over.

    def _hand_over(self, now: float) -> None:
        slot = self.slot
        if not self._successor:
            return
        if not self.replication.is_resigning:
            self._successor = ""
        elif slot.commit == slot.log.end and self.replication.lead(now, self._successor) == 0:
            slot.send(self._successor, Resign(slot.number, slot.accepted))
            self._successor = ""
            self.replication.step_down()
            slot.become(Role.FOLLOWER, "")
            self._due = now + 2 * slot.config.vote_retry_s
        elif now >= self._hand_over_until:
            self._successor = ""
            self.replication.is_resigning = False
