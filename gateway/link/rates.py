"""Limits of rates and of connections. Rates are limited by GCRA, a token bucket that is a single number.

A meter holds the time at which its bucket would be full again (ITU-T I.371, the virtual scheduling algorithm). What is
refused costs nothing, so a client that waits as long as it is told is served.

Not here: who is counted where (gateway/http/server.py, node/admissions.py), what becomes of who is refused.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import NamedTuple

SWEEP_MIN = 1024
FULL_WAIT_S = 10.0
"""When to try again where nobody knows when a connection will end."""


class Rate(NamedTuple):
    """So many per second, and so many at once."""

    per_s: float
    burst: float


def rate_of(text: str) -> Rate | None:
    """`20/s`, or `20/s burst 100`; None if empty: no limit. Without a burst it is one second's, at least 1."""
    if not text:
        return None
    each, _, burst = text.partition(" burst ")
    per_s = float(each.removesuffix("/s"))
    return Rate(per_s, float(burst) if burst else max(per_s, 1.0))


class Meter:
    """One bucket. Full at first."""

    __slots__ = ("_full_at",)

    def __init__(self) -> None:
        self._full_at = 0.0

    def wait_s(self, now: float, rate: Rate, cost: float = 1.0) -> float:
        """0 if this amount is available; else after how many seconds it will be."""
        wait_s = max(self._full_at, now) - now + (cost - max(rate.burst, cost)) / rate.per_s
        return wait_s if wait_s > 1e-9 else 0.0

    def take(self, now: float, rate: Rate, cost: float = 1.0) -> float:
        """As `wait_s`; what is there is taken."""
        wait_s = self.wait_s(now, rate, cost)
        if not wait_s:
            self._full_at = max(self._full_at, now) + cost / rate.per_s
        return wait_s

    def spend(self, now: float, rate: Rate, cost: float) -> float:
        """Take this amount, available or not. Returns after how many seconds the debt is paid; 0 if there is none."""
        self._full_at = max(self._full_at, now) + cost / rate.per_s
        return max(self._full_at - now - rate.burst / rate.per_s, 0.0)

    def is_full(self, now: float) -> bool:
        """Whether it is as if it had never been used."""
        return self._full_at <= now


class _Counted:
    __slots__ = ("connections", "meter")

    def __init__(self) -> None:
        self.connections = 0
        self.meter = Meter()


class ConnectionLimits:
    """The number of connections of each address or identity, and how fast each may open more."""

    def __init__(self, connections_max: int, connects: Rate | None) -> None:
        """Begin without any.

        Args:
            connections_max: 0: no limit.
        """
        self._connections_max = connections_max
        self._connects = connects
        self._found: dict[str, _Counted] = {}
        self._sweep_at = SWEEP_MIN

    def __len__(self) -> int:
        return len(self._found)

    @property
    def is_on(self) -> bool:
        """Whether anything is limited."""
        return bool(self._connections_max) or self._connects is not None

    def wait_s(self, now: float, who: str) -> float:
        """0 if another connection may be opened; else after how many seconds to try again."""
        found = self._found.get(who)
        if found is None:
            return 0.0
        if self._connections_max and found.connections >= self._connections_max:
            return FULL_WAIT_S
        return found.meter.wait_s(now, self._connects) if self._connects is not None else 0.0

    def connecting(self, now: float, who: str) -> None:
        """It opens one."""
        if self._connects is not None:
            self._at(now, who).meter.take(now, self._connects)

    def joined(self, now: float, who: str) -> None:
        """The connection is open."""
        if self.is_on:
            self._at(now, who).connections += 1

    def left(self, who: str) -> None:
        """A connection that had come has ended."""
        found = self._found.get(who)
        if found is not None:
            found.connections -= 1

    def _at(self, now: float, who: str) -> _Counted:
        found = self._found.setdefault(who, _Counted())
        if len(self._found) > self._sweep_at:
            self._found = {
                name: one for name, one in self._found.items() if one.connections or not one.meter.is_full(now)
            }
            self._sweep_at = max(SWEEP_MIN, 2 * len(self._found))
            self._found.setdefault(who, found)
        return found


def network_of(host: str) -> str:
    """Who an address belongs to: of IPv6 the first 64 bits, which is what one household has."""
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def retry_text(wait_s: float, what: str) -> str:
    """The reason that a client is told: SDKs read the number."""
    return f"retry after {max(wait_s, 0.1):.1f} s: {what}"
