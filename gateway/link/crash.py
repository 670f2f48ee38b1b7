"""The end of a process that has a fault of ours, and callbacks of a loop that come to it.

An exception in a callback would otherwise only be printed, and its watcher stopped: the process would live on, deaf
or half done. What is ended instead is started again, and its clients resume.

Not here: faults that concern one client (sockets/client_socket.py) or one datagram (mesh/membership/udp.py).
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import ParamSpec

from gateway.link.logs import exception

log = logging.getLogger(__name__)

EXIT_STATUS = 70
"""EX_SOFTWARE of sysexits.h."""
P = ParamSpec("P")


def crash() -> None:
    """Log the current exception and end the process, from whatever thread."""
    exception(log, "crashed", logging.CRITICAL)
    os._exit(EXIT_STATUS)


def or_crash(callback: Callable[P, None]) -> Callable[P, None]:
    """The same callback; an exception in it is a crash."""

    @functools.wraps(callback)
    def guarded(*args: P.args, **options: P.kwargs) -> None:
        try:
            callback(*args, **options)
        except Exception:
            crash()

    return guarded
