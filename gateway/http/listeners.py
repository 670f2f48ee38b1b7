"""Where clients arrive: several sockets that listen at one address, since each lets so many wait at most.

When all clients of a worker come back at once, more of them wait to be accepted than the queue of one socket holds:
net.core.somaxconn, 4,096 unless it was raised (listen(2)). Who finds it full tries again after 1 s, then after 2 s
more, and so on (RFC 6298). So a worker has as many sockets as give room to all its clients.

Not here: what is done with who has come (server.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gateway.link.listening import Listener, listening
from mesh.loop import READ, Watcher, Watchers
from mesh.transport.addresses import SocketAddress

ROOM = 16_384
"""For who waits to be accepted: the clients of a whole worker."""
SOCKETS_MAX = 8
_SOMAXCONN = Path("/proc/sys/net/core/somaxconn")


class Listeners:
    """The sockets of one worker; others share their address, and the kernel spreads new connections among all."""

    def __init__(self, family: int, address: SocketAddress, room: int = ROOM) -> None:
        """Listen.

        Args:
            address: With port 0 for a free one.

        Raises:
            OSError: If that is not possible.
        """
        self.family = family
        self.sockets: list[Listener] = []
        """Empty once closed."""
        self._room = room
        self._watchers: list[Watcher] = []
        self.address = address
        """Where they listen."""
        self.open()

    def open(self) -> None:
        """Listen again, after `close`.

        Raises:
            OSError: If that is not possible.
        """
        try:
            for _ in range(sockets_for(self._room)):
                self.sockets.append(listening(self.family, self.address, self._room, is_shared=True))
                self.address = self.sockets[0].getsockname()
        except OSError:
            self.close()
            raise

    def watch(self, loop: Watchers, came: Callable[[Listener], None]) -> None:
        """Call `came` whenever somebody waits at a socket, until `rest`."""
        if self._watchers:
            return
        for socket in self.sockets:
            watcher = loop.io(socket.fileno(), READ)
            watcher.start(came, socket)
            self._watchers.append(watcher)

    def rest(self) -> None:
        """Let them wait."""
        for watcher in self._watchers:
            watcher.stop()
            watcher.close()
        self._watchers = []

    def close(self) -> None:
        """Listen no more. Who was not accepted is hung up on."""
        self.rest()
        for socket in self.sockets:
            socket.close()
        self.sockets = []


def accepted(listener: Listener) -> tuple[int, SocketAddress] | None:
    """The descriptor of somebody who waited, and where they come from; None if nobody waits.

    Raises:
        OSError: As accept(2).
    """
    try:
        came = listener._accept()
    except BlockingIOError:
        return None
    os.set_blocking(came[0], False)
    return came


def sockets_for(room: int) -> int:
    """How many sockets it takes for so many to wait."""
    try:
        each = int(_SOMAXCONN.read_text())
    except (OSError, ValueError):  # another system: its limit cannot be known
        return 1
    return min(-(-room // max(each, 1)), SOCKETS_MAX)
