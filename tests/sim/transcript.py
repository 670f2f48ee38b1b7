"""What happened, one line per event: when, where, in which slot, in words."""

from __future__ import annotations

from typing import Any

from mesh.slots.replication import Append, AppendOk, Commit
from mesh.slots.slots import Beacon

TOO_MANY = (Beacon, Append, AppendOk, Commit)


class Transcript:
    """Lines for people."""

    def __init__(self, packets_too: bool = False) -> None:
        self.lines: list[str] = []
        self._packets_too = packets_too
        self._now = 0.0

    def line(self, now: float, name: str, slot: int, words: str) -> None:
        self._now = now
        self.lines.append(f"{now:8.3f}  {name or '*':<2} {f's{slot}' if slot >= 0 else '':<3} {words}")

    def packets(self, name: str, to: str, packets: list[Any]) -> None:
        """A message leaves."""
        if not self._packets_too:
            return
        for packet in packets:
            if not isinstance(packet, TOO_MANY):
                self.lines.append(f"{'':8}  {name:<2}     -> {to or 'all'}: {packet}")
