"""In which order a node handles what its workers say: subscribes, which cost most, behind everything else.

So a crowd that comes back at once delays nobody's publish. A worker has put into the packets that begin with a
`Subscribe` what must follow it (gateway/link/events.py). One event of these is handled after AHEAD_MAX others, whatever
there is: nobody waits for ever.

Not here: reading the link (workers.py), what an event means (core.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from gateway.link.events import Cancel, FromWorker, Subscribe
from node.interest import WorkerId

AHEAD_MAX = 20
Said: TypeAlias = tuple[WorkerId, FromWorker]


class WorkerQueue:
    """What has been said and not been handled yet."""

    def __init__(self) -> None:
        self._first: deque[Said] = deque()
        self._behind: deque[Said] = deque()
        self._cancelled: set[tuple[WorkerId, int]] = set()
        """Subscribes among those behind that are not wanted any more."""
        self._waiting: set[tuple[WorkerId, int]] = set()
        """Subscribes among those behind."""
        self._ahead = 0
        """How many were handled before those behind, since one of these was."""

    def __len__(self) -> int:
        return len(self._first) + len(self._behind)

    def put(self, worker: WorkerId, packet: Sequence[FromWorker]) -> None:
        """A packet of this worker."""
        said = [(worker, event) for event in packet]
        if not packet or not isinstance(packet[0], Subscribe):
            self._first += said
            if self._waiting:
                self._cancelled |= self._waiting & {(worker, one.sid) for one in packet if isinstance(one, Cancel)}
        else:
            self._behind += said
            self._waiting |= {(worker, one.sid) for one in packet if isinstance(one, Subscribe)}

    def take(self) -> Said | None:
        """What is to be handled next; None for a subscribe that nobody wants any more."""
        if self._first and not (self._behind and self._ahead >= AHEAD_MAX):
            self._ahead += 1
            return self._first.popleft()
        self._ahead = 0
        worker, event = said = self._behind.popleft()
        if isinstance(event, Subscribe):
            subscribe = worker, event.sid
            self._waiting.discard(subscribe)
            if subscribe in self._cancelled:
                self._cancelled.remove(subscribe)
                return None
        return said
