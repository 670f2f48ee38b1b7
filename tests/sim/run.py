"""One run: a safety phase, in which anything may fail, then a liveness phase, in which a part must get well by itself.

The part that is healed (the *core*) has a majority that can elect; what is left out stays as broken as it is, and is
cut off, sometimes in one direction only. Within `LIVE_WITHIN_S` all nodes of the core must agree, have everything, and
so must their subscribers; and new publishes must be committed.
"""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from mesh.slots.slot import Role
from tests.sim.cluster import Cluster
from tests.sim.network import CALM
from tests.sim.options import Options, draw
from tests.sim.transcript import Transcript
from tests.sim.truth import Violation

LIVE_WITHIN_S = 5.0
STALL_MAX_S = 2.0
KAFKA_STALL_MAX_S = 1.5
"""DESIGN 8."""


@dataclass(slots=True)
class Result:
    """What came of a seed."""

    seed: int
    problem: str = ""
    where: str = ""
    """The last lines of the traceback, if it was a core that gave up."""
    digest: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    stalls: list[float] = field(default_factory=list)
    kafka_stalls: list[float] = field(default_factory=list)
    healed_s: float = 0.0
    acked: int = 0
    is_failover: bool = False


def run(
    seed: int,
    transcript: Transcript | None = None,
    cluster_type: type[Cluster] = Cluster,
    options: Options | None = None,
) -> Result:
    """Run a seed to its end, or to the first promise that is broken."""
    cluster = cluster_type(options if options is not None else draw(seed), transcript)
    result = Result(seed)
    try:
        Run(cluster, result).all()
    except Exception as error:  # whatever a core raises is a bug, too
        result.problem = f"{type(error).__name__}: {error}"
        if not isinstance(error, Violation):
            result.where = "".join(traceback.format_exception(error)[-6:])
        cluster.say("", -1, f"BROKEN: {result.problem}")
    result.digest = cluster.network.digest
    result.counts = cluster.counts + cluster.network.counts
    result.stalls = cluster.stalls
    result.kafka_stalls = cluster.kafka.stalls
    result.is_failover = cluster.options.is_failover
    result.acked = len(cluster.oracle.acked)
    return result


class Run:
    """The phases."""

    def __init__(self, cluster: Cluster, result: Result) -> None:
        self.cluster = cluster
        self.result = result
        self.options = cluster.options
        self.rng = Random(f"run {self.options.seed}")

    def all(self) -> None:
        """From the first start to the last check."""
        cluster = self.cluster
        cluster.schedule.run(self.options.safety_s)
        cluster.faults.stop()
        if self.options.is_failover:
            if max(cluster.stalls, default=0.0) > STALL_MAX_S:
                raise Violation(f"publishes stalled for {max(cluster.stalls):.2f} s")
            if max(cluster.kafka.stalls, default=0.0) > KAFKA_STALL_MAX_S:
                raise Violation(f"records of Kafka stalled for {max(cluster.kafka.stalls):.2f} s")
        self.heal()
        self.live()
        self.check()

    # Healing.

    def heal(self) -> None:
        """Heal the core, and leave the rest as it is, cut off."""
        cluster = self.cluster
        core = self._choose()
        cluster.say("", -1, f"{' '.join(core)} are healed")
        cluster.core, cluster.is_healing, cluster.takes_load = core, True, False
        network = cluster.network
        network.heal()
        network.traffic = CALM
        network.cuts_at_once = True
        is_one_way = self.rng.random() < 0.3
        hears = self.rng.random() < 0.5
        for name in self.options.names:
            if name not in core:
                for member in core:
                    if not (is_one_way and hears):
                        network.cut(member, name)
                    if not (is_one_way and not hears):
                        network.cut(name, member)
        cluster.kafka.away.clear()
        for name in core:
            machine = cluster.machines[name]
            if machine.paused_until is not None:
                machine.resume(machine.paused_until)
            if machine.process is None:
                machine.start()
            elif machine.process.is_leaving:
                machine.process.is_leaving = machine.process.replica.is_leaving = False
        for subscriber in cluster.subscribers:
            if subscriber.connection is not None and subscriber.connection.process.name not in core:
                subscriber.move()
        for publisher in cluster.publishers:
            publisher.leave_unless(core)

    def _choose(self) -> list[str]:
        """R voters that are whole, if there are so many; else all voters. And some of the others."""
        cluster, config = self.cluster, self.options.slots
        voters = list(config.voters)
        whole = [name for name in voters if cluster.is_whole(cluster.machines[name])]
        core = voters
        if len(whole) >= config.elect_quorum and self.rng.random() < 0.6:
            needed = max(config.elect_quorum, config.commit_quorum)
            chosen = self.rng.sample(whole, min(len(whole), needed))
            others = [name for name in voters if name not in chosen]
            missing = needed - len(chosen)
            extra = self.rng.randint(max(0, missing), len(others)) if others else 0
            core = [*chosen, *self.rng.sample(others, extra)]
        observers = [name for name in self.options.names if name not in voters and self.rng.random() < 0.7]
        return [name for name in self.options.names if name in core or name in observers]

    # Living.

    def live(self) -> None:
        """Wait until all is well."""
        cluster = self.cluster
        begin = cluster.schedule.now
        publisher = cluster.prober()
        for subject in self._subjects():
            publisher.publish(subject)
        while True:
            cluster.schedule.run(cluster.schedule.now + 0.1)
            problem = self.unwell(publisher.unanswered)
            if not problem:
                break
            if cluster.schedule.now - begin > LIVE_WITHIN_S:
                raise Violation(f"{LIVE_WITHIN_S} s after {' '.join(cluster.core)} were healed: {problem}")
        self.result.healed_s = cluster.schedule.now - begin

    def _subjects(self) -> list[str]:
        """One for each slot."""
        found: dict[int, str] = {}
        number = 0
        while len(found) < self.options.slot_count:
            found.setdefault(self.cluster.slot_of(f"/c/{number}"), f"/c/{number}")
            number += 1
        return [*found.values()]

    def unwell(self, unanswered: dict[int, str]) -> str:
        """What is not as it must be; nothing if all is well."""
        cluster = self.cluster
        nodes = []
        for name in cluster.core:
            process = cluster.machines[name].process
            if process is None:
                return f"{name} does not run"
            if process.replica.is_amnesic:
                if all(voter in cluster.core for voter in process.replica.missing_voters):
                    return f"{name} is still amnesic"
            else:
                nodes.append(process)
        for number in range(self.options.slot_count):
            slots = [process.replica.by_number[number] for process in nodes]
            seen = sorted({f"{s.coordinator or 'nobody'} in {s.accepted} up to {s.commit}" for s in slots})
            if len(seen) > 1 or "nobody" in seen[0]:
                return f"slot {number} is coordinated by {'; '.join(seen)}"
            coordinator = next((s for s in slots if s.role is Role.COORDINATOR), None)
            if coordinator is None or not all(s.accepts for s in slots) or coordinator.commit != coordinator.log.end:
                return f"slot {number} takes no publishes"
            for process in nodes:
                if number not in process.loaded:
                    return f"{process.name} has not loaded slot {number}"
        for node in nodes:
            if node.kafka is not None and (problem := node.kafka.lacks()):
                return problem
        if unanswered:
            return f"{len(unanswered)} new publishes are not answered"
        for one in cluster.publishers:
            if one.unanswered:
                return f"{len(one.unanswered)} publishes of {one.name} are not answered"
        for subscriber in cluster.subscribers:
            problem = subscriber.lacks()
            if problem:
                return problem
        return ""

    # Checking.

    def check(self) -> None:
        """At the end."""
        cluster = self.cluster
        cluster.oracle.check_end()
        self.check_order()
        for name in cluster.core:
            process = cluster.machines[name].process
            assert process is not None
            for slot, log in process.logs.items():
                if slot in process.loaded:
                    cluster.watch.check_cache(process, slot, log)
            if process.kafka is not None:
                for log_id in process.kafka.filled:
                    process.kafka.check(log_id)

    def check_order(self) -> None:
        """What was sent through one node, and once only, is in each slot in the order in which it was sent."""
        attempts = self.cluster.attempts
        for log in self.cluster.oracle.logs:
            last: dict[str, int] = {}
            for publish in sorted(log.at, key=log.at.__getitem__):
                if len(attempts[publish]) == 1:
                    boot, number = attempts[publish][0]
                    if number < last.get(boot, 0):
                        raise Violation(f"{publish} overtook another in {boot} on its way to slot {log.slot}")
                    last[boot] = number
