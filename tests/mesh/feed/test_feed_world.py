"""Many feeds, with loss, delay, deaths, pauses, cuts and joins: nobody misses anything, and Kafka is read once."""

from __future__ import annotations

from collections import Counter

import pytest

from mesh.placement import rank
from tests.mesh.feed.feed_world import World
from tests.support.seeds import seeds


def assert_settled(world: World) -> None:
    """Everyone has everything, one node reads each log, and all know which."""
    world.rate = 0.0
    world.run(1.0)
    world.check_all()
    for log_id in world.kafka.logs:
        assert set(world.lag(log_id).values()) == {0}, (log_id, world.lag(log_id))
        first = rank(log_id, world.alive)[0]
        assert world.readers_of(log_id) == [first]
        assert {node.feed.feeder(log_id) for node in world.nodes.values()} == {first}


def test_in_peace_one_node_reads_each_log() -> None:
    world = World(1, "abcde", logs=20)
    world.run(6)
    assert_settled(world)
    for _ in range(40):
        world.rate = 0.3
        world.run(0.1)
        assert all(len(world.readers_of(log_id)) == 1 for log_id in world.kafka.logs)
    counts = Counter(world.readers_of(log_id)[0] for log_id in world.kafka.logs)
    assert len(counts) >= 4
    assert all(node.feed.repairs == 0 for node in world.nodes.values())


@pytest.mark.parametrize("seed", seeds(2, 6))
def test_another_takes_over_within_a_second_and_a_half(seed: int) -> None:
    world = World(seed, "abcde"[: 3 + seed % 3], logs=2)
    world.run(5)
    world.rate = 1.0
    (feeder,) = world.readers_of("0.x")
    if seed % 2:
        world.kill(feeder)
    else:
        world.nodes[feeder].paused_until = world.now + 4.0
    killed_at = world.now
    last = {name: node.applied_at["0.x"] for name, node in world.nodes.items() if name != feeder}
    stall = 0.0
    while world.now < killed_at + 3.0:
        world.run(0.01)
        for name, before in last.items():
            last[name] = world.nodes[name].applied_at["0.x"]
            stall = max(stall, last[name] - before)
    assert 1.0 < stall <= 1.5
    assert all(at > killed_at + 2.5 for at in last.values())
    world.run(8)
    assert_settled(world)


def test_a_planned_stop_is_not_noticed() -> None:
    world = World(3, "abc", logs=4)
    world.run(5)
    world.rate = 1.0
    (feeder,) = world.readers_of("0.x")
    world.nodes[feeder].feed.resign(world.now)
    last = {name: node.applied_at["0.x"] for name, node in world.nodes.items()}
    stall = 0.0
    for _ in range(200):
        world.run(0.01)
        for name, node in world.nodes.items():
            stall = max(stall, node.applied_at["0.x"] - last[name])
            last[name] = node.applied_at["0.x"]
        if world.nodes[feeder].feed.feeding_count == 0:
            break
    assert world.nodes[feeder].feed.feeding_count == 0
    assert stall < 0.1
    world.kill(feeder)
    world.run(6)
    assert_settled(world)


def test_a_new_node_gets_its_cache_from_a_peer_and_joins() -> None:
    world = World(4, "ab", logs=3)
    world.run(4)
    world.start("c")
    world.run(1.5)
    node = world.nodes["c"]
    assert all(node.catch_up.pages_received > 2 for _ in "c")
    assert not node.readers
    world.run(6)
    assert_settled(world)


def test_a_node_that_cannot_reach_kafka_does_not_feed() -> None:
    world = World(5, "abc", logs=6)
    world.run(5)
    (feeder,) = world.readers_of("0.x")
    lame = world.nodes[feeder]
    world.kafka_cut = {feeder}
    world.run(3)
    told = len(lame.events)
    world.run(20)
    assert not [event for event in lame.events[told:] if " Read " in event or " Stop " in event]
    world.rate = 0.0
    world.run(1)
    assert all(set(world.lag(log_id).values()) == {0} for log_id in world.kafka.logs)
    assert lame.feed.feeding_count == 0
    world.kafka_cut = set()
    world.rate = 0.3
    world.run(6)
    assert_settled(world)


@pytest.mark.parametrize("seed", seeds(2, 6))
def test_another_takes_over_within_a_second_from_one_that_kafka_does_not_answer(seed: int) -> None:
    world = World(seed, "abcde"[: 3 + seed % 3], logs=2)
    world.run(5)
    world.rate = 1.0
    (feeder,) = world.readers_of("0.x")
    world.kafka_cut = {feeder, rank("0.x", world.alive)[1]} if seed % 2 else {feeder}
    last = {name: node.applied_at["0.x"] for name, node in world.nodes.items()}
    stall = 0.0
    for _ in range(300):
        world.run(0.01)
        for name, before in last.items():
            last[name] = world.nodes[name].applied_at["0.x"]
            stall = max(stall, last[name] - before)
    assert 0.5 < stall <= (1.5 if seed % 2 else 1.2)
    assert all(at > world.now - 0.3 for at in last.values())
    world.kafka_cut = set()
    world.run(8)
    assert_settled(world)


def test_when_nobody_reaches_kafka_all_is_quiet_and_goes_on_by_itself() -> None:
    world = World(8, "abc", logs=4)
    world.run(6)
    world.kafka_cut = {*"abc"}
    world.run(3)
    told = {name: len(node.events) for name, node in world.nodes.items()}
    packets = world.packets
    world.run(20)
    assert told == {name: len(node.events) for name, node in world.nodes.items()}
    assert world.packets == packets
    assert all(node.feed.feeding_count == 0 for node in world.nodes.values())
    world.kafka_cut = set()
    world.run(0.6)
    assert all(max(world.lag(log_id).values()) < 60 for log_id in world.kafka.logs)
    world.run(8)
    assert_settled(world)


def test_one_way_cuts_cost_readers_and_nothing_else() -> None:
    world = World(6, "abc", logs=4)
    world.run(5)
    world.cut = {("a", "b"), ("b", "c")}
    world.run(5)
    world.rate = 0.0
    world.run(1)
    for log_id in world.kafka.logs:
        assert set(world.lag(log_id).values()) == {0}
    world.cut = set()
    world.rate = 0.3
    world.run(6)
    assert_settled(world)


def test_direct_reading_needs_nobody() -> None:
    world = World(7, "abc", logs=2, direct=True)
    world.run(3)
    world.rate = 0.0
    world.run(1)
    for log_id in world.kafka.logs:
        assert len(world.readers_of(log_id)) == 3
        assert set(world.lag(log_id).values()) == {0}


@pytest.mark.parametrize("seed", seeds(6, 25))
def test_whatever_fails_nobody_misses_anything(seed: int) -> None:
    world = World(100 + seed, "abcde"[: 3 + seed % 3], logs=2)
    rng = world.rng
    names = sorted(world.nodes)
    world.rate = rng.choice([0.1, 0.6])
    world.loss = rng.choice([0.0, 0.02, 0.2])
    world.delay_s = rng.choice([0.001, 0.01, 0.1])
    for _ in range(12):
        world.run(rng.uniform(0.2, 2.0))
        name = rng.choice(names)
        match rng.randrange(8):
            case 0 if len(world.nodes) > 1 and name in world.nodes:
                world.kill(name)
            case 1 if name in world.nodes:
                world.nodes[name].paused_until = world.now + rng.choice([0.5, 3.0, 6.0])
            case 2:
                world.cut = {(a, b) for a in names for b in names if a != b and rng.random() < 0.3}
            case 3:
                world.cut = set()
            case 4:
                world.kafka.epoch += 1
            case 5:
                world.kafka_cut = {one for one in names if rng.random() < 0.4}
            case 6:
                world.kafka_cut = set()
            case _:
                for gone in names:
                    if gone not in world.nodes:
                        world.start(gone)
                        break
    world.cut = set()
    world.kafka_cut = set()
    world.loss = 0.0
    world.delay_s = 0.005
    world.run(14)
    assert_settled(world)
