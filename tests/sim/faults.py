"""What is done to the cluster, at random: each fault by its name in options.py.

In a run that is to be safe no fault takes the memory of a voter while that would make W of them (cluster.py says).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from tests.sim.members import Rumours

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.machine import Machine

LEAVE_WITHIN_S = 3.0


class Faults:
    """Begins them and ends them until it is told to stop."""

    def __init__(self, cluster: Cluster, rng: Random) -> None:
        self._cluster = cluster
        self._rng = rng
        self.is_stopped = False
        self.last_at = -1e9
        """When anything was last done that may disturb."""
        options = cluster.options
        self._names = [*options.faults]
        self._weights = [*options.faults.values()]
        self._do: dict[str, Callable[[], bool]] = {
            "crash": lambda: self._crash(self._anyone()),
            "crash of a coordinator": lambda: self._crash(self._a_coordinator()),
            "crash of a feeder": lambda: self._crash(self._a_feeder()),
            "crash in a turn": self._strike,
            "lost disk": self._lose_disk,
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
            "clock of the day jumps": self._jump,
            "no Kafka": self._lose_kafka,
            "subscriber moves": self._move,
        }
        if self._names and options.faults_per_s:
            self._next()
            cluster.schedule.after(rng.expovariate(options.heals_per_s), self._heal)

    def stop(self) -> None:
        """No more of them, also of those that wait for their instant."""
        self.is_stopped = True
        for machine in self._cluster.machines.values():
            machine.spare()

    def _next(self) -> None:
        cluster = self._cluster
        if self.is_stopped:
            return
        name = self._rng.choices(self._names, self._weights)[0]
        if self._do[name]():
            cluster.counts[f"fault: {name}"] += 1
            self.last_at = cluster.schedule.now
        cluster.schedule.after(self._rng.expovariate(cluster.options.faults_per_s), self._next)

    def _heal(self) -> None:
        cluster = self._cluster
        if self.is_stopped:
            return
        network = cluster.network
        if network.cuts or network.clogs or network.slow_s:
            cluster.say("", -1, "all links work again")
            network.heal()
            self.last_at = cluster.schedule.now
        cluster.schedule.after(self._rng.expovariate(cluster.options.heals_per_s), self._heal)

    # Whom it hits.

    def _anyone(self) -> Machine:
        return self._rng.choice([*self._cluster.machines.values()])

    def _a_coordinator(self) -> Machine:
        found = [
            machine
            for machine in self._cluster.machines.values()
            if machine.process is not None and machine.process.replica.coordinated
        ]
        return self._rng.choice(found) if found else self._anyone()

    def _a_feeder(self) -> Machine:
        found = [
            machine
            for machine in self._cluster.machines.values()
            if machine.process is not None and machine.process.kafka is not None and machine.process.kafka.feeding
        ]
        return self._rng.choice(found) if found else self._anyone()

    def _two(self) -> tuple[str, str] | None:
        names = self._cluster.options.names
        if len(names) < 2:
            return None
        one, other = self._rng.sample(names, 2)
        return one, other

    # What it does. Whether anything was done.

    def _crash(self, machine: Machine) -> bool:
        if machine.process is None or not self._cluster.may_lose_memory(machine):
            return False
        machine.crash()
        self._cluster.restart_later(machine)
        return True

    def _strike(self) -> bool:
        instant = self._rng.choice(("before saving", "between saving and sending"))
        self._anyone().strike(instant)
        return True

    def _lose_disk(self) -> bool:
        machine = self._anyone()
        if machine.process is None or not self._cluster.may_lose_memory(machine):
            return False
        machine.crash("loses its memory and its disk")
        machine.disk.lose()
        self._cluster.restart_later(machine)
        return True

    def _pause(self, machine: Machine) -> bool:
        if not machine.is_running:
            return False
        machine.pause(self._rng.choice((0.2, 1.0, 1.5, 3.0, 5.0)) * self._rng.random(), self._rng.random() < 0.4)
        return True

    def _cut_one_way(self) -> bool:
        pair = self._two()
        if pair is None:
            return False
        self._cluster.say("", -1, f"nothing of {pair[0]} reaches {pair[1]}")
        self._cluster.network.cut(*pair)
        return True

    def _cut(self) -> bool:
        pair = self._two()
        if pair is None:
            return False
        self._cluster.say("", -1, f"{pair[0]} and {pair[1]} are cut off from each other")
        self._cluster.network.cut(*pair)
        self._cluster.network.cut(pair[1], pair[0])
        return True

    def _split(self) -> bool:
        names = [*self._cluster.options.names]
        if len(names) < 2:
            return False
        self._rng.shuffle(names)
        count = self._rng.randrange(1, len(names))
        some, others = names[:count], names[count:]
        is_one_way = self._rng.random() < 0.3
        self._cluster.say("", -1, f"{' '.join(some)} {'>' if is_one_way else '|'} {' '.join(others)} are split")
        for one in some:
            for other in others:
                self._cluster.network.cut(other, one)
                if not is_one_way:
                    self._cluster.network.cut(one, other)
        return True

    def _clog(self) -> bool:
        pair = self._two()
        if pair is None:
            return False
        self._cluster.say("", -1, f"the link from {pair[0]} to {pair[1]} is clogged")
        self._cluster.network.clogs[pair] = self._cluster.schedule.now + self._rng.uniform(0.1, 4.0)
        return True

    def _slow(self) -> bool:
        name = self._anyone().name
        self._cluster.say("", -1, f"{name} is slow")
        self._cluster.network.slow_s[name] = self._rng.choice((0.02, 0.1, 0.4))
        return True

    def _accuse(self) -> bool:
        machine, name = self._anyone(), self._anyone().name
        if machine.process is None or not isinstance(machine.process.members, Rumours):
            return False
        machine.process.members.accuse(machine.now, name, self._rng.uniform(0.1, 3.0))
        return True

    def _crash_all(self) -> bool:
        """Only where memory may be lost."""
        if self._cluster.options.is_safe:
            return False
        for machine in self._cluster.machines.values():
            self._crash(machine)
        return True

    def _roll(self) -> bool:
        """Each leaves and starts again, once the one before is whole."""
        cluster, rest = self._cluster, [*self._cluster.machines.values()]

        def go_on() -> None:
            if self.is_stopped:
                return
            if all(cluster.is_whole(machine) for machine in cluster.machines.values()) and self._leave(rest[-1]):
                rest.pop()
            if rest:
                cluster.schedule.after(0.2, go_on)

        go_on()
        return True

    def _leave(self, machine: Machine) -> bool:
        """A planned stop, and a start again."""
        cluster = self._cluster
        if not machine.is_running or not cluster.may_lose_memory(machine):
            return False
        process = machine.process
        assert process is not None
        if process.is_leaving:
            return False
        machine.say(-1, "is about to leave")
        process.leave(machine.now)
        process.turn(machine.now)
        until = cluster.schedule.now + LEAVE_WITHIN_S

        def stop() -> None:
            if machine.process is not process or self.is_stopped:
                return
            if machine.is_running and (process.is_gone or cluster.schedule.now >= until):
                if cluster.may_lose_memory(machine):
                    process.members.leave(machine.now)
                    process.turn(machine.now)
                    machine.crash("has left")
                    cluster.restart_later(machine)
                    return
                if cluster.schedule.now >= until + LEAVE_WITHIN_S:
                    process.is_leaving = process.replica.is_leaving = False  # the operator thinks better of it
                    return
            cluster.schedule.after(0.05, stop)

        stop()
        return True

    def _jump(self) -> bool:
        self._anyone().wall_ms += self._rng.choice((-3_600_000, -1000, 1000, 86_400_000))
        return True

    def _lose_kafka(self) -> bool:
        away, name = self._cluster.kafka.away, self._anyone().name
        if not self._cluster.kafka.logs or name in away:
            return False
        self._cluster.say(name, -1, "cannot reach Kafka")
        away[name] = None
        self._cluster.schedule.after(self._rng.uniform(0.3, 4.0), away.pop, name, None)
        return True

    def _move(self) -> bool:
        if not self._cluster.subscribers:
            return False
        self._rng.choice(self._cluster.subscribers).move()
        return True
