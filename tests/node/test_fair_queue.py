"""The fair queue: shares of what is done, whatever each turn costs, and nothing gained by coming and going."""

from __future__ import annotations

from collections import Counter

from node.fair_queue import LEFT_MAX, FairQueue


def run(queue: FairQueue[str], costs: dict[str, int], until: int) -> Counter[str]:
    """Each waits again after its turn; what was done for each until all together have cost so much."""
    done: Counter[str] = Counter()
    while done.total() < until:
        one = queue.pop()
        queue.charge(one, costs[one])
        done[one] += costs[one]
        queue.push(one)
    return done


def test_who_wants_little_has_more_turns() -> None:
    queue = FairQueue[str]()
    for one in "abc":
        queue.push(one)
    done = run(queue, {"a": 100, "b": 1, "c": 10}, 30_000)
    assert max(done.values()) - min(done.values()) <= 100


def test_a_pause_saves_up_nothing_and_pays_off_nothing() -> None:
    queue = FairQueue[str]()
    queue.push("a")
    queue.push("b")
    run(queue, {"a": 10, "b": 10}, 1_000)
    queue.push("late")
    done = run(queue, {"a": 10, "b": 10, "late": 10}, 300)
    assert done["late"] <= 110
    assert queue.pop() is not None
    heavy = FairQueue[str]()
    heavy.push("heavy")
    heavy.charge(heavy.pop(), 1_000)
    heavy.push("light")
    heavy.forget_paid()
    heavy.push("heavy")
    turns = [heavy.pop()]
    for _ in range(20):
        heavy.charge(turns[-1], 10)
        heavy.push(turns[-1])
        turns.append(heavy.pop())
    assert set(turns) == {"light"}


def test_who_has_left_has_no_turn_and_is_forgotten() -> None:
    queue = FairQueue[str]()
    queue.push("a")
    for _ in range(1_000):
        queue.push("b")
        queue.discard("b")
    assert len(queue) == 1
    assert len(queue._heap) <= 2 * 2 + LEFT_MAX
    queue.push("b")
    assert (queue.pop(), queue.pop(), len(queue)) == ("a", "b", 0)
