"""What HTTP requests ask the node, one question of each kind at a time: whoever asks meanwhile, and for a moment
after the answer, gets the same answer. Answering costs the node's hub time, and everybody may ask.

Not here: the requests (site.py), the link (uplink.py).
"""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent.event import AsyncResult

from gateway.link import events as link

WAIT_S = 2.0
"""How long the node may take."""
SHARED_S = 0.1
"""How long an answer serves others, from when it came."""


class _Asked:
    __slots__ = ("result", "rid", "until")

    def __init__(self, rid: int, until: float) -> None:
        self.rid = rid
        self.until = until
        """When the next who asks has the node asked again."""
        self.result = AsyncResult()


class Asks:
    """The last question of each kind. `send` has the node asked; `now` is a clock that only goes forward."""

    def __init__(self, send: Callable[[link.Ask], None], now: Callable[[], float]) -> None:
        self._send = send
        self._now = now
        self._asked: dict[str, _Asked] = {}
        self._last_rid = 0

    def ask(self, what: str) -> link.Tell | None:
        """The node's answer; None if it does not come in time. Waits in the calling greenlet."""
        now = self._now()
        asked = self._asked.get(what)
        if asked is None or asked.until <= now:
            self._last_rid += 1
            asked = self._asked[what] = _Asked(self._last_rid, now + WAIT_S)
            self._send(link.Ask(asked.rid, what))
        try:
            told: link.Tell | None = asked.result.get(timeout=asked.until - now)
            return told
        except gevent.Timeout:
            return None

    def told(self, tell: link.Tell) -> None:
        """The node has answered."""
        for asked in self._asked.values():
            if asked.rid == tell.rid:
                asked.until = self._now() + SHARED_S
                asked.result.set(tell)

    def jumped(self) -> None:
        """Answers may be lost: wait for none."""
        for asked in self._asked.values():
            if not asked.result.ready():
                asked.result.set(None)
        self._asked.clear()
