"""The log of one slot against a plain list of items that know their own positions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.log import Position
from mesh.slots.slot_log import ITEM_BYTES, Item, SlotLog, item_bytes
from tests.mesh.slots.slot_bench import item, items

Model = list[Position]
"""The positions of all items that were ever appended; an item has the number of its index."""

grown = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), max_size=6)
"""Epochs: how much higher than the one before, and how many items."""


def grow(log: SlotLog, model: Model, epochs: list[tuple[int, int]]) -> None:
    for higher, count in epochs:
        epoch = (log.table[-1][0] if log.table else 0) + higher
        log.begin_epoch(epoch)
        log.append([item(len(model) + n, clock=100 * (len(model) + n)) for n in range(count)])
        model += [(epoch, n) for n in range(count)]


def numbers(log: SlotLog) -> list[int]:
    return [one.number for one in log.items]


@given(grown, st.data())
def test_as_a_list_of_all_items(epochs: list[tuple[int, int]], data: st.DataObject) -> None:
    log, model = SlotLog(), Model()
    grow(log, model, epochs)
    committed = data.draw(st.integers(0, len(model)))
    log.trim(committed, data.draw(st.integers(0, 20)), data.draw(st.integers(0, 5000)))
    grow(log, model, data.draw(grown))

    assert log.end == len(model)
    assert log.base <= committed
    assert numbers(log) == [*range(log.base, log.end)]
    assert log.bytes == sum(map(item_bytes, log.items))
    assert log.clock == (100 * (len(model) - 1) if model else 0)
    for index in range(max(0, log.base - 1), log.end):
        assert log.position(index) == model[index]
        assert log.index_of(model[index]) == index
    first = data.draw(st.integers(log.base, log.end))
    end = data.draw(st.integers(first, log.end))
    assert [(at, one.number) for at, one in log.between(first, end)] == [
        (model[index], index) for index in range(first, end)
    ]
    assert [row for row in zip(log.table, log.table[1:], strict=False) if not row[0] < row[1]] == []
    assert [row for row in zip(log.table, log.table[1:], strict=False) if row[0][1] == row[1][1]] == []


@given(grown, grown, grown, st.integers(0, 3), st.data())
def test_two_logs_of_one_lineage_know_how_far_they_are_equal(
    shared: list[tuple[int, int]],
    mine: list[tuple[int, int]],
    others: list[tuple[int, int]],
    more: int,
    data: st.DataObject,
) -> None:
    """Epochs after the shared ones differ: mine odd, the other's even. The other may have more of the last shared."""
    log, other, model, others_model = SlotLog(), SlotLog(), Model(), Model()
    grow(log, model, shared)
    grow(other, others_model, shared)
    if shared:
        other.append([item(other.end + n) for n in range(more)])
    for one, epochs, odd in ((log, mine, 1), (other, others, 0)):
        for _, count in epochs:
            epoch = 100 + 2 * len(one.table) + odd + (one.table[-1][0] // 2 * 2 if one.table else 0)
            one.begin_epoch(epoch)
            one.append([item(one.end + n) for n in range(count)])
    equal = sum(count for _, count in shared)
    for one in (log, other):
        one.trim(data.draw(st.integers(0, one.end)), data.draw(st.integers(0, 10)), 10**9)

    found = log.common(other.table, other.end)
    if equal >= max(log.base, other.base):
        assert found == equal
        kept = numbers(log)[: equal - log.base]
        log.adopt(equal, other.items[equal - other.base :], other.table, other.clock)
        assert numbers(log) == kept + numbers(other)[equal - other.base :]
        assert (log.end, log.table) == (other.end, other.table)
        assert log.bytes == sum(map(item_bytes, log.items))
    else:
        assert found <= equal  # what one of them has let go of is not to be known


def test_an_epoch_without_an_item_leaves_no_row() -> None:
    log = SlotLog()
    log.begin_epoch(1)
    log.begin_epoch(4)
    log.append(items(0))
    log.begin_epoch(5)
    log.begin_epoch(6)
    assert log.table == [(4, 0), (6, 1)]
    with pytest.raises(AssertionError):
        log.begin_epoch(6)


def test_positions_that_do_not_stand_in_it() -> None:
    log = SlotLog()
    assert log.position(0) == (0, -1)
    assert log.index_of((3, 0)) == -1
    log.begin_epoch(2)
    log.append(items(0, 1))
    log.begin_epoch(5)
    log.append(items(2))
    assert log.index_of((1, 7)) == -1
    assert log.index_of((2, 7)) == 1, "past the end of its epoch"
    assert log.index_of((3, 0)) == 1, "an epoch that it does not have"
    assert log.index_of((5, 9)) == 2
    assert log.index_of((6, 0)) == 2
    assert log.position(3) == (5, 1), "the next"


def test_a_slice_is_as_long_as_the_limits_allow_but_not_empty() -> None:
    log = SlotLog()
    log.begin_epoch(1)
    log.append(items(0, 1, 2, 3))
    one = ITEM_BYTES + 1
    assert [i.number for i in log.slice(1, 2, 10**6)] == [1, 2]
    assert [i.number for i in log.slice(0, 9, 2 * one)] == [0, 1]
    assert [i.number for i in log.slice(0, 9, 2 * one - 1)] == [0]
    assert [i.number for i in log.slice(3, 9, 0)] == [3]
    assert log.slice(4, 9, 0) == []


def test_headers_count_as_bytes() -> None:
    one = Item("/c/x", "p", 1, b"value", [("name", b"1234"), ("none", None)], 0)
    assert item_bytes(one) == ITEM_BYTES + 5 + 8 + 4


def test_trimming_spares_what_is_not_committed_and_takes_half_at_once() -> None:
    log = SlotLog()
    log.begin_epoch(1)
    log.append([item(n) for n in range(10)])
    log.trim(10, 10, 10**6)
    assert log.base == 0, "within the limits"
    log.append(items(10))
    log.trim(3, 10, 10**6)
    assert (log.base, log.end, len(log.items)) == (3, 11, 8)
    log.trim(9, 10, 10**6)
    assert log.base == 3, "within the limits again"
    log.trim(11, 7, 10**6)
    assert (log.base, len(log.items)) == (8, 3)
    log.trim(11, 100, 2 * (ITEM_BYTES + 2))
    assert log.base == 10


def test_the_clock_of_an_adopted_log() -> None:
    log = SlotLog()
    log.adopt(0, [], [(3, 0)], 77)
    assert log.clock == 77
    log.adopt(0, [item(0, clock=99)], [(3, 0)], 77)
    assert log.clock == 99
