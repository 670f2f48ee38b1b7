"""The values that the benchmark sends: fixed-width JSON that says when it was due and which of its key it is.

`{"t":<16 digits>,"n":<10 digits>,"pad":"..."}`: `t` is the time at which the value was *scheduled* to be sent
(so that a late sender shows as latency and is not omitted), `n` counts the values of one key without a hole, so
that a subscriber can prove by itself that it missed nothing.

Not here: who sends them (kafka_load.py, bare.py), who reads them (subscriber.py).
"""

from __future__ import annotations

from random import Random

FIRST = 1_000_000_000
"""`n` of the first value of a key; ten digits from the start, since JSON allows no leading zeros."""

ZERO_US = 10**15
"""Added to the monotonic clock in microseconds, so that `t` always has sixteen digits and is exact in a double."""

EPOCH_US = 15 * 10**14
"""`t` of other senders, on other machines, is microseconds since 1970: above this (the year 2017)."""

SIZE = 512
"""Bytes of a value, where nothing else is said."""

MARK = b'{"t":'
T_AT, T_END = 5, 21
N_AT, N_END = 26, 36
OVERHEAD = len(b'{"t":%d,"n":%d,"pad":""}' % (ZERO_US, FIRST))


class Payloads:
    """Values for keys 0 to `keys` - 1, each `size` bytes."""

    def __init__(self, keys: int, size: int = SIZE) -> None:
        if size < OVERHEAD:
            raise ValueError(f"a value takes at least {OVERHEAD} bytes, not {size}")
        letters = Random(0).choices(b"abcdefghijklmnopqrstuvwxyz0123456789", k=size - OVERHEAD)
        self._form = b'{"t":%%d,"n":%%d,"pad":"%s"}' % bytes(letters)
        self.last = [FIRST - 1] * keys
        """`n` of each key's last value."""

    def make(self, key: int, due_us: int) -> bytes:
        """The key's next value, due at `due_us` (see `ZERO_US`)."""
        n = self.last[key] = self.last[key] + 1
        return self._form % (due_us, n)


def key_name(key: int) -> bytes:
    return b"k%05d" % key
