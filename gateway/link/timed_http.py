"""Connections to HTTP servers on which a question and the whole of its answer take a bounded time.

The timeouts of `http.client` begin anew with each piece that comes: a server that sends a byte now and then, or one
`100 Continue` after the other, would hold whoever asks, and a thread of a pool, for ever. The look-up of the host's
address has none at all.

Not here: how much an answer may hold, and what becomes of it (node/tokens/fetch.py, gateway/authorizers/webhook.py).
"""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any

from gateway.link.resolver import Resolver

TIMEOUT_S = 10.0
"""Where nothing else is said."""
_RESOLVER = Resolver()


class _Timed(HTTPConnection):
    """`timeout` seconds to find the host's addresses, to connect to each, and for an answer."""

    def __init__(self, host: str, *, timeout: float = TIMEOUT_S, **more: Any) -> None:
        super().__init__(host, timeout=timeout, **more)
        self._allowed_s = timeout
        self.response_class = self._response  # type: ignore[assignment]
        self._create_connection = self._connected
        self.begin()

    def begin(self) -> None:
        """Start the clock: the whole of the next answer must come within the timeout."""
        self._until = time.monotonic() + self._allowed_s

    def connect(self) -> None:
        super().connect()
        self.begin()

    def _connected(self, address: tuple[str, int], timeout: float, source_address: Any = None) -> socket.socket:
        """As `socket.create_connection`, which it calls with addresses only."""
        host, port = address
        failure: OSError = OSError(f"{host} has no address")
        for found in _RESOLVER.addresses(host, timeout):
            try:
                return socket.create_connection((found, port), timeout, source_address)
            except OSError as error:
                failure = error
        raise failure

    def send(self, data: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(self.left())
        super().send(data)

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            TimeoutError: If there are none.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole answer within {self._allowed_s:g} s")
        return left

    def _response(self, sock: Any, **more: Any) -> HTTPResponse:
        response = HTTPResponse(sock, **more)
        response.fp.close()
        response.fp = io.BufferedReader(_TimedReader(self, sock))
        return response


class TimedHTTPConnection(_Timed):
    """Over TCP."""


class TimedHTTPSConnection(_Timed, HTTPSConnection):
    """Over TLS."""


class _TimedReader(io.RawIOBase):
    """What comes on a socket, while there is time left."""

    def __init__(self, connection: _Timed, sock: Any) -> None:
        self._connection = connection
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._connection.left())
        try:
            found: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            self._connection.left()
            raise
        return found

    def close(self) -> None:
        self._raw.close()
        super().close()
