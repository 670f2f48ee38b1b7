"""Waits for a child process without looking at it again and again: the kernel says when it has ended (pidfd_open(2)).

Not here: what follows from it (workers.py).
"""

from __future__ import annotations

import os
from subprocess import Popen

from gevent.socket import wait_read


def wait_ended(process: Popen[bytes]) -> None:
    """Wait until a child has ended; only this greenlet waits. `process.returncode` is known afterwards."""
    if process.poll() is not None:
        return
    ended = os.pidfd_open(process.pid)
    try:
        wait_read(ended)
    finally:
        os.close(ended)
    process.wait()
