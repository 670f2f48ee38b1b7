"""Batches and limits: order is kept, everything ends, and what fits by itself is not refused for its batch."""

from __future__ import annotations

from random import Random

import pytest

from node.effects import Produce
from node.kafka.lanes import BATCH_BYTES_MAX, SINGLE, UNKNOWN_BATCH_BYTES, AskLimit, Lanes, SendBatched, batch_bytes


def produce(ticket: int, size: int = 1000, topic: str = "t") -> Produce:
    return Produce(ticket, topic, b"k", b"x" * size, [], "publisher", 1)


def sent(lanes: Lanes) -> list[tuple[int, int]]:
    """(ticket, size of batches)."""
    return [(one.produce.ticket, one.batch_bytes) for one in lanes.take() if isinstance(one, SendBatched)]


@pytest.mark.parametrize(
    ("limit", "size"),
    [(1048588, BATCH_BYTES_MAX), (10240, 8192), (8192, 4096), (1, 1), (0, 1), (10**9, BATCH_BYTES_MAX)],
)
def test_the_size_of_batches_for_a_limit(limit: int, size: int) -> None:
    assert batch_bytes(limit) == size


def test_what_comes_before_the_limit_is_known_waits_and_keeps_its_order() -> None:
    lanes = Lanes()
    lanes.produce(produce(1))
    lanes.produce(produce(2))
    assert lanes.take() == [AskLimit("t")]
    lanes.answered("t", 10240, is_final=True)
    lanes.produce(produce(3))
    assert sent(lanes) == [(1, 8192), (2, 8192), (3, 8192)]


def test_a_batch_that_was_too_large_is_sent_again_in_smaller_ones_once_nothing_is_on_its_way() -> None:
    lanes = Lanes()
    publishes = [produce(ticket) for ticket in range(4)]
    for one in publishes:
        lanes.produce(one)
    lanes.answered("t", None, is_final=True)
    assert {size for _, size in sent(lanes)} == {UNKNOWN_BATCH_BYTES}
    assert lanes.too_large(publishes[1])
    assert lanes.too_large(publishes[0])
    lanes.produce(produce(4))
    lanes.ended(publishes[2])
    assert lanes.take() == []  # the fourth is still on its way
    lanes.ended(publishes[3])
    assert lanes.take() == [AskLimit("t")]
    lanes.answered("t", None, is_final=True)
    assert sent(lanes) == [(0, SINGLE), (1, SINGLE), (4, SINGLE)]
    assert not lanes.too_large(publishes[0])  # by itself


def test_a_limit_that_was_lowered_is_asked_for_again() -> None:
    lanes = Lanes()
    first = produce(1)
    lanes.produce(first)
    lanes.answered("t", 1048588, is_final=True)
    assert sent(lanes) == [(1, BATCH_BYTES_MAX)]
    assert lanes.too_large(first)
    assert lanes.take() == [AskLimit("t")]
    lanes.answered("t", 2048, is_final=True)
    assert sent(lanes) == [(1, 1024)]


def test_a_message_above_the_limit_is_refused_and_changes_nothing_for_others() -> None:
    lanes = Lanes()
    small, large = produce(1), produce(2, 20_000)
    lanes.produce(small)
    lanes.produce(large)
    lanes.answered("t", 10240, is_final=True)
    assert not lanes.too_large(large)
    lanes.produce(produce(3))
    assert sent(lanes) == [(1, 8192), (2, 8192), (3, 8192)]


def test_kafka_that_did_not_answer_is_asked_again_and_nothing_waits_for_it_twice() -> None:
    lanes = Lanes()
    first, second, third = (produce(ticket) for ticket in (1, 2, 3))
    lanes.produce(first)
    lanes.answered("t", None, is_final=False)
    assert lanes.take() == [AskLimit("t"), SendBatched(UNKNOWN_BATCH_BYTES, first)]
    lanes.ended(first)
    lanes.produce(second)
    lanes.produce(third)
    sends = [SendBatched(UNKNOWN_BATCH_BYTES, one) for one in (second, third)]
    assert lanes.take() == [AskLimit("t"), *sends]
    lanes.answered("t", None, is_final=False)
    assert lanes.take() == []
    lanes.produce(produce(4))
    assert lanes.take() == [AskLimit("t"), SendBatched(UNKNOWN_BATCH_BYTES, produce(4))]


def test_a_limit_that_is_told_late_holds_for_what_comes_when_nothing_is_on_its_way() -> None:
    lanes = Lanes()
    first = produce(1)
    lanes.produce(first)
    lanes.answered("t", None, is_final=False)
    lanes.produce(produce(2))
    lanes.take()
    lanes.answered("t", 1048588, is_final=True)
    lanes.produce(produce(3))
    lanes.ended(first)
    assert lanes.take() == []  # the second is still on its way
    lanes.ended(produce(2))
    assert lanes.take() == [SendBatched(BATCH_BYTES_MAX, produce(3))]
    lanes.produce(produce(4))
    assert lanes.take() == [SendBatched(BATCH_BYTES_MAX, produce(4))]


@pytest.mark.parametrize("seed", range(200))
def test_everything_ends_once_and_in_order_whatever_the_limit_does(seed: int) -> None:
    """A model of Kafka: batches of what lies beside each other in a producer; too large ones are refused whole."""
    rng = Random(seed)
    lanes, limit, told = Lanes(), rng.choice([700, 5000, 10**6]), rng.random() < 0.5
    queue: list[SendBatched] = []
    written: list[int] = []
    refused: list[int] = []
    changed_at = 0

    def turn() -> None:
        while outputs := lanes.take():
            for output in outputs:
                if isinstance(output, SendBatched):
                    queue.append(output)
                else:
                    lanes.answered(output.topic, limit if told else None, is_final=rng.random() < 0.8)

    def write() -> None:
        batch, room = [queue.pop(0)], 0
        room = batch[0].batch_bytes - len(batch[0].produce.value or b"") - 100
        while queue and queue[0].batch_bytes == batch[0].batch_bytes:
            room -= len(queue[0].produce.value or b"") + 100
            if room < 0:
                break
            batch.append(queue.pop(0))
        size = sum(len(one.produce.value or b"") + 61 for one in batch)
        for one in batch:
            if size <= limit:
                written.append(one.produce.ticket)
                lanes.ended(one.produce)
            elif not lanes.too_large(one.produce):
                refused.append(one.produce.ticket)

    sizes: list[int] = []
    for ticket in range(60):
        sizes.append(rng.choice([10, 100, 550, 3000]))
        lanes.produce(produce(ticket, sizes[-1]))
        turn()
        while queue and rng.random() < 0.4:
            write()
            turn()
        if ticket == 30 and rng.random() < 0.5:
            limit, changed_at = 700, ticket
    while queue:
        write()
        turn()
    assert sorted(written + refused) == list(range(60))
    assert all(sizes[ticket] + 61 > 700 for ticket in refused)
    if told and not changed_at:
        assert written == sorted(written)
