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


class _Pending:
    __slots__ = ("result", "rid", "until")

    def __init__(self, rid: int, until: float) -> None:
        self.rid = rid
        self.until = until
        """When the next who asks has the node asked again."""
        self.result = AsyncResult()


class Queries:
    """The last question of each kind. `send` passes a query to the node; `now` is a clock that only goes forward."""

    def __init__(self, send: Callable[[link.Query], None], now: Callable[[], float]) -> None:
        self._send = send
        self._now = now
        self._pending: dict[str, _Pending] = {}
        self._last_rid = 0

    def ask(self, what: str) -> link.Reply | None:
        """The node's answer; None if it does not come in time. Waits in the calling greenlet."""
        now = self._now()
        pending = self._pending.get(what)
        if pending is None or pending.until <= now:
            self._last_rid += 1
            pending = self._pending[what] = _Pending(self._last_rid, now + WAIT_S)
            self._send(link.Query(pending.rid, what))
        try:
            reply: link.Reply | None = pending.result.get(timeout=pending.until - now)
            return reply
        except gevent.Timeout:
            return None

    def replied(self, reply: link.Reply) -> None:
        """The node has answered."""
        for pending in self._pending.values():
            if pending.rid == reply.rid:
                pending.until = self._now() + SHARED_S
                pending.result.set(reply)

    def link_jumped(self) -> None:
        """Answers may be lost: wait for none."""
        for pending in self._pending.values():
            if not pending.result.ready():
                pending.result.set(None)
        self._pending.clear()
