"""One run: a safety phase, in which anything may fail, then a liveness phase, in which a part must get well by itself.

The part that is healed (the *core*) has a majority that can elect; what is left out stays as broken as it is, and is
cut off, sometimes in one direction only. Within `LIVE_WITHIN_S` all nodes of the core must agree, every subscription
must have everything that there is, and new publishes must be acknowledged.
"""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random

from mesh.placement import slot_of
from mesh.slots.slot import Role, Slot
from mesh.slots.slots import Slots
from mesh.subject import is_pattern, topic_of
from tests.sim.apps.client import Client, Subscription
from tests.sim.checkers.violation import Violation
from tests.sim.faults import Faults
from tests.sim.network import CALM
from tests.sim.options import NAMESPACE, Options, draw
from tests.sim.transcript import Transcript
from tests.sim.world import World

LIVE_WITHIN_S = 30.0
"""Longer than the longest pause of a client whose attempts to connect have failed."""
STEP_S = 0.1


@dataclass(slots=True)
class Result:
    """What came of a seed."""

    seed: int
    problem: str = ""
    is_about_liveness: bool = False
    where: str = ""
    """The last lines of the traceback, if it was a core that gave up."""
    digest: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    healed_s: float = 0.0
    acked: int = 0
    handed: int = 0
    waits: list[float] = field(default_factory=list)
    """Of failover runs: how long acknowledged publishes took, those that took long."""


class NotWell(Violation):
    """The healed part did not get well in time."""


def run(
    seed: int,
    transcript: Transcript | None = None,
    world_type: type[World] = World,
    options: Options | None = None,
) -> Result:
    """Run a seed to its end, or to the first promise that is broken."""
    world = world_type(options if options is not None else draw(seed), transcript)
    result = Result(seed)
    try:
        Run(world, result).all()
    except Exception as error:  # whatever a core raises is a bug, too
        result.problem = f"{type(error).__name__}: {error}"
        result.is_about_liveness = isinstance(error, NotWell)
        if not isinstance(error, Violation):
            result.where = "".join(traceback.format_exception(error)[-6:])
        world.setting.say("", f"BROKEN: {result.problem}")
    result.digest = world.network.digest
    result.counts = world.setting.counts + world.network.counts + world.kafka.counts
    result.counts[f"kind of life: {world.options.kind}"] += 1
    result.acked = len(world.publishes.acked)
    result.handed = sum(reader.got_count for client in world.clients for reader in client.readers)
    result.waits = world.publishes.waits if world.options.is_failover else []
    return result


class Run:
    """The phases."""

    def __init__(self, world: World, result: Result) -> None:
        self.world = world
        self.result = result
        self.options = world.options
        self.schedule = world.setting.schedule
        self.rng = Random(f"run {self.options.seed}")
        self.faults = Faults(world, Random(f"faults {self.options.seed}"))

    def all(self) -> None:
        """From the first start to the last check."""
        self.schedule.run(self.options.safety_s)
        self.faults.stop()
        self.heal()
        self.live()
        self.check()

    # Healing.

    def heal(self) -> None:
        """Heal the core, and leave the rest as it is, cut off."""
        world = self.world
        options = self.options
        stays_cut = options.stays_cut and len(options.names) > 2 and not world.truth.is_broken
        core = [*options.names] if stays_cut else self._choose()
        world.setting.say("", f"{' '.join(core)} are healed")
        world.core, world.is_healing, world.takes_load = core, True, False
        network = world.network
        network.heal()
        network.traffic = CALM
        network.cuts_at_once = True
        if stays_cut:
            self.faults.cut_for_good(options.stays_cut)
            network.traffic = replace(CALM, loss=options.traffic.loss)
            world.setting.counts[f"lives that went on with a {options.stays_cut}"] += 1
        is_one_way = self.rng.random() < 0.3
        hears = self.rng.random() < 0.5
        for name in self.options.names:
            if name not in core:
                for member in core:
                    if not (is_one_way and hears):
                        network.cut(member, name)
                    if not (is_one_way and not hears):
                        network.cut(name, member)
        world.kafka.settle()
        for name in core:
            machine = world.machines[name]
            machine.disk.have_room()
            if machine.paused_until is not None:
                machine.resume(machine.paused_until)
            if machine.process is None:
                machine.start()
        for client in world.clients:
            if client.line is not None:
                client.line.set_pace(False, False)
                if client.line.node not in core or client.line.is_silent:
                    client.line.cut()

    def _choose(self) -> list[str]:
        """R voters that are whole, if there are so many; else all voters. And some of the others."""
        world, config = self.world, self.options.slots
        voters = list(config.voters)
        whole = [
            name for name in voters if world.is_whole(world.machines[name]) and not world.machines[name].is_leaving
        ]
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
        begin = self.schedule.now
        to_publish = self._subjects()
        client = self.world.clients[0]
        while True:
            if to_publish and client.session is not None:
                for subject in to_publish:
                    client.publish(subject)
                to_publish = []
            self.schedule.run(self.schedule.now + STEP_S)
            problem = "a client is away" if to_publish else self.unwell()
            if not problem:
                break
            if self.schedule.now - begin > LIVE_WITHIN_S:
                raise NotWell(f"{LIVE_WITHIN_S} s after {' '.join(self.world.core)} were healed: {problem}")
        self.result.healed_s = self.schedule.now - begin

    def _subjects(self) -> list[str]:
        """One for each slot, and one for each of Kafka's topics that takes publishes."""
        found = {}
        if self.options.has_namespace:
            found = {slot_of(subject, self.options.slot_count): subject for subject in self.options.subjects}
        topics = [
            topic.name for topic in self.options.topics if topic.publish and topic.name in self.world.kafka.topics
        ]
        return [*found.values(), *(f"/{name}/a" for name in topics)]

    def unwell(self) -> str:
        """What is not as it must be; nothing if all is well."""
        world = self.world
        nodes: list[tuple[str, Slots]] = []
        for name in world.core:
            process = world.machines[name].process
            if process is None or process.is_leaving:
                return f"{name} does not run"
            slots = process.core.slots
            if slots.is_amnesic:
                if all(voter in world.core for voter in slots.missing_voters):
                    return f"{name} is still amnesic"
                continue
            nodes.append((name, slots))
            if not process.core.is_ready:
                return f"{name} is not ready"
        for number in range(self.options.slot_count):
            if problem := _slot_problem(number, [slots.by_number[number] for _, slots in nodes]):
                return problem
        for client in world.clients:
            if client.unanswered:
                return (
                    f"{len(client.unanswered)} publishes of {client.name} are not answered: {[*client.unanswered][:3]}"
                )
            for subscription in client.subscriptions:
                if problem := self._lacks(client, subscription):
                    return problem
        return ""

    def _lacks(self, client: Client, subscription: Subscription) -> str:
        if client.session is None or client.line is None:
            return f"{client.name} is not connected"
        if subscription.queue:
            return f"{subscription.name} has not taken all"
        for log_id in self._logs(subscription.subject):
            missing = subscription.reader.lacks(log_id)
            if missing is not None:
                return f"{subscription.reader} at {client.line.node} lacks {missing} of {log_id}"
        return ""

    def _logs(self, subject: str) -> list[str]:
        topic = topic_of(subject)
        if topic != NAMESPACE:
            found = self.world.kafka.topics.get(topic)
            return [log.id for log in found.partitions] if found is not None else []
        own = slot_of(subject, self.options.slot_count)
        names = self.world.watch.current.items()
        return [f"s{slot}.{name}" for slot, name in names if is_pattern(subject) or slot == own]

    # Checking.

    def check(self) -> None:
        """At the end."""
        for client in self.world.clients:
            for reader in client.readers:
                reader.recheck()
        self.world.publishes.check()


def _slot_problem(number: int, slots: list[Slot]) -> str:
    seen = sorted({f"{s.coordinator or 'nobody'} in {s.accepted} up to {s.commit}" for s in slots})
    if len(seen) > 1 or not seen or "nobody" in seen[0]:
        return f"slot {number} is coordinated by {'; '.join(seen)}"
    coordinator = next((s for s in slots if s.role is Role.COORDINATOR), None)
    if coordinator is None or not all(s.accepts for s in slots) or coordinator.commit != coordinator.log.end:
        return f"slot {number} takes no publishes"
    return ""
