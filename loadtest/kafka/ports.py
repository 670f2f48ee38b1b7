"""Free TCP ports for servers that must come back on the same port, and for tests that run beside each other.

Ports are taken from below the range that the system gives to outgoing connections: otherwise a client's
connection may sit on the port of a server that is down just then, and the server cannot come back.
"""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

_LOWEST, _HIGHEST = 20000, 32767

_reserved: list[ExitStack] = []


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment.

    As long as this process lives no other process gets it from here, even while nobody listens on it.
    """
    return _free(is_cluster=False)


def free_cluster_port() -> int:
    """One for a node's `--cluster-listen`: free for TCP and UDP, and the next one for TCP; both as of `free_port`."""
    return _free(is_cluster=True)


def _free(is_cluster: bool) -> int:
    for _ in range(1000):
        port = random.SystemRandom().randint(_LOWEST, _HIGHEST - 1)
        with ExitStack() as probes, ExitStack() as reservations:
            try:
                for wanted in (port, port + 1) if is_cluster else (port,):
                    # A name that only one socket of the machine can have; it is free again when its process ends.
                    name = reservations.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                    name.bind(f"\0whimbrel-port-{wanted}")
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", wanted))
                if is_cluster:
                    probes.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
            except OSError:
                continue
            _reserved.append(reservations.pop_all())
            return port
    raise RuntimeError(f"no free port from {_LOWEST} to {_HIGHEST}")
