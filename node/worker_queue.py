"""In which order a node handles what its workers say: subscribes, which cost most, behind everything else.

So a crowd that comes back at once delays nobody's publish. A worker has put into the packets that begin with a
`Subscribe` what must follow it (gateway/link/events.py). One event of these is handled after AHEAD_MAX others that came
later, whatever there is: nobody waits for ever. What a publisher publishes while something of its own waits behind goes
behind, too, in whatever packet it comes: it would overtake that.

Invariant: a subscribe is overtaken by what comes later, but overtakes nothing itself. A `Drop` that were handled behind
the next subscribe of its subject would undo that one's interest: a client that came back would never hear anything.

Not here: reading the link (workers.py), what an event means (core.py).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import TypeAlias

from gateway.link.events import Cancel, FromWorker, Publish, Subscribe
from node.interest import WorkerId

AHEAD_MAX = 20
WorkerEvent: TypeAlias = tuple[WorkerId, FromWorker]


class WorkerQueue:
    """What has been said and not been handled yet."""

    def __init__(self, ahead_max: int = AHEAD_MAX) -> None:
        self._ahead_max = ahead_max
        self._first: deque[WorkerEvent] = deque()
        self._behind: deque[tuple[int, WorkerEvent]] = deque()
        """Each with the number of the first that had come by then."""
        self._cancelled: set[tuple[WorkerId, int]] = set()
        """Subscribes among those behind that are not wanted any more."""
        self._waiting: set[tuple[WorkerId, int]] = set()
        """Subscribes among those behind."""
        self._publishers: Counter[tuple[WorkerId, str]] = Counter()
        """Of the publishes among those behind."""
        self._first_come = self._first_handled = 0
        self._ahead = 0
        """How many that came later were handled before those behind, since one of these was."""

    def __len__(self) -> int:
        return len(self._first) + len(self._behind)

    def put(self, worker: WorkerId, packet: Sequence[FromWorker]) -> None:
        """A packet of this worker."""
        said = [(worker, event) for event in packet]
        if packet and isinstance(packet[0], Subscribe):
            self._put_behind(said)
            return
        if self._publishers:
            self._put_behind([one for one in said if self._follows(*one)])
            said = [one for one in said if not self._follows(*one)]
        self._first += said
        self._first_come += len(said)
        if self._waiting:
            self._cancelled |= self._waiting & {(worker, one.sid) for one in packet if isinstance(one, Cancel)}

    def take(self) -> WorkerEvent | None:
        """What to handle next; None for a subscribe that was cancelled."""
        if self._first:
            is_later = bool(self._behind) and self._first_handled >= self._behind[0][0]
            if not is_later or self._ahead < self._ahead_max:
                self._first_handled += 1
                self._ahead += is_later
                return self._first.popleft()
        self._ahead = 0
        _, said = self._behind.popleft()
        worker, event = said
        if isinstance(event, Subscribe):
            subscribe = worker, event.sid
            self._waiting.discard(subscribe)
            if subscribe in self._cancelled:
                self._cancelled.remove(subscribe)
                return None
        elif isinstance(event, Publish):
            publisher = worker, event.publisher
            self._publishers[publisher] -= 1
            if not self._publishers[publisher]:
                del self._publishers[publisher]
        return said

    def _follows(self, worker: WorkerId, event: FromWorker) -> bool:
        return isinstance(event, Publish) and (worker, event.publisher) in self._publishers

    def _put_behind(self, said: Sequence[WorkerEvent]) -> None:
        for worker, event in said:
            self._behind.append((self._first_come, (worker, event)))
            if isinstance(event, Subscribe):
                self._waiting.add((worker, event.sid))
            elif isinstance(event, Publish):
                self._publishers[worker, event.publisher] += 1
