"""The node process: builds the parts and passes what one says to the next.

    records:   reader -> intake -> cache, live batches -> workers
    subscribe: workers -> readings -> pages -> workers; questions -> replay -> readings
    publish:   workers -> publishing -> producer -> (Kafka -> reader -> intake) -> publishing -> workers

Everything happens in one hub; native threads hand over through inboxes. Each input ends with `_settle`, which takes
what the cores have to say. Cores never yield, so an input is handled whole before the next.

Not here: decisions (the cores), starting and stopping (main.py).
"""

from __future__ import annotations

import logging
import time

import msgspec

from gateway import link
from gateway.logs import event
from gateway.mapping import Mapping
from gateway.settings import TopicRule
from mesh.cache import ENTRY_BYTES, Cache, CacheConfig
from mesh.repeats import Repeats
from node.intake import Intake
from node.interest import Interest, WorkerId
from node.kafka import discovery, producer, properties, reader, replay
from node.kafka.threads import Inbox
from node.metrics import render
from node.observed import Observed
from node.parts import Parts
from node.publishing import Publishing, PublishingConfig
from node.reading import PageLimits
from node.readings import Readings
from node.scan import ReplayLimits
from node.settings.schema import Settings
from node.topics import Source, Topics
from node.workers import Worker, Workers

log = logging.getLogger(__name__)


class Node:
    """All parts of one node, wired together."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        self.settings = settings
        self.workers = workers
        rules = [TopicRule(topic.name, topic.value, topic.publish) for topic in settings.topics]
        self.topics = Topics(Mapping(rules))
        self.cache = Cache(
            CacheConfig(
                ttl_s=settings.cache.ttl_s,
                messages_per_subject=settings.cache.messages_per_subject_max,
                bytes_max=settings.cache.bytes_max,
                snapshot_ttl_s=settings.cache.snapshot_ttl_s,
            )
        )
        self.interest = Interest()
        self.publishing = Publishing(
            PublishingConfig(settings.publish.timeout_s, settings.publish.queue_max, settings.publish.remembered_max)
        )
        self.intake = Intake(
            self.cache, self.topics, self.interest, settings.client.subject_bytes_max, self.publishing.applied
        )
        self.readings = Readings(
            self.topics, self.interest, PageLimits(settings.link.page_messages_max, settings.link.page_bytes_max)
        )
        self.observed = Observed(time.monotonic())
        self._start_kafka()
        self.parts = Parts(
            settings,
            workers,
            self.topics,
            self.cache,
            self.interest,
            self.publishing,
            self.intake,
            self.readings,
            self.replay,
        )

    def _start_kafka(self) -> None:
        settings = self.settings
        self.reader = reader.Reader(properties.reader(settings), Inbox(self._read))
        self.producer = producer.KafkaProducer(properties.producer(settings), Inbox(self._reported))
        self.replay = replay.Replay(
            properties.reader(settings),
            ReplayLimits(
                messages_max=settings.replay.messages_max,
                age_s=settings.replay.age_s,
                retry_window_ms=int(settings.publish.retry_window_s * 1000),
                subject_bytes_max=settings.client.subject_bytes_max,
                threads=settings.replay.concurrency,
            ),
            self.readings.is_asked,
            Inbox(self._replayed),
        )
        self.discoverer = discovery.Discoverer(
            properties.admin(settings),
            settings.kafka.metadata_interval_s,
            lambda topic: self.topics.mapping.rule_for(topic) is not None,
            discovery.Depth(
                settings.cache.ttl_s, settings.publish.retry_window_s, settings.cache.bytes_max // ENTRY_BYTES
            ),
            Inbox(self._discovered),
        )

    def stop(self) -> None:
        """Stop the threads; publishes that are on their way are waited for, within bounds."""
        self.discoverer.stop()
        self.replay.stop()
        self.producer.stop()
        self.reader.stop()

    # From workers.

    def from_worker(self, worker: Worker, said: link.FromWorker) -> None:
        """One event of a worker. The answers go out when the link is flushed."""
        match said:
            case link.Subscribe():
                self.readings.subscribe(worker.id, said)
            case link.More():
                self.readings.more(worker.id, said.sid)
            case link.Cancel():
                self.readings.cancel(worker.id, said.sid)
            case link.Drop():
                self.interest.drop(worker.id, said.subject, said.encoding)
            case link.Publish():
                self.publishing.publish(time.monotonic(), worker.id, said)
            case link.Ask():
                self.workers.send(worker.id, self._tell(said))
            case link.Stats():
                worker.stats = said.values
            case link.Ready():
                event(log, "worker_ready", index=said.index, pid=said.pid)
        self._settle()

    def _tell(self, ask: link.Ask) -> link.Tell:
        match ask.what:
            case "ready":
                ready = self.observed.ready
                body = {"ready": ready, "problems": self.observed.problems(self.parts)}
                return link.Tell(ask.rid, 200 if ready else 503, "application/json", msgspec.json.encode(body))
            case "status":
                body = self.observed.status(self.parts)
                return link.Tell(ask.rid, 200, "application/json", msgspec.json.encode(body))
            case "metrics":
                text = render(self.parts, self.observed)
                return link.Tell(ask.rid, 200, "text/plain; version=0.0.4; charset=utf-8", text)
        return link.Tell(ask.rid, 404, "text/plain; charset=utf-8", b"not known\n")

    def worker_gone(self, worker: WorkerId) -> None:
        """A worker has died, or was cut off: it holds nothing any more."""
        self.interest.forget(worker)
        self.readings.forget(worker)
        self.publishing.forget(worker)

    # From Kafka.

    def _read(self, news: reader.Reading) -> None:
        match news:
            case reader.Records():
                batches, gaps = self.intake.apply(news.records, news.generation)
                for topic, gap in gaps:
                    self.readings.log_torn(topic, gap)
                self._settle()
                for worker, batch in batches.items():
                    self.workers.send(worker, batch)
                self.cache.limit(time.monotonic())
                self.reader.taken(news)
            case reader.EndReached():
                self._end_reached(news)
            case reader.OutOfRange():
                self._out_of_range(news)
            case reader.Watermarks():
                self.observed.high_watermarks.update(news.high)
            case reader.ReadError():
                self.observed.read_error(news.text)
        self._settle()
        self.workers.flush()

    def _end_reached(self, news: reader.EndReached) -> None:
        source = self.topics.by_partition.get((news.topic, news.partition))
        if source is None or source.loaded or news.generation < source.generation:
            return
        source.loaded = True
        source.warm_until_ms = 0
        event(log, "log_loaded", 10, topic=source.topic, partition=source.partition, log=source.log_id)
        self.readings.log_loaded(source)
        self._look_ready()

    def _out_of_range(self, news: reader.OutOfRange) -> None:
        """Kafka has deleted what was to be read next, or lost it: find out where to go on."""
        source = self.topics.by_partition.get((news.topic, news.partition))
        if source is not None and source.log is not None and news.generation >= source.generation:
            event(log, "log_out_of_range", topic=source.topic, partition=source.partition, end=source.log.end)
            self.discoverer.begin(source)

    def _discovered(self, news: discovery.Discovery) -> None:
        match news:
            case discovery.Unreachable():
                self.observed.kafka_unreachable(time.monotonic(), news.reason)
            case discovery.Found():
                self.observed.kafka_found(time.monotonic(), news)
                begun, ended = self.topics.update(news.topics, news.unsure)
                told = [(source, self._ended(source)) for source in ended]
                for source in begun:
                    self.discoverer.begin(source)
                if begun or ended:
                    event(log, "topics_changed", begun=len(begun), ended=len(ended))
                self.readings.topics_changed(begun, told)
                self._look_ready()
            case discovery.Begin():
                self._begin(news)
        self._settle()
        self.workers.flush()

    def _ended(self, source: Source) -> bool:
        """Stop reading it; whether everything that Kafka was known to have of it has been read."""
        self.reader.unassign(source.topic, source.partition)
        lag = self.observed.lag(source)
        was_read = source.loaded and not lag  # not known: it has just been read to its end
        if not was_read:
            self.topics.forget_end(source.log_id)
        if source.log is not None:
            self.cache.close(source.log)
        self.observed.forget(source)
        event(log, "log_ended", topic=source.topic, partition=source.partition, log=source.log_id, unread=lag)
        return was_read

    def _begin(self, begin: discovery.Begin) -> None:
        source = begin.source
        if self.topics.by_partition.get((source.topic, source.partition)) is not source:
            return  # it ended meanwhile
        if source.log is not None:
            self._begin_again(source, begin.earliest)
            return
        source.log = self.cache.open(source.log_id, source.topic, begin.floor)
        if source.rule.publish:
            source.repeats = Repeats(int(self.settings.publish.retry_window_s * 1000))
            source.warm_until_ms = begin.warm_until_ms
        source.skips_first = begin.skips_first
        source.generation = self.reader.assign(source.topic, source.partition, begin.offset)
        if source.is_new:
            source.loaded = True
            self.readings.log_opened(source)

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
        source.generation = self.reader.assign(source.topic, source.partition, offset)

    def _reported(self, report: producer.Report) -> None:
        if isinstance(report, producer.Delivered):
            source = self.topics.by_partition.get((report.topic, report.partition))
            log_id = source.log_id if source is not None else ""
            self.publishing.delivered(time.monotonic(), report.ticket, log_id)
        else:
            self.publishing.failed(report.ticket, report.code, report.reason)
        self._settle()
        self.workers.flush()

    def _replayed(self, answer: replay.ReplayAnswer) -> None:
        match answer:
            case replay.ScanDone():
                self.readings.scanned(answer.ticket, answer.scanned)
            case replay.LocateDone():
                self.readings.located(answer.ticket, answer.position)
            case replay.MeasureDone():
                self.readings.measured(answer.ticket, answer.exists)
            case replay.Unanswered():
                self.observed.read_error(answer.reason)
                self.readings.unanswered(answer.ticket)
        self._settle()
        self.workers.flush()

    # From the clock.

    def tick(self) -> None:
        """About four times a second."""
        self.publishing.tick(time.monotonic())
        self._settle()
        self.workers.flush()

    def second(self) -> None:
        """Once a second: retention, beacons to the workers, another try at what Kafka did not answer."""
        now = time.monotonic()
        self.cache.expire(now)
        ends = self.intake.ends()
        for worker in self.interest.workers:
            self.workers.send(worker, link.Live(ends, ([], []), ([], [])))
        self.readings.retry(self.observed.why_waiting())
        self.workers.poke()
        self.observed.second(self.parts, now)
        if (unmapped := self.observed.take_unmapped(self.parts)) > 0:
            event(log, "records_unmapped", 30, count=unmapped, last=self.intake.unmapped_last)
        self._settle()
        self.workers.flush()

    # Private.

    def _settle(self) -> None:
        """Pass on what the cores have to say."""
        for worker, said in self.publishing.take_events():
            self.workers.send(worker, said)
        for produce in self.publishing.take_produces():
            self.producer.produce(produce, len(self.topics.of(produce.topic)))
        while questions := self.readings.take_questions():
            for ticket, question in questions:
                if self.observed.is_leaderless(question.source):
                    self.readings.unanswered(ticket)  # a replay thread would wait for it in vain
                else:
                    self.replay.ask(ticket, question)
        for worker, told in self.readings.take_events():
            self.workers.send(worker, told)

    def _look_ready(self) -> None:
        if not self.observed.ready and self.topics.known:
            sources = [source for topic in self.topics.sources.values() for source in topic.values()]
            if all(source.loaded or self.observed.is_leaderless(source) for source in sources):
                self.observed.ready = True
                event(log, "ready", messages=sum(one.appended for one in self.cache.logs.values()))
