"""The node's side that speaks to Kafka: reading, reading back, producing and finding out what there is, in threads.

    discovered -> begin -> assigned to the reader -> records -> intake -> (end reached) -> loaded

In a cluster whose nodes feed each other (mesh/feed/feed.py) a partition is read here only while this node is to; the
cluster says when, and fills a log from another node's cache where it can.

Not here: what the threads do (the other files of this folder), what records mean (node/intake.py).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from gateway.link.logs import event
from mesh.cache.cache import ENTRY_BYTES
from mesh.repeats import Repeats
from node.backfill.questions import Question
from node.backfill.scan import ReplayLimits
from node.intake import Record
from node.kafka import discovery, producer, properties, reader, replay
from node.kafka.threads import Inbox
from node.publishing import Produce
from node.topics import Source

if TYPE_CHECKING:
    from node.node import Node

log = logging.getLogger(__name__)


class Bridge:
    """The threads and what they report, wired to the other parts of the node."""

    def __init__(self, node: Node) -> None:
        """Start the threads."""
        self._node = node
        parts = self._parts = node.parts
        settings = parts.settings
        may_be_replaced = settings.cluster.is_on and settings.kafka.read == "feed"
        self._reader = reader.Reader(properties.reader(settings), Inbox(self._read), may_be_replaced)
        self._producer = producer.KafkaProducer(properties.producer(settings), Inbox(self._reported))
        self.replay: replay.Replay = replay.Replay(
            properties.reader(settings),
            ReplayLimits(
                messages_max=settings.replay.messages_max,
                age_s=settings.replay.age_s,
                retry_window_ms=int(settings.publish.retry_window_s * 1000),
                subject_bytes_max=settings.client.subject_bytes_max,
                threads=settings.replay.concurrency,
            ),
            parts.readings.is_asked,
            Inbox(self._replayed),
        )
        self._discoverer = discovery.Discoverer(
            properties.admin(settings),
            settings.kafka.metadata_interval_s,
            lambda topic: parts.topics.rule_of_kafka(topic) is not None,
            discovery.Depth(
                settings.cache.ttl_s, settings.publish.retry_window_s, settings.cache.bytes_max // ENTRY_BYTES
            ),
            Inbox(self._discovered),
        )

    def stop(self) -> None:
        """Stop the threads; publishes that are on their way are waited for, within bounds."""
        self._discoverer.stop()
        self.replay.stop()
        self._producer.stop()
        self._reader.stop()

    # For the node.

    def produce(self, produce: Produce) -> None:
        """A publish, into Kafka."""
        self._producer.produce(produce, len(self._parts.topics.of(produce.topic)))

    def ask(self, ticket: int, question: Question) -> None:
        """What the cache does not have: answered by the readings' inputs."""
        if self._parts.observed.is_leaderless(question.source):
            self._parts.readings.unanswered(ticket)  # a replay thread would wait for it in vain
        else:
            self.replay.ask(ticket, question)

    # For the cluster.

    def begin(self, source: Source) -> None:
        """Fill this log from Kafka: find out from where on."""
        self._discoverer.begin(source)

    def read_on(self, source: Source) -> None:
        """Read a log that is here from where it ends."""
        assert source.log is not None
        source.generation = self._reader.assign(source.topic, source.partition, source.log.end[1] + 1)

    def prepare(self, source: Source) -> None:
        """Have librdkafka get to know a partition that may have to be read at once: its first time takes a second."""
        self.read_on(source)
        self.stop_reading(source)

    def stop_reading(self, source: Source) -> None:
        """Somebody else reads it."""
        self._reader.unassign(source.topic, source.partition)

    # From Kafka.

    def _read(self, news: reader.Reading) -> None:
        parts = self._parts
        match news:
            case reader.Records():
                self._records(news)
            case reader.EndReached():
                self._end_reached(news)
            case reader.OutOfRange():
                self._out_of_range(news)
            case reader.Watermarks():
                parts.observed.high_watermarks.update(news.high)
            case reader.Flow():
                self._flow(news)
            case reader.ReadError():
                parts.observed.read_error(news.text)
        self._node.settle()

    def _records(self, news: reader.Records) -> None:
        parts = self._parts
        if parts.cluster is None:
            self._node.take_in(news.records, news.generation)
        else:
            for source, records in self._by_source(news):
                before, was_torn = source.end, source.torn is not None
                self._node.take_in(records, news.generation)
                if before is not None and news.generation >= source.generation:
                    parts.cluster.feeding.applied(source, before, records, was_torn and source.torn is None)
        parts.cache.limit(time.monotonic())
        self._reader.taken(news)

    def _by_source(self, news: reader.Records) -> list[tuple[Source, list[Record]]]:
        found: dict[tuple[str, int], list[Record]] = {}
        for record in news.records:
            found.setdefault((record[0], record[1]), []).append(record)
        by_partition = self._parts.topics.by_partition
        return [(by_partition[where], records) for where, records in found.items() if where in by_partition]

    def _end_reached(self, news: reader.EndReached) -> None:
        source = self._parts.topics.by_partition.get((news.topic, news.partition))
        if source is None or news.generation < source.generation:
            return
        if self._parts.cluster is not None:
            self._parts.cluster.feeding.reached(source)
        if not source.loaded:
            source.warm_until_ms = 0
            self.loaded(source)

    def loaded(self, source: Source) -> None:
        """The cache has what there is of a log, up to its end."""
        source.loaded = True
        event(log, "log_loaded", 10, topic=source.topic, partition=source.partition, log=source.log_id)
        self._parts.readings.log_loaded(source)
        self._node.look_ready()

    def _out_of_range(self, news: reader.OutOfRange) -> None:
        """Kafka has deleted what was to be read next, or lost it: find out where to go on."""
        source = self._parts.topics.by_partition.get((news.topic, news.partition))
        if source is not None and source.log is not None and news.generation >= source.generation:
            event(log, "log_out_of_range", topic=source.topic, partition=source.partition, end=source.log.end)
            self._discoverer.begin(source)

    def _flow(self, news: reader.Flow) -> None:
        assert self._parts.cluster is not None
        if news.stalled:
            event(log, "kafka_stalled", partitions=len(news.stalled), first=news.stalled[0])
        if news.flowing:
            event(log, "kafka_flowing", partitions=len(news.flowing))
        feeding = self._parts.cluster.feeding
        for tell, partitions in ((feeding.stalled, news.stalled), (feeding.flowing, news.flowing)):
            for where in partitions:
                source = self._parts.topics.by_partition.get(where)
                if source is not None and news.generation >= source.generation:
                    tell(source)

    def _discovered(self, news: discovery.Discovery) -> None:
        parts = self._parts
        match news:
            case discovery.Unreachable():
                parts.observed.kafka_unreachable(time.monotonic(), news.reason)
            case discovery.Found():
                parts.observed.kafka_found(time.monotonic(), news)
                begun, ended = parts.topics.update(news.topics, news.unsure)
                told = [(source, self._ended(source)) for source in ended]
                for source in begun:
                    if parts.cluster is None or not parts.cluster.feeding.fill(source):
                        self._discoverer.begin(source)
                if begun or ended:
                    event(log, "topics_changed", begun=len(begun), ended=len(ended))
                parts.readings.topics_changed(begun, told)
                self._node.look_ready()
            case discovery.Begin():
                self._begin(news)
        self._node.settle()

    def _ended(self, source: Source) -> bool:
        """Stop reading it; whether everything that Kafka was known to have of it has been read."""
        parts = self._parts
        self._reader.unassign(source.topic, source.partition)
        lag = parts.observed.lag(source)
        was_read = source.loaded and not lag  # not known: it has just been read to its end
        if not was_read:
            parts.topics.forget_end(source.log_id)
        if source.log is not None:
            parts.cache.close(source.log)
        if parts.cluster is not None:
            parts.cluster.feeding.ended(source)
        parts.observed.forget(source)
        event(log, "log_ended", topic=source.topic, partition=source.partition, log=source.log_id, unread=lag)
        return was_read

    def _begin(self, begin: discovery.Begin) -> None:
        source = begin.source
        if self._parts.topics.by_partition.get((source.topic, source.partition)) is not source:
            return  # it ended meanwhile
        if source.log is not None:
            self._begin_again(source, begin.earliest)
            return
        source.log = self._parts.cache.open(source.log_id, source.topic, begin.floor)
        if source.rule.publish:
            source.repeats = Repeats(int(self._parts.settings.publish.retry_window_s * 1000))
            source.warm_until_ms = begin.warm_until_ms
        source.skips_first = begin.skips_first
        source.generation = self._reader.assign(source.topic, source.partition, begin.offset)
        if self._parts.cluster is not None:
            self._parts.cluster.feeding.opened(source)
        if source.is_new:
            source.loaded = True
            self._parts.readings.log_opened(source)

    def _begin_again(self, source: Source, earliest: int) -> None:
        """Reading stopped because the next offset is not there.

        Deleted (by retention): go on at the first one there is, and say what is missing once its position is known.
        Lost (truncated): read again from where the cache begins; what is known already is dropped by its position.
        """
        assert source.log is not None
        if earliest > source.log.end[1] + 1:
            source.torn = source.log.end
            offset = earliest
        else:
            offset = max(earliest, source.log.floor[1] + 1)
        source.generation = self._reader.assign(source.topic, source.partition, offset)

    def _reported(self, report: producer.Report) -> None:
        parts = self._parts
        if isinstance(report, producer.Delivered):
            source = parts.topics.by_partition.get((report.topic, report.partition))
            log_id = source.log_id if source is not None else ""
            parts.publishing.delivered(time.monotonic(), report.ticket, log_id)
        else:
            parts.publishing.failed(report.ticket, report.code, report.reason)
        self._node.settle()

    def _replayed(self, answer: replay.ReplayAnswer) -> None:
        readings = self._parts.readings
        match answer:
            case replay.ScanDone():
                readings.scanned(answer.ticket, answer.scanned)
            case replay.LocateDone():
                readings.located(answer.ticket, answer.position)
            case replay.MeasureDone():
                readings.measured(answer.ticket, answer.exists)
            case replay.Unanswered():
                self._parts.observed.read_error(answer.reason)
                readings.unanswered(answer.ticket)
        self._node.settle()
