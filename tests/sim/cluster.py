"""All machines and clients of one run, and what the faults and checkers need to know of them.

Not here: what a run consists of (run.py), what is right (truth.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random

from mesh.placement import slot_of
from mesh.slots.slots import Slots
from tests.sim.clients import Publisher, Subscriber
from tests.sim.disk import Disk
from tests.sim.faults import Faults
from tests.sim.kafka import KafkaSide, ModelKafka
from tests.sim.machine import Machine
from tests.sim.members import Members, Rumours, Swim
from tests.sim.network import SimNetwork
from tests.sim.options import Options
from tests.sim.process import Process
from tests.sim.schedule import Schedule
from tests.sim.transcript import Transcript
from tests.sim.truth import Oracle, Violation
from tests.sim.watch import Watch

STALL_CLEAN_S = 2.0
"""A failover counts for the distribution of stalls if nothing else was done for so long before."""


class Cluster:
    """One simulated world."""

    replica_type: type[Slots] = Slots
    disk_type: type[Disk] = Disk

    def __init__(self, options: Options, transcript: Transcript | None) -> None:
        self.options = options
        self.tells = transcript is not None
        self.transcript = transcript if transcript is not None else Transcript()
        self.schedule = Schedule()
        self.counts: Counter[str] = Counter()
        self.stalls: list[float] = []
        self._fallen: dict[int, tuple[float, int]] = {}
        """Slot -> when its coordinator crashed, and in which epoch."""
        self.oracle = Oracle(options.slots.commit_quorum)
        self.watch = Watch(self, self.oracle)
        seed = options.seed
        self.network = SimNetwork(self.schedule, options.traffic, Random(f"network {seed}"), self._deliver)
        self._rng = Random(f"cluster {seed}")
        self.is_healing = False
        self.core: list[str] = [*options.names]
        """The machines that clients may go to."""
        self.takes_load = True
        self.attempts: dict[tuple[str, int], list[tuple[str, int]]] = {}
        """Publish -> the processes that it was sent to, and as the how many-eth of all that was sent."""
        self.sent = 0
        self.others = {name: [one for one in options.names if one != name] for name in options.names}
        self.machines = {name: Machine(self, name, Random(f"machine {seed} {name}")) for name in options.names}
        for machine in self.machines.values():
            self.schedule.after(self._rng.choice((0.0, 0.0, 1.0)) * self._rng.random(), self._start, machine)
        rng = Random(f"clients {seed}")
        self.publishers = [
            Publisher(self, f"{'once' if number == 0 and options.publishers > 1 else 'p'}{number}", rng, options.window)
            for number in range(options.publishers)
        ]
        self.subscribers = [
            Subscriber(self, f"r{number}", "/c/*" if number == 0 else rng.choice(options.subjects), rng)
            for number in range(options.subscribers)
        ]
        self.kafka = ModelKafka(self, options.kafka_logs, Random(f"kafka {seed}"))
        self.faults = Faults(self, Random(f"faults {seed}"))

    # What a process is made of.

    def new_replica(self, now: float, name: str, boot: str, promises: Mapping[int, int] | None, rng: Random) -> Slots:
        options = self.options
        if promises is None:
            self.counts["amnesic starts"] += name in options.slots.voters
        return self.replica_type(now, name, boot, options.slots, options.forwarding, options.slot_count, promises, rng)

    def new_members(self, now: float, name: str, boot: str, rng: Random) -> Members:
        if self.options.has_swim:
            return Swim(now, name, boot, self.others[name], rng)
        return Rumours(name, self.others[name], self._reaches, rng)

    def new_disk(self) -> Disk:
        return self.disk_type()

    def new_kafka(self, process: Process, rng: Random) -> KafkaSide | None:
        return KafkaSide(process, self.kafka, rng) if self.options.kafka_logs else None

    def _reaches(self, sender: str, to: str) -> bool:
        return self.machines[to].is_running and (sender, to) not in self.network.cuts

    def _deliver(self, to: str, sender: str, boot: str, channel: str, data: bytes) -> None:
        self.machines[to].receive(sender, boot, channel, data)

    def _start(self, machine: Machine) -> None:
        if machine.process is None:
            machine.start()

    # Memory.

    def is_whole(self, machine: Machine) -> bool:
        """Whether this voter holds in memory all that it ever acknowledged, judged from outside."""
        process = machine.process
        return process is not None and len(process.whole) == self.options.slot_count

    def may_lose_memory(self, machine: Machine) -> bool:
        """Whether the run stays what it is to be when this machine crashes."""
        if not self.options.is_safe or not machine.is_voter or not any(log.commit for log in self.oracle.logs):
            return True
        return self._forgetful(machine) < self.options.slots.commit_quorum

    def _forgetful(self, machine: Machine) -> int:
        """Voters without memory once this one has lost its."""
        return sum(one is machine or not self.is_whole(one) for one in self.machines.values() if one.is_voter)

    def lost_memory(self, machine: Machine) -> None:
        """A machine has just crashed."""
        if self.oracle.is_broken or not machine.is_voter or not any(log.commit for log in self.oracle.logs):
            return
        if self._forgetful(machine) >= self.options.slots.commit_quorum:
            self.say("", -1, "W voters are without memory at once: what was committed may be gone")
            self.oracle.is_broken = True
            self.counts["runs with too much memory lost"] += 1

    def restart_later(self, machine: Machine) -> None:
        self.schedule.after(self._rng.choice((0.05, 0.5, 1.0, 4.0)) * self._rng.random(), self._restart, machine)

    def _restart(self, machine: Machine) -> None:
        if machine.process is None and (not self.is_healing or machine.name in self.core):
            machine.start()

    # Clients.

    def slot_of(self, subject: str) -> int:
        return slot_of(subject, self.options.slot_count)

    def node_for_clients(self, rng: Random) -> Process | None:
        """One that takes connections."""
        machine = self.machines[rng.choice(self.core)]
        return machine.process if machine.process is not None and not machine.process.is_leaving else None

    def answered(self, process: Process, publish: tuple[str, int], why: str) -> None:
        for publisher in self.publishers:
            if publisher.name == publish[0]:
                line_s = self._rng.random() * self.options.line_s
                self.schedule.after(line_s, publisher.answered, process, publish[1], why)

    def prober(self) -> Publisher:
        """One more publisher."""
        publisher = Publisher(self, "probe", Random(f"probe {self.options.seed}"), 0)
        self.publishers.append(publisher)
        return publisher

    def gapped(self, subscriber: Subscriber, log_id: str) -> None:
        """A gap is told."""
        self.counts["gaps told"] += 1
        if self.options.cache_is_roomy and not self.oracle.is_broken:
            raise Violation(f"{subscriber.name} is told of a gap in {log_id}, though nothing was ever let go of")

    # Stalls.

    def falls(self, process: Process) -> None:
        """A process is about to crash. It counts for the distributions of stalls if all else is well."""
        if not self._is_calm() or self.faults.last_at >= self.schedule.now - STALL_CLEAN_S:
            return
        loaded = {self.slot_of(subject): None for subject in self.options.subjects}
        for slot in process.replica.coordinated:
            if slot.number in loaded:
                self._fallen[slot.number] = (self.schedule.now, slot.accepted)
        for log_id in process.kafka.feeding if process.kafka is not None else ():
            self.kafka.fell(log_id)

    def committed(self, slot: int, process: Process) -> None:
        """A node tells what is committed."""
        fallen = self._fallen.get(slot)
        if fallen is not None and process.replica.by_number[slot].accepted > fallen[1]:
            del self._fallen[slot]
            if self.faults.last_at <= fallen[0]:
                self.stalls.append(self.schedule.now - fallen[0])

    def _is_calm(self) -> bool:
        """All voters are up and whole, and all links work."""
        network = self.network
        voters = [machine for machine in self.machines.values() if machine.is_voter]
        return not (self.kafka.away or network.cuts or network.clogs or network.slow_s) and all(
            machine.is_running and self.is_whole(machine) for machine in voters
        )

    # Words.

    def say(self, name: str, slot: int, words: str) -> None:
        if self.tells:
            self.transcript.line(self.schedule.now, name, slot, words)
