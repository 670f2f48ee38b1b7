"""Publishes on their way to the coordinator of their slot, whichever node they came in at.

A node keeps a publish until it sees it committed, and sends it again when nothing moves or another node coordinates.
So that publishes keep their order though packets get lost, what goes to one coordinator in one epoch is a numbered
*stream*, of which the coordinator takes only what is next (go-back-N). What it has had before it knows by what names
it (mesh/repeats.py).

Invariants:
- A publish is answered once: committed at a position, or refused; refused as `unknown` if it may yet be committed.
- Of one slot, what came in first is offered first.

Not here: sequencing (replication.py), what clients are told (node/publishing.py).
"""

from __future__ import annotations

from collections import deque

import msgspec

from mesh.histogram import Histogram
from mesh.log import Position
from mesh.repeats import PublishKey
from mesh.slots.slot import NodeName
from mesh.slots.slot_log import Item, item_bytes

FORWARD_ITEMS_MAX = 1000
FORWARD_BYTES_MAX = 1 << 20

NO_COORDINATOR, UNKNOWN, FULL = "no_coordinator", "unknown", "full"
"""Why a publish is refused: nobody can commit it now; nobody said in time whether it is; too many are waiting."""


class ForwardingConfig(msgspec.Struct, frozen=True):
    """Limits. Times in seconds."""

    timeout_s: float = 5.0
    """A publish that was not committed by then is refused."""
    unavailable_s: float = 2.0
    """After this time without a coordinator that takes publishes, they are refused at once."""
    retry_s: float = 0.3
    """A stream of which nothing is committed for this time is sent again; later where commits take longer."""
    retry_max_s: float = 1.2
    pending_max: int = 10_000
    """Publishes of this node that are not answered yet."""
    pending_bytes_max: int = 64 << 20
    """Memory of all publishes that are not answered yet."""


class Forward(msgspec.Struct, array_like=True, tag="forward", gc=False):
    """Publishes `first`, `first` + 1, ... of a stream, for the coordinator of a slot."""

    slot: int
    stream: int
    first: int
    items: list[Item]


class AlreadyCommitted(msgspec.Struct, array_like=True, tag="already_committed", gc=False):
    """A publish that was forwarded stands in the log already, at `at`."""

    slot: int
    publish: PublishKey
    at: Position


class PublishCommitted(msgspec.Struct, frozen=True):
    """A publish of this node is committed."""

    slot: int
    publish: PublishKey
    at: Position


class PublishRefused(msgspec.Struct, frozen=True):
    """A publish of this node was given up. Why nobody can commit it: `Slots.obstacle`."""

    publish: PublishKey
    why: str
    slot: int


class _Pending:
    __slots__ = ("deadline", "is_answered", "is_sent", "item", "since")

    def __init__(self, item: Item, now: float, deadline: float) -> None:
        self.item = item
        self.since = now
        self.deadline = deadline
        self.is_sent = False
        """Whether some coordinator may have it."""
        self.is_answered = False


class _Lane:
    """The publishes of one slot that wait."""

    __slots__ = (
        "committed_at", "coordinator", "moved_at", "number", "patience_s", "pending", "since", "stream", "unsent",
    )  # fmt: skip

    def __init__(self, now: float, patience_s: float) -> None:
        self.coordinator: NodeName = ""
        """Who takes publishes; empty while nobody does."""
        self.since = now
        """When `coordinator` became what it is."""
        self.stream = 0
        self.pending: dict[PublishKey, _Pending] = {}
        """In the order in which they came in."""
        self.unsent: deque[_Pending] = deque()
        """Those that the stream has not had yet."""
        self.number = 0
        """Of the next that it gets."""
        self.moved_at = now
        """When something was committed or the stream was sent again."""
        self.committed_at = now
        """When something was committed, or nothing was pending."""
        self.patience_s = patience_s
        """The stream is sent again when nothing was committed for this long. It grows with the time that commits take,
        because sending again would slow down a cluster that is only busy."""


class Forwarding:
    """All publishes of this node that are not answered yet."""

    def __init__(self, config: ForwardingConfig, slots: int, now: float) -> None:
        self.config = config
        self.pending = 0
        self.pending_bytes = 0
        self.commit_s = Histogram()
        """From when a publish came in here until it was seen to be committed."""
        self._lanes = [_Lane(now, config.retry_s) for _ in range(slots)]
        self._busy: dict[int, None] = {}
        """Slots with something pending."""
        self._unsent: dict[int, None] = {}
        """Slots with something that the stream has not had yet."""
        self._sends: list[tuple[NodeName, Forward]] = []
        self._events: list[PublishCommitted | PublishRefused] = []

    # Inputs.

    def publish(self, now: float, slot: int, item: Item) -> None:
        """A client of this node publishes."""
        lane = self._lanes[slot]
        publish = item.publish_key
        if publish in lane.pending:
            return  # the same one again: one answer is for both
        size = item_bytes(item)
        if self.pending >= self.config.pending_max or self.pending_bytes + size > self.config.pending_bytes_max:
            self._events.append(PublishRefused(publish, FULL, slot))
        elif not lane.coordinator and now - lane.since >= self.config.unavailable_s:
            self._events.append(PublishRefused(publish, NO_COORDINATOR, slot))
        else:
            if not lane.pending:
                lane.moved_at = lane.committed_at = now
            pending = lane.pending[publish] = _Pending(item, now, now + self.config.timeout_s)
            lane.unsent.append(pending)
            self._unsent[slot] = None
            self.pending += 1
            self.pending_bytes += size
            self._busy[slot] = None

    def coordinated(self, now: float, slot: int, coordinator: NodeName, is_new: bool) -> None:
        """Who takes the slot's publishes now; empty if nobody does. `is_new`: in another epoch than before."""
        lane = self._lanes[slot]
        if coordinator != lane.coordinator:
            lane.since = now
        if (coordinator != lane.coordinator or is_new) and coordinator:
            self._restart(now, slot, lane)
        lane.coordinator = coordinator

    def committed(self, now: float, slot: int, publish: PublishKey, at: Position) -> None:
        """The log holds a publish, of whatever node."""
        lane = self._lanes[slot]
        if (pending := lane.pending.get(publish)) is not None:
            self.commit_s.observe(now - pending.since)
            self._moved(now, lane)
            self._remove(slot, lane, publish)
            self._events.append(PublishCommitted(slot, publish, at))

    def stands(self, slot: int, publish: PublishKey, at: Position) -> None:
        """A publish that a client of this node has just sent is in the log already."""
        lane = self._lanes[slot]
        if publish in lane.pending:
            self._remove(slot, lane, publish)
        self._events.append(PublishCommitted(slot, publish, at))

    def tick(self, now: float) -> None:
        """Give up what took too long; send again what does not move."""
        for slot in [*self._busy]:
            lane = self._lanes[slot]
            is_unavailable = not lane.coordinator and now - lane.since >= self.config.unavailable_s
            late = []
            for publish, one in lane.pending.items():
                if one.deadline > now and not is_unavailable:
                    break  # so are all that came after it
                late.append(publish)
            for publish in late:
                why = UNKNOWN if lane.pending[publish].is_sent else NO_COORDINATOR
                self._remove(slot, lane, publish)
                self._events.append(PublishRefused(publish, why, slot))
            if lane.pending and now - lane.moved_at >= lane.patience_s:
                self._restart(now, slot, lane)

    def waiting(self, slot: int) -> list[PublishKey]:
        """The publishes for this slot that are pending."""
        return [*self._lanes[slot].pending]

    def is_waiting(self, slot: int) -> bool:
        """Whether any publish for this slot is pending."""
        return slot in self._busy

    # Outputs.

    def take_sends(self) -> list[tuple[NodeName, Forward]]:
        """What to send to coordinators."""
        for slot in [*self._unsent]:
            lane = self._lanes[slot]
            if lane.coordinator:
                self._fill(slot, lane)
                del self._unsent[slot]
        sends, self._sends = self._sends, []
        return sends

    def take_events(self) -> list[PublishCommitted | PublishRefused]:
        """What became of publishes."""
        events, self._events = self._events, []
        return events

    # Private.

    def _moved(self, now: float, lane: _Lane) -> None:
        if now > lane.committed_at:
            wanted = max(self.config.retry_s, 2 * (now - lane.committed_at), 0.9 * lane.patience_s)
            lane.patience_s = min(wanted, self.config.retry_max_s)
            lane.moved_at = lane.committed_at = now

    def _restart(self, now: float, slot: int, lane: _Lane) -> None:
        """Send everything that is pending, in a new stream."""
        lane.stream += 1
        lane.number = 0
        lane.unsent = deque(lane.pending.values())
        self._unsent[slot] = None
        lane.moved_at = now

    def _fill(self, slot: int, lane: _Lane) -> None:
        while lane.unsent:
            items: list[Item] = []
            size = 0
            while lane.unsent and len(items) < FORWARD_ITEMS_MAX and size < FORWARD_BYTES_MAX:
                one = lane.unsent.popleft()
                if not one.is_answered:
                    one.is_sent = True
                    items.append(one.item)
                    size += item_bytes(one.item)
            if items:
                self._sends.append((lane.coordinator, Forward(slot, lane.stream, lane.number, items)))
                lane.number += len(items)

    def _remove(self, slot: int, lane: _Lane, publish: PublishKey) -> None:
        one = lane.pending.pop(publish)
        one.is_answered = True
        self.pending -= 1
        self.pending_bytes -= item_bytes(one.item)
        if not lane.pending:
            del self._busy[slot]


class Streams:
    """The coordinator's end of one slot: what comes next of each stream."""

    def __init__(self) -> None:
        self._next: dict[NodeName, tuple[str, int, int]] = {}

    def restart(self) -> None:
        """Another epoch begins: every node begins another stream."""
        self._next.clear()

    def take(self, sender: NodeName, boot: str, forward: Forward) -> list[Item]:
        """What is next of it; nothing if something before it has not come yet."""
        known_boot, stream, following = self._next.get(sender, ("", -1, 0))
        if known_boot != boot or forward.stream > stream:
            stream, following = forward.stream, 0
        if forward.stream < stream or forward.first > following:
            return []
        items = forward.items[following - forward.first :]
        self._next[sender] = (boot, stream, max(following, forward.first + len(forward.items)))
        return items
