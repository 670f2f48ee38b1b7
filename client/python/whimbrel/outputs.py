"""What the parts of a session put out: frames and other actions for the connection, events for the application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from whimbrel.encodings import Encoding, FrameMap
from whimbrel.events import Event


@dataclass(frozen=True, slots=True)
class Open:
    """Connect to this address; then call `opened`, or `lost` if it fails."""

    server: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send this frame on the connection; str is text, bytes is binary."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is over: send what was put out before, close it, do not call `lost`. `at_once`: it is silent, so
    do not wait for anything."""

    at_once: bool


Action: TypeAlias = Open | Send | Drop


class Outputs:
    """Collects actions and events, and numbers the frames of a connection."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._last_id = 0
        self.actions: list[Action] = []
        self.events: list[Event] = []

    def new_connection(self) -> None:
        """Ids begin again."""
        self._last_id = 0

    def send(self, op: str, body: FrameMap, bytes_max: int | None = None) -> int | None:
        """Put out a frame: its id, or None when it is longer than `bytes_max` and was not sent."""
        data = self._encoding.encode({"op": op, "id": self._last_id + 1, **body})
        if bytes_max is not None and len(data if isinstance(data, bytes) else data.encode()) > bytes_max:
            return None
        self._last_id += 1
        self.actions.append(Send(data))
        return self._last_id
