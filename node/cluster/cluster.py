"""The mesh's side of the node: the cores of mesh/ with their sockets and their clock, wired to the node.

    datagrams -> membership -> who is alive -> links, elections, feeders
    packets   -> replica, catch-up, scans, feed -> logs/slot_logs.py, logs/kafka_logs.py -> cache, workers
    publishes -> replica -> packets

What is put out by the cores of one turn leaves in one message per destination (`settle`), and no packet before the
promises that it rests on are on the disk. A node without sockets for others is a cluster of one: the same path.

Not here: what the logs' events mean for the node (logs/slot_logs.py, logs/kafka_logs.py), the status document
(status/cluster.py).
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, get_args

import gevent
from gevent import get_hub

from gateway.link import codes
from gateway.link.logs import event
from mesh.cache.peer_scan import NotHeld, PeerScan, PeerScanConfig, PeerScanPacket
from mesh.cache.state_transfer import StateTransfer, StateTransferConfig, StateTransferPacket
from mesh.feed.feed import Feed
from mesh.feed.feed_log import FeedConfig, FeedPacket
from mesh.packets import Packet
from mesh.repeats import Repeats
from mesh.slots.forwarding import ForwardingConfig
from mesh.slots.promises import Promises
from mesh.slots.slot import EVERYONE, SlotConfig
from mesh.slots.slot_log import Item, item_bytes
from mesh.slots.slots import Slots
from mesh.transport.transport import Transport
from mesh.transport.wire import MESSAGE_BYTES_MAX, Codec
from node.backfill.questions import Locate, Measure, Question, Scan, Scanned
from node.cluster.members import Members
from node.kafka.threads import crash
from node.logs.kafka_logs import Feeding
from node.logs.slot_logs import MeshLogs
from node.settings.cluster_files import mesh_keys

if TYPE_CHECKING:
    from mesh.cache.cache import Log
    from node.node import Node

log = logging.getLogger(__name__)

TICK_S = 0.05
SCAN_BYTES_MAX = 1 << 20
REPEATS_MAX = 1_000_000
"""Publishes to namespaces that are remembered in all, to recognise them when they come again; some 250 MB."""
ITEM_BYTES_MAX = MESSAGE_BYTES_MAX // 2
"""What must find room in one message between nodes."""
LEAVE_MAX_S = 3.0


class Cluster:
    """All of the mesh that is in this node."""

    def __init__(self, node: Node, promises: Promises | None) -> None:
        """Make the cores and begin to tick; `connect` opens the sockets.

        Args:
            promises: Where this voter keeps what it promised; None if it has no need to: it is the only one.
        """
        settings = node.settings
        now = time.monotonic()
        self._node = node
        self._promises = promises
        self.me = settings.node.name
        self.boot = secrets.token_urlsafe(9)
        self.replica: Slots = Slots(
            now,
            self.me,
            self.boot,
            SlotConfig(
                voters=settings.voters,
                retry_window_ms=int(settings.publish.retry_window_s * 1000),
                repeats_max=max(REPEATS_MAX // settings.cluster.slots, 1),
            ),
            ForwardingConfig(timeout_s=settings.publish.timeout_s, pending_max=settings.publish.queue_max),
            settings.cluster.slots,
            promises.load() if promises is not None else {},
            Random(secrets.randbits(64)),
        )
        self.replica.members(now, [self.me])
        self.catch_up: StateTransfer = StateTransfer(self._held, StateTransferConfig(), self.boot)
        self.scan: PeerScan = PeerScan(self._log_of, PeerScanConfig(), self.boot)
        self.feed: Feed = Feed(
            self.me, FeedConfig(direct=settings.kafka.read == "direct" or not settings.cluster.is_on)
        )
        self.feed.members(now, [self.me])
        self.logs = MeshLogs(node, self.replica, self.catch_up)
        self.feeding: Feeding = Feeding(node, self.feed, self.catch_up, joins=bool(settings.cluster.join))
        self.members: Members | None = None
        self.transport: Transport | None = None
        self.late_s: float = 0.0
        """How late a tick was at most in the last second."""
        self._late_s = 0.0
        self._coordinated = self._coordinated_told = 0
        self._missing_told: list[str] = []
        self.peers: list[str] = []
        """Living nodes besides this one."""
        self._takers: dict[type, Callable[[float, str, str, Any], None]] = {
            **dict.fromkeys(get_args(FeedPacket), self.feed.receive),
            **dict.fromkeys(get_args(StateTransferPacket), self.catch_up.receive),
            **dict.fromkeys(get_args(PeerScanPacket), self._scan_packet),
        }
        """Whose a packet is, if not the replica's."""
        self._scans: dict[int, Scan] = {}
        self._ticked_at = now
        self._timer = get_hub().loop.timer(TICK_S, TICK_S)
        self._timer.start(self._tick)

    def connect(self, url: str) -> None:
        """Open the sockets for other nodes, if there are to be any.

        Args:
            url: Where clients reach this node.

        Raises:
            OSError: If that cannot be; its text names the address.
            ValueError: If the keys cannot be used.
        """
        settings = self._node.settings
        if settings.cluster.is_on:
            keys = mesh_keys(settings)
            host, port = settings.cluster.host, settings.cluster.port
            self.transport = Transport(
                self.me, self.boot, host, port, keys, Codec(Packet), self._receive, crash, received=self._node.settle
            )
            self.members = Members(settings, self.boot, keys, url, self.transport, self._members_changed)

    # Questions.

    @property
    def is_ready(self) -> bool:
        """Whether every slot's log is here, as far as namespaces need it."""
        topics = self._node.topics
        return not topics.namespaces or (
            all(held is not None for held in topics.slots) and all(one.loaded for one in topics.all() if one.is_slot)
        )

    @property
    def servers(self) -> list[str]:
        """Where clients can go: as configured, else wherever a living node takes them."""
        configured = list(self._node.settings.node.servers)
        return configured or (self.members.urls() if self.members is not None else [])

    # For the node.

    def settle(self, items: list[Item]) -> None:
        """Give the mesh these publishes, and bring everything that was put into the cores to its end."""
        now, wall_ms = time.monotonic(), int(time.time() * 1000)
        for item in items:
            item.time = wall_ms
            if item_bytes(item) > ITEM_BYTES_MAX:
                reason = f"a message of a namespace is at most {ITEM_BYTES_MAX} bytes"
                publish = (item.publisher, item.number)
                self._node.publishing.refused(publish, codes.MESSAGE_TOO_LARGE, reason)
            else:
                self.replica.publish(now, item)
        while True:
            self.replica.settle(now)
            self._send()
            if not self._pass_on():
                return

    def ask(self, ticket: int, question: Question) -> bool:
        """Something that the cache does not have; whether it is looked for here rather than in Kafka."""
        source = question.source
        if isinstance(question, Scan) and self.feeding.peers:
            self._scans[ticket] = question
            after, until = question.after, question.until
            self.scan.ask(
                time.monotonic(), ticket, source.log_id, question.subject, after, until, question.messages_max,
                SCAN_BYTES_MAX, self.feeding.peers,
            )  # fmt: skip
        elif source.is_slot:
            self._answer(ticket, question)
        else:
            return False
        return True

    def second(self) -> None:
        """Once a second."""
        self.late_s, self._late_s = self._late_s, 0.0
        self.logs.retry()
        self._tell_log()
        if self.members is not None:
            self.members.tell(self._node.observed.ready, self.replica.is_synced)

    def _tell_log(self) -> None:
        """What changes of this node's share; of a number that moves, where it comes to rest."""
        coordinated, before = len(self.replica.coordinated), self._coordinated
        self._coordinated = coordinated
        if coordinated == before != self._coordinated_told:
            self._coordinated_told = coordinated
            event(log, "coordinates", slots=coordinated, of=len(self.replica.by_number))
        missing = self.replica.missing_voters
        if missing and missing != self._missing_told:
            event(log, "promises_unknown", 30, waits_for=missing, text="this voter's disk is new, or was lost")
        self._missing_told = missing

    def leave(self) -> None:
        """Hand over what this node does for others; wait until they do it, within bounds."""
        until = time.monotonic() + LEAVE_MAX_S
        if not self.peers:
            return
        event(log, "leaving", coordinates=len(self.replica.coordinated), feeds=self.feed.feeding_count)
        self.feed.resign(time.monotonic())
        while (self.replica.coordinated or self.feed.feeding_count) and time.monotonic() < until:
            self.replica.leave(time.monotonic())
            self._node.settle()
            gevent.sleep(TICK_S)
        left = len(self.replica.coordinated) + self.feed.feeding_count
        event(log, "left", not_handed_over=left)

    def stop(self) -> None:
        """Say goodbye and close the sockets."""
        self._timer.stop()
        if self.members is not None:
            self.members.leave()
        if self.transport is not None:
            self.transport.close()

    def cut(self, seconds: float) -> None:
        """For demonstrations: exchange nothing with other nodes for a while."""
        if self.transport is not None and self.members is not None:
            until = time.monotonic() + seconds
            self.transport.cut(self.members.others(), until)
            self.members.cut(until)
            event(log, "cut_off", 30, seconds=seconds)

    # From other nodes.

    def _receive(self, sender: str, boot: str, packets: list[Packet]) -> None:
        """What one message brings; `Node.settle` follows when no more of them is there."""
        now = time.monotonic()
        for packet in packets:
            self._takers.get(type(packet), self.replica.receive)(now, sender, boot, packet)

    def _scan_packet(self, now: float, sender: str, _: str, packet: PeerScanPacket) -> None:
        self.scan.receive(now, sender, packet)

    def _members_changed(self) -> None:
        assert self.members is not None
        now = time.monotonic()
        alive = self.members.alive()
        self.peers = self.logs.peers = [name for name in alive if name != self.me]
        self.feeding.peers = self.members.ready()
        self.replica.members(now, alive)
        self.feed.members(now, alive)
        self.catch_up.members(now, alive)
        self.scan.members(now, alive)
        self._node.servers_changed()
        self._node.settle()

    # From the clock.

    def _tick(self) -> None:
        try:
            now = time.monotonic()
            self._late_s = max(self._late_s, now - self._ticked_at - TICK_S)
            self._ticked_at = now
            self.replica.tick(now)
            self.catch_up.tick(now)
            self.scan.tick(now)
            self.feed.tick(now)
            self.feeding.tick()
            self._node.settle()
        except Exception:
            crash()

    # Private.

    def _send(self) -> None:
        """Promises first, then packets: everything for one destination in one message."""
        promises = self.replica.take_promises()
        if promises and self._promises is not None:
            self._promises.save(promises)
        sends: dict[str, list[Any]] = {}
        for core in (self.replica, self.feed, self.catch_up, self.scan):
            for to, packet in core.take_sends():
                sends.setdefault(to, []).append(packet)
        if self.transport is None:
            return
        for to, packets in sends.items():
            if to == EVERYONE:
                self.transport.broadcast(packets)
            else:
                self.transport.send(to, packets)

    def _pass_on(self) -> bool:
        """What the cores say has happened; whether there was anything."""
        happened = self.replica.take_events()
        for said in happened:
            self.logs.happened(said)
        caught_up = self.catch_up.take_events()
        for page in caught_up:
            (self.logs if self.logs.is_mine(page.log) else self.feeding).caught_up(page)
        fed = self.feed.take_events()
        for event_of_feed in fed:
            self.feeding.happened(event_of_feed)
        scanned = self.scan.take_events()
        for answer in scanned:
            question = self._scans.pop(answer.ticket)
            if isinstance(answer, NotHeld):
                if question.source.is_slot or self._node.bridge is None:
                    self._answer(answer.ticket, question)
                else:
                    self._node.bridge.ask(answer.ticket, question)
            else:
                found = Scanned(question.after, "", answer.found, answer.reached)
                self._node.readings.scanned(answer.ticket, found)
        return bool(happened or caught_up or fed or scanned)

    def _answer(self, ticket: int, question: Question) -> None:
        """A slot's log is nowhere but in the caches."""
        readings = self._node.readings
        match question:
            case Scan():
                readings.scanned(ticket, Scanned(question.until, "retention", [], question.until))
            case Locate():
                readings.located(ticket, None)
            case Measure():
                readings.measured(ticket, True)  # this node's copy gets there

    def _held(self, log_id: str) -> tuple[Log, Repeats | None] | None:
        held = self.logs.log_of(log_id)
        if held is not None:
            return held, self.replica.by_number[self.logs.slot_of(log_id)].repeats
        source = self.feeding.source_of(log_id)
        if source is None or source.log is None or not source.loaded:
            return None
        return source.log, source.repeats

    def _log_of(self, log_id: str) -> Log | None:
        held = self._held(log_id)
        return None if held is None else held[0]
