"""A connection of which nothing is known yet: it waits in the loop, without a greenlet, for what comes first.

Nearly always that is the whole head of a handshake, and then the connection becomes a WebSocket there and then. What
is anything else gets a greenlet, with what has come.

Not here: what a head means, and greenlets (server.py).
"""

from __future__ import annotations

import os
from typing import Protocol

from gateway.sockets.readable import Readable
from mesh.loop import READ, Watcher, Watchers
from mesh.transport.addresses import SocketAddress

FIRST_BYTES = 8192


class ArrivalOwner(Protocol):
    """Who is told what an arrival brings."""

    @property
    def loop(self) -> Watchers:
        """By which arrivals are watched."""

    def arrived(self, arrival: Arrival, data: bytes) -> None:
        """The first bytes have come: `detach` the descriptor, or `end`."""

    def ended(self, arrival: Arrival) -> None:
        """The client has gone, or was given up."""


class Arrival(Readable):
    """A descriptor and its watcher; also, for the handler of a handshake, as much of a socket as that needs."""

    __slots__ = ("_owner", "address")

    def __init__(self, owner: ArrivalOwner, fd: int, address: SocketAddress) -> None:
        super().__init__(fd, owner.loop.io(fd, READ))
        self.address = address
        """The socket's other end."""
        self._owner = owner
        self._watch()

    def hand_over(self) -> tuple[int, Watcher]:
        """The descriptor and its watcher, which goes on: both are the caller's from now on."""
        fd, self._fd = self._fd, -1
        return fd, self._reader

    def detach(self) -> int:
        """The descriptor, which is the caller's from now on."""
        fd, reader = self.hand_over()
        reader.stop()
        reader.close()
        return fd

    def end(self) -> None:
        """Close it, unless it is the caller's."""
        if self._fd >= 0:
            os.close(self.detach())
            self._owner.ended(self)

    # As a socket (gateway/http/stream.py).

    def recv(self, size: int, /) -> bytes:
        """Nothing: the handler of a handshake has the whole head already."""
        return b""

    def sendall(self, data: bytes, /) -> None:
        """Send what a socket that has sent nothing yet surely takes.

        Raises:
            OSError: If the client has gone.
        """
        os.write(self._fd, data)

    def settimeout(self, wait_s: float | None, /) -> None:
        """Nothing waits."""

    def shutdown(self, how: int, /) -> None:
        """As `end`."""
        self.end()

    def _read(self) -> bytes:
        return os.read(self._fd, FIRST_BYTES)

    def _came(self, data: bytes) -> None:
        if data:
            self._owner.arrived(self, data)
        else:
            self.end()
