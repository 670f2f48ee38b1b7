"""What a node process runs on: a name, a disk, a clock of its own, sockets, Kafka's threads and workers.

It feeds the shipped core with what comes and performs its effects in the order in which they come; a crash or a pause
may hit between any two of them. What is sent to other nodes leaves when the effects of a turn are done, everything
for one destination in one message, as the shipped shell does it.

Not here: any decision of a node (node/core.py), what is done to the machine (faults.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol, assert_never

from gateway.link import events as link
from gateway.link.events import FromWorker
from gateway.link.settings import GatewaySettings
from mesh.membership.packets import MemberChanged
from mesh.packets import Packet
from mesh.slots.detours import decode_datagram, encode_datagram
from mesh.slots.slot import EVERYONE
from mesh.transport.wire import Codec
from node.config import NodeConfig
from node.core import NodeCore
from node.effects import (
    AskKafka,
    CancelQuestion,
    CreateTopic,
    DatagramToPeer,
    Effect,
    FetchKeys,
    FindStart,
    LinkPeers,
    LogLine,
    LookUpTopics,
    Produce,
    ReadFrom,
    Resync,
    SaveKeys,
    SavePromises,
    SaveRevocations,
    StopReading,
    TableEffect,
    TellMembers,
    ToPeer,
    ToWorker,
)
from node.kafka.events import KafkaEvent
from node.worker_queue import WorkerEvent, WorkerQueue
from tests.sim.broker.threads import KafkaThreads
from tests.sim.machines.disk import Disk
from tests.sim.machines.link import Link
from tests.sim.machines.members import Known, Members
from tests.sim.machines.process import Process
from tests.sim.machines.said import SaidByWorkers
from tests.sim.machines.tables import TableDisk
from tests.sim.machines.worker import WorkerMachine
from tests.sim.network import SimNetwork, url_of
from tests.sim.setting import Setting

TICK_S = 0.05
WORK_S = 0.004
"""How long a slice of work is put off, at most."""
SECOND_S = 1.0
INBOX_MAX = 2_000
"""What the queues of the transport hold; the rest is lost."""
LEAVE_MAX_S = 2.0
DRAIN_S = 0.3
WORKER_RESTART_S = 0.05
CODEC: Codec[Any] = Codec(Packet)
ANYWHERE, BEFORE_SAVING, AFTER_SAVING = "anywhere", "before saving", "after saving"


class Surroundings(Protocol):
    """What a machine needs of the world around it."""

    link_type: type[Link]
    queue_type: type[WorkerQueue]

    def config_of(self, name: str) -> NodeConfig:
        """A node's configuration."""

    def worker_settings(self, name: str, index: int) -> GatewaySettings:
        """A worker's."""

    def new_core(self, now: float, machine: NodeMachine, boot: str, rng: Random) -> NodeCore:
        """A node begins."""

    def new_worker(self, machine: NodeMachine, index: int, rng: Random, ended: Callable[[], None]) -> WorkerMachine:
        """A worker begins."""

    def new_members(self, name: str, boot: str, rng: Random) -> Members:
        """Membership begins."""

    def new_threads(self, machine: NodeMachine, rng: Random, put: Callable[[KafkaEvent], None]) -> KafkaThreads | None:
        """Kafka's threads begin, if there is a Kafka."""

    def started(self, machine: NodeMachine) -> None:
        """A process has begun."""

    def turned(self, machine: NodeMachine) -> None:
        """A turn is over."""

    def may_lose_memory(self, machine: NodeMachine) -> bool:
        """Whether the run stays what it is to be when this machine crashes."""

    def falls(self, machine: NodeMachine) -> None:
        """It is about to crash."""

    def fallen(self, machine: NodeMachine) -> None:
        """It has crashed."""

    def restart_later(self, machine: NodeMachine) -> None:
        """It is to start again."""


class NodeMachine:
    """One machine of the cluster."""

    def __init__(self, setting: Setting, world: Surroundings, network: SimNetwork, name: str, disk: Disk, rng: Random):
        self.setting = setting
        self.name = name
        self.is_voter = name in setting.options.slots.voters
        self.disk = disk
        self.tables = TableDisk(setting, Random(f"tables of {name} {setting.options.seed}"), lambda: self.wall_ms)
        self.process: Process | None = None
        self.starts = 0
        self.wall_offset_ms = 1_700_000_000_000
        """Its idea of the time of day: it jumps."""
        self.paused_until: float | None = None
        self._world = world
        self._network = network
        self._rng = rng
        skew = setting.options.clock_skew
        self._rate = 1.0 + rng.uniform(-skew, skew)
        self.offset_s = rng.uniform(0.0, 100_000.0)
        self._worker_id = 0
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._strike = ""
        self._pause_s = 0.0
        """How long the pause is that comes in the next turn."""
        self._unfinished: list[Effect] | None = None
        self._is_performing = self._is_fed = False
        """Fed: the core has had an input since it was asked last what is to be done."""

    @property
    def now(self) -> float:
        """By its own clock."""
        return self.offset_s + self.setting.now * self._rate

    @property
    def wall_ms(self) -> int:
        """Its time of day."""
        return self.wall_offset_ms + int(self.setting.now * 1000)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.paused_until is None

    @property
    def is_leaving(self) -> bool:
        """Whether its process is about to end."""
        return self.process is not None and self.process.is_leaving

    @property
    def known(self) -> Known | None:
        """What others hear of it, if it runs."""
        process = self.process
        if process is None or self.paused_until is not None or not process.meta or process.is_ending:
            return None
        return Known(process.boot, process.meta)

    def say(self, words: str) -> None:
        """A line of the transcript."""
        self.setting.say(self.name, words)

    # Starting and stopping.

    def start(self) -> None:
        """A new process, with nothing but what the disk has."""
        assert self.process is None
        self.starts += 1
        boot = f"{self.name}{self.starts}"
        self.say(f"starts as {boot}")
        rng = Random(f"{self._rng.random()} {boot}")
        core = self._world.new_core(self.now, self, boot, rng)
        schedule = self.setting.schedule
        said = SaidByWorkers(schedule, self._rng, self._world.queue_type, lambda take: self._handle_said(process, take))
        process = self.process = Process(core, self._world.new_members(self.name, boot, rng), boot, said)
        process.threads = self._world.new_threads(self, rng, lambda event: self._input(self._kafka_event, event))
        self.tables.open(lambda event: self._input(core.table_event, self.now, event))
        self._world.started(self)
        for index in range(self.setting.options.workers):
            schedule.after(self._rng.uniform(0.0, 0.05), self._start_worker, process, index)
        schedule.after(self._rng.uniform(0.0, TICK_S), self._tick, process)
        schedule.after(SECOND_S, self._second, process)
        core.connected(self.now, 1, 1, url_of(self.name))
        self._perform()

    def crash(self, why: str = "crashes") -> None:
        """All memory is lost, and the workers go, too."""
        process = self.process
        if process is None:
            return
        self.say(why)
        self._world.falls(self)
        self.process = None
        if process.threads is not None:
            process.threads.die()
        for worker in [*process.workers.values()]:
            worker.end()
        for one in process.links.values():
            one.close()
        self._world.fallen(self)
        self._inbox.clear()
        self.spare()
        self._unfinished = None
        self.paused_until = None
        self.disk.crashed()

    def leave(self) -> bool:
        """A planned stop: hand over, move the clients, say goodbye; whether that begins now."""
        process = self.process
        if process is None or not self.is_running or process.is_leaving:
            return False
        self.say("is about to leave")
        process.is_leaving = True
        self._leave_on(process, self.setting.now + LEAVE_MAX_S)
        return True

    def strike(self, instant: str) -> None:
        """Crash at this instant of a turn: ANYWHERE between two effects, or at the next promise."""
        self._strike = instant

    def spare(self) -> None:
        """No strike and no pause that is still to come."""
        self._strike = ""
        self._pause_s = 0.0

    # Pausing.

    def pause(self, seconds: float, in_a_turn: bool) -> None:
        """Stop for a while: now, or in the middle of a turn that saves a promise."""
        if not self.is_running:
            return
        if in_a_turn:
            self._pause_s = seconds
        else:
            self._stop(seconds)

    def resume(self, until: float) -> None:
        """Go on."""
        if self.process is None or self.paused_until != until:
            return
        self.paused_until = None
        self.say("goes on")
        if self._unfinished is not None:
            effects, self._unfinished = self._unfinished, None
            self._do(effects)
            self._perform()
        if self._rng.random() < 0.5 and self.process is not None:
            self.process.core.tick(self.now)
            self._perform()
        while self._inbox and self.is_running:
            call, args = self._inbox.popleft()
            call(*args)
            self._perform()

    # Workers.

    def end_worker(self, index: int) -> None:
        """A worker process dies; the node sees it and starts another."""
        process = self.process
        if process is None or index not in process.workers:
            return
        worker = process.workers.pop(index)
        self.say(f"{worker.name} crashes")
        worker.end()
        self._worker_ended(process, index)

    def worker_for_client(self, rng: Random) -> WorkerMachine | None:
        """One that takes a new connection."""
        if self.process is None:
            return None
        found = [worker for worker in self.process.workers.values() if worker.takes_clients and not worker.is_stalled]
        return rng.choice(found) if found else None

    def _start_worker(self, process: Process, index: int) -> None:
        if self.process is not process or process.is_leaving:
            return
        self._worker_id += 1
        number = self._worker_id
        worker = self._world.new_worker(self, index, self._rng, lambda: None)
        process.workers[index] = worker
        process.links[number] = one = self._world.link_type(
            self.setting,
            self._rng,
            number,
            lambda number: self._lost_place(process, number),
            worker.take,
            lambda number, events: self.hear_worker(process, number, events),
        )
        process.core.worker_joined(self.now, number)
        worker.attach(one, index)
        self._perform()

    def _lost_place(self, process: Process, worker: int) -> None:
        process.core.worker_lost_place(self.now, worker)
        self._perform()

    def _worker_ended(self, process: Process, index: int) -> None:
        schedule = self.setting.schedule
        for number, one in [*process.links.items()]:
            if not one.is_open:
                del process.links[number]
                schedule.after(self._rng.uniform(0.0, 0.03), self._input, self._worker_gone, process, number)
        schedule.after(WORKER_RESTART_S + self._rng.random() * 0.1, self._start_worker, process, index)

    # Inputs.

    def receive(self, sender: str, boot: str, channel: str, data: bytes) -> None:
        """Bytes have come from another node."""
        self._input(self._message, self.process, sender, boot, channel, data)

    def _input(self, call: Callable[..., None], *args: Any) -> None:
        if self.process is None:
            return
        if self.paused_until is not None:
            if len(self._inbox) < INBOX_MAX:
                self._inbox.append((call, args))
            return
        call(*args)
        self._perform()

    def _message(self, process: Process, sender: str, boot: str, channel: str, data: bytes) -> None:
        peer = process.peers.get(sender)
        if channel == "udp":
            process.members.receive(self.now, sender, data)
            self._members_moved(process)
        elif peer is None or peer.boot != boot:
            self.setting.counts["messages of unlinked nodes"] += 1
        elif channel == "zmq":
            process.core.peer_packets(self.now, sender, boot, CODEC.decode(data).packets)
        elif (packet := decode_datagram(data)) is not None:
            process.core.peer_datagram(self.now, sender, boot, packet)

    def hear_worker(self, process: Process, worker: int, events: list[FromWorker]) -> None:
        """A worker says something."""
        self._input(self._worker_events, process, worker, events)

    def _worker_events(self, process: Process, worker: int, events: list[FromWorker]) -> None:
        if self.process is process and worker in process.links:
            process.said.put(worker, events)

    def _handle_said(self, process: Process, take: Callable[[], list[WorkerEvent]]) -> bool:
        if self.process is process and self.paused_until is None:
            for worker, event in take():
                if worker not in process.links:
                    continue
                if isinstance(event, link.Subscribe) and process.threads is not None:
                    self.setting.counts.update(process.paths.asked(event, process.core.topics, process.threads))
                if not isinstance(event, link.ForShell):
                    process.core.worker_event(self.now, self.wall_ms, worker, event)
            self._perform()
        return self.process is process

    def _worker_gone(self, process: Process, worker: int) -> None:
        if self.process is process:
            process.core.worker_gone(self.now, worker)

    def _kafka_event(self, event: KafkaEvent) -> None:
        assert self.process is not None
        self.setting.counts[f"Kafka says {type(event).__name__}"] += 1
        self.setting.counts.update(self.process.paths.answered(event))
        self.process.core.kafka_event(self.now, event)

    def members_changed(self, changed: MemberChanged) -> None:
        """News of another node."""
        if self.process is not None:
            self.process.core.member_changed(self.now, changed)

    # The clock.

    def _tick(self, process: Process) -> None:
        if self.process is not process:
            return
        if self.paused_until is None:
            process.members.tick(self.now)
            self._members_moved(process)
            process.core.tick(self.now)
            self._perform()
        self.setting.schedule.after(TICK_S, self._tick, process)

    def _second(self, process: Process) -> None:
        if self.process is not process:
            return
        if self.paused_until is None:
            for one in process.links.values():
                one.poke()
        self.setting.schedule.after(SECOND_S, self._second, process)

    def _members_moved(self, process: Process) -> None:
        for changed in process.members.take_events():
            self.say(f"hears that {changed.name} is {changed.state.word} as {changed.boot}")
            process.core.member_changed(self.now, changed)
        for to, datagram in process.members.take_sends():
            self._network.send(self.name, process.boot, to, "udp", datagram)

    # The end.

    def _leave_on(self, process: Process, until: float) -> None:
        if self.process is not process or not process.is_leaving:
            return
        if self.paused_until is None:
            process.core.leave(self.now)
            self._perform()
            if self.process is not process:
                return
            if process.core.is_left or self.setting.now >= until:
                self._drain(process)
                return
        self.setting.schedule.after(TICK_S, self._leave_on, process, until)

    def _drain(self, process: Process) -> None:
        servers = [url for url in process.core.servers() if url != url_of(self.name)]
        for one in process.links.values():
            one.send(link.Drain(DRAIN_S, servers))
            one.flush()
        self.setting.schedule.after(DRAIN_S + 0.05, self._end, process)

    def _end(self, process: Process) -> None:
        if self.process is not process:
            return
        if self.paused_until is not None:
            self.setting.schedule.after(0.1, self._end, process)
            return
        process.is_ending = True
        process.members.leave(self.now)
        self._members_moved(process)
        self.crash("has left")
        self._world.restart_later(self)

    # Effects.

    def _perform(self) -> None:
        """Do all that the core wants done; after every input, also one that came while effects are performed."""
        process = self.process
        self._is_fed = True
        if process is None or self._is_performing or self.paused_until is not None:
            return
        while self._is_fed and self.process is process and self.paused_until is None:
            self._is_fed = False
            effects = process.core.take_effects(self.now)
            if effects:
                self._do(effects)
        self._work_later(process)

    def _do(self, effects: list[Effect]) -> None:
        self._is_performing = True
        self._do_in_order(effects)
        self._is_performing = False

    def _do_in_order(self, effects: list[Effect]) -> None:
        process = self.process
        assert process is not None
        struck_at = self._rng.randrange(len(effects) + 1) if self._strike == ANYWHERE and len(effects) > 1 else -1
        pauses = self._pause_s > 0 and any(isinstance(effect, SavePromises) for effect in effects)
        for index, effect in enumerate(effects):
            is_save = isinstance(effect, SavePromises)
            if index == struck_at and self._struck(process, "between effects"):
                return
            if is_save and self._strike == BEFORE_SAVING and self._struck(process, BEFORE_SAVING):
                return
            self._do_one(process, effect)
            if is_save and self._strike == AFTER_SAVING and self._struck(process, AFTER_SAVING):
                return
            if is_save and pauses:
                self._unfinished = effects[index + 1 :]
                seconds, self._pause_s = self._pause_s, 0.0
                self.setting.counts["pauses after saving"] += 1
                self._stop(seconds)
                return
        self._flush(process)
        for one in [*process.links.values()]:
            one.flush()
        self._work_later(process)

    def _do_one(self, process: Process, effect: Effect) -> None:
        self.setting.counts[f"effect {type(effect).__name__}"] += 1
        if isinstance(effect, TableEffect):
            self.tables.do(effect)
            return
        threads = process.threads
        match effect:
            case ToWorker():
                self.setting.counts[f"node says {type(effect.event).__name__}"] += 1
                self.setting.counts.update(process.paths.told(effect.event))
                if effect.worker in process.links:
                    process.links[effect.worker].send(effect.event)
            case Resync():
                if effect.worker in process.links:
                    process.links[effect.worker].resync()
            case SavePromises():
                self._save(process, effect)
            case ToPeer():
                if self.is_voter:
                    self.disk.check(effect.packet)
                self.setting.counts[f"sent {type(effect.packet).__name__}"] += 1
                process.outgoing.setdefault(effect.to, []).append(effect.packet)
            case DatagramToPeer():
                self._network.send(self.name, process.boot, effect.to, "datagram", encode_datagram(effect.packet))
            case LinkPeers():
                process.peers = effect.peers
            case TellMembers():
                process.meta = effect.meta
                process.members.tell(self.now, effect.meta)
                self._members_moved(process)
            case LogLine():
                if threads is not None:
                    self.setting.counts.update(process.paths.logged(effect, threads))
                if self.setting.transcript is not None:
                    self.say(f"{effect.name} {effect.fields}")
            case FetchKeys() | SaveKeys() | SaveRevocations():
                raise AssertionError("the simulator has no tokens")
            case _ if threads is None:
                raise AssertionError(f"{effect} without Kafka")
            case Produce():
                threads.produce(effect)
            case CreateTopic():
                raise AssertionError("no mapping says that topics are created")
            case LookUpTopics():
                threads.look_up_topics(effect)
            case FindStart():
                threads.find_start(effect)
            case ReadFrom():
                threads.read_from(effect)
            case StopReading():
                threads.stop_reading(effect)
            case AskKafka():
                self.setting.counts[f"asked Kafka: {type(effect.question).__name__}"] += 1
                threads.ask(effect)
            case CancelQuestion():
                threads.cancel(effect)
            case _:
                assert_never(effect)

    def _save(self, process: Process, effect: SavePromises) -> None:
        if self.disk.is_full:
            self.setting.counts["promises not saved"] += 1
            process.core.promises_failed(self.now)
        else:
            self.disk.save(effect.promises)
            process.core.promises_saved(self.now)
        self._perform()

    def _work_later(self, process: Process) -> None:
        if process.core.has_work and not process.is_working:
            process.is_working = True
            self.setting.schedule.after(self._rng.random() * WORK_S, self._work, process)

    def _work(self, process: Process) -> None:
        """A slice of what the core does behind everything else."""
        process.is_working = False
        if self.process is not process:
            return
        if self.paused_until is None and process.core.has_work:
            self.setting.counts["slices of history"] += 1
            process.core.work()
            self._perform()
        self._work_later(process)

    def _flush(self, process: Process) -> None:
        self._world.turned(self)
        outgoing, process.outgoing = process.outgoing, {}
        for to, packets in outgoing.items():
            data = CODEC.encode(self.name, process.boot, 0, packets)
            if self.setting.transcript is not None:
                self.setting.transcript.packets(self.name, to, packets)
            for name in [*process.peers] if to == EVERYONE else (to,):
                if name in process.peers:
                    self._network.send(self.name, process.boot, name, "zmq", data)

    def _struck(self, process: Process, instant: str) -> bool:
        """Whether a crash hits just now. What was done before may have left, or not."""
        self._strike = ""
        if not self._world.may_lose_memory(self):
            return False
        self.setting.counts[f"crashes {instant}"] += 1
        if self._rng.random() < 0.5:
            self._flush(process)
        self.crash(f"crashes {instant}")
        self._world.restart_later(self)
        return True

    def _stop(self, seconds: float) -> None:
        self.say(f"is paused for {seconds:.2f} s")
        self.paused_until = self.setting.now + seconds
        self.setting.schedule.at(self.paused_until, self.resume, self.paused_until)
