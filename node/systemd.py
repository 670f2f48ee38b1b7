"""What the service manager is told of this node's life, if one has started it: ready, alive, stopping.

The protocol is sd_notify(3): datagrams to the socket that the environment names.

Not here: when a node is ready (node/core.py), the unit (ansible/roles/whimbrel).
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from gateway.link.logs import event

log = logging.getLogger(__name__)


class ServiceManager:
    """The end of the line to systemd; without one nothing is said."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched_us = int(environment.get("WATCHDOG_USEC", "0")) if name and for_us else 0
        self.alive_every_s = watched_us / 1e6 / 4
        """How often `alive` is to be called; 0: nobody watches. With a quarter, a late one does no harm."""

    def ready(self) -> None:
        """The node and its workers serve."""
        self._tell("READY=1")

    def alive(self) -> None:
        """The caller, which is the hub, is not stuck."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The node drains and will end."""
        self._tell("STOPPING=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.setblocking(False)
            try:
                line.sendto(text.encode(), self._address)
            except OSError as error:
                event(log, "service_manager_not_told", 30, text=text, reason=str(error))
