"""A server that is far away: a TCP proxy on a port of its own that holds everything back, half a round trip each way.

However much is on its way at once: it costs time, not throughput.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType

CHUNK = 1 << 18


class Far:
    """Runs in a thread of its own. A context manager."""

    def __init__(self, port: int, target_port: int, round_trip_s: float) -> None:
        """Nothing runs before it is entered.

        Args:
            port: A free one, to listen on.
            target_port: Of the server, on this machine.
        """
        self._port = port
        self._target_port = target_port
        self._delay_s = round_trip_s / 2
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Far:
        self._thread.start()
        starting = asyncio.start_server(self._accepted, "127.0.0.1", self._port, limit=CHUNK)
        asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port, limit=CHUNK)
        except OSError:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        for one in (writer, far_writer):
            one.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            self._loop.call_later(self._delay_s, self._write, writer, data)
        self._loop.call_later(self._delay_s, writer.close)

    def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if not writer.is_closing():
            writer.write(data)
