"""What happened, one line per event: when, where, in words."""

from __future__ import annotations

from typing import Any

from mesh.feed.feed_log import FeedBeacon
from mesh.slots.replication import Append, AppendOk, Commit
from mesh.slots.slots import Beacon

TOO_MANY = (Beacon, Append, AppendOk, Commit, FeedBeacon)


class Transcript:
    """Lines for people."""

    def __init__(self, packets_too: bool = False) -> None:
        self.lines: list[str] = []
        self._packets_too = packets_too

    def line(self, now: float, who: str, words: str) -> None:
        """Something has happened; `who` is a node, a worker, a client, or empty for the world."""
        self.lines.append(f"{now:8.3f}  {who or '*':<5} {words}")

    def packets(self, sender: str, to: str, packets: list[Any]) -> None:
        """A message leaves."""
        if not self._packets_too:
            return
        for packet in packets:
            if not isinstance(packet, TOO_MANY):
                self.lines.append(f"{'':8}  {sender:<5} -> {to or 'all'}: {packet}")
