"""Looks at the nodes after each turn, from outside, and tells the oracle what they hold and what they tell.

Not here: what is right (truth.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.cache.cache import Log
from mesh.log import BEGINNING, Position
from mesh.slots.forwarding import FORWARD_ITEMS_MAX, NO_COORDINATOR, PublishCommitted, PublishRefused
from mesh.slots.replication import EARLY_MAX
from mesh.slots.slot import Committed, Opened, Repeated, Role, RoleChanged
from mesh.slots.slot_log import SlotLog
from tests.sim.truth import Oracle, Publish, Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.process import Process

__all__ = ["PublishCommitted", "Watch"]


class _Seen:
    """What one slot of one process was when it was looked at last."""

    __slots__ = ("accepted", "commit", "copied", "end", "log", "told")

    def __init__(self) -> None:
        self.log: SlotLog | None = None
        self.accepted = self.end = self.commit = 0
        self.told: Position = BEGINNING
        self.copied: Position = BEGINNING
        """Up to here the cache came from a peer."""


class Watch:
    """All processes."""

    def __init__(self, cluster: Cluster, oracle: Oracle) -> None:
        self.oracle = oracle
        self._cluster = cluster
        self._seen: dict[tuple[str, int], _Seen] = {}

    def started(self, process: Process) -> None:
        for slot in process.replica.by_number:
            self._seen[process.boot, slot.number] = _Seen()

    def look(self, process: Process) -> None:
        """After each turn."""
        for slot in process.replica.by_number:
            seen, log = self._seen[process.boot, slot.number], slot.log
            is_same = log is seen.log and slot.accepted == seen.accepted
            if is_same and log.end == seen.end and slot.commit == seen.commit:
                continue
            if not is_same and slot.role is Role.COORDINATOR:
                self.oracle.coordinates(slot.number, slot.accepted, process.name)
            truth = self.oracle.log(slot.number, slot.incarnation)
            first = seen.end if is_same and log.end >= seen.end else log.base
            for at, item in log.between(max(first, log.base), log.end):
                truth.item(at, item, process.boot)
            if slot.is_voter and slot.accepted:
                truth.hold(process.name, slot.accepted, log.end)
            if not self.oracle.is_broken:
                truth.commits(slot.commit, process.boot)
            if slot.accepted and log.end >= truth.commit:
                process.whole[slot.number] = None
            seen.log, seen.accepted, seen.end, seen.commit = log, slot.accepted, log.end, slot.commit

    def bounds(self, process: Process) -> None:
        """Every queue is within its limit."""
        config, forwarding = process.replica.config, process.replica.forwarding
        if forwarding.pending > forwarding.config.pending_max:
            raise Violation(f"{process.boot} has {forwarding.pending} publishes waiting")
        for slot, replication in zip(process.replica.by_number, process.replica.replications, strict=True):
            uncommitted = slot.log.end - slot.commit
            # A node takes what a packet has though it goes beyond; and a new coordinator has what it took over.
            most = 2 * (config.uncommitted_max + FORWARD_ITEMS_MAX)
            if uncommitted > most or len(slot.log.items) > max(config.tail_items_max, uncommitted) + most:
                raise Violation(f"{process.boot} keeps {len(slot.log.items)} items of slot {slot.number}")
            if len(replication._early) > EARLY_MAX:
                raise Violation(f"{process.boot} keeps {len(replication._early)} early appends")

    # Events.

    def opened(self, process: Process, event: Opened) -> None:
        process.machine.say(event.slot, f"has the log {event.incarnation}")
        seen = self._seen[process.boot, event.slot]
        seen.told = seen.copied = BEGINNING
        before = self.oracle.current(event.slot)
        holder = ""
        if before is not None and before.incarnation != event.incarnation:
            for machine in self._cluster.machines.values():
                if machine.process is not None and machine.is_voter and machine.process is not process:
                    slot = machine.process.replica.by_number[event.slot]
                    if slot.is_synced and slot.incarnation == before.incarnation and slot.log.end:
                        holder = machine.process.boot
        if self.oracle.opens(event.slot, event.incarnation, holder, process.boot):
            self._cluster.counts["cold starts" if before is None else "logs begun anew"] += 1

    def committed(self, process: Process, event: Committed) -> None:
        seen, who = self._seen[process.boot, event.slot], process.boot
        truth = self.oracle.log(event.slot, event.incarnation)
        for at, item in event.entries:
            if at <= seen.copied:
                continue
            if at <= seen.told:
                raise Violation(f"{who} tells {at} of slot {event.slot} after {seen.told}")
            self.oracle.tells(truth, seen.told, at, item, who)
            seen.told = at
        if not self.oracle.is_broken:
            truth.skip(seen.told, event.end, who)
        seen.told = max(seen.told, event.end)
        if self._cluster.tells and event.entries:
            publishes = " ".join(f"{item.publisher}.{item.number}" for _, item in event.entries)
            process.machine.say(event.slot, f"commits up to {event.end}: {publishes}")
        self._cluster.committed(event.slot, process)

    def copied(self, process: Process, slot: int, log: Log) -> None:
        """The cache of a slot's log came from a peer."""
        process.machine.say(slot, f"has copied the cache up to {log.end}")
        seen = self._seen[process.boot, slot]
        seen.copied = seen.told = max(seen.told, log.end)
        self.check_cache(process, slot, log)

    def repaired(self, process: Process, slot: int, log: Log) -> None:
        """What the cache lacked came from a peer, or some of it."""
        seen = self._seen[process.boot, slot]
        seen.copied = seen.told = max(seen.told, log.end)
        self.check_cache(process, slot, log)

    def check_cache(self, process: Process, slot: int, log: Log) -> None:
        """What readers would find is what the oracle knows."""
        if self.oracle.is_broken:
            return
        truth = self.oracle.log(slot, log.id.partition(".")[2])
        for subject, found in log.subjects.items():
            should = [at for at in truth.subjects.get(subject, []) if found.floor < at <= log.end]
            have = [entry.at for entry in found.entries]
            if have != should:
                raise Violation(f"the cache of {process.boot} has {have} of {subject}, not {should}")
        for subject, order in truth.subjects.items():
            if subject not in log.subjects and any(log.floor < at <= log.end for at in order):
                raise Violation(f"the cache of {process.boot} has nothing of {subject}")

    def published(self, process: Process, slot: int, publish: Publish, at: Position) -> None:
        if process.unanswered.pop(publish, self) is self:
            raise Violation(f"{process.boot} answers {publish} a second time")
        process.machine.say(slot, f"confirms {publish[0]}.{publish[1]} at {at}")
        self.oracle.acks(slot, process.replica.by_number[slot].incarnation, publish, at, process.boot)

    def repeated(self, process: Process, event: Repeated) -> None:
        self._cluster.counts["repeats dropped"] += 1

    def refused(self, process: Process, event: PublishRefused) -> None:
        self._cluster.counts[f"refused {event.why}"] += 1
        process.machine.say(-1, f"refuses {event.publish[0]}.{event.publish[1]}: {event.why}")
        if process.unanswered.pop(event.publish, self) is self:
            raise Violation(f"{process.boot} refuses {event.publish}, which it has answered")
        if event.why == NO_COORDINATOR and event.publish[0].startswith("once"):
            self.oracle.never[event.publish] = None

    def role_changed(self, process: Process, event: RoleChanged) -> None:
        who = "" if event.coordinator in ("", process.name) else f" of {event.coordinator}"
        process.machine.say(event.slot, f"is {event.role.value}{who} in epoch {event.epoch}")
        self._cluster.counts[f"became {event.role.value}"] += 1
