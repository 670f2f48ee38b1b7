"""The link between a node process and one of its workers: numbered packets in a bounded queue, as ZeroMQ keeps them.

A packet that finds the queue full takes its number all the same; then nothing is sent until there is room, and the
worker finds the jump. What a worker says arrives late, never out of order.

Not here: what is said (gateway/link/events.py), the two ends' cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from gateway.link.events import FromNode, FromWorker
from gateway.link.numbering import Numbers
from gateway.link.packets import packets
from tests.sim.setting import Setting

DELAY_S = 0.001

_encode = msgspec.msgpack.Encoder().encode
_decode_to_node = msgspec.msgpack.Decoder(list[FromWorker]).decode


class Link:
    """One worker process's, as long as it and its node process live."""

    def __init__(
        self,
        setting: Setting,
        rng: Random,
        worker: int,
        lost_place: Callable[[int], None],
        to_worker: Callable[[bytes, bytes], None],
        to_node: Callable[[int, list[FromWorker]], None],
    ) -> None:
        """Begin empty.

        Args:
            worker: The number that the node knows the worker by.
            lost_place: Told when the worker will find a jump that the core does not know of.
            to_worker: Takes a packet's number and the packet.
            to_node: Takes what the worker says.
        """
        self.worker = worker
        self.is_open = True
        self.is_stalled = False
        """The worker takes nothing."""
        self._setting = setting
        self._rng = rng
        self._lost_place = lost_place
        self._to_worker = to_worker
        self._to_node = to_node
        self._numbers = Numbers()
        self._outgoing: list[FromNode] = []
        self._queue: deque[tuple[bytes, bytes]] = deque()
        self._is_cut_off = False
        self._to_worker_at = self._to_node_at = 0.0

    # The node's end.

    def send(self, event: FromNode) -> None:
        """Put this behind all that was sent before; `flush` sends it."""
        self._outgoing.append(event)

    def flush(self) -> None:
        """Send what was put in, in one packet."""
        if not self._outgoing:
            return
        outgoing, self._outgoing = self._outgoing, []
        if self._is_cut_off:
            return
        if len(self._queue) >= self._setting.options.link_packets_max:
            self._setting.counts["link: queue full"] += 1
            self._cut_off()
            self._lost_place(self.worker)
            return
        self._put(_encode(outgoing))

    def resync(self) -> None:
        """Leave out a number; the core knows it."""
        if not self._is_cut_off:
            self._setting.counts["link: resync"] += 1
            self._outgoing.clear()
            self._cut_off()

    def poke(self) -> None:
        """About once a second: has a worker that is cut off room again?"""
        if self._is_cut_off and len(self._queue) < self._setting.options.link_packets_max:
            self._is_cut_off = False
            self._put(b"\x90")

    # The worker's end.

    def say(self, events: list[FromWorker]) -> None:
        """The worker says something."""
        for packet in packets(events):
            self._to_node_at = max(self._to_node_at, self._setting.now) + self._rng.random() * DELAY_S
            self._setting.schedule.at(self._to_node_at, self._arrive_at_node, packet)

    def take(self) -> None:
        """The worker takes what is there."""
        while self._queue and self.is_open and not self.is_stalled:
            self._to_worker(*self._queue.popleft())

    def close(self) -> None:
        """One of the two is gone."""
        self.is_open = False
        self._queue.clear()

    # Private.

    def _put(self, packet: bytes) -> None:
        self._queue.append((self._numbers.header(), packet))
        self._numbers.use()
        self._setting.schedule.after(self._rng.random() * DELAY_S, self.take)

    def _cut_off(self) -> None:
        self._is_cut_off = True
        self._numbers.use()

    def _arrive_at_node(self, packet: bytes) -> None:
        if self.is_open:
            self._to_node(self.worker, decode_to_node(packet))


def decode_to_node(packet: bytes) -> list[FromWorker]:
    """What a worker said."""
    events: Any = _decode_to_node(packet)
    return list(events)
