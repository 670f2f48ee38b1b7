"""The file in which a voter keeps what it has promised: of each slot an epoch, below which no coordinator gets anything
of this voter any more. The file is written whole, atomically, and read once at start.

Rules:
- A promise is on disk before anybody is told of it: a voter that forgets one lets an old coordinator commit after a
  new one was chosen (Michael et al., "Recovering Shared Objects Without Stable Storage", DISC 2017).
- The epoch of a slot's promise never goes down.
- What `save` was given is on disk when it returns; a process killed in between leaves the state before or after.
- A file that cannot be trusted (damaged, of another node, cluster or number of slots) is an error, never an empty
  start: a voter that silently forgets what it promised can undo what was committed.
- One process has the directory at a time.

Not here: when a promise is made (election.py).
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

FILE = "promises"
_FRESH = "promises.new"
_LOCK = "lock"
_FORMAT = 1


class PromisesError(Exception):
    """The promises cannot be kept or trusted; the message says why and what to do."""


class _Content(msgspec.Struct):
    """The first line of the file, as JSON; the second has the CRC-32 of the first."""

    format: int
    cluster: str
    node: str
    slots: int
    promises: dict[int, tuple[int]]
    """Slot -> (epoch,)."""


class Promises:
    """The promises of one node."""

    def __init__(self, directory: Path, node_name: str, cluster_name: str, slots: int) -> None:
        """Take the directory, which is made if need be, and read what is there.

        Raises:
            PromisesError: If another process has it, it cannot be used, or its file cannot be trusted.
        """
        self.path = directory / FILE
        self._directory = directory
        self._empty = _Content(_FORMAT, cluster_name, node_name, slots, {})
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PromisesError(f"{directory}: cannot be used: {error.strerror} (cluster.data_dir)") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise PromisesError(
                f"{directory}: another process uses it: does a node named {node_name} of cluster {cluster_name} run "
                "already? Each node needs a name and a cluster.data_dir of its own"
            ) from error
        try:
            self._kept = self._read()
        except PromisesError:
            os.close(self._lock)
            raise

    def load(self) -> dict[int, int] | None:
        """What is promised; None if nothing was ever saved here: a first start, or the disk was lost."""
        return None if self._kept is None else dict(self._kept)

    def save(self, promises: Mapping[int, int]) -> None:
        """Keep these besides what is kept of other slots. When it returns they are on disk.

        Raises:
            PromisesError: If that failed (a full disk, say). What was kept before still is, and none of these may be
                acted upon; it can be tried again.
        """
        kept = self._kept or {}
        for slot, epoch in promises.items():
            assert 0 <= slot < self._empty.slots
            assert epoch >= kept.get(slot, 0), "a promise is never taken back"
        merged = {**kept, **promises}
        rows = {slot: (epoch,) for slot, epoch in merged.items()}
        line = msgspec.json.encode(msgspec.structs.replace(self._empty, promises=rows))
        try:
            self._write(b"%b\n%08x\n" % (line, zlib.crc32(line)))
        except OSError as error:
            raise PromisesError(f"{self.path}: cannot be written: {error.strerror}") from error
        self._kept = merged

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._lock)

    def _write(self, data: bytes) -> None:
        fresh = self._directory / _FRESH
        with open(fresh, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.path)
        folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self) -> dict[int, int] | None:
        try:
            return self._trusted(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PromisesError(f"{self.path}: cannot be read: {error.strerror}") from error

    def _trusted(self, data: bytes) -> dict[int, int]:
        line, _, checksum = data.partition(b"\n")
        if checksum != b"%08x\n" % zlib.crc32(line):
            raise self._error("is damaged (its checksum is wrong)")
        try:
            content = msgspec.json.decode(line, type=_Content)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._error(f"is not a file of promises that this version reads ({error})") from error
        for what, found, expected in (
            ("format", content.format, self._empty.format),
            ("cluster", content.cluster, self._empty.cluster),
            ("node", content.node, self._empty.node),
            ("slots", content.slots, self._empty.slots),
        ):
            if found != expected:
                raise self._error(f"has {what} {found}, expected {expected}")
        promises = {slot: epoch for slot, (epoch,) in content.promises.items()}
        if any(not 0 <= slot < content.slots or epoch < 0 for slot, epoch in promises.items()):
            raise self._error("is damaged (it has a slot or an epoch that cannot be)")
        return promises

    def _error(self, what: str) -> PromisesError:
        return PromisesError(
            f"{self.path} {what}: it keeps what this voter promised, so the node does not start with it. Give the node "
            "its own file back, or delete this one: the node is then one that has lost its disk"
        )
