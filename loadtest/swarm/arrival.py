"""When this machine had what is read from a socket: Linux keeps the time at which it came. A shell.

A process that has much to do, or waits for a core, reads late. What came meanwhile is not late for that: with the
kernel's time a latency is that of server and network, and not of the process that measures it. What one read gives has
one time, that of its last segment: a message may have come before it, but not after.

Not here: reading (sockets.py), other systems and TLS, which say nothing: then it is the time of reading.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import Any

SO_TIMESTAMPNS = 35
"""Of Linux's asm-generic/socket.h; Python has no name for it."""
_TIMESPEC = struct.Struct("@ll")
SPACE = socket.CMSG_SPACE(_TIMESPEC.size)
"""Bytes for what `recvmsg` says besides the data."""


def ask(sock: Any) -> bool:
    """Have the kernel keep times of arrival for this socket; whether it does."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def arrived(said: list[tuple[int, int, bytes]]) -> float:
    """The time of arrival by `time.monotonic()`, from what `recvmsg` has just said besides the data."""
    now = time.monotonic()
    for _, kind, data in said:
        if kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            now -= max(time.time() - seconds - nanoseconds / 1e9, 0.0)
    return now
