"""TLS of one connection, in memory: what the socket brought is deciphered, what it shall take is enciphered.

No greenlet and no socket object: only OpenSSL's state and its two buffers in memory, which it gives back while nothing
moves. Whatever a client is sent at a time is enciphered at once and leaves in one write.

Not here: certificates (link/certificates.py), the handshake's socket (http/tls_socket.py).
"""

from __future__ import annotations

import os
import ssl
from typing import Any

PIECE_BYTES_MAX = 64 * 1024
"""Enciphered at a time: what the socket does not take of it waits here."""
_PLAIN_BYTES = 16 * 1024
_UNASKED_BYTES_MAX = 64 * 1024
"""Of what TLS itself has to say (tickets, new keys) and a client does not take."""


class TlsStream:
    """One connection's, from the first byte of the handshake on."""

    __slots__ = ("_in", "_object", "_out", "_unsent", "held")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_side=True)
        self._unsent = b""
        """Enciphered, and not taken by the socket."""
        self.held = 0
        """How many bytes at the beginning of the next `write` are among these."""

    # For the handshake, whose socket is another's.

    def shake(self, data: bytes) -> tuple[bool, bytes]:
        """The client has sent this: whether the handshake is done, and what to answer.

        Raises:
            ssl.SSLError: If it has failed.
        """
        if data:
            self._in.write(data)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False, self._out.read()
        return True, self._out.read()

    def last_words(self) -> bytes:
        """What says to the client why the handshake failed."""
        return self._out.read()

    def encipher(self, data: bytes | memoryview) -> bytes:
        """What goes over the wire for this."""
        view, at = memoryview(data), 0
        while at < len(view):
            at += self._object.write(view[at:])
        return self._out.read()

    def decipher(self, data: bytes) -> bytes | None:
        """All that can be read once this has come; None if that is nothing; empty: the client has ended.

        Raises:
            ssl.SSLError: If it is not TLS.
        """
        if data:
            self._in.write(data)
        pieces = []
        try:
            while piece := self._object.read(_PLAIN_BYTES):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            return b"".join(pieces) if pieces else None
        except ssl.SSLZeroReturnError:
            pass
        return b"".join(pieces)

    @property
    def certificate(self) -> str | None:
        """The name in the client's certificate, if it has shown one."""
        shown: Any = self._object.getpeercert() or {}
        names = [value for part in shown.get("subject", ()) for name, value in part if name == "commonName"]
        names += [value for _, value in shown.get("subjectAltName", ())]
        return str(names[0]) if names else None

    # For the connection, as `os.read` and `os.write`.

    def read(self, fd: int, size: int) -> bytes:
        """Read from the socket; empty at its end.

        Raises:
            BlockingIOError: If there is nothing yet.
            OSError: If the connection has failed.
        """
        raw = os.read(fd, size)
        if not raw:
            return b""
        data = self.decipher(raw)
        if self._out.pending:
            self._unsent += self._out.read()
            self._push(fd)
        if data is None:
            raise BlockingIOError
        return data

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write; call again with the same bytes, from the first on that have not left.

        Returns:
            How many of the bytes have left, as whole records.

        Raises:
            BlockingIOError: If none have.
            OSError: If the connection has failed.
        """
        if self._unsent and not self._push(fd):
            raise BlockingIOError
        left, self.held = self.held, 0
        piece = memoryview(data)[left : left + PIECE_BYTES_MAX]
        if piece:
            self._unsent = self.encipher(piece)
            if self._push(fd):
                left += len(piece)
            else:
                self.held = len(piece)
        if not left:
            raise BlockingIOError
        return left

    def end(self, fd: int) -> None:
        """Say that nothing more comes, if the socket takes it."""
        try:
            self._object.unwrap()
        except OSError:
            pass
        self._unsent += self._out.read()
        try:
            self._push(fd)
        except OSError:
            pass

    def _push(self, fd: int) -> bool:
        """Whether the socket has taken all that was left."""
        try:
            sent = os.write(fd, self._unsent)
        except BlockingIOError:
            sent = 0
        self._unsent = self._unsent[sent:]
        if not self.held and len(self._unsent) > PIECE_BYTES_MAX + _UNASKED_BYTES_MAX:
            raise ConnectionAbortedError("a client that takes nothing of what TLS has to say")
        return not self._unsent
