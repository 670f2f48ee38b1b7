"""The worker's end of the link: a ZeroMQ DEALER, read in the loop.

All packets that wait are taken together, within bounds, so that what they bring is handled once: costs per packet fall
as load rises. Of what clients have not been sent yet so much is taken that they can be sent much at once, and no more:
the rest waits in the link, where the node sees it. What the node does not take waits here, in order.

Not here: what the events mean (sessions/sessions.py), their form (link/events.py, link/packets.py), when the socket is
read (mesh/transport/pump.py).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import msgspec
import zmq

from gateway.link import events as link
from gateway.link.crash import crash
from gateway.link.logs import event
from gateway.link.numbering import Arrivals
from gateway.link.packets import packets
from mesh.loop import Watchers
from mesh.transport.pump import Pump

log = logging.getLogger(__name__)

SEND_PACKETS_MAX = 10_000
RECEIVE_PACKETS_MAX = 1_000
AHEAD_BYTES_MAX = 32 * 1024 * 1024
"""Of packets whose messages have not left: some of them for each of 15,000 clients, who then get them in one write."""
Mark: TypeAlias = tuple[int, int]
"""A point in what the node says: packets and bytes up to it."""
_DONTWAIT = int(zmq.DONTWAIT)


class Uplink:
    """Sends lists of events to the node, and hands over what it says."""

    def __init__(
        self,
        loop: Watchers,
        address: str,
        routing_id: str,
        handle: Callable[[list[link.FromNode]], None],
        jumped: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._jumped = jumped
        self._arrivals = Arrivals()
        self._arrived: list[link.FromNode] = []
        self._fetched: Mark = (0, 0)
        self._done: Mark = (0, 0)
        self.handed_over: Mark = (0, 0)
        """Up to here everything has been handed over."""
        self.heard_at = time.monotonic()
        """When the last packet of the node came. It sends at least one a second."""
        self._waiting: deque[bytes] = deque()
        self.waiting_bytes = 0
        """Of packets that the node has not taken."""
        self._decode = msgspec.msgpack.Decoder(list[link.FromNode]).decode
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.ROUTING_ID, routing_id.encode())
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, SEND_PACKETS_MAX)
        self._socket.setsockopt(zmq.RCVHWM, RECEIVE_PACKETS_MAX)
        self._socket.connect(address)
        self._pump = Pump(loop, crash, self._hand_over)
        self._pump.add(self._socket, self._fetch, self._take)

    def send(self, events: list[link.FromWorker]) -> None:
        """Send these after what waits; what the link does not take now waits for the next call."""
        for packet in packets(events):
            self._waiting.append(packet)
            self.waiting_bytes += len(packet)
        if not self._waiting:
            return
        try:
            while self._waiting:
                self._socket.send(self._waiting[0], _DONTWAIT)
                self.waiting_bytes -= len(self._waiting.popleft())
        except zmq.Again:
            pass
        self._pump.check(self._socket)

    @property
    def taken(self) -> int:
        """Packets with which all has been done."""
        return self._done[0]

    @property
    def is_behind(self) -> bool:
        """Whether something that was received has not been handled yet."""
        return self._done != self._fetched

    def done(self, mark: Mark) -> None:
        """Everything that was handed over up to here has been done, and what it had for clients has left."""
        was_full, self._done = self._is_full, mark
        if was_full and not self._is_full:
            self._pump.check(self._socket)

    def close(self) -> None:
        """Close the link at once."""
        self._pump.close()
        self._socket.close(0)
        self._context.destroy(0)

    @property
    def _is_full(self) -> bool:
        return self._fetched[1] - self._done[1] > AHEAD_BYTES_MAX

    def _fetch(self) -> tuple[bytes, bytes]:
        if self._is_full:
            self.heard_at = time.monotonic()
            raise zmq.Again  # as if there were nothing, until `done`
        return self._socket.recv(_DONTWAIT), self._socket.recv(_DONTWAIT)

    def _take(self, parts: tuple[bytes, bytes]) -> None:
        header, packet = parts
        jump = self._arrivals.arrived(header)
        if jump:
            self._hand_over()
            event(log, "link_jumped", packets=jump)
            self._jumped()
        self.heard_at = time.monotonic()
        packets, size = self._fetched
        self._fetched = packets + 1, size + len(packet)
        self._arrived += self._decode(packet)

    def _hand_over(self) -> None:
        if self._fetched != self.handed_over:
            self.handed_over = self._fetched
            events, self._arrived = self._arrived, []
            self._handle(events)
