"""Kafka's logs on this node: found, filled, read, shared with the other nodes, ended.

    found -> filled from a peer's cache -> loaded
          -> or from Kafka: FindStart -> StartFound -> ReadFrom -> records -> end reached -> loaded
    own reader's records -> intake -> workers, and the feed -> other nodes
    feed: Read, Stop -> own reader;  Apply -> intake -> workers;  Repair -> state transfer -> intake -> workers

Of nodes that feed each other one reads a partition; the others get it from there. A node alone feeds nobody: the same
path.

What Kafka lost (an unclean election of a leader) is known by the epochs of records: the first of a higher epoch stands
where a lower one was, and its predecessors from there on are forgotten. Where the reader may have jumped over it, Kafka
is asked first (`Measure`); and where it begins at the end, and nothing comes that would show it.

Not here: who feeds (mesh/feed/feed.py), what records mean (node/intake.py), Kafka's threads (node/kafka/).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

from mesh.cache.cache import Cache
from mesh.cache.state_transfer import StateTransfer, StateTransferEvent, TransferDone, TransferFailed, TransferPage
from mesh.feed.feed import Feed
from mesh.feed.feed_log import Apply, FeedEvent, Read, Repair, Stop, position_of
from mesh.log import EpochStart, Gap, Position, Truncation
from mesh.repeats import Repeats
from node.backfill.backfills import Backfills, Ticket
from node.backfill.questions import Measure
from node.effects import DEBUG, WARNING, AskKafka, Effects, FindStart, ReadFrom, StopReading
from node.intake import Intake, clock_ms
from node.kafka.events import (
    EndReached,
    Flow,
    Found,
    NotAllowed,
    OutOfRange,
    ReadError,
    Record,
    Records,
    StartFound,
    StartUnknown,
)
from node.logs.copy import Copies
from node.logs.kafka_health import KafkaHealth
from node.logs.lent_logs import LentLogs
from node.logs.look_ups import LookUps
from node.tables.tables import Tables
from node.topics import Source, Topics

PEERS_WAIT_S = 3.0
"""How long a node that is to join others waits for them before it fills its cache from Kafka."""
FURTHER_BACK_MIN = 10
REFUSED_AGAIN_S = 5.0
"""After this a partition is read again that Kafka has refused."""


class KafkaLogs:
    """The logs of all partitions of the mapped topics."""

    def __init__(
        self,
        now: float,
        topics: Topics,
        cache: Cache,
        intake: Intake,
        backfills: Backfills,
        tables: Tables,
        feed: Feed,
        transfer: StateTransfer,
        lent: LentLogs,
        health: KafkaHealth,
        look_ups: LookUps,
        effects: Effects,
        *,
        joins: bool,
        retry_window_ms: int,
    ) -> None:
        """Begin without any.

        Args:
            joins: Whether this node knows of others that it may copy from.
            retry_window_ms: How long publishes are remembered.
        """
        self._topics = topics
        self._cache = cache
        self._intake = intake
        self._backfills = backfills
        self._tables = tables
        self._feed = feed
        self._transfer = transfer
        self._lent = lent
        self._health = health
        self._look_ups = look_ups
        self._heard_of: dict[str, None] = {}
        """Logs of other nodes that were not known here: each is asked for once."""
        self._effects = effects
        self._joins = joins
        self._retry_window_ms = retry_window_ms
        self._started_at = now
        self._generation = 0
        """Of the last command to the reader."""
        self._copying: dict[str, Source] = {}
        """Sources that are filled from a peer, by log."""
        self._copies = Copies(cache)
        """What has come of them so far; nothing before the first page."""
        self._measuring: dict[Ticket, Source] = {}
        """Sources of which Kafka is asked whether it has lost their end, before they are read on."""
        self._checking: dict[Ticket, Source] = {}
        """The same, while they are read on: what Kafka has ends there, but it may have lost some and grown again."""
        self._refused: dict[Source, float] = {}
        """Sources that this node may not read, or that it got an error for, and when to try again."""
        self._waiting: list[Source] = []
        """Sources that appeared before any peer did."""
        self.fed = 0
        """Records that came from feeders."""
        self.peers: list[str] = []
        """Living peers with links and a cache that is filled."""

    @property
    def is_loaded(self) -> bool:
        """Whether everything has been read up to its end once that can be read."""
        return self._topics.known and all(
            source.loaded or self._health.is_leaderless(source) or self._health.is_forbidden(source)
            for sources in self._topics.sources.values()
            for source in sources.values()
        )

    # From Kafka: what there is.

    def found(self, now: float, found: Found) -> None:
        """Kafka has told which topics and partitions there are."""
        self._health.found(now, found)
        begun, ended = self._topics.update(found.topics, found.unsure | found.forbidden, found.recreated)
        ends = [(source, self._end(now, source)) for source in ended]
        self._tables.found(now, found.compacted)
        for source in begun:
            self._fill(now, source)
        if begun or ended:
            self._effects.log("topics_changed", begun=len(begun), ended=len(ended))
        self._backfills.topics_changed(begun, ends)
        self._look_ups.answered(found.look_up)
        self._backfills.looked_up(found.look_up)

    def heard_of(self, log_ids: Iterable[str]) -> None:
        """Another node reads these logs: one that is not known here is new, and Kafka is asked at once."""
        for log_id in log_ids:
            if not self._topics.knows(log_id) and log_id not in self._heard_of:
                self._heard_of[log_id] = None
                self._look_ups.ask()

    def start_found(self, now: float, start: StartFound) -> None:
        """Kafka has told from where to read a partition."""
        source = start.source
        if self._topics.by_partition.get((source.topic, source.partition)) is not source:
            return  # it ended meanwhile
        self._health.start_found(source)
        if source.log is not None:
            self._read_again(source, start.earliest)
            return
        source.log = self._cache.open(source.log_id, source.topic, start.floor)
        source.log.keeps_latest = not source.is_table
        if source.rule.publish:
            source.repeats = Repeats(self._retry_window_ms)
            source.warm_until = start.warm_until
        source.skips_first = start.skips_first
        source.begun_at, source.earliest = start.offset, start.earliest
        self._read(source, start.offset)
        self._lent.fed[source.log_id] = source
        self._feed.open(now, source.log_id, source.log.end, False)
        if source.is_new:
            source.loaded = True
            self._tables.log_loaded(now, source)
            self._backfills.log_opened(source)

    def start_unknown(self, news: StartUnknown) -> None:
        """Kafka does not tell from where to read a partition, for now."""
        source = news.source
        if self._topics.by_partition.get((source.topic, source.partition)) is source:
            self._health.start_unknown(source, news.reason)

    # From Kafka: what was read.

    def records(self, now: float, news: Records) -> None:
        """This node's own reader has read."""
        by_source = defaultdict[tuple[str, int], list[Record]](list)
        for record in news.records:
            by_source[record[0], record[1]].append(record)
        for where, records in by_source.items():
            source = self._topics.by_partition.get(where)
            if source is None or source.log is None or news.generation < source.generation:
                continue  # its log ended while these were on their way
            before, was_torn = source.log.end, source.torn is not None
            if not source.is_continuous and self._is_doubtful(source, position_of(records[0])):
                self._measure(source)
                continue
            source.is_continuous = True
            self._refused.pop(source, None)
            self._health.allowed(source)
            self._take_in(now, source, records, news.read_at)
            self._feed.applied(now, source.log_id, before, source.log.end, records, was_torn and source.torn is None)
        self._cache.limit(now)

    def end_reached(self, now: float, news: EndReached) -> None:
        """This node's own reader has got to the end of a partition."""
        source = self._topics.by_partition.get((news.topic, news.partition))
        if source is None or news.generation < source.generation:
            return
        self._health.reached(source, news.offset)
        self._refused.pop(source, None)
        if source.skips_first and not source.loaded:
            self._read_further_back(source, news.offset)
            return
        self._feed.reached(now, source.log_id)
        self._tables.end_read(source)
        if not source.loaded:
            source.warm_until = 0
            self._loaded(now, source)
        elif not source.is_continuous and source.torn is None and source not in self._checking.values():
            self._ask_whether_lost(source, self._checking)

    def not_allowed(self, now: float, news: NotAllowed) -> None:
        """Kafka does not let this node read a partition: it has neither ended nor gone away."""
        source = self._topics.by_partition.get((news.topic, news.partition))
        if source is not None and source.log is not None and news.generation >= source.generation:
            self._health.not_allowed(source)
            self._refused.setdefault(source, now + REFUSED_AGAIN_S)

    def read_failed(self, now: float, news: ReadError) -> None:
        """Kafka has answered something that is no record. What a partition's error is over with, its end tells."""
        self._health.failed(now, news.text if news.where is None else f"{news.where[0]} [{news.where[1]}]: {news.text}")
        source = None if news.where is None else self._topics.by_partition.get(news.where)
        if source is not None and source.log is not None:
            self._health.read_failed(source, news.text)
            self._refused.setdefault(source, now + REFUSED_AGAIN_S)

    def out_of_range(self, news: OutOfRange) -> None:
        """Kafka has deleted what was to be read next, or lost it: find out where to go on."""
        source = self._topics.by_partition.get((news.topic, news.partition))
        if source is not None and source.log is not None and news.generation >= source.generation:
            self._effects.log("log_out_of_range", topic=source.topic, partition=source.partition, end=source.log.end)
            self._effects.add(FindStart(source))

    def flow(self, now: float, news: Flow) -> None:
        """Kafka has ceased to answer this node's own reader for some partitions, or answers again."""
        self._health.flow(now, news.stalled, news.flowing)
        for judge, partitions in ((self._feed.doubt, news.stalled), (self._feed.trust, news.flowing)):
            for where in partitions:
                source = self._topics.by_partition.get(where)
                if source is not None and news.generation >= source.generation:
                    judge(now, source.log_id)

    def measured(self, ticket: Ticket, truncation: Truncation | None) -> None:
        """Answers `Measure`, if this asked: read on, from the first record that came in place of what was lost."""
        checked = self._checking.pop(ticket, None)
        if checked is not None and truncation is None:
            checked.is_continuous = True
            return
        source = checked if checked is not None else self._measuring.pop(ticket, None)
        if source is None or source.log is None:
            return
        end = source.log.end
        if truncation is None:
            offset = end[1] + 1
        elif truncation.next[0] > end[0]:
            offset = truncation.next[1] + 1
        else:
            offset = truncation.last[1] + 1  # nothing has come in its place yet
        self._read(source, offset)
        source.is_continuous = True

    def unmeasured(self, ticket: Ticket) -> None:
        """Kafka did not answer: read on, and ask again if that is where a truncation may be jumped over."""
        source = self._checking.pop(ticket, None) or self._measuring.pop(ticket, None)
        if source is not None and source.log is not None:
            self._read(source, source.log.end[1] + 1)

    # From the feed.

    def feed_event(self, now: float, event: FeedEvent) -> None:
        """What the feed wants done with a log."""
        source = self._lent.fed.get(event.log)
        if source is None or source.log is None:
            return
        match event:
            case Read():
                self._read(source, source.log.end[1] + 1)
            case Stop():
                self._stop_reading(source)
            case Apply():
                self.fed += len(event.records)
                if event.is_torn:
                    source.torn = source.log.end
                self._take_in(now, source, event.records, now)
                self._cache.advance(source.log, event.after)
            case Repair():
                self._transfer.ask(now, event.log, event.after, event.peers)

    # From peers' caches.

    def transfer_event(self, now: float, event: StateTransferEvent) -> None:
        """A log, or a part of one, on its way from a peer."""
        if (copied := self._copying.get(event.log)) is not None:
            self._copy(now, copied, event)
        elif (repaired := self._lent.fed.get(event.log)) is not None:
            self._repair(now, repaired, event)

    # From the clock.

    def tick(self, now: float) -> None:
        """Go on with sources that wait for a peer, and try again what was refused."""
        for source in [source for source, at in self._refused.items() if now >= at]:
            if source.log is not None:
                # The reader would go on by itself, but say nothing as long as there is nothing new.
                self._read(source, source.log.end[1] + 1)
                self._refused[source] = now + REFUSED_AGAIN_S
        if self._waiting and (self.peers or now - self._started_at >= PEERS_WAIT_S):
            waiting, self._waiting = self._waiting, []
            for source in waiting:
                self._fill(now, source)

    # Private.

    def _fill(self, now: float, source: Source) -> None:
        """Fill the cache of a source that has appeared."""
        if source.is_new or not self._joins:
            self._effects.add(FindStart(source))
        elif self.peers:
            self._copying[source.log_id] = source
            self._transfer.ask(now, source.log_id, None, self.peers)
        elif now - self._started_at < PEERS_WAIT_S:
            self._waiting.append(source)
        else:
            self._effects.add(FindStart(source))

    def _take_in(self, now: float, source: Source, records: Sequence[Record], read_at: float) -> None:
        assert source.log is not None
        if source.torn is not None:
            end = source.log.end
            next_at = next((at for record in records if (at := position_of(record)) > end), None)
            if next_at is not None:
                self._tear(source, next_at)
        if not records or records[-1][3] <= source.log.end[0]:
            self._intake.apply(now, source, records, read_at)
        else:
            for epoch, run in groupby(records, key=_epoch_of):  # epochs only rise with offsets
                of_epoch = [*run]
                if epoch > source.log.end[0]:
                    self._begin_epoch(source, EpochStart(source.log.end, position_of(of_epoch[0])))
                self._intake.apply(now, source, of_epoch, read_at)
        if source.is_table:
            self._tables.follow(source)

    def _begin_epoch(self, source: Source, start: EpochStart) -> None:
        """The log goes on with a higher epoch: if Kafka has lost what stood there, subscribers hear of it."""
        assert source.log is not None
        truncation = self._cache.begin_epoch(source.log, start)
        if truncation is None:
            return
        if source.repeats is not None:
            source.repeats.forget_after(truncation.last)
        self._tables.lost(source)
        self._effects.log(
            "log_truncated",
            WARNING,
            topic=source.topic,
            partition=source.partition,
            last=truncation.last,
            next=start.first,
        )
        if source.loaded:
            gap = Gap(source.log_id, truncation.last, truncation.next, "truncated")
            self._backfills.log_torn(source.topic, gap)

    def _tear(self, source: Source, next_at: Position) -> None:
        """The position after a hole is known: so is the hole."""
        assert source.log is not None
        before = (next_at[0], next_at[1] - 1)
        gap = Gap(source.log_id, source.torn, before, "retention")
        self._cache.tear(source.log, before)
        self._tables.lost(source)
        source.torn = None
        if source.loaded:  # before that nobody is live in it, and a backfill finds the hole by itself
            self._backfills.log_torn(source.topic, gap)

    def _loaded(self, now: float, source: Source) -> None:
        """The cache has what there is of a log, up to its end."""
        source.loaded = True
        self._tables.log_loaded(now, source)
        self._effects.log("log_loaded", DEBUG, topic=source.topic, partition=source.partition, log=source.log_id)
        self._backfills.log_loaded(source)

    def _read(self, source: Source, offset: int) -> None:
        self._generation += 1
        source.generation = self._generation
        source.is_continuous = False
        self._forget_measuring(source)
        self._effects.add(ReadFrom(source.topic, source.partition, offset, self._generation))

    def _read_further_back(self, source: Source, end: int) -> None:
        """Nothing that can be read stands between where it was begun to read and the end (aborted transactions, say).

        So the epoch is not known from which on the log is, and what still comes may be of an older one than Kafka's
        leader is in.
        """
        source.begun_at = max(source.earliest, source.begun_at - 10 * max(end - source.begun_at, FURTHER_BACK_MIN))
        source.skips_first = source.begun_at > source.earliest
        self._read(source, source.begun_at)

    def _stop_reading(self, source: Source) -> None:
        self._generation += 1
        self._forget_measuring(source)
        self._refused.pop(source, None)
        self._health.not_read(source)
        self._effects.add(StopReading(source.topic, source.partition, self._generation))

    def _read_again(self, source: Source, earliest: int) -> None:
        """Reading stopped because the next offset is not there.

        Deleted (by retention): go on at the first one there is, and say what is missing once its position is known.
        Lost (truncated): find out from where on.
        """
        assert source.log is not None
        if earliest > source.log.end[1] + 1:
            source.torn = source.log.end
            self._read(source, earliest)
        else:
            self._measure(source)

    def _is_doubtful(self, source: Source, first: Position) -> bool:
        """Whether the reader may have jumped over records, because Kafka had lost others, to where it was told to read.

        Only where it begins: later it follows the epochs by itself.
        """
        assert source.log is not None
        end = source.log.end
        is_jump = first[0] > end[0] and first[1] > end[1]
        return is_jump and source.loaded and source.torn is None

    def _measure(self, source: Source) -> None:
        """Ask Kafka whether it has lost the log's end, and read nothing meanwhile."""
        assert source.log is not None
        self._stop_reading(source)
        source.generation = self._generation
        self._ask_whether_lost(source, self._measuring)

    def _ask_whether_lost(self, source: Source, asked: dict[Ticket, Source]) -> None:
        assert source.log is not None
        ticket = self._backfills.new_ticket()
        asked[ticket] = source
        self._effects.add(AskKafka(ticket, Measure(source, source.log.end)))

    def _forget_measuring(self, source: Source) -> None:
        for asked in (self._measuring, self._checking):
            for ticket in [ticket for ticket, one in asked.items() if one is source]:
                del asked[ticket]

    def _end(self, now: float, source: Source) -> bool:
        """A log is gone; whether everything that Kafka was known to have of it has been read."""
        self._stop_reading(source)
        lag = self._health.lag(source)
        was_read = source.loaded and not lag  # not known: it has just been read to its end
        if not was_read:
            self._topics.forget_end(source.log_id)
        if source.log is not None:
            self._cache.close(source.log)
        self._tables.ended(source)
        self._transfer.cancel(now, source.log_id)
        self._feed.close(now, source.log_id)
        self._lent.fed.pop(source.log_id, None)
        self._copying.pop(source.log_id, None)
        self._copies.discard(source.log_id)
        self._waiting = [one for one in self._waiting if one is not source]
        self._health.forget(source)
        self._effects.log("log_ended", topic=source.topic, partition=source.partition, log=source.log_id, unread=lag)
        return was_read

    def _repair(self, now: float, source: Source, event: StateTransferEvent) -> None:
        log = source.log
        assert log is not None
        match event:
            case TransferPage():
                if event.head is not None:
                    self._learn_epochs(source, event.head.epochs)
                self._intake.repair(now, log, [source], event.part.entries)
                if source.is_table:
                    self._tables.follow(source)
                self._feed.moved(now, event.log, log.end)
            case TransferDone():
                self._cache.advance(log, event.head.end)
                self._feed.repaired(now, event.log, log.end)
            case TransferFailed():
                self._feed.unrepaired(now, event.log)

    def _learn_epochs(self, source: Source, starts: Sequence[EpochStart]) -> None:
        """Where a peer has seen epochs begin after the end of this node's log."""
        assert source.log is not None
        for start in starts:
            if start.first > source.log.end:
                self._begin_epoch(source, start)

    def _copy(self, now: float, source: Source, event: StateTransferEvent) -> None:
        match event:
            case TransferPage():
                repeats = Repeats(self._retry_window_ms) if source.rule.publish else None
                self._copies.take(now, event, source.topic, repeats, clock_ms(now))
            case TransferDone():
                self._copied(now, source)
            case TransferFailed():
                del self._copying[event.log]
                self._copies.discard(event.log)
                self._effects.add(FindStart(source))

    def _copied(self, now: float, source: Source) -> None:
        """A copy is complete: it is the log from here on."""
        del self._copying[source.log_id]
        copy = self._copies.finish(source.log_id)
        copy.install()
        source.log, source.repeats = copy.log, copy.repeats
        self._effects.log("log_copied", DEBUG, topic=source.topic, partition=source.partition, entries=copy.log.held)
        # The reader's first time with a partition takes a second: it gets to know it before it must read at once.
        self._read(source, copy.log.end[1] + 1)
        self._stop_reading(source)
        self._lent.fed[source.log_id] = source
        self._feed.open(now, source.log_id, copy.log.end, True)
        self._loaded(now, source)


def _epoch_of(record: Record) -> int:
    return record[3]
