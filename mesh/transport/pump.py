"""Reads from many ZeroMQ sockets in the loop, each in its turn.

A socket's descriptor (ZMQ_FD) is edge-triggered: it becomes readable once when something has come, so the socket is
read until nothing is left. It is also looked at every SAFETY_POLL_S, because an edge can be lost: a send on the same
socket may swallow it. Ready sockets are read in turn, a few messages each, and after TURN_S all stops until the loop
has looked at everything else: a peer that floods delays neither the others nor the loop.

Not here: what is done with what came.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

import zmq

from mesh.loop import READ, Watcher, Watchers

SAFETY_POLL_S = 0.02
TURN_S = 0.005
"""How long one turn of reading may take, all sockets together."""
SHARE = 20
"""Messages that a socket may give before the next one gives its."""
T = TypeVar("T")
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)


class _Source(Generic[T]):
    __slots__ = ("fetch", "is_open", "socket", "take", "watcher")

    def __init__(
        self, socket: zmq.Socket[bytes], fetch: Callable[[], T], take: Callable[[T], None], watcher: Watcher
    ) -> None:
        self.socket = socket
        self.fetch = fetch
        self.take = take
        self.watcher = watcher
        self.is_open = True


_AnySource: TypeAlias = _Source[Any]
"""Each has its own kind of message."""


class Pump:
    """Fetches messages and has them taken. An exception in that ends the process: the loop would only print it."""

    def __init__(self, loop: Watchers, crash: Callable[[], None], turned: Callable[[], None] | None = None) -> None:
        """Begin with no socket. `turned` is called after each turn: what it has brought can be handled together."""
        self._loop = loop
        self._crash = crash
        self._turned = turned
        self._sources: dict[zmq.Socket[bytes], _AnySource] = {}
        self._ready: dict[_AnySource, None] = {}
        self._again = loop.timer(0.0)
        self._safety = loop.timer(SAFETY_POLL_S, SAFETY_POLL_S)
        self._safety.start(self._look)

    def add(self, socket: zmq.Socket[bytes], fetch: Callable[[], T], take: Callable[[T], None]) -> None:
        """Read from this socket: `fetch` gets one message or raises zmq.Again. `take` may add and remove sockets."""
        source = _Source(socket, fetch, take, self._loop.io(int(socket.getsockopt(zmq.FD)), READ))
        self._sources[socket] = source
        source.watcher.start(self._readable, source)
        self._ready[source] = None  # an edge from before the watcher is lost
        self._again.start(self._turn)

    def remove(self, socket: zmq.Socket[bytes]) -> None:
        """Read from it no more; call this before closing it."""
        source = self._sources.pop(socket)
        source.is_open = False
        source.watcher.stop()
        source.watcher.close()
        self._ready.pop(source, None)

    def check(self, socket: zmq.Socket[bytes]) -> None:
        """Look whether something has come: call this after sending, which can swallow the edge of an arrival."""
        if has_come(socket):
            self._ready[self._sources[socket]] = None
            if not self._again.active:
                self._again.start(self._turn)

    def close(self) -> None:
        """Read from nothing any more."""
        for socket in list(self._sources):
            self.remove(socket)
        for timer in (self._again, self._safety):
            timer.stop()
            timer.close()

    def _readable(self, source: _AnySource) -> None:
        self._ready[source] = None
        if not self._again.active:
            self._turn()

    def _look(self) -> None:
        for source in self._sources.values():
            if has_come(source.socket):
                self._ready[source] = None
        if self._ready:
            self._again.start(self._turn)

    def _turn(self) -> None:
        try:
            until = time.monotonic() + TURN_S
            while self._ready and time.monotonic() < until:
                source = next(iter(self._ready))
                del self._ready[source]
                if self._share(source, until):
                    self._ready[source] = None
            if self._turned is not None:
                self._turned()
        except Exception:
            self._crash()
        if self._ready:
            self._again.start(self._turn)

    def _share(self, source: _AnySource, until: float) -> bool:
        """Read a share of what there is; returns whether there may be more."""
        for _ in range(SHARE):
            try:
                message = source.fetch()
            except zmq.Again:
                return False
            source.take(message)
            # Asking costs half of what the exception does, and mostly one message is all that has come.
            if not source.is_open or not has_come(source.socket):
                return False
            if time.monotonic() >= until:
                break
        return True


def has_come(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message can be read."""
    return bool(int(socket.getsockopt(_EVENTS)) & _POLLIN)
