"""Buckets, and connections by address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sessions.limits import Addresses, Meter, Rate, rate_of


def test_how_a_rate_is_written() -> None:
    assert rate_of("") is None
    assert rate_of("20/s") == Rate(20, 20)
    assert rate_of("0.5/s") == Rate(0.5, 1)
    assert rate_of("20/s burst 100") == Rate(20, 100)


def test_a_burst_is_taken_at_once_and_the_rest_at_the_rate() -> None:
    meter, rate = Meter(), Rate(10, 5)
    assert [meter.take(100, rate) for _ in range(5)] == [0] * 5
    assert meter.take(100, rate) == pytest.approx(0.1)
    assert meter.take(100.1, rate) == 0
    assert meter.take(100.1, rate) == pytest.approx(0.1)
    assert [meter.take(200, rate) for _ in range(6)][:5] == [0] * 5


@given(st.lists(st.floats(0, 2), max_size=200), st.floats(0.1, 100), st.integers(1, 50))
def test_never_more_than_the_burst_and_the_rate_and_who_waits_as_told_is_served(
    steps: list[float], per_s: float, burst: int
) -> None:
    meter, rate, now = Meter(), Rate(per_s, burst), 10.0
    for taken, step in enumerate(steps, 1):
        now += step
        wait_s = meter.take(now, rate)
        if wait_s:
            now += wait_s + 1e-6
            assert meter.take(now, rate) == 0
        assert taken <= burst + (now - 10) * per_s + 1e-3


def test_addresses_are_counted_and_forgotten() -> None:
    addresses = Addresses(2, None)
    for _ in range(2):
        assert addresses.refused_s(1, "192.0.2.1") == 0
        addresses.joined(1, "192.0.2.1")
    assert addresses.refused_s(1, "192.0.2.1") > 0
    assert addresses.refused_s(1, "192.0.2.2") == 0
    addresses.left("192.0.2.1")
    assert addresses.refused_s(1, "192.0.2.1") == 0
    for count in range(5000):
        addresses.refused_s(1, f"10.0.{count // 250}.{count % 250}")
    assert len(addresses._found) <= 2048
    assert Addresses(0, Rate(1, 1)).refused_s(1, "::1") == 0
