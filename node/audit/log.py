"""The auditor `log`: JSON lines in a file, rotated by size.

    [audit.log]
    file = "/var/log/whimbrel/audit.jsonl"

Not here: what a line holds (lines.py).
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from node.audit.lines import LineAuditor


class LogOptions(msgspec.Struct, forbid_unknown_fields=True):
    """Keys of `[audit.log]`."""

    file: str
    """The older ones are beside it, with `.1`, `.2`, ... behind the name."""
    bytes: int = 100_000_000
    """A file that has reached this is put aside."""
    files: int = 10
    """How many there are in all; the oldest is removed."""


class LogAuditor(LineAuditor):
    """Appends to a file that only the node's user can read."""

    def __init__(self, **options: Any) -> None:
        self._options = msgspec.convert(options, LogOptions, strict=False)
        if self._options.files < 1 or self._options.bytes < 1:
            raise ValueError("`bytes` and `files` are at least 1")
        self._file = -1
        self._is_torn = False
        """Whether the disk was full within a line."""
        self._open()

    def write_lines(self, data: bytes) -> None:
        if self._file < 0:
            self._open()
        if self._is_torn:
            data = b"\n" + data
        while data:
            written = os.write(self._file, data)
            self._is_torn = data[written - 1 : written] != b"\n"
            self._size += written
            data = data[written:]
        if self._size >= self._options.bytes:
            self._rotate()

    def close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _open(self) -> None:
        self._file = os.open(self._options.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size

    def _rotate(self) -> None:
        self.close()
        name, files = self._options.file, self._options.files
        for number in range(files - 1, 0, -1):
            older = f"{name}.{number - 1}" if number > 1 else name
            if os.path.exists(older):
                os.replace(older, f"{name}.{number}")
        if files == 1:
            os.unlink(name)
        self._open()
