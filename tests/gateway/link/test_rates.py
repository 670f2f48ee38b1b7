"""Buckets, and connections by whoever has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.rates import ConnectionLimits, Meter, Rate, network_of, rate_of


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


def test_what_is_spent_beyond_is_a_debt_that_time_pays() -> None:
    meter, rate = Meter(), Rate(10, 5)
    assert meter.spend(100, rate, 5) == 0
    assert meter.spend(100, rate, 20) == pytest.approx(2.0)
    assert meter.spend(102, rate, 0) == 0
    assert meter.spend(102, rate, 1) == pytest.approx(0.1)


def test_connections_are_counted_and_forgotten() -> None:
    limits = ConnectionLimits(2, None)
    for _ in range(2):
        assert limits.wait_s(1, "192.0.2.1") == 0
        limits.connecting(1, "192.0.2.1")
        limits.joined(1, "192.0.2.1")
    assert limits.wait_s(1, "192.0.2.1") > 0
    assert limits.wait_s(1, "192.0.2.2") == 0
    limits.left("192.0.2.1")
    assert limits.wait_s(1, "192.0.2.1") == 0
    by_rate = ConnectionLimits(0, Rate(1, 1))
    for count in range(5000):
        by_rate.connecting(1 + count, f"10.0.{count // 250}.{count % 250}")
    assert len(by_rate) <= 2048
    by_rate.connecting(9000, "::1")
    assert by_rate.wait_s(9000, "::1") == pytest.approx(1.0)
    assert by_rate.wait_s(9001, "::1") == 0


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:9::1", "2001:db8::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("x:y", "x:y"),
    ],
)
def test_of_an_ipv6_address_its_network_counts_however_it_is_written(host: str, network: str) -> None:
    assert network_of(host) == network
