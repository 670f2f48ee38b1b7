"""What is used of gevent's loop, as types: gevent has none of its own.

Not here: the loop itself (`gevent.get_hub().loop`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVarTuple

Args = TypeVarTuple("Args")

READ, WRITE = 1, 2
"""The loop's names for what a descriptor is watched for."""


class Watcher(Protocol):
    """Calls back when something has happened, while it is active."""

    @property
    def active(self) -> bool:
        """Whether it has been started, and neither stopped nor, as a timer that does not repeat, gone off."""

    def start(self, callback: Callable[[*Args], object], *args: *Args) -> None:
        """Call this from now on; replaces what was called before."""

    def stop(self) -> None:
        """Call nothing any more; it may be started again."""

    def close(self) -> None:
        """Free it."""


class WakeUp(Watcher, Protocol):
    """A watcher that any thread can have call back."""

    def send(self) -> None:
        """Have it call back, in the loop; several of these may become one call."""


class Watchers(Protocol):
    """A loop, for what needs nothing else of it."""

    def io(self, fd: int, events: int, /) -> Watcher:
        """For a descriptor that can be read, or written."""

    def timer(self, after_s: float, repeat_s: float = 0.0, /) -> Watcher:
        """Goes off `after_s` after its start, and then every `repeat_s` unless that is 0."""


class Loop(Watchers, Protocol):
    """A loop: everything but `WakeUp.send` is called in its own thread."""

    def async_(self) -> WakeUp:
        """For other threads."""

    def run_callback(self, callback: Callable[[*Args], object], *args: *Args) -> object:
        """Call this once, at the next pass."""
