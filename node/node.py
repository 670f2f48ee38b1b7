"""The shell of a node: feeds its core with what comes, and performs the core's effects, in order, in one place.

    workers, Kafka's threads, other nodes, the clock -> core -> effects -> workers, Kafka's threads, other nodes, disk

Everything happens in one hub; native threads hand over through an inbox. The core never yields, so an input is handled
whole before the next. What came in one turn is brought to its end together.

Not here: decisions (core.py), start and stop (main.py).
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import signal
import time
from collections.abc import Callable
from random import Random
from typing import Any

import gevent
from gevent import get_hub
from gevent.event import AsyncResult

from gateway.link import events as link
from gateway.link.crash import crash, or_crash
from gateway.link.logs import event
from mesh.histogram import Histogram
from mesh.loop import Watchers
from mesh.membership.packets import MemberChanged
from mesh.packets import Packet
from mesh.revocations import Revocation
from mesh.slots.detours import Datagram
from mesh.slots.promises import Promises, PromisesError
from node.admin.server import ADMIN, AdminListener
from node.audit.audit import Auditors
from node.cluster.network import Network
from node.core import NodeCore
from node.effects import (
    AskKafka,
    AskTable,
    BeginTable,
    CancelQuestion,
    CreateTopic,
    DatagramToPeer,
    DropTable,
    Effect,
    FetchKeys,
    FindStart,
    LinkPeers,
    LogLine,
    LookUpTopics,
    OpenTable,
    Produce,
    ReadFrom,
    Resync,
    SaveKeys,
    SavePromises,
    SaveRevocations,
    StopReading,
    TellMembers,
    ToPeer,
    ToWorker,
    WriteTables,
)
from node.interest import WorkerId
from node.kafka.events import KafkaEvent, Records
from node.kafka.kafka import KafkaThreads
from node.kafka.threads import Inbox
from node.settings import Settings, gateway_settings
from node.settings.cluster import host_of
from node.settings.cluster_files import data_dir
from node.settings.core import core_config
from node.status.status import NodeStatus
from node.tables.events import TableEvent
from node.tables.keeper import TableKeeper
from node.tokens.fetch import Fetcher
from node.tokens.key_store import KeyStore
from node.tokens.store import RevocationStore, StoreError
from node.workers import SupervisedWorker, Workers

log = logging.getLogger(__name__)

TICK_S = 0.05
SECOND_S = 1.0
WORK_S = 0.002
"""How long history is made before everything else has its turn."""
WORK_PAUSE_S = 0.0001
"""Zero would not let the loop look at its sockets in between."""
LEAVE_MAX_S = 3.0
LEEWAY_S = 600.0
"""How much longer than tokens live revocations hold: clocks differ."""
KILL_AFTER_S = 0.1
"""For the answer to leave, when a demonstration has this node killed."""


class Node:
    """One node process.

    Whoever gives the core an input says `perform` afterwards, also where that happens while effects are performed.
    """

    _is_fed = False
    """The core has had an input since it was asked last what is to be done. (Asking costs something.)"""
    _is_performing = False

    def __init__(
        self,
        settings: Settings,
        port: int,
        link_address: str,
        worker_count: int,
        promises: Promises | None,
        revocations: RevocationStore,
        audit: Auditors | None = None,
    ) -> None:
        """Open all sockets for other nodes and start Kafka's threads; `start` starts the workers.

        Args:
            port: Where clients reach this node.
            link_address: ZeroMQ address for the workers.
            promises: Where a voter keeps what it promised; None: nowhere.
            revocations: Where it is kept which tokens are revoked.

        Raises:
            OSError, ValueError: As `Network`.
            TablesInUseError: As `TableKeeper`.
        """
        now = time.monotonic()
        self._settings = settings
        self._promises = promises
        self._audit = audit
        self.stopped: AsyncResult[int] = AsyncResult()
        """Set with the exit status when the node must end by itself."""
        boot = secrets.token_urlsafe(9)
        known = promises.load() if promises is not None else {}
        self.core = NodeCore(now, core_config(settings), boot, known, Random(secrets.randbits(64)))
        self._admin = AdminListener(settings, port, self, audit) if settings.admin.listen != "off" else None
        pages = self._admin.origins if self._admin is not None else []
        self._network = Network(settings, boot, self) if settings.cluster.is_on else None
        self.workers = Workers(
            [
                gateway_settings(
                    settings, index=i, cluster=settings.cluster.name, link=link_address, port=port, page_origins=pages
                )
                for i in range(worker_count)
            ],
            self,
        )
        self._tables = _table_keeper(settings, Inbox(self._table_event, self.perform))
        is_mapped = self.core.topics.is_mapped
        self._kafka = (
            KafkaThreads(settings, is_mapped, self._kafka_event, self.perform) if settings.uses_kafka else None
        )
        self._revocations = revocations
        self.core.revocations_loaded(now, revocations.load())
        self._keys = KeyStore(data_dir(settings, os.environ))
        self._fetcher = Fetcher(or_crash(self._keys_fetched))
        self._status = NodeStatus(settings, self.core, self.workers, self._kafka, self._network, audit)
        self._performers: dict[type[Effect], Callable[[Any], None]] = {
            ToWorker: self._to_worker,
            Resync: self._resync,
            SavePromises: self._save_promises,
            LogLine: self._log_line,
            FetchKeys: self._fetch_keys,
            SaveRevocations: self._save_revocations,
            SaveKeys: self._save_keys,
            **(_kafka_performers(self._kafka, audit) if self._kafka is not None else {}),
            **dict.fromkeys(_TABLES, self._tables.do),
            **(_network_performers(self._network) if self._network is not None else dict.fromkeys(_NETWORK, _drop)),
        }
        self._ticked_at = self._second_at = now
        self._late_s = 0.0
        loop: Watchers = get_hub().loop
        self._timer, self._work = loop.timer(TICK_S, TICK_S), loop.timer(WORK_PAUSE_S)
        self._connect(now, port)

    def start(self) -> None:
        """Start the workers and the clock."""
        if self._admin is not None:
            self._admin.start()
        self.workers.start()
        self._timer.start(self._tick)

    def leave(self) -> None:
        """Have other nodes take over what this one does for them; wait until they do it, within bounds."""
        until = time.monotonic() + LEAVE_MAX_S
        slots, feeds = len(self.core.slots.coordinated), self.core.feed.feeding_count
        # Also where nothing is to be handed over: another node that leaves now would hand its slots to this one.
        self.core.leave(time.monotonic())
        self.perform()
        if self.core.is_left:
            return
        event(log, "leaving", coordinates=slots, feeds=feeds)
        while not self.core.is_left and time.monotonic() < until:
            gevent.sleep(TICK_S)
            self.core.leave(time.monotonic())
            self.perform()
        event(log, "left", not_handed_over=self.core.to_hand_over)

    def drain(self, window_s: float) -> None:
        """Have the workers move their clients elsewhere and end."""
        servers = [server for server in self.core.servers() if server != self.core.peers.url]
        for worker in self.workers.all:
            self.workers.send(worker.id, link.Drain(window_s, servers))
        self.workers.flush()

    def stop(self) -> None:
        """Stop the threads and leave the cluster; publishes that are on their way are waited for, within bounds."""
        for timer in (self._timer, self._work):
            timer.stop()
            timer.close()
        if self._admin is not None:
            self._admin.close()
        if self._kafka is not None:
            self._kafka.stop()
        self._tables.stop()
        if self._audit is not None:
            self._audit.close()
        if self._network is not None:
            self._network.close()
        self.workers.close()

    @property
    def is_ready(self) -> bool:
        """Whether the cache is filled and all workers take clients."""
        return self.core.is_ready and all(worker.id >= 0 for worker in self.workers.all)

    # From workers.

    def worker_joined(self, worker: WorkerId) -> None:
        """A process has begun to speak."""
        self.core.worker_joined(time.monotonic(), worker)

    def worker_event(self, worker: SupervisedWorker, said: link.FromWorker) -> None:
        """One event of a worker."""
        now, wall_ms = time.monotonic(), int(time.time() * 1000)
        match said:
            case link.Publish():  # nearly all, under load
                self.core.worker_event(now, wall_ms, worker.id, said)
            case link.Stats():
                worker.stats = said.values
                worker.delivery = Histogram(said.delivery_counts, said.delivery_sum_s)
                self.core.worker_event(now, wall_ms, worker.id, said)
            case link.Ready():
                event(log, "worker_ready", index=said.index, pid=said.pid)
            case link.Query():
                self.workers.send(worker.id, self._demo(said) or self._status.reply(said))
            case link.Audited():
                if self._audit is not None:
                    self._audit.put(said.count, said.events)
            case link.Selected():
                if self._admin is not None:
                    self._admin.selected(said)
            case link.Taken():
                pass  # workers.py has looked at it
            case _:
                self.core.worker_event(now, wall_ms, worker.id, said)

    def workers_said(self) -> None:
        """That was all for this turn: what can be answered at once is, unless others wait for history already."""
        if self.core.has_work and not self._work.active:
            self._do_work()
        else:
            self.perform()

    def worker_lost_place(self, worker: WorkerId) -> None:
        """A worker's queue was full."""
        self.core.worker_lost_place(time.monotonic(), worker)

    def worker_gone(self, worker: WorkerId) -> None:
        """A process has ended."""
        self.core.worker_gone(time.monotonic(), worker)

    def worker_cannot_run(self, status: int) -> None:
        """Nothing can be served."""
        self.stopped.set(status)

    # From the operator.

    def revoke(self, token_id: str | None, name: str | None, issued_before: float | None) -> None:
        """Revoke the tokens that fit all that is given, for as long as one of them could live; on all nodes.

        Args:
            name: Of whom they are.
            issued_before: Seconds since 1970; None: now, or whenever, for a single token.

        Raises:
            TooManyRevocations: If there is no room for it.
            ValueError: If the time is yet to come: tokens that are not made yet outlive the revocation, and a slip in
                the date would keep everybody out, for it cannot be taken back.
        """
        if issued_before is None:
            issued_before = time.time() if token_id is None else math.inf
        elif issued_before > time.time() + LEEWAY_S:
            raise ValueError("issued_before is in the future: only tokens that are made already can be revoked")
        life_s = self._settings.authorizer.token_life_s + LEEWAY_S
        self.core.revoke(time.monotonic(), Revocation(issued_before, life_s, token_id, name))
        event(log, "revoked", token_id=token_id, name=name, issued_before=issued_before)
        if self._audit is not None:
            self._audit.operator_revoked(token_id, name, issued_before)
        self.perform()

    def confirmations(self) -> dict[str, bool]:
        """Whether each of the other nodes has said that it holds all revocations that this one does."""
        return self.core.confirmations()

    def answer(self, what: str) -> link.Reply:
        """What the node says of itself."""
        query = link.Query(0, what)
        return self._demo(query) or self._status.reply(query)

    def is_mapped(self, topic: str) -> bool:
        """Whether this node carries the topic or namespace."""
        return topic in self.core.topics.namespaces or self.core.topics.is_mapped(topic)

    def tell_workers(self, said: link.FromNode) -> int:
        """Send an event to all connected workers. Returns their number."""
        ids = [*self.core.workers.ids]
        for id in ids:
            self.workers.send(id, said)
        self.workers.flush()
        return len(ids)

    def publish(self, worker: WorkerId, publish: link.Publish) -> None:
        """As a worker would; the answer comes to the same number."""
        self.core.worker_event(time.monotonic(), int(time.time() * 1000), worker, publish)
        self.perform()

    # From Kafka's threads.

    def _kafka_event(self, said: KafkaEvent) -> None:
        self.core.kafka_event(time.monotonic(), said)
        if isinstance(said, Records) and self._kafka is not None:
            self._kafka.taken(said)

    # From the store of tables.

    def _table_event(self, said: TableEvent) -> None:
        self.core.table_event(time.monotonic(), said)

    # From other nodes.

    def member_changed(self, changed: MemberChanged) -> None:
        """Membership has news of another node."""
        self.core.member_changed(time.monotonic(), changed)

    def peer_packets(self, sender: str, boot: str, packets: list[Packet]) -> None:
        """A message of a peer."""
        self.core.peer_packets(time.monotonic(), sender, boot, packets)

    def peer_datagram(self, sender: str, boot: str, packet: Datagram) -> None:
        """A datagram of a peer."""
        self.core.peer_datagram(time.monotonic(), sender, boot, packet)

    def _connect(self, now: float, port: int) -> None:
        for kept in self._keys.load(self.core.config.key_urls):
            self.core.key_sets.loaded(*kept)
        router_port, pub_port = self._network.ports if self._network is not None else (0, 0)
        public = self._network.public if self._network is not None else b""
        self.core.connected(now, router_port, pub_port, url_of(self._settings, port), public)
        self.perform()

    # From the clock.

    def _tick(self) -> None:
        try:
            now = time.monotonic()
            self._late_s = max(self._late_s, now - self._ticked_at - TICK_S)
            self._ticked_at = now
            self.core.tick(now)
            self.workers.tick(now)
            if now >= self._second_at:
                self._second_at = max(self._second_at + SECOND_S, now)
                self._second(now)
            self.perform()
        except Exception:
            crash()

    def _second(self, now: float) -> None:
        if self._network is not None:
            self._network.second(self.core.peers.alive())
        late_s, self._late_s = self._late_s, 0.0
        self._status.second(now, late_s)
        if self._audit is not None:
            self._audit.second(now, self.core.cache, self._status.figures())

    # Effects.

    def perform(self) -> None:
        """Do all that the core wants done, in order: what follows from an effect comes behind all of its turn."""
        self._is_fed = True
        if self._is_performing:
            return
        self._is_performing = True
        try:
            while self._is_fed:
                self._is_fed = False
                for effect in self.core.take_effects(time.monotonic()):
                    self._performers[type(effect)](effect)
                self.workers.flush()  # first: each send wakes a thread, which may take this one's turn; a client waits
                if self._network is not None:
                    self._network.flush()
        finally:
            self._is_performing = False
        if self.core.has_work:
            self._work.start(self._do_work)

    def _do_work(self) -> None:
        try:
            until = time.monotonic() + WORK_S
            while self.core.has_work and time.monotonic() < until:
                self.core.work()
            self.perform()
        except Exception:
            crash()

    def _to_worker(self, effect: ToWorker) -> None:
        if effect.worker == ADMIN:
            if self._admin is not None:
                self._admin.told(effect.event)
            return
        self.workers.send(effect.worker, effect.event)

    def _resync(self, effect: Resync) -> None:
        self.workers.resync(effect.worker)

    def _save_promises(self, effect: SavePromises) -> None:
        try:
            if self._promises is not None:
                self._promises.save(effect.promises)
        except PromisesError as error:
            if not self.core.slots.cannot_save:
                event(log, "promises_not_saved", logging.ERROR, error=str(error))
            self.core.promises_failed(time.monotonic())
        else:
            self.core.promises_saved(time.monotonic())
        self.perform()

    def _log_line(self, effect: LogLine) -> None:
        event(log, effect.name, effect.level, **effect.fields)

    def _save_revocations(self, effect: SaveRevocations) -> None:
        try:
            self._revocations.save(effect.entries)
        except StoreError as error:
            event(log, "revocations_not_saved", logging.ERROR, error=str(error))

    def _save_keys(self, effect: SaveKeys) -> None:
        try:
            self._keys.save(effect.url, effect.jwks)
        except OSError as error:
            event(log, "keys_not_saved", logging.WARNING, url=effect.url, error=error.strerror)

    def _fetch_keys(self, effect: FetchKeys) -> None:
        self._fetcher.fetch(effect.url)

    def _keys_fetched(self, url: str, jwks: bytes, error: str) -> None:
        self.core.keys_fetched(time.monotonic(), url, jwks, error)
        self.perform()

    # Demonstrations.

    def _demo(self, query: link.Query) -> link.Reply | None:
        if not query.what.startswith("demo/") or not self._settings.cluster.controls or self._network is None:
            return None
        what, _, seconds = query.what.removeprefix("demo/").partition("?seconds=")
        if what == "kill":
            gevent.spawn_later(KILL_AFTER_S, os.kill, os.getpid(), signal.SIGKILL)
        else:
            self._network.cut([*self.core.peers.all], float(seconds))
        return link.Reply(query.rid, 202, "application/json", b"{}")


_TABLES = (OpenTable, BeginTable, DropTable, WriteTables, AskTable)
_NETWORK = (ToPeer, DatagramToPeer, LinkPeers, TellMembers)


def _drop(effect: Effect) -> None:
    """Do nothing: this node has no peers."""


def _table_keeper(settings: Settings, inbox: Inbox[TableEvent]) -> TableKeeper:
    directory, is_given = data_dir(settings, os.environ), bool(settings.cluster.data_dir)
    return TableKeeper(directory, settings.cache.table_bytes_max, inbox, is_given)


def _network_performers(network: Network) -> dict[type[Effect], Callable[[Any], None]]:
    return {
        ToPeer: lambda effect: network.send(effect.to, effect.packet),
        DatagramToPeer: lambda effect: network.send_datagram(effect.to, effect.packet),
        LinkPeers: lambda effect: network.link_peers(effect.peers),
        TellMembers: lambda effect: network.tell_members(effect.meta),
    }


def _kafka_performers(kafka: KafkaThreads, audit: Auditors | None) -> dict[type[Effect], Callable[[Any], None]]:
    def ask(effect: AskKafka) -> None:
        if audit is not None:
            audit.asked_kafka(effect.question)
        kafka.ask(effect)

    return {
        Produce: kafka.produce,
        CreateTopic: kafka.create_topic,
        LookUpTopics: kafka.look_up_topics,
        FindStart: kafka.find_start,
        ReadFrom: kafka.read_from,
        StopReading: kafka.stop_reading,
        AskKafka: ask,
        CancelQuestion: kafka.cancel,
    }


def url_of(settings: Settings, port: int) -> str:
    """Where clients reach the node, as far as it can know."""
    host = settings.node.host
    if host in ("", "0.0.0.0", "::"):
        host = host_of(settings.cluster.advertised) or "127.0.0.1"
    scheme = "wss" if settings.tls.certificate else "ws"
    return f"{scheme}://[{host}]:{port}/v1/ws" if ":" in host else f"{scheme}://{host}:{port}/v1/ws"
