"""A fake cluster behind real WebSockets, for tests of the SDK's shells.

Not here: what it answers (fake_cluster.py).
"""

from __future__ import annotations

import json
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.client.fake_cluster import FakeCluster, FakeConnection, Frame
from whimbrel.encodings import ENCODINGS, Encoding

BY_SUBPROTOCOL = {encoding.subprotocol: encoding for encoding in ENCODINGS.values()}


class FakeServer:
    """One server of a fake cluster, on a free port."""

    def __init__(self, cluster: FakeCluster, **connection: Any) -> None:
        self.cluster = cluster
        self.sockets: dict[ServerConnection, FakeConnection] = {}
        self.frames: list[Frame] = []
        """All that came from clients."""
        self.silent_about: set[str] = set()
        """Ops that are taken but not answered."""
        self.close_at_hello: list[int] = []
        """Codes to close the next connections with."""
        self.accepted = 0
        self._connection = connection
        """Attributes of connections."""
        self._server: Server | None = None

    async def __aenter__(self) -> FakeServer:
        names = [Subprotocol(name) for name in BY_SUBPROTOCOL]
        self._server = await serve(self._handle, "127.0.0.1", 0, subprotocols=names, compression=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    async def append(self, *subjects: str) -> None:
        """Append records to the first log, and send them to whom they are for."""
        for subject in subjects:
            self.cluster.append(next(iter(self.cluster.logs)), subject)
        await self.flush()

    async def flush(self) -> None:
        for socket, connection in list(self.sockets.items()):
            encoding = encoding_of(socket)
            frames, connection.to_client = connection.to_client, []
            try:
                for frame in frames:
                    text = json.dumps(frame, separators=(",", ":"))
                    await socket.send(encoding.encode(ENCODINGS["json"].decode(text)))
            except ConnectionClosed:
                pass  # its handler has not noticed yet

    async def close_all(self, code: int) -> None:
        for socket in list(self.sockets):
            await socket.close(code, "by the test")

    async def _handle(self, socket: ServerConnection) -> None:
        self.accepted += 1
        connection = FakeConnection(self.cluster)
        for name, value in self._connection.items():
            setattr(connection, name, value)
        self.sockets[socket] = connection
        encoding = encoding_of(socket)
        try:
            async for data in socket:
                frame = json.loads(ENCODINGS["json"].encode(encoding.decode(data)))
                self.frames.append(frame)
                if self.close_at_hello:
                    await socket.close(self.close_at_hello.pop(0), "by the test")
                    return
                if frame["op"] not in self.silent_about:
                    connection.receive(frame)
                    await self.flush()
        except ConnectionClosed:
            pass
        finally:
            del self.sockets[socket]
            connection.close()


def encoding_of(socket: ServerConnection) -> Encoding:
    return BY_SUBPROTOCOL[str(socket.subprotocol)]
