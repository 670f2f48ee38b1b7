"""The network between clients and the node: a TCP proxy that cuts, resets, stalls and delays.

Not here: when it does so (faults.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

CHUNK = 16384


class Proxy:
    """Listens on a port of its own and passes on to another. Runs in the asyncio loop that starts it."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.delay_s = 0.0
        """Added to every chunk in both directions."""
        self._target_port = target_port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._links: dict[_Link, None] = {}

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self._flowing.set()
        self.cut(reset=True)
        await asyncio.sleep(0)

    def stall(self) -> None:
        """Pass nothing on until `flow`: neither side learns anything."""
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    def cut(self, reset: bool) -> int:
        """End all connections, with an RST or in good order; how many there were."""
        links = list(self._links)
        for link in links:
            link.end(reset)
        return len(links)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port, limit=CHUNK)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, up_writer)
        self._links[link] = None
        try:
            await asyncio.gather(self._pass(reader, up_writer), self._pass(up_reader, writer))
        finally:
            self._links.pop(link, None)
            link.end(reset=False)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._flowing.wait()
                if writer.is_closing():
                    return
                writer.write(data)
                await writer.drain()
        writer.close()


class _Link:
    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers

    def end(self, reset: bool) -> None:
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            if reset and sock is not None and sock.fileno() >= 0:
                # Linger of zero: the system sends an RST instead of what is left.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()
