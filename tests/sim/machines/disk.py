"""A machine's disk: what its voter has promised. It survives a crash, and may be lost.

Rule, asserted: nothing leaves a voter that rests on a promise that is not saved.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mesh.slots.election import Grant, Vote
from mesh.slots.replication import Append, AppendOk, Commit, StartEpoch

RESTS_ON_PROMISE = (Vote, Grant, StartEpoch, Append, AppendOk, Commit)


class Disk:
    """The promises of one voter."""

    def __init__(self) -> None:
        self._saved: dict[int, int] | None = {}
        """None: the disk is new, nobody knows what was promised. A cluster that begins has promised nothing."""
        self.is_full = False
        """Nothing can be saved."""

    def load(self) -> Mapping[int, int] | None:
        return None if self._saved is None else dict(self._saved)

    def save(self, promises: Mapping[int, int]) -> None:
        saved = self._saved if self._saved is not None else {}
        for slot, epoch in promises.items():
            assert epoch >= saved.get(slot, 0), "a promise went down"
            saved[slot] = epoch
        self._saved = saved

    def have_room(self) -> None:
        """Promises can be saved again."""
        self.is_full = False

    def lose(self) -> None:
        """The disk is replaced by an empty one."""
        self._saved = None

    def crashed(self) -> None:
        """The process died: what was saved is still here."""

    def check(self, packet: msgspec.Struct) -> None:
        """A packet is about to leave."""
        if isinstance(packet, RESTS_ON_PROMISE):
            saved = self._saved.get(packet.slot) if self._saved is not None else None
            assert saved is not None, f"{packet} rests on a promise that is not saved"
            assert saved >= packet.epoch, f"{packet} rests on a promise that is not saved"
