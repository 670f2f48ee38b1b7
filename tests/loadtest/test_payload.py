"""Values of records: their size, and the time and number that readers find in them without parsing."""

import json

import pytest

from loadtest.payload import FIRST, MARK, N_AT, N_END, OVERHEAD, T_AT, T_END, ZERO_US, Payloads


@pytest.mark.parametrize("size", [OVERHEAD, 100, 512])
def test_values_are_json_of_exactly_the_asked_size(size: int) -> None:
    value = Payloads(1, size).make(0, ZERO_US + 7)
    assert len(value) == size
    assert json.loads(value)["t"] == ZERO_US + 7


def test_time_and_counter_stand_where_readers_look() -> None:
    value = Payloads(1).make(0, ZERO_US + 123_456_789)
    assert value.startswith(MARK)
    assert int(value[T_AT:T_END]) == ZERO_US + 123_456_789
    assert int(value[N_AT:N_END]) == FIRST


def test_each_key_is_counted_without_a_hole() -> None:
    payloads = Payloads(2)
    seen = [int(payloads.make(key, ZERO_US)[N_AT:N_END]) for key in (0, 1, 0, 0, 1)]
    assert seen == [FIRST, FIRST, FIRST + 1, FIRST + 2, FIRST + 1]


def test_a_size_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        Payloads(1, OVERHEAD - 1)
