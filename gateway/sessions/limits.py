"""How fast a client may ask, and how many connections an address may have: GCRA, the token bucket that is one number.

A meter holds the time at which its bucket would be full again (ITU-T I.371, the virtual scheduling algorithm). What is
refused costs nothing, so a client that waits as long as it is told is served.

Not here: what becomes of who is refused (requests.py, sessions.py, http/server.py).
"""

from __future__ import annotations

from typing import NamedTuple

SWEEP_MIN = 1024


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

    def take(self, now: float, rate: Rate, cost: float = 1.0) -> float:
        """Take from the bucket.

        Returns:
            0 if it was there; else nothing was taken, and it will be after so many seconds.
        """
        full_at = max(self._full_at, now) + cost / rate.per_s
        wait_s = full_at - now - max(rate.burst, cost) / rate.per_s
        if wait_s > 1e-9:
            return wait_s
        self._full_at = full_at
        return 0.0

    def is_full(self, now: float) -> bool:
        """Whether it is as if it had never been used."""
        return self._full_at <= now


class _Address:
    __slots__ = ("connections", "meter")

    def __init__(self) -> None:
        self.connections = 0
        self.meter = Meter()


class Addresses:
    """Connections by address; IPv6 by its first 64 bits, which is what one household has."""

    def __init__(self, connections_max: int, connects: Rate | None) -> None:
        self._connections_max = connections_max
        self._connects = connects
        self._found: dict[str, _Address] = {}
        self._sweep_at = SWEEP_MIN

    @property
    def is_on(self) -> bool:
        return bool(self._connections_max) or self._connects is not None

    def refused_s(self, now: float, host: str) -> float:
        """0 if another connection may come from there; else after how many seconds it may be tried again."""
        if not self.is_on:
            return 0.0
        address = self._at(now, host)
        if self._connections_max and address.connections >= self._connections_max:
            return 10.0
        return address.meter.take(now, self._connects) if self._connects is not None else 0.0

    def joined(self, now: float, host: str) -> None:
        """A connection has come from there."""
        if self.is_on:
            self._at(now, host).connections += 1

    def left(self, host: str) -> None:
        """A connection from there has ended."""
        address = self._found.get(_network(host))
        if address is not None:
            address.connections -= 1

    def _at(self, now: float, host: str) -> _Address:
        found = self._found.setdefault(_network(host), _Address())
        if len(self._found) > self._sweep_at:
            self._found = {
                name: one for name, one in self._found.items() if one.connections or not one.meter.is_full(now)
            }
            self._sweep_at = max(SWEEP_MIN, 2 * len(self._found))
            self._found.setdefault(_network(host), found)
        return found


def retry_text(wait_s: float, what: str) -> str:
    """The reason that a client is told: SDKs read the number."""
    return f"retry after {max(wait_s, 0.1):.1f} s: {what}"


def _network(host: str) -> str:
    return ":".join(host.split(":")[:4]) if "::" not in host and host.count(":") == 7 else host
