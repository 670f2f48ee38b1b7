"""The worker's end of the link: a ZeroMQ DEALER, read in the loop.

ZeroMQ's descriptor is edge-triggered: it is drained until `Again`, and looked at now and then in any case (`poll`),
because an edge can be lost. Draining stops after a while so that clients get their turn; a timer goes on with it.
What the node does not take waits here, in order.

Not here: what the events mean (sessions/clients.py), their form (link/events.py, link/packets.py).
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import zmq

from gateway.link import events as link
from gateway.link.logs import event
from gateway.link.packets import packets

log = logging.getLogger(__name__)

SEND_PACKETS_MAX = 10_000
RECEIVE_PACKETS_MAX = 1_000
TURN_S = 0.01
"""How long one turn of draining may take."""
PAUSE_S = 0.0001
"""Zero would not let the loop look at its sockets in between."""
EXIT_STATUS = 70


class Uplink:
    """Sends lists of events to the node, and hands over what it says, packet by packet."""

    def __init__(
        self,
        loop: Any,
        address: str,
        routing_id: str,
        told: Callable[[list[link.FromNode]], None],
        jumped: Callable[[], None],
    ) -> None:
        self._told = told
        self._jumped = jumped
        self._next = 0
        self.heard_at = time.monotonic()
        """When the node said something last. It does at least once a second."""
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
        self._watcher = loop.io(self._socket.getsockopt(zmq.FD), 1)
        self._watcher.start(self._drain)
        self._again = loop.timer(PAUSE_S)

    def send(self, events: list[link.FromWorker]) -> None:
        """Send these after what waits; what the link does not take now waits for the next call."""
        for packet in packets(events):
            self._waiting.append(packet)
            self.waiting_bytes += len(packet)
        if not self._waiting:
            return
        try:
            while self._waiting:
                self._socket.send(self._waiting[0], zmq.DONTWAIT)
                self.waiting_bytes -= len(self._waiting.popleft())
        except zmq.Again:
            pass
        # The send may have swallowed the edge of an arrival.
        if int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._again.start(self._drain)

    def poll(self) -> None:
        """Look whether anything came, whatever the descriptor says."""
        self._drain()

    def close(self) -> None:
        """Close the link at once."""
        self._watcher.stop()
        self._again.stop()
        self._socket.close(0)
        self._context.destroy(0)

    def _drain(self) -> None:
        try:
            until = time.monotonic() + TURN_S
            while True:
                counter, packet = self._socket.recv_multipart(zmq.DONTWAIT)
                number = int.from_bytes(counter, "big")
                if number != self._next:
                    event(log, "link_jumped", expected=self._next, found=number)
                    self._jumped()
                self._next = number + 1
                self.heard_at = time.monotonic()
                self._told(self._decode(packet))
                if time.monotonic() >= until:
                    self._again.start(self._drain)
                    return
        except zmq.Again:
            return
        except Exception:
            # Half-handled news leaves the worker's picture wrong: die, be restarted, and let clients resume.
            event(log, "link_failed", logging.CRITICAL, exc_info=True)
            os._exit(EXIT_STATUS)
