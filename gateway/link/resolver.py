"""Looks up the addresses of hosts in a bounded time.

`getaddrinfo` has no timeout: where name servers do not answer, it takes as long as /etc/resolv.conf says, half a minute
by default and more. So each look-up has a thread of its own, one at a time for a host, and whoever asks waits for it
only as long as there is time.

Not here: connections (timed_http.py).
"""

from __future__ import annotations

import socket
from concurrent.futures import Future
from threading import Lock, Thread
from typing import TypeAlias

from gateway.link.hosts import is_address

Hosts: TypeAlias = list[str]


class Resolver:
    """Asks the resolver of the system. Used by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pending: dict[str, Future[Hosts]] = {}

    def addresses(self, host: str, timeout_s: float) -> Hosts:
        """The addresses of a host, best first.

        Raises:
            OSError: If there is none (`socket.gaierror`), or no answer in time (`TimeoutError`).
            UnicodeError: If it cannot be the name of a host.
        """
        if is_address(host):
            return [host]
        with self._lock:
            pending = self._pending.get(host)
            if pending is None:
                pending = self._pending[host] = Future()
                Thread(target=self._look_up, args=(host, pending), daemon=True).start()
        try:
            return pending.result(timeout_s)
        except TimeoutError:
            raise TimeoutError(f"the address of {host} was not found within {timeout_s:.3g} s") from None

    def _look_up(self, host: str, pending: Future[Hosts]) -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except Exception as error:  # whoever waits is told
            self._end(host)
            pending.set_exception(error)
        else:
            self._end(host)
            pending.set_result([str(address[0]) for *_, address in found])

    def _end(self, host: str) -> None:
        with self._lock:
            del self._pending[host]
