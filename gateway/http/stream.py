"""What the HTTP server uses of a client's socket, as types: gevent's, one with TLS, or a connection that has just come.

Not here: these (gevent, tls_socket.py, arrival.py).
"""

from __future__ import annotations

from typing import Protocol


class Incoming(Protocol):
    """What comes from a client; only the calling greenlet waits. OSError: the connection has failed."""

    def recv(self, size: int, /) -> bytes:
        """What has come; nothing once the client has ended."""

    def settimeout(self, wait_s: float | None, /) -> None:
        """How long each call may wait."""


class Stream(Incoming, Protocol):
    """A connected socket."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of this."""

    def shutdown(self, how: int, /) -> None:
        """Hang up: calls that wait return."""

    def detach(self) -> int:
        """The descriptor, which is the caller's from now on."""


class ClosableStream(Stream, Protocol):
    """A stream that its user closes, as gevent's."""

    def close(self) -> None:
        """Close it."""
