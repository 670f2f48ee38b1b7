"""The node process: builds the parts and passes what one says to the next.

    records:   Kafka or the mesh -> intake -> cache, live batches -> workers
    subscribe: workers -> readings -> pages -> workers; questions -> peers' caches, Kafka -> readings
    publish:   workers -> publishing -> Kafka or the mesh -> intake -> publishing -> workers

Everything happens in one hub; native threads hand over through inboxes. Each input ends with `settle`, which takes
what the cores have to say. Cores never yield, so an input is handled whole before the next.

Not here: decisions (the cores), Kafka's side (kafka/bridge.py), the mesh's (cluster/cluster.py), start and stop
(main.py).
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping as Map
from collections.abc import Sequence

import gevent
import msgspec

from gateway.link import events as link
from gateway.link.logs import event
from gateway.link.topic_rules import Mapping
from mesh.cache.cache import Cache, CacheConfig
from mesh.slots.promises import Promises
from node.backfill.backfill import PageLimits
from node.backfill.backfills import Readings
from node.cluster.cluster import Cluster
from node.intake import Intake, Record
from node.interest import Interest, WorkerId
from node.kafka.bridge import Bridge
from node.parts import Parts
from node.publishing import Publishing, PublishingConfig
from node.settings import Settings, topic_rules
from node.settings.cluster import host_of
from node.status.metrics import render
from node.status.observed import Observed
from node.topics import Topics
from node.workers import Worker, Workers

log = logging.getLogger(__name__)

KILL_AFTER_S = 0.1
"""For the answer to leave, when a demonstration has this node killed."""


class Node:
    """All parts of one node, wired together."""

    def __init__(self, settings: Settings, workers: Workers, promises: Promises | None) -> None:
        """Make the parts; Kafka's threads and the mesh's sockets begin to work at once.

        Args:
            promises: Where a voter keeps what it promised; None: nowhere.
        """
        self.settings = settings
        self.workers = workers
        self.topics = Topics(Mapping(topic_rules(settings)), settings.namespaces, settings.cluster.slots)
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
            PublishingConfig(settings.publish.timeout_s, settings.publish.queue_max, settings.publish.remembered_max),
            self.topics.namespaces,
        )
        self.intake = Intake(
            self.cache, self.topics, self.interest, settings.client.subject_bytes_max, self.publishing.applied
        )
        self.readings = Readings(
            self.topics, self.interest, PageLimits(settings.link.page_messages_max, settings.link.page_bytes_max)
        )
        self.observed = Observed(time.monotonic())
        self.parts = Parts(
            settings,
            workers,
            self.topics,
            self.cache,
            self.interest,
            self.publishing,
            self.intake,
            self.readings,
            self.observed,
        )
        has_mesh = settings.cluster.is_on or bool(settings.namespaces)
        self.cluster = self.parts.cluster = Cluster(self, promises) if has_mesh else None
        self.bridge = self.parts.bridge = Bridge(self) if settings.uses_kafka else None
        self._servers: list[str] = []
        """Told to the workers last."""

    def stop(self) -> None:
        """Stop the threads and leave the cluster; publishes that are on their way are waited for, within bounds."""
        if self.bridge is not None:
            self.bridge.stop()
        if self.cluster is not None:
            self.cluster.stop()

    # From workers.

    def from_worker(self, worker: Worker, said: link.FromWorker) -> None:
        """One event of a worker; after the last of a turn comes `settle`."""
        match said:
            case link.Subscribe():
                self.readings.subscribe(worker.id, said)
            case link.More():
                self.readings.more(worker.id, said.sid)
            case link.Cancel():
                self.readings.cancel(worker.id, said.sid)
                self.workers.send(worker.id, link.Cancelled(said.sid))
            case link.Drop():
                self.interest.drop(worker.id, said.subject, said.encoding)
            case link.Publish():
                self.publishing.publish(time.monotonic(), worker.id, said)
            case link.Query():
                self.workers.send(worker.id, self._reply(said))
            case link.Stats():
                worker.stats = said.values
            case link.Ready():
                event(log, "worker_ready", index=said.index, pid=said.pid)

    def _reply(self, query: link.Query) -> link.Reply:
        match query.what:
            case "ready":
                ready = self.observed.ready
                body = {"ready": ready, "problems": self.observed.problems(self.parts)}
                return link.Reply(query.rid, 200 if ready else 503, "application/json", msgspec.json.encode(body))
            case "status":
                body = self.observed.status(self.parts)
                return link.Reply(query.rid, 200, "application/json", msgspec.json.encode(body))
            case "metrics":
                text = render(self.parts, self.observed)
                return link.Reply(query.rid, 200, "text/plain; version=0.0.4; charset=utf-8", text)
        if query.what.startswith("demo/") and self.settings.cluster.controls and self.cluster is not None:
            what, _, seconds = query.what.removeprefix("demo/").partition("?seconds=")
            if what == "kill":
                gevent.spawn_later(KILL_AFTER_S, os.kill, os.getpid(), signal.SIGKILL)
            else:
                self.cluster.cut(float(seconds))
            return link.Reply(query.rid, 202, "application/json", b"{}")
        return link.Reply(query.rid, 404, "text/plain; charset=utf-8", b"not known\n")

    def worker_gone(self, worker: WorkerId) -> None:
        """A worker has died, or was cut off: it holds nothing any more."""
        self.interest.forget(worker)
        self.readings.forget(worker)
        self.publishing.forget(worker)

    def connect(self, port: int) -> None:
        """Open the sockets for other nodes.

        Args:
            port: Where clients reach this node.

        Raises:
            OSError, ValueError: As `Cluster.connect`.
        """
        self._url = url_of(self.settings, port)
        if self.cluster is not None:
            self.cluster.connect(self._url)

    def leave(self) -> None:
        """Have other nodes take over what this one does for them; bounded."""
        if self.cluster is not None:
            self.cluster.leave()

    def other_servers(self) -> list[str]:
        """Where this node's clients can go when it ends."""
        servers = self.cluster.servers if self.cluster is not None else list(self.settings.node.servers)
        return [server for server in servers if server != self._url]

    # For Kafka's side and the mesh's.

    def servers_changed(self) -> None:
        """Tell the workers where else clients can go, if that is not what they know."""
        servers = self.cluster.servers if self.cluster is not None else []
        if servers != self._servers:
            self._servers = servers
            self._tell_servers()

    def _tell_servers(self) -> None:
        for worker in self.workers.all:
            self.workers.send(worker.id, link.Servers(self._servers))

    def take_in(self, records: Sequence[Record], generation: int) -> None:
        """Records in order, into the cache and to the workers."""
        batches, gaps = self.intake.apply(records, generation)
        for topic, gap in gaps:
            self.readings.log_torn(topic, gap)
        self.hand_out(batches)

    def hand_out(self, batches: Map[WorkerId, link.Live]) -> None:
        """Live batches, behind all that the workers were told before."""
        self._tell_readings()
        for worker, batch in batches.items():
            self.workers.send(worker, batch)

    def look_ready(self) -> None:
        """Become ready once everything has been loaded that can be."""
        if self.observed.ready or (self.bridge is not None and not self.topics.known):
            return
        sources = [source for topic in self.topics.sources.values() for source in topic.values()]
        loaded = all(source.loaded or self.observed.is_leaderless(source) for source in sources)
        if loaded and (self.cluster is None or self.cluster.is_ready):
            self.observed.ready = True
            event(log, "ready", messages=sum(one.appended for one in self.cache.logs.values()))

    def settle(self) -> None:
        """Pass on what the cores have to say, until none has anything more, and send it."""
        while True:
            self._tell_publishing()
            for produce in self.publishing.take_produces():
                assert self.bridge is not None
                self.bridge.produce(produce)
            items = self.publishing.take_items()
            if self.cluster is not None:
                self.cluster.settle(items)
            questions = self.readings.take_questions()
            for ticket, question in questions:
                if self.cluster is None or not self.cluster.ask(ticket, question):
                    assert self.bridge is not None
                    self.bridge.ask(ticket, question)
            if not questions:
                break
        self._tell_publishing()
        self._tell_readings()
        self.workers.flush()

    # From the clock.

    def tick(self) -> None:
        """About four times a second."""
        self.publishing.tick(time.monotonic())
        self.settle()

    def second(self) -> None:
        """Once a second: retention, beacons to the workers, another try at what Kafka did not answer."""
        now = time.monotonic()
        self.cache.expire(now)
        ends = self.intake.ends()
        for worker in self.workers.all:
            self.workers.send(worker.id, link.Live(ends, ([], []), ([], [])))
        self.readings.retry(lambda topic: self.observed.why_waiting(self.parts, topic))
        self.workers.poke()
        if self.cluster is not None:
            self.cluster.second()
            self.look_ready()
            if self._servers:
                self._tell_servers()  # a worker may be new, or have lost it
        self.observed.second(self.parts, now)
        if (unmapped := self.observed.take_unmapped(self.parts)) > 0:
            event(log, "records_unmapped", 30, count=unmapped, last=self.intake.unmapped_last)
        self.settle()

    # Private.

    def _tell_publishing(self) -> None:
        for worker, said in self.publishing.take_events():
            self.workers.send(worker, said)

    def _tell_readings(self) -> None:
        for worker, told in self.readings.take_events():
            self.workers.send(worker, told)


def url_of(settings: Settings, port: int) -> str:
    """Where clients reach the node, as far as it can know."""
    host = settings.node.host
    if host in ("", "0.0.0.0", "::"):
        host = host_of(settings.cluster.advertised) or "127.0.0.1"
    return f"ws://[{host}]:{port}/v1/ws" if ":" in host else f"ws://{host}:{port}/v1/ws"
