"""One WebSocket connection of an asyncio client: opens, reads, writes, closes. A shell: the session decides."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
TOO_LARGE = 1009
_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
"""What versions of OpenSSL call an answer that is not TLS."""
_REFUSED = {"SSLV3_ALERT_HANDSHAKE_FAILURE", "SSL/TLS_ALERT_HANDSHAKE_FAILURE", "TLSV13_ALERT_CERTIFICATE_REQUIRED"}
"""What versions of OpenSSL call what a server says to a client that has no certificate, and should have one."""


class ConnectionOwner(Protocol):
    """Who is told about the connection."""

    def connection_opened(self, connection: WebSocketConnection) -> None: ...

    def connection_received(self, connection: WebSocketConnection, data: str | bytes) -> None: ...

    def connection_lost(self, connection: WebSocketConnection, code: int | None, reason: str) -> None: ...

    async def until_readable(self) -> None:
        """Return when the application can take more."""


class WebSocketConnection:
    """An attempt, and the connection if it succeeds. After `drop` the owner hears nothing more."""

    def __init__(
        self, owner: ConnectionOwner, server: str, subprotocol: str, message_bytes_max: int, options: Mapping[str, Any]
    ) -> None:
        self._owner = owner
        self._server = server
        self._options = {
            "subprotocols": [Subprotocol(subprotocol)],
            "compression": None,
            "open_timeout": OPEN_TIMEOUT_S,
            "close_timeout": CLOSE_TIMEOUT_S,
            "ping_interval": None,  # the protocol has heartbeats
            "max_size": message_bytes_max,
            **options,
        }
        self._socket: ClientConnection | None = None
        self._to_send: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._dropped = False
        self._reading = asyncio.create_task(self._read())
        self._writing: asyncio.Task[None] | None = None

    def send(self, data: str | bytes) -> None:
        """Queue a frame. What may be queued is bounded by the protocol's limit of unanswered publishes."""
        self._to_send.put_nowait(data)

    def drop(self, at_once: bool) -> None:
        """End it: after what is queued has been sent, or at once."""
        self._dropped = True
        self._reading.cancel()
        self._to_send.put_nowait(None)
        if at_once and self._socket is not None:
            self._socket.transport.abort()

    @property
    def is_finished(self) -> bool:
        """Whether nothing of it is left."""
        return self._reading.done() and (self._writing is None or self._writing.done())

    async def finished(self) -> None:
        """Return when nothing of it is left."""
        tasks = [task for task in (self._reading, self._writing) if task and task is not asyncio.current_task()]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        try:
            self._socket = socket = await connect(self._server, **self._options)
        except InvalidStatus as refused:
            status, why = refused.response.status_code, refused.response.body.decode(errors="replace").strip()
            self._lost(status, f"{self._server}: {why or refused}")
            return
        except Exception as error:
            # Also what only a library's author can foresee (a proxy that needs another package, say): it must be told.
            self._lost(None, f"cannot reach {self._server} ({_why(error, self._server)})")
            return
        self._writing = asyncio.create_task(self._write(socket))
        self._owner.connection_opened(self)
        try:
            while not self._dropped:
                await self._owner.until_readable()
                self._owner.connection_received(self, await socket.recv())
        except ConnectionClosed as closed:
            self._to_send.put_nowait(None)
            self._lost(*_code_and_reason(closed))

    async def _write(self, socket: ClientConnection) -> None:
        try:
            while (data := await self._to_send.get()) is not None:
                await socket.send(data)
        except ConnectionClosed:
            pass  # the reader sees it too, and knows why
        # What the server is still sending must be read, or its answer to the close would never be reached.
        reading = asyncio.create_task(_discard(socket))
        await socket.close()
        reading.cancel()

    def _lost(self, code: int | None, reason: str) -> None:
        if not self._dropped:
            self._owner.connection_lost(self, code, reason)


async def _discard(socket: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await socket.recv(decode=False)


def _why(error: Exception, server: str) -> str:
    """The reason for people: what the system calls its errors, without their numbers."""
    numbers = [int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))]  # one for each address tried
    if numbers:
        return ", ".join(dict.fromkeys(os.strerror(number).lower() for number in numbers))
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
        return "what listens there does not speak TLS: ws:// or http:// may be meant"
    if isinstance(error, ssl.SSLError) and error.reason in _REFUSED:
        return "the server refused the TLS handshake: it may require a client certificate"
    if isinstance(error, InvalidMessage) and isinstance(error.__cause__, EOFError):
        # With TLS 1.3 a client is refused after its handshake, and the library does not tell what the server said.
        may = ": it may require a client certificate" if server.startswith("wss:") else ""
        return f"the server ended the connection before it answered{may}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    system = error.strerror if isinstance(error, OSError) else None
    return system or str(error) or type(error).__name__


def _code_and_reason(closed: ConnectionClosed) -> tuple[int | None, str]:
    if closed.sent is not None and closed.sent.code == TOO_LARGE and not closed.rcvd_then_sent:
        return TOO_LARGE, "a frame from the server is larger than message_bytes_max"
    if closed.rcvd is not None:
        return closed.rcvd.code, closed.rcvd.reason or "the server closed the connection"
    return None, "the connection ended"
