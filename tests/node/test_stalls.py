"""Which partitions Kafka has stopped to answer for. With librdkafka's own figures: tests/kafka/test_reader_flow.py."""

from __future__ import annotations

import json

from node.kafka.figures import decode
from node.kafka.stalls import EVERY_S, SLOW_FOR_S, SLOW_STALL_S, Stalls, stall_s

PATIENCE_S = stall_s(0.1)


class World:
    """A broker, two partitions, and librdkafka's figures of them."""

    def __init__(self) -> None:
        self.now = 100.0
        self.stalls = Stalls(PATIENCE_S)
        self.heard_at = 100.0
        self.answers = True
        self.owes = 1
        self.state = "UP"
        self.led = {0: True, 1: True}
        self.stalls.assigned("t", 0)
        self.stalls.assigned("t", 1)

    def look(self, after_s: float = EVERY_S) -> tuple[list[int], list[int]]:
        """The partitions that are stalled, and those that flow."""
        self.now += after_s
        if self.answers:
            self.heard_at = self.now - 0.05
        found = self.stalls.look(decode(self.figures()))
        return [number for _, number in found.stalled], [number for _, number in found.flowing]

    def run(self, seconds: float) -> tuple[list[int], list[int]]:
        stalled, flowing = [], []
        for _ in range(round(seconds / EVERY_S)):
            more = self.look()
            stalled += more[0]
            flowing += more[1]
        return stalled, flowing

    def figures(self) -> str:
        idle = int((self.now - self.heard_at) * 1e6)
        partitions = {
            str(number): {
                "broker": 1 if led else -1,
                "leader": 1 if led else -1,
                "fetch_state": "active",
            }
            for number, led in self.led.items()
        }
        brokers = {
            "k:1/1": {"nodeid": 1, "state": self.state, "rxidle": idle, "waitresp_cnt": self.owes},
            "k:1/bootstrap": {"nodeid": -1, "state": "UP", "rxidle": 5, "waitresp_cnt": 0},
        }
        return json.dumps({"ts": int(self.now * 1e6), "brokers": brokers, "topics": {"t": {"partitions": partitions}}})


def flowing() -> World:
    world = World()
    assert world.look() == ([], [])
    assert world.look() == ([], [0, 1])
    return world


def test_what_is_answered_flows_and_nothing_more_is_said() -> None:
    assert flowing().run(60) == ([], [])


def test_a_connection_on_which_nothing_comes_stalls_its_partitions() -> None:
    world = flowing()
    world.answers = False
    cut_at = world.now
    while (said := world.look()) == ([], []):
        assert world.now < cut_at + 1
    assert said == ([0, 1], [])
    assert PATIENCE_S - 0.05 <= world.now - cut_at <= PATIENCE_S + EVERY_S
    assert world.run(60) == ([], [])
    world.answers = True
    assert world.look() == ([], [0, 1])


def test_a_broker_that_takes_300_ms_is_well() -> None:
    world = flowing()
    for _ in range(50):
        world.answers = False
        assert world.look(0.2) == ([], [])
        assert world.look(0.2) == ([], [])
        world.answers = True
        assert world.look(0.05) == ([], [])


def test_a_broker_that_is_not_connected_and_a_partition_that_nobody_leads_are_stalled() -> None:
    world = flowing()
    world.state = "TRY_CONNECT"
    assert world.run(1) == ([0, 1], [])
    world.state = "UP"
    assert world.look() == ([], [0, 1])
    world.led[1] = False
    assert world.run(1) == ([1], [])
    world.led[1] = True
    assert world.look() == ([], [1])


def test_a_broker_that_is_not_asked_owes_nothing() -> None:
    world = flowing()
    world.answers = False
    world.owes = 0
    assert world.run(10) == ([], [])
    world.owes = 1  # asked again, after a long time
    assert world.look() == ([], [])
    world.answers = True
    assert world.run(1) == ([], [])


def test_a_process_that_stood_still_blames_nobody() -> None:
    world = flowing()
    world.answers = False
    assert world.look(30.0) == ([], [])
    world.answers = True
    assert world.look() == ([], [])
    world.answers = False
    world.look(30.0)
    assert world.run(1) == ([0, 1], [])


def test_the_first_verdict_after_an_assignment_is_told_even_if_it_is_the_old_one() -> None:
    world = flowing()
    world.stalls.assigned("t", 0)
    assert world.run(1) == ([], [0])
    world.answers = False
    assert world.run(1) == ([0, 1], [])
    world.stalls.assigned("t", 0)
    assert world.run(0.4) == ([], [])
    assert world.run(1) == ([0], [])
    world.answers = True
    assert world.look() == ([], [0, 1])


def test_what_is_not_read_is_not_judged() -> None:
    world = flowing()
    world.stalls.unassigned("t", 1)
    world.stalls.unassigned("t", 7)
    world.answers = False
    assert world.run(1) == ([0], [])


def test_a_partition_that_librdkafka_does_not_know_is_stalled_after_a_while() -> None:
    world = World()
    world.stalls.assigned("u", 0)
    assert world.run(0.4) == ([], [0, 1])
    assert world.run(1) == ([0], [])


def test_a_broker_that_was_called_stalled_and_then_answers_is_waited_for_longer_for_a_while() -> None:
    world = flowing()
    world.answers = False
    assert world.run(0.8) == ([0, 1], [])
    world.answers = True
    assert world.run(0.2) == ([], [0, 1])
    for _ in range(3):
        world.answers = False
        assert world.run(0.8) == ([], [])
        world.answers = True
        assert world.run(0.2) == ([], [])
    world.answers = False
    assert world.run(SLOW_STALL_S + 2 * EVERY_S) == ([0, 1], [])
    world.run(3)
    world.answers = True
    world.run(SLOW_FOR_S)
    world.answers = False
    assert world.run(0.8) == ([0, 1], [])


def test_one_that_was_away_or_had_to_be_connected_first_is_not_slow() -> None:
    world = flowing()
    world.answers = False
    assert world.run(5) == ([0, 1], [])
    world.answers = True
    assert world.run(1) == ([], [0, 1])
    world.answers = False
    assert world.run(0.8) == ([0, 1], [])
    new = World()
    new.state = "CONNECT"
    assert new.run(1.0) == ([0, 1], [])
    new.state = "UP"
    assert new.run(1.0) == ([], [0, 1])
    new.answers = False
    assert new.run(0.8) == ([0, 1], [])
