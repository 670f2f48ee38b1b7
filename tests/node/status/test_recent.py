"""What the console says has happened lately."""

from __future__ import annotations

from dataclasses import replace

from node.status.recent import EVENTS_MAX, MOVES_WITHIN_S, Observation, Recent

QUIET = Observation(True, "", {"b": "alive", "c": "alive"}, {0: "a", 1: "b", 2: "b"}, {0: 0})


def told(*observations: Observation) -> list[str]:
    recent = Recent()
    for second, observation in enumerate(observations):
        recent.second(second * 1000, observation)
    return [text for _, text in recent.events]


def test_nothing_is_said_of_what_stays_as_it_is() -> None:
    assert told(QUIET, QUIET, QUIET) == []


def test_each_change_is_said_once() -> None:
    dead = replace(QUIET, members={"b": "dead", "c": "alive"}, coordinators={0: "a"})
    moved = replace(dead, coordinators={0: "a", 1: "c", 2: "c"})
    assert told(QUIET, dead, dead, dead, moved, moved, moved) == [
        "node b is dead",
        "2 slots lost the coordinator b",
        "c coordinates 2 slots",
    ]


def test_a_coordinator_that_follows_another_at_once() -> None:
    moved = replace(QUIET, coordinators={0: "c", 1: "b", 2: "b"})
    assert told(QUIET, moved, moved, moved) == ["c coordinates 1 slot instead of a"]


def test_slots_that_move_one_after_the_other_are_told_together_and_in_time() -> None:
    slots = 3 * MOVES_WITHIN_S
    moving = [replace(QUIET, coordinators=dict.fromkeys(range(n), "b")) for n in range(slots)]
    words = told(*moving)
    assert words == [f"b coordinates {MOVES_WITHIN_S} slots"] * ((slots - 1) // MOVES_WITHIN_S)


def test_kafka_readiness_and_workers() -> None:
    away = replace(QUIET, ready=False, kafka_error="no broker")
    assert told(away, replace(QUIET, restarts={0: 1}), away) == [
        "this node is ready",
        "Kafka answers",
        "worker 0 was started again",
        "Kafka does not answer: no broker",
    ]


def test_the_oldest_are_forgotten() -> None:
    recent = Recent()
    for second in range(3 * EVENTS_MAX):
        recent.second(second, replace(QUIET, ready=second % 2 == 0))
    assert len(recent.events) == EVENTS_MAX
    assert recent.events[-1][0] == 3 * EVENTS_MAX - 2
