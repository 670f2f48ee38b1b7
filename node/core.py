"""Everything that a node decides, as one state machine: inputs in, typed effects out.

    records:   kafka_event -> logs/kafka_logs.py -> intake.py -> cache, live messages -> ToWorker
    commits:   peer_packets -> mesh/slots -> logs/slot_logs.py -> intake.py -> cache, live messages -> ToWorker
    subscribe: worker_event -> backfill/ -> pages -> ToWorker; what the cache lacks: history.py -> AskKafka
    publish:   worker_event -> publishing.py -> Produce or mesh/slots -> (read back or committed) -> ToWorker

After any inputs `take_effects` brings them to their end and returns what is to be done, in order; many inputs before
one `take_effects` are cheaper than one each. History is made in slices, one with each `work`, behind all that. Nothing
here does I/O or looks at a clock: `now` is in seconds of a clock that only goes forward. The same core runs in the
simulator (tests/sim).

The model is the interface of etcd's raft (`RawNode`, `Ready`): the caller makes what is to be durable durable, then
sends.

Not here: performing effects (node.py), telling people (status/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, assert_never, get_args

from gateway.link import codes
from gateway.link import events as link
from mesh.cache.cache import Cache
from mesh.cache.peer_scan import PeerScan, PeerScanConfig, PeerScanPacket
from mesh.cache.state_transfer import StateTransfer, StateTransferConfig, StateTransferPacket
from mesh.feed.feed import Feed
from mesh.feed.feed_log import FeedBatch, FeedBeacon
from mesh.membership.packets import MemberChanged, MemberState
from mesh.packets import Packet
from mesh.revocations import Revocation, Revocations, RevocationsPacket
from mesh.slots.detours import CameByOthers, Datagram
from mesh.slots.slot_log import item_bytes
from mesh.slots.slots import Slots
from mesh.transport.wire import MESSAGE_BYTES_MAX
from node.attached_workers import AttachedWorkers
from node.backfill.backfills import Backfills
from node.backfill.catch_ups import CatchUps
from node.cluster.peers import Peers
from node.config import NodeConfig
from node.durations import Durations
from node.effects import (
    WARNING,
    DatagramToPeer,
    Effect,
    Effects,
    SavePromises,
    SaveRevocations,
    ToPeer,
)
from node.history import History
from node.intake import Intake
from node.interest import Interest, WorkerId
from node.kafka import events as kafka
from node.logs.kafka_health import KafkaHealth, forbidden_text
from node.logs.kafka_logs import KafkaLogs
from node.logs.lent_logs import LentLogs
from node.logs.look_ups import LookUps
from node.logs.slot_logs import FINAL, SlotLogs
from node.publishing import Publishing
from node.settled import Settled
from node.tables.events import TableEvent
from node.tables.tables import Tables
from node.tokens.key_sets import KeySets
from node.topics import Topics

SECOND_S = 1.0
AMNESIC_S = 10
"""How long a voter with a new disk waits for the others before the log says so: they may only be starting."""
EXPIRED_SHARE = 16
"""With each tick one part in so many of what is too old leaves the cache: 1 to 2 ms of it at 20,000 messages/s."""
ITEM_BYTES_MAX = MESSAGE_BYTES_MAX // 2
"""Of a publish to a namespace: it must find room in one message between nodes."""


class NodeCore:
    """One node, from its start to its end."""

    def __init__(
        self, now: float, config: NodeConfig, boot: str, promises: Mapping[int, int] | None, rng: Random
    ) -> None:
        """Begin with nothing in memory.

        Args:
            boot: Names this start of the node.
            promises: What this voter has promised before; None if that is not known.
        """
        self.config, self.boot = config, boot
        self.is_ready = False
        """Once the cache has been filled; stays true."""
        self._effects = effects = Effects()
        self.topics = Topics(config.mapping, config.namespaces, config.slot_count)
        self.cache, self.interest = Cache(config.cache), Interest()
        look_ups = LookUps(effects)
        self.publishing = Publishing(config.publishing, self.topics, look_ups, effects, boot)
        self.backfills = Backfills(self.topics, self.interest, config.pages, look_ups, effects)
        self.catch_ups = CatchUps(self.topics, self.interest, self.backfills, effects)
        doing = self.backfills, self.catch_ups, self.publishing
        self.workers = AttachedWorkers(self.interest, *doing, effects, config.admission)
        self.intake = Intake(self.cache, self.topics, self.interest, self.publishing, effects, config.subject_bytes_max)
        self.slots = Slots(now, config.name, boot, config.slots, config.forwarding, config.slot_count, promises, rng)
        self.feed = Feed(config.name, config.feed)
        lent = LentLogs(self.topics, self.slots)
        self.transfer = StateTransfer(lent.lend, StateTransferConfig(), boot)
        self.scan = PeerScan(lent.lend_log, PeerScanConfig(), boot)
        self.kafka_health = KafkaHealth(now, effects)
        self.tables = Tables(self.topics, self.backfills, self.feed, self.kafka_health, effects, config.compacted)
        self.kafka_logs = KafkaLogs(
            now,
            self.topics,
            self.cache,
            self.intake,
            self.backfills,
            self.tables,
            self.feed,
            self.transfer,
            lent,
            self.kafka_health,
            look_ups,
            effects,
            joins=config.joins,
            retry_window_ms=config.slots.retry_window_ms,
        )
        self.slot_logs = SlotLogs(
            self.topics,
            self.cache,
            self.intake,
            self.workers,
            self.backfills,
            self.publishing,
            self.slots,
            self.transfer,
            lent,
            effects,
        )
        self.peers = Peers(config, effects)
        self.key_sets = KeySets(config.key_urls, effects)
        self.revocations, self.durations = Revocations(), Durations()
        asking = self.backfills, self.catch_ups
        self.history = History(*asking, self.scan, self.tables, self.slots, self.kafka_health, self.durations, effects)
        self._servers: list[str] = []
        """Told to the workers last."""
        self._second_at = now + SECOND_S
        self._coordinated = Settled(0)
        self._missing_voters = Settled[list[str]]([], AMNESIC_S)
        self._receivers = self._packet_receivers()
        self._members(now)

    def _packet_receivers(self) -> dict[type, Callable[[float, str, str, Any], None]]:
        """Whose a packet is, if not the slots'."""
        return {
            FeedBatch: self.feed.receive,
            **dict.fromkeys(get_args(RevocationsPacket), self.revocations.receive),
            FeedBeacon: self._receive_beacon,
            **dict.fromkeys(get_args(StateTransferPacket), self.transfer.receive),
            **dict.fromkeys(get_args(PeerScanPacket), self._receive_scan),
        }

    # Inputs from workers.

    def worker_joined(self, now: float, worker: WorkerId) -> None:
        """A worker process has begun; `worker` is a number that no other has or had."""
        self.workers.join(worker)
        self.key_sets.joined(worker)
        self._tell_revoked(worker, self.revocations.all(now))
        if self._servers:
            self._effects.to_worker(worker, link.Servers(self._servers))

    def worker_lost_place(self, now: float, worker: WorkerId) -> None:
        """The worker will find a jump in its link, and say `CatchUp`."""
        self.workers.lost_place(worker)

    def worker_gone(self, now: float, worker: WorkerId) -> None:
        """A worker process has ended."""
        self.workers.leave(worker)
        self.key_sets.gone(worker)

    def worker_event(self, now: float, wall_ms: int, worker: WorkerId, event: link.ForCore) -> None:
        """What a worker says.

        Args:
            wall_ms: Milliseconds since 1970, for messages to namespaces.
        """
        match event:
            case link.Publish():
                self.publishing.publish(now, wall_ms, worker, event)
            case link.Subscribe():
                self.backfills.subscribe(worker, event)
            case link.More():
                self.backfills.more(worker, event.sid)
            case link.Cancel():
                self.backfills.cancel(worker, event.sid)
                self._effects.to_worker(worker, link.Cancelled(event.sid))
            case link.Drop():
                self.interest.drop(worker, event.subject, event.encoding)
            case link.Admit() | link.Leave():
                self.workers.admissions.worker_event(now, worker, event)
            case link.WantRevoked():
                self._tell_revoked(worker, self.revocations.all(now))
            case link.WantKeys(url):
                self.key_sets.wanted(now, worker, url)
            case link.MissedTaken(number):
                self.catch_ups.taken(worker, number)
            case link.CatchUp():
                self.workers.catch_up(worker, event)
            case link.Stats(values):
                self.workers.vacancies.measured(worker, values["connections"], values["connections_max"])
            case _:
                assert_never(event)

    # Inputs from Kafka's threads.

    def kafka_event(self, now: float, event: kafka.KafkaEvent) -> None:
        """What a thread of Kafka's has to say."""
        match event:
            case kafka.Records():
                self.kafka_logs.records(now, event)
            case kafka.EndReached():
                self.kafka_logs.end_reached(now, event)
                self._look_ready()
            case kafka.OutOfRange():
                self.kafka_logs.out_of_range(event)
            case kafka.Watermarks():
                self.kafka_health.watermarks(now, event.ends)
            case kafka.Flow():
                self.kafka_logs.flow(now, event)
            case kafka.NotAllowed():
                self.kafka_logs.not_allowed(now, event)
                self._look_ready()
            case kafka.ReadError():
                self.kafka_logs.read_failed(now, event)
            case kafka.Found():
                self.kafka_logs.found(now, event)
                self.publishing.looked_up(event.look_up)
                self._look_ready()
            case kafka.StartFound():
                self.kafka_logs.start_found(now, event)
            case kafka.StartUnknown():
                self.kafka_logs.start_unknown(event)
            case kafka.Unreachable():
                self.kafka_health.unreachable(now, event.reason)
            case kafka.Delivered():
                self.kafka_health.published(event.topic)
                source = self.topics.by_partition.get((event.topic, event.partition))
                self.publishing.delivered(now, event.ticket, source.log_id if source is not None else "")
            case kafka.NotDelivered():
                if event.code in (codes.KAFKA_UNAVAILABLE, codes.OUTCOME_UNKNOWN):
                    self.kafka_health.not_published(now, event.topic, event.reason)
                self.publishing.failed(event.ticket, event.code, event.reason)
            case kafka.ProducerState():
                self.kafka_health.producer_state(now, event.error)
            case kafka.TopicCreated():
                self.publishing.topic_created(event.topic, event.code, event.reason)
            case kafka.ScanDone():
                self.history.scanned(now, event.ticket, event.scanned)
            case kafka.LocateDone():
                self.history.located(now, event.ticket, event.position)
            case kafka.MeasureDone():
                self.kafka_logs.measured(event.ticket, event.truncation)
                self.tables.measured(event.ticket, event.truncation)
                self.history.measured(now, event.ticket, event.truncation)
            case kafka.TableReadDone():
                self.tables.was_read(event.ticket, event.read)
                self._look_ready()
            case kafka.Unanswered():
                self.kafka_health.failed(now, event.reason)
                self.kafka_logs.unmeasured(event.ticket)
                self.tables.unanswered(now, event.ticket, event.reason)
                self.history.unanswered(event.ticket)
            case _:
                assert_never(event)

    # Inputs from other nodes.

    def connected(self, now: float, router_port: int, pub_port: int, url: str, public: bytes = b"") -> None:
        """This node listens for other nodes, at these ports, and for clients.

        Args:
            url: Where clients reach it, as far as it can know.
            public: The CURVE key of the sockets for other nodes, 32 bytes.
        """
        self.peers.connected(router_port, pub_port, public, url)

    def member_changed(self, now: float, changed: MemberChanged) -> None:
        """Membership has news of another node."""
        self.peers.changed(now, changed)
        self._members(now)

    def peer_packets(self, now: float, sender: str, boot: str, packets: list[Packet]) -> None:
        """What one message of a linked node brings, from that start of it."""
        for packet in packets:
            self._receivers.get(type(packet), self.slots.receive)(now, sender, boot, packet)

    def peer_datagram(self, now: float, sender: str, boot: str, packet: Datagram) -> None:
        """A datagram of a node that is linked, in that start of it."""
        self.slots.receive_datagram(now, sender, boot, packet)

    # Inputs from the disk.

    def table_event(self, now: float, event: TableEvent) -> None:
        """What the store of tables has to say."""
        self.tables.table_event(now, event)
        self._look_ready()

    def promises_saved(self, now: float) -> None:
        """Answers `SavePromises`."""
        self.slots.promises_saved(now)

    def promises_failed(self, now: float) -> None:
        """Answers `SavePromises`: they could not be saved. This voter goes on without, and tries again."""
        self.slots.promises_failed(now)

    # Inputs from the operator.

    def revoke(self, now: float, entry: Revocation) -> None:
        """Have all nodes end the connections of these tokens, and let nobody in with them.

        Raises:
            TooManyRevocations: If there is no room for it.
        """
        self.revocations.revoke(now, entry)

    def confirmations(self) -> dict[str, bool]:
        """Whether each other node has said that it holds all revocations that this one does: those that were seen here
        and have not left, and voters that were not seen yet."""
        unseen = {voter for voter in self.config.slots.voters if voter != self.config.name} - self.peers.all.keys()
        seen = (name for name, peer in self.peers.all.items() if peer.state is not MemberState.LEFT)
        return {name: self.revocations.is_held_by(name) for name in (*seen, *unseen)}

    def revocations_loaded(self, now: float, entries: list[Revocation]) -> None:
        """What this node knew before it was started."""
        self.revocations.loaded(now, entries)

    # Inputs from token issuers.

    def keys_fetched(self, now: float, url: str, jwks: bytes, error: str) -> None:
        """Answers `FetchKeys`: a key set, or why there is none."""
        self.key_sets.fetched(now, url, jwks, error, self.workers.ids)

    # Inputs from the clock, and the end.

    def tick(self, now: float) -> None:
        """About every 50 ms."""
        self.slots.tick(now)
        self.transfer.tick(now)
        self.scan.tick(now)
        self.feed.tick(now)
        self.kafka_logs.tick(now)
        self.tables.tick(now)
        self.publishing.tick(now)
        self.cache.expire(now, EXPIRED_SHARE)
        self.intake.rates.tick()
        self.key_sets.tick(now)
        self.revocations.tick(now)
        self.history.tick(now)
        if now >= self._second_at:
            self._second_at = max(self._second_at + SECOND_S, now)
            self._second(now)

    def leave(self, now: float) -> None:
        """Have other nodes take over from this one. Call it once at least, then until `is_left`, within bounds."""
        if not self.is_left:
            self.feed.resign(now)
        self.slots.leave(now)

    @property
    def is_left(self) -> bool:
        """Whether no other node depends on this one any more."""
        return not self.to_hand_over

    @property
    def to_hand_over(self) -> int:
        """Slots that this node coordinates and partitions that it feeds, while there are others to do it."""
        others = any(self.slots.stays(node) for node in self.peers.alive())
        return self.slots.to_hand_over + self.feed.feeding_count if others else 0

    # Output.

    def take_effects(self, now: float) -> list[Effect]:
        """Finish all inputs. Returns what is to be done, in order."""
        while self._settle(now):
            pass
        for worker, event in self.publishing.take_events(now):
            self._effects.to_worker(worker, event)
        return self._effects.take()

    # Work that is done in slices.

    @property
    def has_work(self) -> bool:
        """Whether there is history to be made that was asked for."""
        return self.backfills.has_work or self.catch_ups.has_work

    def work(self) -> None:
        """Make a slice of history: some milliseconds. Live messages and publishes are handled in between."""
        if self.catch_ups.has_work:
            self.catch_ups.work()
        if self.backfills.has_work:
            self.backfills.work()

    # Questions.

    @property
    def takes_clients(self) -> bool:
        """Whether new clients should come here."""
        return self.is_ready and bool(self.workers.ids) and not self.slots.is_leaving

    def servers(self) -> list[str]:
        """Where clients can go; empty if that is not known better than by the clients themselves."""
        return self.peers.servers()

    # Private.

    def _settle(self, now: float) -> bool:
        """One step towards the end of the inputs; whether there may be more."""
        self._offer_items(now)
        has_asked = self.history.settle(now)
        self.slots.settle(now)
        self._put_out(now)
        return self._take_events(now) or has_asked

    def _offer_items(self, now: float) -> None:
        for item in self.publishing.take_items():
            if item_bytes(item) > ITEM_BYTES_MAX:
                reason = f"a message of a namespace is at most {ITEM_BYTES_MAX} bytes"
                self.publishing.refused(item.publish_key, codes.MESSAGE_TOO_LARGE, reason)
            else:
                self.slots.publish(now, item)

    def _put_out(self, now: float) -> None:
        """Promises and packets; what rests on a promise follows when that is saved."""
        if promises := self.slots.take_promises():
            self._effects.add(SavePromises(promises))
        others = [*self.transfer.take_sends(), *self.scan.take_sends(), *self.revocations.take_sends()]
        for sends in (self.slots.take_sends(), self.slots.detours.send(now, others), self.feed.take_sends()):
            for to, packet in sends:
                self._effects.add(ToPeer(to, packet))
        for to, datagram in self.slots.take_datagrams():
            self._effects.add(DatagramToPeer(to, datagram))

    def _take_events(self, now: float) -> bool:
        """What the mesh's cores have to say, to those that it concerns; whether more may follow from it."""
        has_more = False
        for slot_event in self.slots.take_events():
            has_more = has_more or not isinstance(slot_event, FINAL)
            if isinstance(slot_event, CameByOthers):
                self.peer_packets(now, slot_event.sender, slot_event.boot, [slot_event.packet])
            else:
                self.slot_logs.slot_event(now, slot_event)
        for transfer_event in (of_transfer := self.transfer.take_events()):
            if self.topics.slot_of_log(transfer_event.log) is not None:
                self.slot_logs.transfer_event(now, transfer_event)
            else:
                self.kafka_logs.transfer_event(now, transfer_event)
                self._look_ready()
        for feed_event in (of_feed := self.feed.take_events()):
            self.kafka_logs.feed_event(now, feed_event)
        for scan_event in (of_scan := self.scan.take_events()):
            self.history.peer_scanned(now, scan_event)
        if revoked := self.revocations.take_news():
            self._effects.add(SaveRevocations(self.revocations.all(now)))
            for worker in self.workers.ids:
                self._tell_revoked(worker, revoked)
        return bool(has_more or of_transfer or of_feed or of_scan)

    def _members(self, now: float) -> None:
        """Pass on who is alive, which may have changed."""
        alive = self.peers.alive()
        self.slot_logs.peers = [name for name in alive if name != self.config.name]
        self.kafka_logs.peers = self.history.peers = self.peers.ready()
        self.slots.members(now, alive)
        self.feed.members(now, alive)
        self.transfer.members(now, alive)
        self.scan.members(now, alive)
        self.revocations.members(now, alive)
        servers = self.peers.servers()
        if servers != self._servers:
            self._servers = servers
            self._tell_servers()

    def _receive_beacon(self, now: float, sender: str, boot: str, beacon: FeedBeacon) -> None:
        self.feed.receive(now, sender, boot, beacon)
        self.kafka_logs.heard_of(log_id for log_id, _ in beacon.feeds)

    def _receive_scan(self, now: float, sender: str, boot: str, packet: PeerScanPacket) -> None:
        self.scan.receive(now, sender, packet)

    # Private: once a second.

    def _second(self, now: float) -> None:
        self.durations.behind(self.slots.delay_s().values())
        ends = self.intake.ends()
        for worker in self.workers.ids:
            self._effects.to_worker(worker, link.Live(self.interest.ends_for(worker, ends), ([], []), ([], [])))
        self.catch_ups.retry()
        self.backfills.retry(self._why_waiting)
        if all(slot.accepts for slot in self.slots.by_number):
            self.backfills.slots_known()
        self.slot_logs.retry(now)
        self.peers.tell(self.is_ready, self.slots.is_synced, bool(self.workers.ids))
        self._look_ready()
        self._tell_servers()  # a worker may have lost it
        self.workers.vacancies.repeat()
        self._log_share()
        self.kafka_health.log_stalls()

    def _tell_revoked(self, worker: WorkerId, entries: list[Revocation]) -> None:
        if entries:
            self._effects.to_worker(worker, link.RevokedTokens(entries))

    def _tell_servers(self) -> None:
        if self._servers:
            for worker in self.workers.ids:
                self._effects.to_worker(worker, link.Servers(self._servers))

    def _look_ready(self) -> None:
        """Become ready once everything has been loaded that can be."""
        if self.is_ready or not self.slot_logs.is_loaded:
            return
        if self.config.uses_kafka and not (self.kafka_logs.is_loaded and self.tables.is_loaded):
            return
        self.is_ready = True
        self._effects.log("ready", messages=sum(log.appended for log in self.cache.logs.values()))

    def _why_waiting(self, topic: str) -> str:
        """What a subscription to this topic that has no answer yet waits for."""
        if topic in self.topics.namespaces:
            obstacles = (self.slots.obstacle(slot.number) for slot in self.slots.by_number)
            return next(
                (one.text for one in obstacles if one is not None), "this node has not caught up with the others"
            )
        if self.kafka_health.error:
            return f"Kafka does not answer: {self.kafka_health.error}"
        if right := self.kafka_health.missing_right(topic):
            return forbidden_text(topic, right)
        if why := self.tables.why(topic):
            return why
        return "the topic's partitions have not been read yet"

    def _log_share(self) -> None:
        """What has changed of this node's share."""
        if self._coordinated.look(len(self.slots.coordinated)):
            self._effects.log("coordinates", slots=self._coordinated.told, of=len(self.slots.by_number))
        if self._missing_voters.look(self.slots.missing_voters) and self._missing_voters.told:
            text = "this voter's disk is new, or was lost"
            self._effects.log("promises_unknown", WARNING, waits_for=self._missing_voters.told, text=text)
