"""What a session puts out, in order: frames and other orders for the connection, events for the application.

Not here: what they are put out for (session.py, subscriptions.py, publishing.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from whimbrel.encodings import Encoding, FrameMap
from whimbrel.events import Event


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to this address; then call `opened`, or `lost` if it fails."""

    server: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send this frame on the connection; str is text, bytes is binary."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The connection, or the attempt at one, is over: send what was put out before, close it, do not call `lost`."""

    at_once: bool
    """It is silent: wait for nothing, also not until what was put out before is sent."""


Output: TypeAlias = Connect | Send | Disconnect | Event


class Outputs:
    """Collects outputs, and numbers the frames of a connection."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._last_id = 0
        self._pending: list[Output] = []

    def take(self) -> list[Output]:
        """All that was put out since the last call."""
        taken, self._pending = self._pending, []
        return taken

    def new_connection(self) -> None:
        """Ids begin again."""
        self._last_id = 0

    def connect(self, server: str) -> None:
        self._pending.append(Connect(server))

    def disconnect(self, *, at_once: bool = False) -> None:
        self._pending.append(Disconnect(at_once))

    def tell(self, event: Event) -> None:
        """Tell the application."""
        self._pending.append(event)

    def send(self, op: str, body: FrameMap, bytes_max: int | None = None) -> int | None:
        """Put out a frame: its id, or None when it is longer than `bytes_max` and was not sent."""
        data = self._encoding.encode({"op": op, "id": self._last_id + 1, **body})
        if bytes_max is not None and len(data if isinstance(data, bytes) else data.encode()) > bytes_max:
            return None
        self._last_id += 1
        self._pending.append(Send(data))
        return self._last_id
