"""Which node reads which Kafka log, so that a cluster reads Kafka once; and every node gets what the others read.

Kafka orders and keeps its logs, so nothing is voted on here: two nodes that read the same log read the same records,
and what a node has already it drops by position. Too many feeders cost traffic, too few cost a second.

              filled, nobody feeds
    FILLING ----------------------> FEEDING --- a better one has got to where this one was ---> FOLLOWING
        |                              ^  ^                                                      |  |  ^
        |                 nobody feeds |  +--- nobody feeds; or this node is first in rank and --+  |  |
        | filled           any more    |       all has been quiet for a while                       |  | has reached
        +--------------------------> MENDING <-------- a hole that no peer could repair ------------+  | the feeder, and
                                       |  ^                                                            | Kafka answers
                                       |  +--- FEEDING without an answer of Kafka, and another feeds   |
                                       +---------------------------------------------------------------+

Rules, for each log by itself:
 1. A feeder sends every batch that its own reader delivers to all (`FeedBatch`: from which end to which), and its end
    every `beacon_s` (`FeedBeacon`), once its reader has shown that it reads and while Kafka answers it.
 2. A batch that begins at or before a node's own end is applied from there on. One that begins later shows a hole, and
    so does a beacon: the node asks a peer's cache for what follows its end (`Repair`, cache/state_transfer.py) and
    keeps the batches that come meanwhile, within bounds. When no peer has it, or answers, it reads Kafka itself until
    it has reached the feeder again.
 3. When no feeder has been heard for `silence_s`, the last one is dead, or its beacon names the log no more, the others
    take over, each later one in rank (placement.py) a `step_s` later. A node that is alone does so at once.
 4. Of two feeders that hear each other the better one stays. The other reads on until that one's end has reached where
    its own was when it heard of it: first one reads, then the other stops.
 5. The first in rank takes over from a feeder that is well only when nothing has changed for `settle_s`.
 6. A node that leaves counts as the last in rank, and feeds until another does (`resign`).
 7. A feeder whose reader gets no answer (`doubt`) says at once that it feeds no more, and leaves its reader on: so it
    sees when Kafka is back (`trust`). If another feeds by then it stops, and rule 5 holds; if nobody could, it goes on.

Invariants:
- A node's end never falls, and every `Apply` begins at it: what a node applies is the log, in order, without a hole.
- Own reader on: FILLING, FEEDING, MENDING. Only then a log is doubted. The node is told `Read` and `Stop` in turns.

With `direct` every node reads for itself, and nothing is sent or heard.

Not here: reading (node/kafka/reader.py), what a record means (node/intake.py), repairs themselves
(cache/state_transfer.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.feed.feed_log import (
    EVERYONE,
    Apply,
    FeedBatch,
    FeedBeacon,
    FeedConfig,
    FeedEvent,
    FeedLog,
    FeedPacket,
    FeedRole,
    Read,
    Record,
    Repair,
    Stop,
    batches,
    position_of,
)
from mesh.feed.feeders import Feeders
from mesh.feed.reordering import ReorderBuffer
from mesh.log import Position


class Feed:
    """All Kafka logs of a node."""

    def __init__(self, me: str, config: FeedConfig) -> None:
        self.me = me
        self._config = config
        self._logs: dict[str, FeedLog] = {}
        self._feeders = Feeders(me, config.silence_s)
        self._early = ReorderBuffer(config.early_max, config.early_bytes_max)
        self._beacon_at = 0.0
        self._silent_at = 0.0
        """Until then beacons are sent even if they name no log: something was given up."""
        self._forget_at = 0.0
        self._now = 0.0
        self._sends: list[tuple[str, FeedPacket]] = []
        self._events: list[FeedEvent] = []
        self.repairs = 0
        self.takeovers = 0

    # Inputs.

    def open(self, now: float, log_id: str, end: Position, filled: bool) -> None:
        """A log is here up to `end`. Not `filled`: the node's own reader fills it, until `reached`."""
        assert log_id not in self._logs, log_id
        self._now = now
        log = self._logs[log_id] = FeedLog(log_id, end)
        log.settled_at = now
        if not filled:
            return
        log.role = FeedRole.FOLLOWING
        grace = now if len(self._feeders.alive) == 1 else now + self._config.silence_s
        log.quiet_at = self._feeders.fresh_until(now, log_id) or grace
        if self._config.direct:
            self._read(log, FeedRole.FEEDING)
        else:
            self._step(now, log)

    def close(self, now: float, log_id: str) -> None:
        """A log is not here any more; its reader is the node's to stop."""
        self._now = now
        if self._logs.pop(log_id, None) is not None:
            self._early.take(log_id)

    def members(self, now: float, alive: Sequence[str]) -> None:
        """Who is alive."""
        self._now = now
        if not self._feeders.members(now, alive):
            return
        alive = self._feeders.alive
        for log in self._logs.values():
            if (log.feeder and log.feeder not in alive) or len(alive) == 1:
                log.quiet_at = self._feeders.fresh_until(now, log.id) or min(now, log.quiet_at)

    def resign(self, now: float) -> None:
        """This node is about to stop: others are to take over. Wait until `feeding_count` is 0, within bounds."""
        self._now = now
        self._feeders.resign()
        self._beacon_at = now

    def applied(
        self,
        now: float,
        log_id: str,
        before: Position,
        after: Position,
        records: Sequence[Record],
        is_torn: bool = False,
    ) -> None:
        """The node's own reader has delivered records of a log, and they were applied.

        Args:
            before: The log's end until then.
            after: Since then.
            is_torn: What lay between `before` and the first record is lost: Kafka has deleted it.
        """
        self._now = now
        log = self._logs.get(log_id)
        if log is None:
            return
        log.is_proven = log.reads
        if self._config.direct:
            log.move(after)  # nobody sends what could have come early
            return
        if log.feeds:
            if records and position_of(records[0]) <= before:
                records = [record for record in records if position_of(record) > before]
            self._sends += [(EVERYONE, batch) for batch in batches(log_id, before, after, records, is_torn)]
        self._move(log, after)

    def reached(self, now: float, log_id: str) -> None:
        """The node's own reader has got to where Kafka's log ends, for now: it reads. What it fills is filled."""
        self._now = now
        log = self._logs.get(log_id)
        if log is None or not log.reads:
            return
        log.is_proven = True
        if log.role is FeedRole.FILLING:
            fresh_until = self._feeders.fresh_until(now, log_id)
            log.role = FeedRole.FEEDING if fresh_until is None else FeedRole.MENDING
            log.quiet_at = fresh_until or now
            log.settled_at = now

    def doubt(self, now: float, log_id: str) -> None:
        """The node's own reader gets no answer from Kafka, until `trust`: let others take over."""
        self._now = now
        log = self._logs.get(log_id)
        if log is not None and log.reads:
            if log.feeds:
                self._beacon_at, self._silent_at = now, now + self._config.silence_s
            log.is_doubted = True

    def trust(self, now: float, log_id: str) -> None:
        """Kafka answers the node's own reader."""
        self._now = now
        log = self._logs.get(log_id)
        if log is not None:
            log.is_doubted = False

    def moved(self, now: float, log_id: str, end: Position) -> None:
        """The log's end has moved by other means than `Apply` and `applied`: by a page of a repair, say."""
        self._now = now
        log = self._logs.get(log_id)
        if log is not None and end > log.end:
            log.repair_until = now + self._config.repair_s
            self._move(log, end)

    def repaired(self, now: float, log_id: str, end: Position) -> None:
        """What `Repair` asked for is all here, up to `end`."""
        log = self._logs.get(log_id)
        if log is None or not log.is_repairing:
            self.moved(now, log_id, end)
            return
        is_some = end > log.end or log.end > log.repaired_from
        self.moved(now, log_id, end)
        log.is_repairing = False
        if not is_some and log.behind is not None:
            self._unrepairable(now, log)

    def unrepaired(self, now: float, log_id: str) -> None:
        """No peer could repair the log."""
        self._now = now
        log = self._logs.get(log_id)
        if log is not None and log.is_repairing:
            self._unrepairable(now, log)

    def receive(self, now: float, sender: str, boot: str, packet: FeedPacket) -> None:
        """A packet of another node, from that start of it."""
        self._now = now
        if self._config.direct or sender == self.me:
            return
        if isinstance(packet, FeedBeacon):
            self._feeders.hear_leaving(now, sender, boot, packet.is_leaving)
            for log_id, end in packet.feeds:
                self._hear(now, sender, boot, log_id, end)
            for log_id in self._feeders.given_up(sender, [log_id for log_id, _ in packet.feeds]):
                self._given_up(now, log_id)
        else:
            log = self._logs.get(packet.log)
            if log is not None and log.role is not FeedRole.FILLING:
                self._take(now, sender, log, packet)
            self._hear(now, sender, boot, packet.log, packet.after)

    def tick(self, now: float) -> None:
        """Call every 50 ms or so."""
        self._now = now
        if self._config.direct:
            return
        for log in self._logs.values():
            self._step(now, log)
        if now >= self._beacon_at:
            self._beacon_at = now + self._config.beacon_s
            feeds = [(log.id, log.end) for log in self._logs.values() if log.feeds]
            if feeds or now < self._silent_at:
                self._sends.append((EVERYONE, FeedBeacon(feeds, self._feeders.is_leaving)))
        if now >= self._forget_at:
            self._forget_at = now + self._config.silence_s
            self._feeders.forget(now)

    # Outputs.

    def take_sends(self) -> list[tuple[str, FeedPacket]]:
        """Packets with their destinations."""
        sends, self._sends = self._sends, []
        return sends

    def take_events(self) -> list[FeedEvent]:
        """What the node is to do, in this order, before the next input."""
        events, self._events = self._events, []
        return events

    # Questions.

    def feeder(self, log_id: str) -> str | None:
        """Who feeds a log, as far as this node knows; also of a log that is not open here."""
        log = self._logs.get(log_id)
        feeders = [*self._feeders.fresh(self._now, log_id)]
        if log is not None and log.feeds:
            feeders.append(self.me)
        return self._feeders.best(log_id, feeders)

    def is_level(self, now: float, log_id: str) -> bool:
        """Whether another node feeds the log and this node has everything that was sent."""
        log = self._logs.get(log_id)
        return log is not None and log.role is FeedRole.FOLLOWING and log.behind is None and now < log.quiet_at

    @property
    def feeding_count(self) -> int:
        """Logs that this node feeds."""
        return sum(log.feeds for log in self._logs.values())

    # Who feeds.

    def _hear(self, now: float, sender: str, boot: str, log_id: str, end: Position) -> None:
        """A feeder is well, and has this end."""
        heard = self._feeders.hear(now, sender, boot, log_id, end)
        log = self._logs.get(log_id)
        if log is None or log.role is FeedRole.FILLING:
            return
        log.feeder = sender
        log.quiet_at = max(log.quiet_at, now + self._config.silence_s)
        if log.is_doubted:
            log.role, log.goal = FeedRole.MENDING, None
        elif log.role is FeedRole.MENDING and log.end >= heard.end:
            self._stop(log)
        elif log.role is FeedRole.FEEDING and self._feeders.is_better(log_id, sender):
            if log.goal is None or log.goal[:2] != (sender, boot):
                log.goal = (sender, boot, log.end)
            if heard.end >= log.goal[2]:
                self._stop(log)
        if heard.end > log.end and log.behind is None and not log.feeds:
            log.behind = (heard.end, now)

    def _given_up(self, now: float, log_id: str) -> None:
        """A feeder feeds a log no more."""
        log = self._logs.get(log_id)
        if log is not None:
            log.quiet_at = min(log.quiet_at, self._feeders.fresh_until(now, log_id) or now)

    def _step(self, now: float, log: FeedLog) -> None:
        """What time alone changes."""
        config = self._config
        if log.role is FeedRole.FOLLOWING:
            left_at = self._feeders.left_since(log.feeder)
            if now >= log.quiet_at or left_at is not None:
                since = log.quiet_at if left_at is None else min(left_at, log.quiet_at)
                is_due = now >= since + config.step_s * self._feeders.place(log.id, log.feeder)
            else:
                is_settled = now >= max(self._feeders.changed_at, log.settled_at) + config.settle_s
                is_well = log.behind is None and not log.is_repairing
                is_due = is_settled and is_well and self._feeders.order(log.id)[:1] == [self.me]
            if is_due:
                self.takeovers += 1
                self._read(log, FeedRole.FEEDING)
        elif log.role is FeedRole.MENDING and now >= log.quiet_at:
            log.role = FeedRole.FEEDING
        if log.is_repairing:
            if now >= log.repair_until:
                self._unrepairable(now, log)
        elif log.behind is not None and now >= log.behind[1] + config.behind_s:
            self._repair(now, log, log.feeder)

    def _read(self, log: FeedLog, role: FeedRole) -> None:
        assert log.role is FeedRole.FOLLOWING, log.role
        log.role = role
        log.is_proven = False
        log.goal = None
        self._events.append(Read(log.id))

    def _stop(self, log: FeedLog) -> None:
        assert log.role in (FeedRole.FEEDING, FeedRole.MENDING), log.role
        log.role = FeedRole.FOLLOWING
        log.is_proven = False
        log.goal = None
        log.settled_at = self._now
        self._events.append(Stop(log.id))

    # What was read elsewhere.

    def _take(self, now: float, sender: str, log: FeedLog, batch: FeedBatch) -> None:
        if batch.after <= log.end:
            return
        if batch.before <= log.end:
            self._apply(log, batch)
            self._connect(log)
        else:
            self._early.keep(batch)
            self._repair(now, log, sender)

    def _apply(self, log: FeedLog, batch: FeedBatch) -> None:
        assert batch.before <= log.end < batch.after, (batch.before, log.end, batch.after)
        records = batch.records
        if batch.before < log.end:
            records = [record for record in records if log.end < position_of(record)]
        is_torn = batch.is_torn and len(records) == len(batch.records) and bool(records)
        log.move(batch.after)
        self._events.append(Apply(log.id, records, batch.after, is_torn))

    def _move(self, log: FeedLog, end: Position) -> None:
        log.move(end)
        self._connect(log)

    def _connect(self, log: FeedLog) -> None:
        """Apply what came early and follows now."""
        for batch in self._early.take(log.id):
            if batch.after > log.end:
                if batch.before <= log.end:
                    self._apply(log, batch)
                else:
                    self._early.keep(batch)

    def _repair(self, now: float, log: FeedLog, first: str) -> None:
        """Ask peers for what follows the log's end, unless that was tried, or the own reader is getting there."""
        if log.is_repairing or log.is_well or now < log.repair_again_at:
            return
        peers = dict.fromkeys([first, *self._feeders.fresh(now, log.id), *self._feeders.order(log.id)])
        others = [name for name in peers if name not in ("", self.me)]
        log.is_repairing = True
        log.repaired_from = log.end
        log.repair_until = now + self._config.repair_s
        self.repairs += 1
        self._events.append(Repair(log.id, log.end, others[: self._config.repair_peers_max]))

    def _unrepairable(self, now: float, log: FeedLog) -> None:
        log.is_repairing = False
        log.repair_again_at = now + self._config.repair_again_s
        if log.role is FeedRole.FOLLOWING:
            self._read(log, FeedRole.MENDING)
