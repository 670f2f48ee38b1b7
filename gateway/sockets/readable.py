"""A descriptor that the loop reads as soon as something has come. It is no socket object and has no greenlet.

Not here: what comes of what was read (client_socket.py, http/arrival.py).
"""

from __future__ import annotations

from gateway.link.crash import crash
from mesh.loop import Watcher


class Readable:
    """Derive from this."""

    __slots__ = ("_fd", "_reader")

    def __init__(self, fd: int, reader: Watcher) -> None:
        """Take a descriptor, and a watcher of the loop for it; it may be one that has begun to watch."""
        self._fd = fd
        self._reader = reader

    def _watch(self) -> None:
        """Read whenever something has come."""
        self._reader.start(self._readable)

    def _read(self) -> bytes:
        """What has come; nothing once the other side has ended.

        Raises:
            BlockingIOError: If nothing has.
            OSError: If the connection has failed.
        """
        raise NotImplementedError

    def _came(self, data: bytes) -> None:
        """Something has come; nothing: the other side has ended, or the connection has failed."""
        raise NotImplementedError

    def _readable(self) -> None:
        try:
            try:
                data = self._read()
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self._came(data)
        except Exception:
            crash()
