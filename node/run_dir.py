"""The directory with a running node's sockets to its workers; those that killed nodes have left behind are removed.

A node locks its directory (flock) as long as it lives, so that another one can tell whether it does.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "whimbrel-"
MADE = re.compile(r"whimbrel-[a-z0-9_]{8}")
"""The name of such a directory, as `mkdtemp` makes it."""
LINK = "link"
"""Name of the socket, the only file in the directory."""
PATH_BYTES_MAX = 107
"""Of a socket's path (unix(7): 108 with the zero byte at its end)."""


class RunDirError(Exception):
    """The directory cannot be made, or its socket could not be used; the message says where and why."""


@contextmanager
def run_directory(base: str) -> Iterator[Path]:
    """A new directory, removed in the end.

    Args:
        base: Where to make it; empty: where temporary files go.

    Raises:
        RunDirError: If it cannot be made.
    """
    place = Path(base or tempfile.gettempdir())
    _sweep(place)
    while True:
        made = _make(place)
        held = _lock(made)
        if held is not None:
            break
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(held)


def _make(place: Path) -> Path:
    try:
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    except OSError as error:
        raise RunDirError(f"no directory can be made in {place}: {error.strerror} (node.run_dir)") from error
    if len(os.fsencode(made / LINK)) > PATH_BYTES_MAX:
        made.rmdir()
        raise RunDirError(f"{place} is too long for the path of a socket in it: choose a shorter node.run_dir")
    return made


def _sweep(place: Path) -> None:
    """Remove what nodes that are no more have left."""
    for left in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            found = os.listdir(left)
            # Empty: the node was killed before it had made its socket.
            if (found != [LINK] and (found or not MADE.fullmatch(left.name))) or left.stat().st_uid != os.getuid():
                continue
            held = _lock(left)
            if held is not None:
                if not _answers(left / LINK):
                    shutil.rmtree(left, ignore_errors=True)
                os.close(held)


def _lock(directory: Path) -> int | None:
    """Hold the directory; None if another process holds it or has removed it."""
    held = None
    try:
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(held).st_nlink and directory.exists():
            return held
    except OSError:
        pass
    if held is not None:
        os.close(held)
    return None


def _answers(link: Path) -> bool:
    """Whether a process listens there without holding it: a node of a version that locks nothing."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(link))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True
