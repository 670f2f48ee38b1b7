"""What is done to a world, at random: each fault by its name in options.py.

In a run that is to be safe no fault takes the memory of a voter while that would make W of them (world.py says).

Not here: when faults end for good (run.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.sim.apps.client import Client
from tests.sim.broker.log import PartitionLog
from tests.sim.machines.members import Rumours
from tests.sim.machines.node import AFTER_SAVING, ANYWHERE, BEFORE_SAVING, NodeMachine
from tests.sim.world import World

RESTART_S = 0.2
"""Of a process that is started again at once, at most."""


class Faults:
    """Begins them and ends them until it is told to stop."""

    def __init__(self, world: World, rng: Random) -> None:
        self._world = world
        self._setting = world.setting
        self._schedule = world.setting.schedule
        self._rng = rng
        self.is_stopped = False
        options = world.options
        self._names = [*options.faults]
        self._weights = [*options.faults.values()]
        self._do: dict[str, Callable[[], bool]] = {
            "crash": lambda: self._crash(self._anyone()),
            "crash of a coordinator": lambda: self._crash(self._a_coordinator()),
            "crash of a feeder": lambda: self._crash(self._a_feeder()),
            "crash between effects": self._strike,
            "lost disk": self._lose_disk,
            "full disk": self._fill_disk,
            "pause": lambda: self._pause(self._anyone()),
            "pause of a coordinator": lambda: self._pause(self._a_coordinator()),
            "one-way cut": self._cut_one_way,
            "cut": self._cut,
            "split": self._split,
            "clog": self._clog,
            "slow node": self._slow,
            "wrong suspicion": self._accuse,
            "leave": lambda: self._leave(self._anyone()),
            "rolling restart": self._roll,
            "all at once": self._crash_all,
            "voters forget while one is behind": self._forget,
            "coordinator reaches one other": self._strand,
            "coordinator heard late": self._depose,
            "voter starts anew twice": self._restart_twice,
            "partial cut": self._cut_partly,
            "ring of one-way cuts": self._cut_ring,
            "clock of the day jumps": self._jump,
            "no Kafka for a node": self._lose_kafka,
            "no Kafka at all": self._lose_all_kafka,
            "partition without a leader": self._lose_leader,
            "another leader": lambda: self._elect(is_clean=True),
            "unclean leader": lambda: self._elect(is_clean=False),
            "compaction": self._compact,
            "retention": self._delete_records,
            "topic deleted": lambda: self._delete_topic(self._rng.uniform(0.5, 3.0)),
            "topic created again": lambda: self._delete_topic(0.0),
            "partition added": self._grow,
            "topic forbidden": self._forbid,
            "times of records jump": self._skew,
            "connection cut": self._cut_line,
            "connection silent": self._silence,
            "client slow": lambda: self._set_pace(is_stalled=False),
            "client stalled": lambda: self._set_pace(is_stalled=True),
            "client crashes": self._crash_client,
            "client subscribes anew": lambda: self._a_client().subscribe_anew(),
            "worker crashes": self._crash_worker,
            "worker stalls": self._stall_worker,
            "everybody reconnects": self._reconnect_all,
        }
        if self._names and options.faults_per_s:
            self._next()
            self._schedule.after(rng.expovariate(options.heals_per_s), self._heal)

    def stop(self) -> None:
        """No more of them, also of those that wait for their instant."""
        self.is_stopped = True
        for machine in self._world.machines.values():
            machine.spare()

    def _next(self) -> None:
        if self.is_stopped:
            return
        name = self._rng.choices(self._names, self._weights)[0]
        if self._do[name]():
            self._setting.counts[f"fault: {name}"] += 1
            self._world.last_fault_at = self._setting.now
        self._schedule.after(self._rng.expovariate(self._world.options.faults_per_s), self._next)

    def _heal(self) -> None:
        if self.is_stopped:
            return
        network = self._world.network
        if network.cuts or network.clogs or network.slow_s:
            self._setting.say("", "all links work again")
            network.heal()
            self._world.last_fault_at = self._setting.now
        self._schedule.after(self._rng.expovariate(self._world.options.heals_per_s), self._heal)

    def _later(self, low_s: float, high_s: float, call: Callable[[], None]) -> None:
        """Unless all is to be well by then."""
        self._schedule.after(self._rng.uniform(low_s, high_s), self._unless_stopped, call)

    def _once(self, is_so: Callable[[], bool], call: Callable[[], None], most_s: float = 4.0) -> None:
        """As soon as it is so, unless that takes too long."""
        if is_so():
            call()
        elif most_s > 0.0:
            self._later(0.02, 0.02, lambda: self._once(is_so, call, most_s - 0.02))

    def _unless_stopped(self, call: Callable[[], None]) -> None:
        if not self.is_stopped:
            call()

    # Whom it hits.

    def _anyone(self) -> NodeMachine:
        return self._rng.choice([*self._world.machines.values()])

    def _one_of(self, found: list[NodeMachine]) -> NodeMachine:
        return self._rng.choice(found) if found else self._anyone()

    def _a_coordinator(self) -> NodeMachine:
        machines = self._world.machines.values()
        return self._one_of([one for one in machines if one.process is not None and one.process.core.slots.coordinated])

    def _a_feeder(self) -> NodeMachine:
        machines = self._world.machines.values()
        return self._one_of([one for one in machines if one.process and one.process.core.feed.feeding_count])

    def _a_client(self) -> Client:
        return self._rng.choice(self._world.clients)

    def _a_partition(self) -> PartitionLog | None:
        topics = [*self._world.kafka.topics.values()]
        return self._rng.choice(self._rng.choice(topics).partitions) if topics else None

    def _two(self) -> tuple[str, str] | None:
        names = self._world.options.names
        if len(names) < 2:
            return None
        one, other = self._rng.sample(names, 2)
        return one, other

    # Nodes. Whether anything was done.

    def _crash(self, machine: NodeMachine, most_s: float = 0.0) -> bool:
        """`most_s`: how long it stays away; 0: any time."""
        if machine.process is None or not self._world.may_lose_memory(machine):
            return False
        machine.crash()
        self._world.restart_later(machine, most_s)
        return True

    def _strike(self) -> bool:
        self._anyone().strike(self._rng.choice((ANYWHERE, ANYWHERE, BEFORE_SAVING, AFTER_SAVING)))
        return True

    def _lose_disk(self) -> bool:
        machine = self._anyone()
        if machine.process is None or not self._world.may_lose_memory(machine):
            return False
        machine.crash("loses its memory and its disk")
        machine.disk.lose()
        self._world.restart_later(machine)
        return True

    def _fill_disk(self) -> bool:
        disk = self._anyone().disk
        if disk.is_full:
            return False
        disk.is_full = True
        self._schedule.after(self._rng.uniform(0.3, 3.0), disk.have_room)
        return True

    def _pause(self, machine: NodeMachine) -> bool:
        if not machine.is_running:
            return False
        machine.pause(self._rng.choice((0.2, 1.0, 1.5, 3.0)) * self._rng.random(), self._rng.random() < 0.4)
        return True

    def _crash_all(self) -> bool:
        """Only where memory may be lost."""
        if self._world.options.is_safe:
            return False
        for machine in self._world.machines.values():
            self._crash(machine)
        return True

    def _forget(self) -> bool:
        """One voter is cut off while the others commit; then those lose their memory, and find it with its old log."""
        world, voters = self._world, [one for one in self._world.machines.values() if one.is_voter]
        if world.options.is_safe or len(voters) < 3:
            return False
        survivor = self._rng.choice(voters)
        others = [one for one in voters if one is not survivor]
        self._setting.say("", f"{survivor.name} is left behind")
        self._part(survivor.name, [other.name for other in others])
        by = self._setting.now + 3.0

        def is_behind() -> bool:
            assert survivor.process is not None
            return any(
                world.watch.committed(slot.number, slot.incarnation) > slot.log.end
                for slot in survivor.process.core.slots.by_number
            )

        def look() -> None:
            if survivor.process is None:
                return
            if is_behind():
                self._setting.counts["voters forgot what the survivor has not"] += 1
            elif self._setting.now < by:
                self._later(0.1, 0.1, look)
                return
            for other in others:
                self._crash(other)
            self._later(0.0, 1.0, world.network.heal)

        self._later(0.5, 1.5, look)
        return True

    def _leave(self, machine: NodeMachine) -> bool:
        return self._world.may_lose_memory(machine) and machine.leave()

    def _roll(self) -> bool:
        """Each leaves and starts again, once the one before is whole."""
        world, rest = self._world, [*self._world.machines.values()]

        def go_on() -> None:
            if self.is_stopped:
                return
            if all(world.is_whole(machine) for machine in world.machines.values()) and self._leave(rest[-1]):
                rest.pop()
            if rest:
                self._schedule.after(0.2, go_on)

        go_on()
        return True

    def _jump(self) -> bool:
        self._anyone().wall_offset_ms += self._rng.choice((-3_600_000, -1000, 1000, 86_400_000))
        self._world.truth.has_clock_jumped = True
        return True

    def _accuse(self) -> bool:
        machine, name = self._anyone(), self._anyone().name
        if machine.process is None or not isinstance(machine.process.members, Rumours):
            return False
        machine.process.members.accuse(machine.now, name, self._rng.uniform(0.1, 2.0))
        return True

    # The network.

    def _part(self, name: str, others: Sequence[str]) -> None:
        for other in others:
            self._world.network.cut(name, other)
            self._world.network.cut(other, name)

    def _join(self, name: str, others: Sequence[str]) -> None:
        for other in others:
            self._world.network.cuts.pop((name, other), None)
            self._world.network.cuts.pop((other, name), None)

    def _cut_one_way(self) -> bool:
        pair = self._two()
        if pair is None:
            return False
        self._setting.say("", f"nothing of {pair[0]} reaches {pair[1]}")
        self._world.network.cut(*pair)
        return True

    def _cut(self) -> bool:
        pair = self._two()
        if pair is None:
            return False
        self._setting.say("", f"{pair[0]} and {pair[1]} are cut off from each other")
        self._part(pair[0], [pair[1]])
        return True

    def _cut_partly(self) -> bool:
        """Two do not hear each other; all others hear both."""
        return len(self._world.options.names) > 2 and self._cut()

    def _strand(self) -> bool:
        """A coordinator is left with one other, then alone: few hold what it appends meanwhile."""
        machine = self._a_coordinator()
        others = [name for name in self._world.options.names if name != machine.name]
        if len(others) < 2:
            return False
        self._rng.shuffle(others)
        self._setting.say("", f"{machine.name} reaches {others[0]} alone, and soon nobody")
        self._part(machine.name, others[1:])
        self._later(0.05, 0.3, lambda: self._part(machine.name, others[:1]))
        self._later(0.8, 2.0, lambda: self._join(machine.name, others))
        return True

    def _depose(self) -> bool:
        """What a coordinator says does not reach one voter, which stands, and all others about when they have voted."""
        network, name, voters = self._world.network, self._a_coordinator().name, self._world.options.slots.voters
        others = [voter for voter in voters if voter != name]
        if len(others) < 2:
            return False
        self._rng.shuffle(others)
        candidate = others.pop()
        self._setting.say("", f"{name} is not heard by {candidate}, and late by {' '.join(others)}")
        self._part(name, [candidate])
        slow_s = self._rng.uniform(0.1, 0.4)
        until = self._setting.now + self._world.options.slots.silence_s + self._rng.uniform(1.0, 2.5) * slow_s
        for other in others:
            network.clogs[name, other] = until
            network.slow_s[other] = slow_s

        def mend() -> None:
            self._join(name, [candidate])
            for other in others:
                network.slow_s.pop(other, None)

        self._later(2.0, 3.0, mend)
        return True

    def _restart_twice(self) -> bool:
        """One voter is cut off; another starts anew twice, and when it is synced only those two hear each other."""
        world, coordinator = self._world, self._a_coordinator()
        voters = [machine for machine in world.machines.values() if machine.is_voter and machine is not coordinator]
        is_well = not world.network.cuts and len(voters) == 2 and all(map(world.is_whole, voters))
        self._rng.shuffle(voters)
        if not is_well or not self._crash(voters[0], RESTART_S):
            return False
        voter, third = voters
        names = third.name, voter.name
        self._setting.say("", f"{third.name} is cut off while {voter.name} starts anew twice")
        self._part(third.name, [coordinator.name, voter.name])

        def is_synced() -> bool:
            return voter.process is not None and all(slot.is_synced for slot in voter.process.core.slots.by_number)

        def again() -> None:
            if self._crash(voter, RESTART_S):
                self._once(is_synced, change)

        def change() -> None:
            self._setting.say("", f"only {' and '.join(names)} hear each other")
            self._part(coordinator.name, names)
            self._join(third.name, [voter.name])

        self._once(lambda: world.is_whole(voter), lambda: self._later(0.1, 1.0, again))
        self._later(6.0, 8.0, world.network.heal)
        return True

    def _cut_ring(self) -> bool:
        """Of three voters, or of all five, each hears one."""
        names, voters = self._world.options.names, self._world.options.slots.voters
        if len(names) < 3:
            return False
        ring = self._rng.sample(names, 3 if len(voters) < 5 else self._rng.choice((3, 5)))
        self._setting.say("", f"{' > '.join(ring)} > {ring[0]}: that is all that passes between them")
        for sender in ring:
            heard_by = ring[(ring.index(sender) + 1) % len(ring)]
            for to in ring:
                if to not in (sender, heard_by):
                    self._world.network.cut(sender, to)
        return True

    def cut_for_good(self, name: str) -> None:
        """Cut links that stay so."""
        self._do[name]()

    def _split(self) -> bool:
        names = [*self._world.options.names]
        if len(names) < 2:
            return False
        self._rng.shuffle(names)
        count = self._rng.randrange(1, len(names))
        some, others = names[:count], names[count:]
        is_one_way = self._rng.random() < 0.3
        self._setting.say("", f"{' '.join(some)} {'>' if is_one_way else '|'} {' '.join(others)} are split")
        for one in some:
            for other in others:
                self._world.network.cut(other, one)
                if not is_one_way:
                    self._world.network.cut(one, other)
        return True

    def _clog(self) -> bool:
        pair = self._two()
        if pair is None:
            return False
        self._setting.say("", f"the link from {pair[0]} to {pair[1]} is clogged")
        self._world.network.clogs[pair] = self._setting.now + self._rng.uniform(0.1, 3.0)
        return True

    def _slow(self) -> bool:
        name = self._anyone().name
        self._setting.say("", f"{name} is slow")
        self._world.network.slow_s[name] = self._rng.choice((0.02, 0.1, 0.4))
        return True

    # Kafka.

    def _lose_kafka(self) -> bool:
        away, name = self._world.kafka.away, self._anyone().name
        if name in away:
            return False
        self._setting.say(name, "cannot reach Kafka")
        self._world.kafka.was_away = True
        away[name] = None
        self._later(0.2, 2.5, lambda: away.pop(name, None))
        return True

    def _lose_all_kafka(self) -> bool:
        away = self._world.kafka.away
        self._setting.say("", "no broker answers")
        self._world.kafka.was_away = True
        away.update(dict.fromkeys(self._world.options.names))
        self._later(0.2, 2.0, away.clear)
        return True

    def _lose_leader(self) -> bool:
        log = self._a_partition()
        if log is None or not log.has_leader:
            return False
        self._setting.say("", f"nobody leads {log.topic} [{log.number}]")
        log.has_leader = False
        self._world.kafka.was_away = True
        self._later(0.2, 2.0, lambda: None if log.has_leader else log.elect())
        return True

    def _elect(self, is_clean: bool) -> bool:
        log = self._a_partition()
        if log is None:
            return False
        lost = 0 if is_clean else min(self._rng.randint(1, 15), log.end - log.low)
        if not is_clean and not lost:
            return False
        self._setting.say("", f"another broker leads {log.topic} [{log.number}], which ends at {log.end - lost}")
        log.elect(None if is_clean else log.end - lost)
        return True

    def _compact(self) -> bool:
        topics = [topic for topic in self._world.kafka.topics.values() if topic.is_compacted]
        if not topics:
            return False
        topic = self._rng.choice(topics)
        self._setting.say("", f"{topic.name} is compacted")
        for log in topic.partitions:
            log.compact()
        return True

    def _delete_records(self) -> bool:
        log = self._a_partition()
        if log is None or log.end == log.low:
            return False
        log.delete_before(self._rng.randint(log.low, log.end))
        self._setting.say("", f"records of {log.topic} [{log.number}] before {log.low} are deleted")
        return True

    def _delete_topic(self, away_s: float) -> bool:
        kafka, names = self._world.kafka, [*self._world.kafka.topics]
        if not names:
            return False
        name = self._rng.choice(names)
        was = kafka.topics[name]
        self._setting.say("", f"{name} is deleted" + ("" if away_s else " and created again"))
        kafka.delete(name)
        count = self._rng.choice((1, 2, len(was.partitions)))
        if away_s:
            self._later(away_s, away_s, lambda: self._create(name, count, was.is_compacted))
        else:
            self._create(name, count, was.is_compacted)
        return True

    def _create(self, name: str, partitions: int, is_compacted: bool) -> None:
        if name not in self._world.kafka.topics:
            self._world.kafka.create(name, partitions, is_compacted)

    def _grow(self) -> bool:
        kafka = self._world.kafka
        names = [name for name, topic in kafka.topics.items() if len(topic.partitions) < 4]
        if not names:
            return False
        log = kafka.grow(self._rng.choice(names))
        self._setting.say("", f"{log.topic} has another partition, {log.id}")
        return True

    def _forbid(self) -> bool:
        kafka = self._world.kafka
        names = [name for name, topic in kafka.topics.items() if topic.is_allowed]
        if not names:
            return False
        name = self._rng.choice(names)
        self._setting.say("", f"{name} is forbidden")
        kafka.allow(name, False)
        self._later(0.3, 2.5, lambda: kafka.allow(name, True) if name in kafka.topics else None)
        return True

    def _skew(self) -> bool:
        """Other producers' clocks are wrong for a while."""
        kafka = self._world.kafka
        kafka.skew_ms = self._rng.choice((-3_600_000, -400_000, 400_000, 3_600_000))
        self._world.truth.has_clock_jumped = True
        self._setting.say("", f"records come with times that are {kafka.skew_ms} ms off")
        self._later(0.05, 1.0, kafka.end_skew)
        return True

    # Clients and workers.

    def _cut_line(self) -> bool:
        line = self._a_client().line
        if line is None:
            return False
        line.cut()
        return True

    def _reconnect_all(self) -> bool:
        self._setting.say("", "all lines are cut")
        for client in self._world.clients:
            if client.line is not None:
                client.line.cut()
        return True

    def _silence(self) -> bool:
        line = self._a_client().line
        if line is None:
            return False
        self._setting.say("", f"a line to {line.node} falls silent")
        line.fall_silent()
        return True

    def _set_pace(self, is_stalled: bool) -> bool:
        line = self._a_client().line
        if line is None:
            return False
        line.set_pace(not is_stalled, is_stalled)
        self._schedule.after(self._rng.uniform(0.2, 2.0), line.set_pace, False, False)
        return True

    def _crash_client(self) -> bool:
        client = self._a_client()
        if client.session is None:
            return False
        client.crash()
        return True

    def _crash_worker(self) -> bool:
        machine = self._anyone()
        if machine.process is None or not machine.process.workers or not machine.is_running:
            return False
        machine.end_worker(self._rng.choice([*machine.process.workers]))
        return True

    def _stall_worker(self) -> bool:
        machine = self._anyone()
        if machine.process is None or not machine.process.workers:
            return False
        self._rng.choice([*machine.process.workers.values()]).stall(
            self._rng.choice((0.2, 1.0, 3.0)) * self._rng.random()
        )
        return True
