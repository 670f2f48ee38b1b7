"""What seeds have found in the cores, each as small as it gets. The seed that found it is named where the meaning of
seeds was that of its day.
"""

from __future__ import annotations

from random import Random

import pytest

from gateway.link.events import JSON, CatchUp, FromWorker, Publish, Start, Subscribe
from mesh.cache.state_transfer import (
    BEHIND,
    INCOMPLETE,
    CacheAsk,
    CacheNo,
    StateTransfer,
    StateTransferConfig,
    TransferFailed,
)
from mesh.repeats import Repeats
from mesh.slots.copying import LogState, Trimmed
from mesh.slots.forwarding import Forward, ForwardingConfig, PublishCommitted
from mesh.slots.replication import Append, StartEpoch, Sync
from mesh.slots.slot import Committed, Role, Slot, SlotConfig
from mesh.slots.slot_log import Item
from mesh.slots.slots import Beacon, Slots
from tests.sim.machines.node import NodeMachine
from tests.sim.options import quiet
from tests.sim.world import World

VOTERS = SlotConfig(voters=("a", "b", "c"))


class Bench:
    """A quiet cluster with one slot."""

    def __init__(self, seed: int, voters: int = 3, observers: int = 0, tail_items_max: int = 20_000) -> None:
        self.world = World(quiet(seed, voters, observers, tail_items_max))
        self.number = 0
        self.run(4.0)

    def run(self, seconds: float) -> None:
        self.world.setting.schedule.run(self.world.setting.schedule.now + seconds)

    def slot(self, name: str) -> Slot:
        process = self.world.machines[name].process
        assert process is not None
        return process.core.slots.by_number[0]

    @property
    def coordinators(self) -> list[NodeMachine]:
        machines = self.world.machines.values()
        return [one for one in machines if one.process is not None and one.process.core.slots.coordinated]

    def publish(self, machine: NodeMachine, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.say(machine, Publish(self.number, "/c/0", "p", self.number, b"%d" % self.number, []))
            self.run(0.002)

    def say(self, machine: NodeMachine, event: FromWorker) -> None:
        """As a worker of the machine would."""
        assert machine.process is not None
        machine.hear_worker(machine.process, next(iter(machine.process.links)), [event])

    def until_other_than(self, name: str, seconds: float) -> float:
        """How long until another node coordinates and has the others behind it."""
        begin = self.world.setting.schedule.now
        while self.world.setting.schedule.now < begin + seconds:
            self.run(0.02)
            for machine in self.coordinators:
                if machine.name != name and self.slot(machine.name).accepts:
                    return self.world.setting.schedule.now - begin
        raise AssertionError("nobody has taken over")


def observer(voters: SlotConfig = VOTERS) -> Slots:
    """An observer that follows a in epoch 1 and has nothing yet."""
    replica = Slots(0.0, "d", "d1", voters, ForwardingConfig(), 1, None, Random(1))
    replica.receive(0.0, "a", "a1", StartEpoch(0, 1, LogState("L", [(1, 0)], 0, 0, 0), 0, ""))
    replica.settle(0.0)
    replica.take_sends()
    replica.take_events()
    return replica


@pytest.mark.parametrize("seed", range(3))
def test_a_replica_that_is_too_far_behind_gets_the_log_anew(seed: int) -> None:
    """Seed 66: what it asked for had been let go of, and asking for that again kept it from asking for the log."""
    bench = Bench(seed, tail_items_max=20)
    coordinator = bench.coordinators[0]
    other = next(name for name in bench.world.machines if name != coordinator.name)
    bench.world.network.cut(coordinator.name, other)
    bench.publish(coordinator, 100)
    bench.world.network.heal()
    bench.run(2.0)
    assert bench.slot(other).commit == bench.slot(coordinator.name).commit == 100


@pytest.mark.parametrize("seed", range(3))
def test_a_voter_gets_the_log_by_whatever_way_there_is(seed: int) -> None:
    """Seed 205841: what was not repeated any more went over TCP only, and there was none between any two nodes."""
    bench = Bench(seed, tail_items_max=20)
    [coordinator] = bench.coordinators
    other, third = [name for name in bench.world.machines if name != coordinator.name]
    network = bench.world.network
    ring = (coordinator.name, other, third)
    for name in (coordinator.name, third):
        network.cut(name, other)
        network.cut(other, name)
    bench.publish(coordinator, 100)
    network.heal()
    for listener, speaker in zip(ring, (*ring[1:], ring[0]), strict=True):
        network.cut(speaker, listener)
    bench.run(5.0)
    assert bench.slot(other).commit == bench.slot(coordinator.name).commit == 100


@pytest.mark.parametrize("seed", range(3))
def test_a_voter_that_is_started_without_a_link_to_the_coordinator_gets_all_that_there_is(seed: int) -> None:
    """It copied the cache of a third node, if that one had it, and waited for the rest of the log."""
    bench = Bench(seed, tail_items_max=20)
    [coordinator] = bench.coordinators
    other = next(name for name in bench.world.machines if name != coordinator.name)
    bench.publish(coordinator, 100)
    bench.world.network.cut(coordinator.name, other)
    bench.world.network.cut(other, coordinator.name)
    bench.run(2.0)
    machine = bench.world.machines[other]
    machine.crash()
    machine.start()
    bench.run(6.0)
    bench.publish(coordinator, 10)
    bench.run(1.0)
    assert bench.coordinators == [coordinator]
    assert bench.slot(other).is_synced
    assert bench.slot(other).commit == bench.slot(coordinator.name).commit == 110
    assert machine.process is not None
    assert machine.process.core.is_ready


def test_a_replica_that_misses_something_turns_to_the_next_coordinator() -> None:
    """Seed 4126: asking the old coordinator for what was missing kept it from asking the new one for its log."""
    replica = observer()
    replica.receive(0.1, "a", "a1", Beacon([(0, 1, 5, 0, True, True)]))
    asked = []
    for step in range(1, 21):
        now = 0.1 + step * 0.0501
        replica.tick(now)
        if step % 2:
            replica.receive(now + 0.01, "b", "b1", Beacon([(0, 2, 5, 0, True, True)]))
        asked += [(to, packet) for to, packet in replica.take_sends() if isinstance(packet, Sync)]
    assert ("b", Sync(0)) in asked


def test_publishes_go_on_when_the_log_was_copied_anew() -> None:
    """Seed 3475: the coordinator took publishes again, and this node had noted that, but not where it matters."""
    replica = observer()
    replica.receive(0.1, "a", "a1", Beacon([(0, 1, 50, 40, True, False)]))
    replica.receive(0.2, "a", "a1", Trimmed(0, 1, 40))
    replica.receive(0.3, "a", "a1", StartEpoch(0, 1, LogState("L", [(1, 0)], 40, 50, 0), 50, ""))
    replica.settle(0.3)
    replica.receive(0.4, "a", "a1", Beacon([(0, 1, 50, 50, True, True)]))
    replica.publish(0.5, Item("/c/0", "p", 1, b"x", None, 0))
    replica.settle(0.5)
    assert any(isinstance(packet, Forward) for _, packet in replica.take_sends())


def test_a_publish_that_waits_is_answered_when_the_cache_that_was_copied_has_it() -> None:
    """Seed 26: it was refused as unknown, and after its retry had been confirmed."""
    replica = observer()
    replica.publish(0.1, Item("/c/0", "p", 1, b"x", None, 0))
    replica.receive(0.2, "a", "a1", StartEpoch(0, 2, LogState("L", [(1, 0)], 40, 50, 0), 50, ""))
    replica.settle(0.2)
    replica.take_events()
    repeats = Repeats(1000)
    repeats.restore([(("p", 1, "/c/0"), (1, 7), 0, ())])
    replica.cache_filled(0.3, 0, (1, 49), repeats)
    replica.publish(0.3, Item("/c/0", "p", 1, b"x", None, 0))
    replica.settle(0.3)
    published = [event for event in replica.take_events() if isinstance(event, PublishCommitted)]
    assert [event.at for event in published] == [(1, 7), (1, 7)], "one answer for each time that it was sent"
    replica.tick(20.0)
    replica.settle(20.0)
    assert replica.forwarding.pending == 0
    assert replica.take_events() == []


def test_a_peer_that_is_behind_itself_does_not_say_that_there_is_no_more() -> None:
    """Seed 4459: two nodes that lacked the same told each other, last of all, that nothing was missing."""
    core = StateTransfer(lambda log_id: None, StateTransferConfig())
    core.ask(0.0, "s0.L", (1, 3), ["a", "d"])
    for peer, why in (("a", INCOMPLETE), ("d", BEHIND)):
        [(to, ask)] = core.take_sends()
        assert to == peer
        assert isinstance(ask, CacheAsk)
        core.receive(0.0, peer, "boot", CacheNo(ask.ticket, why))
    assert core.take_events() == [TransferFailed("s0.L", INCOMPLETE, True)]


@pytest.mark.parametrize("seed", range(5))
def test_a_coordinator_that_is_heard_but_hears_nobody_is_replaced(seed: int) -> None:
    """Seed 1236: its beacons kept the others quiet for as long as membership took to give it up."""
    bench = Bench(seed)
    [coordinator] = bench.coordinators
    for name in [name for name in bench.world.machines if name != coordinator.name]:
        bench.world.network.cut(name, coordinator.name)
    assert bench.until_other_than(coordinator.name, 4.0) < 2.6


@pytest.mark.parametrize("seed", range(10))
def test_a_voter_that_has_just_started_keeps_nobody_from_being_elected(seed: int) -> None:
    """Seed 240: it stood for election first, could not win, and had the votes that another one needed."""
    bench = Bench(seed)
    [coordinator] = bench.coordinators
    bench.publish(coordinator, 3)
    coordinator.crash()
    bench.world.setting.schedule.after(0.45, coordinator.start)
    assert bench.until_other_than(coordinator.name, 4.0) < 2.0


@pytest.mark.parametrize("seed", range(3))
def test_the_observers_of_a_lone_voter_that_lost_everything_follow_its_new_log(seed: int) -> None:
    """Seeds 1969 and 4357: the new log began in the epoch of the old one, and they took it for the same."""
    bench = Bench(seed, voters=1, observers=2)
    voter = bench.world.machines["a"]
    bench.publish(voter, 20)
    old = bench.slot("a").incarnation
    voter.crash()
    voter.disk.lose()
    voter.start()
    bench.run(3.0)
    bench.publish(voter, 5)
    bench.run(1.0)
    assert bench.slot("a").role is Role.COORDINATOR
    for name in ("a", "b", "c"):
        slot = bench.slot(name)
        assert (slot.incarnation, slot.commit) == (bench.slot("a").incarnation, 5)
        assert slot.incarnation != old


@pytest.mark.parametrize("seed", range(3))
def test_what_a_new_log_had_when_it_was_copied_reaches_live_subscriptions(seed: int) -> None:
    """They were told that they were live from its beginning, and got what came after the copy."""
    bench = Bench(seed, voters=1, observers=1, tail_items_max=20)
    voter, observer = bench.world.machines["a"], bench.world.machines["b"]
    bench.publish(voter, 5)
    bench.say(observer, Subscribe(1, 1, "/c/*", JSON, Start("now"), 1))
    bench.run(0.5)
    voter.crash()
    voter.disk.lose()
    bench.world.network.cut("a", "b")
    voter.start()
    bench.run(3.0)
    bench.publish(voter, 60)
    bench.world.network.heal()
    bench.run(3.0)
    assert bench.slot("b").commit == bench.slot("a").commit == 60
    counts = bench.world.setting.counts
    assert counts["effect Resync"] == 1
    bench.say(observer, CatchUp(1, {"c": {}}))
    bench.run(0.5)
    assert counts["node says NewLog"] == 1, "the worker did not know of the log"
    assert counts["node says Missed"]


def test_what_a_broken_off_repair_has_told_of_is_no_repeat_of_itself() -> None:
    """A peer's memory of publishes came, and then the peer went before the entries did: they came by the log."""
    replica = observer()
    replica.by_number[0].repeats.restore([(("p", 1, "/c/0"), (1, 0), 0, ())])
    replica.receive(0.1, "a", "a1", Append(0, 1, 0, 1, [Item("/c/0", "p", 1, b"x", None, 0)]))
    replica.settle(0.1)
    [told] = [event for event in replica.take_events() if isinstance(event, Committed)]
    assert [at for at, _ in told.entries] == [(1, 0)]
