"""The protocol as it is on the wire, for what an SDK would smooth over: codes, frames, order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Self

import msgpack  # type: ignore[import-untyped]
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.patience import PATIENCE_S

Frame = dict[str, Any]


class Raw:
    """One connection. A context manager; says `hello` at once."""

    def __init__(self, url: str, encoding: str = "json", token: str | None = None, **options: Any) -> None:
        self.frames: list[Frame] = []
        """Everything that came, but for `welcome` and heartbeats."""
        self.close_code: int | None = None
        self._encoding = encoding
        self._id = 0
        self._manager = connect(
            f"{url}/v1/ws",
            subprotocols=[Subprotocol(f"whimbrel.v1.{encoding}")],
            compression=None,
            max_size=None,
            ping_interval=None,
            open_timeout=PATIENCE_S,
            # Without a bound: else pings are not answered while a test reads of another connection.
            **{"max_queue": None, **options},
        )
        self._socket: ClientConnection = self._manager.__enter__()
        self.send("hello", client="raw", token=token)
        self.welcome = self._receive(PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.__exit__(None, None, None)

    def send(self, op: str, **keys: Any) -> int:
        """Send a frame; its id."""
        self._id += 1
        frame = {"op": op, "id": self._id, **keys}
        self._socket.send(json.dumps(frame) if self._encoding == "json" else msgpack.packb(frame))
        return self._id

    def ask(self, op: str, timeout_s: float = PATIENCE_S, **keys: Any) -> Frame:
        """Send a frame; its answer."""
        request = self.send(op, **keys)
        return self.until(lambda frame: frame.get("id") == request, timeout_s)

    def until(self, wanted: Callable[[Frame], object], timeout_s: float = PATIENCE_S) -> Frame:
        """Receive up to the first frame that is wanted, and return it."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                frame = self._receive(left_s)
            except TimeoutError:
                break
            if frame["op"] != "heartbeat":
                self.frames.append(frame)
                if wanted(frame):
                    return frame
        raise AssertionError(f"not received within {timeout_s} s; the last frames: {str(self.frames[-5:])[:2000]}")

    def until_closed(self, timeout_s: float = PATIENCE_S) -> int | None:
        """Receive until the server closes; its code, None if the connection just ended."""
        try:
            self.until(lambda frame: False, timeout_s)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None
        return None

    def _receive(self, timeout_s: float) -> Frame:
        data = self._socket.recv(timeout=timeout_s)
        found: Frame = json.loads(data) if isinstance(data, str) else msgpack.unpackb(data)
        return found
