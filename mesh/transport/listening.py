"""Why a node cannot listen for other nodes, and what to do about it.

Not here: listening (transport.py, membership/udp.py).
"""

from __future__ import annotations

import errno
import os

_WHAT = {
    errno.EADDRINUSE: (
        "the port is in use. A node needs its port by UDP and TCP, and the next one by TCP: choose others with "
        "--cluster-listen HOST:PORT"
    ),
    errno.EADDRNOTAVAIL: (
        "this machine has no such address. Choose one that it has with --cluster-listen HOST:PORT; if others reach it "
        "by an address that is not its own, name that in cluster.advertise"
    ),
}


def cannot_listen(host: str, port: int, number: int | None) -> OSError:
    """The error to raise, with one sentence for its text; `number` is the system's."""
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    why = _WHAT.get(number or 0) or (os.strerror(number) if number else "unknown error")
    return OSError(f"cannot listen at {shown}:{port}: {why}")
