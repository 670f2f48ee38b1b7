"""Free TCP ports for servers that must come back on the same port.

Ports are taken from below the range that the system gives to outgoing connections: otherwise a client's
connection may sit on the port of a server that is down just then, and the server cannot come back.
"""

from __future__ import annotations

import random
import socket

_LOWEST, _HIGHEST = 20000, 32767


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    for _ in range(1000):
        port = random.SystemRandom().randint(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError(f"no free port from {_LOWEST} to {_HIGHEST}")
