"""A socket with TLS, as long as a connection is in the hands of the HTTP server; then its `TlsStream` goes on alone.

Not here: TLS itself (sockets/tls.py).
"""

from __future__ import annotations

import ssl
import time

from gateway.http.stream import ClosableStream
from gateway.sockets.tls import TlsStream

_RAW_BYTES = 16 * 1024
_WHY = b"this port speaks TLS: use wss:// or https://\n"
_PLAIN_REFUSED = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b"
    % (len(_WHY), _WHY)
)
"""To a request that comes without TLS."""


class TlsSocket:
    """What the server uses of a socket, over one of gevent's."""

    def __init__(self, sock: ClosableStream, context: ssl.SSLContext) -> None:
        self._raw = sock
        self.stream = TlsStream(context)
        self._plain = b""

    def handshake(self, data: bytes, wait_s: float) -> None:
        """Shake hands; `data` has come already.

        Raises:
            OSError: If that fails, or takes too long.
        """
        until = time.monotonic() + wait_s
        try:
            while True:
                done, answer = self.stream.shake(data)
                if answer:
                    self._raw.sendall(answer)
                if done:
                    return
                self._raw.settimeout(max(until - time.monotonic(), 0.001))
                data = self._raw.recv(_RAW_BYTES)
                if not data:
                    raise ConnectionResetError
        except ssl.SSLError as error:
            self._raw.sendall(_PLAIN_REFUSED if error.reason == "HTTP_REQUEST" else self.stream.last_words())
            raise

    def recv(self, size: int, /) -> bytes:
        while not self._plain:
            found = self.stream.decipher(b"")
            while found is None:
                raw = self._raw.recv(_RAW_BYTES)
                if not raw:
                    return b""
                found = self.stream.decipher(raw)
            if not found:
                return b""
            self._plain = found
        data, self._plain = self._plain[:size], self._plain[size:]
        return data

    def take_rest(self) -> bytes:
        """What has been deciphered and not read."""
        rest, self._plain = self._plain, b""
        return rest

    def sendall(self, data: bytes, /) -> None:
        self._raw.sendall(self.stream.encipher(data))

    def settimeout(self, wait_s: float | None, /) -> None:
        self._raw.settimeout(wait_s)

    def shutdown(self, how: int, /) -> None:
        self._raw.shutdown(how)

    def detach(self) -> int:
        return self._raw.detach()

    def close(self) -> None:
        self._raw.close()
