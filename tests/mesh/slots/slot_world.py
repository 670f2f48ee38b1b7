"""A few nodes with one slot, joined by a network that does what it is told: whole milliseconds, nothing random.

Every packet takes one millisecond, goes through the codec, and can be dropped; nodes crash, pause, lose their disk and
their links. Who looks alive is told (`declare`), for no failure detector is in here: coordinators are missed by their
silence. What happens is told to `listen`, in the order in which it does.

Not here: many slots, random faults, checkers (tests/sim).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from mesh.slots.forwarding import ForwardingConfig
from mesh.slots.slot import EVERYONE, SlotConfig
from mesh.slots.slot_log import Item
from mesh.slots.slots import Slots, SlotsPacket
from mesh.transport.wire import Codec

TICK_MS = 50
DELAY_MS = 1
LOST = "lost"


class WorldNode:
    """One machine: its process, if one runs, and its disk."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.boots = 0
        self.slots: Slots | None = None
        self.disk: dict[int, int] | None = None
        self.can_save = True
        self.is_paused = False
        self.inbox: list[tuple[str, str, list[SlotsPacket]]] = []
        """What came while it was paused."""

    @property
    def boot(self) -> str:
        """Of the process that runs, or ran last."""
        return f"{self.name}{self.boots}"


class World:
    """The nodes, the links between them, and the time."""

    def __init__(
        self,
        voters: Sequence[str],
        observers: Sequence[str] = (),
        listen: Callable[[int, str, Any, str], None] = lambda now, node, what, to: None,
        **config: Any,
    ) -> None:
        self.config = SlotConfig(voters=tuple(voters), **config)
        self.nodes = {name: WorldNode(name) for name in (*voters, *observers)}
        self.alive = [*self.nodes]
        self.now = 0
        self.published: Counter[str] = Counter()
        """By publisher."""
        self._listen = listen
        self._codec: Codec[SlotsPacket] = Codec(SlotsPacket)
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._cut: set[tuple[str, str]] = set()
        """(speaker, listener)."""
        self._drop: list[tuple[str, str, str]] = []
        for name in self.nodes:
            self.start(name)

    # What can be done to it.

    def start(self, name: str) -> None:
        """Start a node's process."""
        node = self.nodes[name]
        assert node.slots is None, f"{name} runs already"
        node.boots += 1
        node.slots = Slots(
            self.now / 1000, name, node.boot, self.config, ForwardingConfig(), 1, node.disk, Random(node.boot)
        )
        node.slots.members(self.now / 1000, self.alive)
        boot = node.boot
        self._later(0, lambda: self._tick(node, boot))

    def crash(self, name: str) -> None:
        """Its memory is gone, and whatever was on its way to it."""
        node = self.nodes[name]
        node.slots, node.is_paused, node.inbox = None, False, []

    def pause(self, name: str) -> None:
        """It does nothing and notices nothing."""
        self.nodes[name].is_paused = True

    def resume(self, name: str) -> None:
        """It goes on, with all that came meanwhile."""
        node = self.nodes[name]
        node.is_paused = False
        inbox, node.inbox = node.inbox, []
        for sender, boot, packets in inbox:
            self._receive(node, sender, boot, packets)

    def declare(self, alive: Sequence[str]) -> None:
        """So the failure detectors of all nodes see it now."""
        self.alive = list(alive)
        for node in self.nodes.values():
            if node.slots is not None:
                node.slots.members(self.now / 1000, self.alive)

    def cut(self, one: str, other: str) -> None:
        """Nothing passes between these two from now on."""
        self._cut |= {(one, other), (other, one)}

    def cut_one_way(self, speaker: str, listener: str) -> None:
        """What the first says does not get to the second."""
        self._cut.add((speaker, listener))

    def heal(self) -> None:
        """All links are whole."""
        self._cut.clear()

    def drop_next(self, kind: str, sender: str, to: str) -> None:
        """Lose the next packet of this kind (its tag) on this link."""
        self._drop.append((kind, sender, to))

    def publish(self, name: str, publisher: str, number: int, text: str) -> None:
        """A client of a node publishes."""
        node = self.nodes[name]
        assert node.slots is not None
        node.slots.publish(self.now / 1000, Item("/c/x", publisher, number, text.encode(), None, 0))
        self._flush(node)

    def leave(self, name: str) -> None:
        """A node hands over what it coordinates."""
        node = self.nodes[name]
        assert node.slots is not None
        node.slots.leave(self.now / 1000)
        self._flush(node)

    def run(self, duration_ms: int) -> None:
        """Let time pass."""
        until = self.now + duration_ms
        while self._due and self._due[0][0] <= until:
            self.now, _, action = heapq.heappop(self._due)
            action()
        self.now = until

    # What happens by itself.

    def _later(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.now + delay_ms, self._count, action))

    def _tick(self, node: WorldNode, boot: str) -> None:
        if node.slots is not None and node.boot == boot:
            if not node.is_paused:
                node.slots.tick(self.now / 1000)
                self._flush(node)
            self._later(TICK_MS, lambda: self._tick(node, boot))

    def _arrive(self, to: str, data: bytes) -> None:
        node, envelope = self.nodes[to], self._codec.decode(data)
        if (envelope.sender, to) in self._cut:
            return
        if node.is_paused:
            node.inbox.append((envelope.sender, envelope.boot, envelope.packets))
        else:
            self._receive(node, envelope.sender, envelope.boot, envelope.packets)

    def _receive(self, node: WorldNode, sender: str, boot: str, packets: list[SlotsPacket]) -> None:
        if node.slots is not None:
            for packet in packets:
                node.slots.receive(self.now / 1000, sender, boot, packet)
            self._flush(node)

    def _flush(self, node: WorldNode) -> None:
        slots = node.slots
        assert slots is not None
        slots.settle(self.now / 1000)
        promises = slots.take_promises()
        if promises and not node.can_save:
            slots.promises_failed(self.now / 1000)
        elif promises:
            node.disk = {**(node.disk or {}), **promises}
            self._listen(self.now, node.name, promises, "")
            slots.promises_saved(self.now / 1000)
        for event in slots.take_events():
            self._listen(self.now, node.name, event, "")
        messages: dict[str, list[SlotsPacket]] = {}
        for to, packet in slots.take_sends():
            others = [name for name in self.nodes if name != node.name] if to == EVERYONE else [to]
            lost = [name for name in others if self._is_lost(node.name, name, packet)]
            self._listen(self.now, node.name, packet, to)
            for name in others:
                if name in lost:
                    self._listen(self.now, node.name, LOST, name)
                else:
                    messages.setdefault(name, []).append(packet)
        for to, packets in messages.items():
            data = self._codec.encode(node.name, node.boot, 0, packets)
            self._later(DELAY_MS, lambda to=to, data=data: self._arrive(to, data))  # type: ignore[misc]

    def _is_lost(self, sender: str, to: str, packet: SlotsPacket) -> bool:
        tag = str(packet.__struct_config__.tag)
        if tag != "beacon" and (tag, sender, to) in self._drop:
            self._drop.remove((tag, sender, to))
            return True
        return False
