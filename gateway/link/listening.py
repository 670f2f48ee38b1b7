"""Sockets that listen for TCP, as gevent's HTTP server takes them.

Not here: where to listen, and what is said when that cannot be (gateway/http/server.py, node/admin/server.py).
"""

from __future__ import annotations

from typing import Protocol

from gevent import socket

from mesh.transport.addresses import SocketAddress


class Listener(Protocol):
    """What is used of gevent's socket, which has no type of its own."""

    def fileno(self) -> int:
        """Its descriptor."""

    def getsockname(self) -> SocketAddress:
        """Where it listens."""

    def _accept(self) -> tuple[int, SocketAddress]:
        """As `accept`, with a descriptor instead of a socket. Raises BlockingIOError if nobody waits."""

    def close(self) -> None:
        """Listen no more."""


def listening(family: int, address: SocketAddress, backlog: int, *, is_shared: bool = False) -> Listener:
    """A socket that listens there.

    Args:
        is_shared: Several processes may listen there, and the kernel spreads connections among them.

    Raises:
        OSError: If that is not possible.
    """
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Linux passes it on to the sockets that are accepted.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    made: Listener = listener
    return made
