"""Revocations on disk, so that they hold over a restart of all nodes.

Not here: which there are (mesh/revocations.py).
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import msgspec

from mesh.revocations import Revocation

_FILE = "revocations.json"


class StoreError(ValueError):
    """The file cannot be used; the message says which and why."""


class _Kept(msgspec.Struct, array_like=True):
    issued_before: float | None
    """Seconds since 1970; None: whenever."""
    until: float
    """Seconds since 1970."""
    token_id: str | None
    name: str | None


class RevocationStore:
    """One file in a directory, which is made when there is something to keep."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / _FILE

    def load(self) -> list[Revocation]:
        """What was kept and still holds.

        Raises:
            StoreError: If the file is there and cannot be read: tokens that were revoked would be good again.
        """
        try:
            kept = msgspec.json.decode(self.path.read_bytes(), type=list[_Kept])
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            why = "it keeps which tokens are revoked; give the node its file back, or delete it to forget them"
            raise StoreError(f"{self.path}: {error}: {why}") from error
        now = time.time()
        return [
            Revocation(
                math.inf if one.issued_before is None else one.issued_before, one.until - now, one.token_id, one.name
            )
            for one in kept
            if one.until > now
        ]

    def save(self, entries: list[Revocation]) -> None:
        """Keep these.

        Raises:
            StoreError: If that is not possible; what was kept before still is.
        """
        now = time.time()
        kept = [_kept(entry, now) for entry in entries]
        fresh = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(fresh, "wb", opener=_private) as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self.path)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror}") from error


def _kept(entry: Revocation, now: float) -> _Kept:
    issued_before = None if entry.issued_before == math.inf else entry.issued_before
    return _Kept(issued_before, now + entry.left_s, entry.token_id, entry.name)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
