"""Free TCP ports for servers that must come back on the same port, and for tests that run beside each other.

Ports are taken from below the range that the system gives to outgoing connections: otherwise a client's
connection may sit on the port of a server that is down just then, and the server cannot come back.
"""

from __future__ import annotations

import random
import socket

_LOWEST, _HIGHEST = 20000, 32767

_reserved: list[socket.socket] = []


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment.

    As long as this process lives no other process gets it from here, even while nobody listens on it.
    """
    for _ in range(1000):
        port = random.SystemRandom().randint(_LOWEST, _HIGHEST)
        # A name that only one socket of the machine can have; it is free again when its process ends.
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            reservation.bind(f"\0whimbrel-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        _reserved.append(reservation)
        return port
    raise RuntimeError(f"no free port from {_LOWEST} to {_HIGHEST}")
