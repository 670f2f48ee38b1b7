"""A connection of JSON frames, written from client/PROTOCOL.md, on which one is asked after another.

Not here: when to ask again, and where (tests/chaos/rawpublisher.py, tests/cluster/clients.py); anything of the SDKs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol


class Asking:
    """Opened when something is asked, and again after `hang_up`."""

    def __init__(self) -> None:
        self._socket: ClientConnection | None = None
        self._id = 1

    def hang_up(self) -> None:
        """At once, without a word."""
        if self._socket is not None:
            self._socket.transport.abort()
            self._socket = None

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def ask(self, url: str, frame: Mapping[str, Any]) -> dict[str, Any]:
        """The frame that answers this one; `url` is where to connect if there is no connection.

        Raises:
            OSError, WebSocketException, TimeoutError: There is no connection, or it has ended.
        """
        if self._socket is None:
            self._socket = await connect(
                f"{url}/v1/ws",
                subprotocols=[Subprotocol("whimbrel.v1.json")],
                compression=None,
                ping_interval=None,
                open_timeout=1,
                close_timeout=0.2,
            )
            await self._socket.send(json.dumps({"op": "hello", "id": 1}))
        self._id += 1
        request = self._id
        await self._socket.send(json.dumps({**frame, "id": request}))
        while True:
            answer: dict[str, Any] = json.loads(await self._socket.recv())
            if answer.get("id") == request:
                return answer
