"""Between native threads and the hub: librdkafka's calls block, so they are made in threads of their own.

Not here: what the threads do (reader.py, discovery.py, replay.py, producer.py).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from gevent import get_hub

from gateway.link.crash import crash
from mesh.loop import Loop

T = TypeVar("T")

TURN_S = 0.005
"""How long one turn of taking what threads say may last."""


class Inbox(Generic[T]):
    """Takes values from any thread and hands them to the hub, in order: all that wait, for a bounded time per turn."""

    def __init__(self, receive: Callable[[T], None], received: Callable[[], None]) -> None:
        """Begin empty.

        Args:
            receive: Takes one value; `received` follows the last of a turn.
        """
        self._receive = receive
        self._received = received
        self._values: deque[T] = deque()
        loop: Loop = get_hub().loop
        self._wake = loop.async_()
        self._wake.start(self._turn)

    def put(self, value: T) -> None:
        """From any thread."""
        self._values.append(value)
        self._wake.send()

    def _turn(self) -> None:
        if not self._values:
            return
        try:
            until = time.monotonic() + TURN_S
            while self._values:
                self._receive(self._values.popleft())
                if time.monotonic() >= until:
                    break
            self._received()
        except BaseException:
            crash()
        if self._values:
            self._wake.send()


def start_thread(name: str, run: Callable[[], None]) -> threading.Thread:
    """Run this in a native thread; an exception in it ends the process."""

    def guarded() -> None:
        with contextlib.suppress(OSError):  # `top -H` and the benchmark tell threads apart by it
            Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name[:15])
        try:
            run()
        except BaseException:
            crash()

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread
