"""ZeroMQ between the nodes: PUB to all, DEALER to one; SUB and ROUTER are their ends at the others.

Every node listens twice, ROUTER at its port and PUB at the next, and connects to each peer twice, with a DEALER and a
SUB. Messages to a peer go over our DEALER, its messages come over our ROUTER: each socket has one direction, so no
send can swallow the edge of an arrival, and the ROUTER needs no routing ids, which anybody could claim.

Nothing blocks and nothing waits here: what a full queue or a missing connection does not take is dropped and counted.
All traffic is CURVE-encrypted; handshakes are answered in our own loop, so a stuck loop lets nobody in. There are no
ZMTP heartbeats: with them libzmq 4.3.5 aborts when a reader that is stalled by back-pressure is cut off (libzmq issues
3937 and 4767). The callers' beacons and `kick` do their work.

Not here: what counts of what comes in (links.py), its form (wire.py), keys (keys.py), batching
(node/cluster/network.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic

import zmq
from gevent import get_hub

from mesh.loop import Watchers
from mesh.transport import zap
from mesh.transport.addresses import cannot_listen, numeric_host
from mesh.transport.keys import Keys
from mesh.transport.links import Links, LinkStats, PeerAddress
from mesh.transport.pump import Pump
from mesh.transport.wire import MESSAGE_BYTES_MAX, Codec, P, TooLarge, WireError

log = logging.getLogger(__name__)

BROADCAST_MESSAGES_MAX = 10_000
"""Broadcasts that may wait for a slow peer, at each end. Each is a batch, so this can be some 100 MB."""
DIRECT_MESSAGES_MAX = 10_000
RECONNECT_MS = 100
RECONNECT_MS_MAX = 2_000
HANDSHAKE_MS = 5_000
UNACKNOWLEDGED_MS = 10_000
"""After this time with unacknowledged TCP data, or a shut window, the connection is closed and its queue freed."""
CURVE_BYTES = 1_024
"""More than CURVE and a topic add to a message."""
TO_ALL = b"*"
"""Topic of a broadcast. While some peers are cut off, each of the others gets it by the topic of its own name."""
_DONTWAIT = int(zmq.DONTWAIT)
"""As a plain integer: pyzmq's own enumeration costs more than the sending."""


@dataclass(slots=True)
class _Sockets:
    sub: zmq.Socket[bytes]
    dealer: zmq.Socket[bytes]


class Transport(Generic[P]):
    """This node's end of all links. `receive(sender, boot, packets)` is called in the loop, then `received`."""

    def __init__(
        self,
        me: str,
        boot: str,
        host: str,
        port: int,
        keys: Keys,
        codec: Codec[P],
        receive: Callable[[str, str, list[P]], None],
        crash: Callable[[], None],
        loop: Watchers | None = None,
        received: Callable[[], None] | None = None,
    ) -> None:
        """Listen at `port` and the next one; 0 stands for two free ones.

        Args:
            received: Called when nothing more is read for now: what has come can be answered together.

        Raises:
            OSError: If that cannot be; its text names the address.
        """
        self._me = me
        self._boot = boot
        self._keys = keys
        self._codec = codec
        self._receive = receive
        self._links = Links(me)
        self._sockets: dict[str, _Sockets] = {}
        self._published = 0
        self._topic = _topic(me)
        self._gate = zap.Gate(keys.accepted())
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._pump = Pump(loop if loop is not None else get_hub().loop, crash, received)
        try:
            self._asked = self._context.socket(zmq.REP)
            self._asked.bind(zap.ADDRESS)
            self._router = self._server(zmq.ROUTER)
            self._pub = self._server(zmq.PUB)
            address = numeric_host(host)
            self.router_port = _bind(self._router, address, port)
            self.pub_port = _bind(self._pub, address, port + 1 if port else 0)
        except BaseException:
            self.close()
            raise
        self._pump.add(self._asked, lambda: self._asked.recv_multipart(_DONTWAIT), self._on_question)
        self._pump.add(self._router, self._fetch_direct, self._on_direct)

    # Peers.

    @property
    def stats(self) -> LinkStats:
        """What came, went and got lost."""
        stats = self._links.stats
        stats.refused["key"] = self._gate.refused
        return stats

    def peers(self, peers: Mapping[str, PeerAddress]) -> None:
        """Have links to these peers, and to no others. This node itself may be among them."""
        closing, opening = self._links.change(time.monotonic(), peers)
        for name in closing:
            self._disconnect(name)
        for name in opening:
            self._connect(name)

    def kick(self, peer: str) -> None:
        """Reconnect to this peer: a connection can be dead without either end knowing it (half-open)."""
        if self._links.address(peer) is not None:
            self._links.reopened(time.monotonic(), peer)
            self._disconnect(peer)
            self._connect(peer)

    def is_up(self, peer: str) -> bool:
        """Whether broadcasts of the peer's present process come through."""
        return self._links.is_up(peer)

    def silent_s(self, peer: str, now: float) -> float:
        """For how long no broadcast came; counted from the opening of the link at the earliest.

        Args:
            now: Of time.monotonic().
        """
        return self._links.silent_s(now, peer)

    def cut(self, peers: Collection[str], until: float) -> None:
        """Exchange nothing with these peers until then, by time.monotonic(). Replaces the cut before."""
        self._links.cut(frozenset(peers), until)

    # Sending.

    def send(self, peer: str, packets: list[P]) -> None:
        """Send to one peer, or drop."""
        sockets = self._sockets.get(peer)
        stats = self._links.stats
        if sockets is None:
            stats.dropped[peer] += 1
            return
        if self._links.is_cut(time.monotonic(), peer):
            stats.cut += 1
            return
        for data in self._encoded(0, packets):
            try:
                sockets.dealer.send(data, _DONTWAIT)
                stats.messages_out += 1
                stats.bytes_out += len(data)
            except zmq.Again:
                stats.dropped[peer] += 1

    def broadcast(self, packets: list[P]) -> None:
        """Send to all that are connected, or drop for those whose queue is full; they see the jump in the numbers."""
        stats = self._links.stats
        reached = self._links.reached(time.monotonic())
        topics = [TO_ALL] if reached is None else [_topic(name) for name in reached]
        stats.cut += reached is not None
        for data in self._encoded(self._published + 1, packets):
            self._published += 1
            stats.messages_out += 1
            stats.bytes_out += len(data)
            for topic in topics:
                self._pub.send(topic + data, _DONTWAIT)

    def close(self) -> None:
        """Close everything at once; what waits to be sent is gone."""
        self._pump.close()
        self._context.destroy(linger=0)
        self._sockets.clear()

    def _encoded(self, link_seq: int, packets: list[P]) -> list[bytes]:
        """As one message; as several if one would be too large. Broadcasts are numbered from `link_seq` on."""
        try:
            return [self._codec.encode(self._me, self._boot, link_seq, packets)]
        except TooLarge as error:
            if len(packets) == 1:
                self._links.stats.oversized += 1
                _say("packet_too_large", packet=type(packets[0]).__name__, error=str(error))
                return []
        half = len(packets) // 2
        first = self._encoded(link_seq, packets[:half])
        return first + self._encoded(link_seq and link_seq + len(first), packets[half:])

    # Receiving.

    def _on_question(self, request: list[bytes]) -> None:
        self._asked.send_multipart(self._gate.answer(request), _DONTWAIT)

    def _fetch_direct(self) -> zmq.Frame | None:
        """A message; None for one of several frames. (`recv_multipart` takes four times as long.)"""
        self._router.recv(_DONTWAIT)  # the connection's routing id, which is nobody's name
        frame = self._router.recv(_DONTWAIT, copy=False)
        if not frame.more:
            return frame
        while frame.more:
            frame = self._router.recv(_DONTWAIT, copy=False)
        return None

    def _on_direct(self, frame: zmq.Frame | None) -> None:
        if frame is None:
            self._links.stats.refused["wire"] += 1
            return
        name = str(frame.get("User-Id")) if self._keys.by_node is not None else None
        self._on_message(frame.buffer, name, is_numbered=False)

    def _on_broadcast(self, peer: str, frame: bytes) -> None:
        topic = TO_ALL if frame.startswith(TO_ALL) else self._topic
        self._on_message(memoryview(frame)[len(topic) :], peer, is_numbered=True)

    def _on_message(self, data: memoryview, name: str | None, is_numbered: bool) -> None:
        stats = self._links.stats
        stats.messages_in += 1
        stats.bytes_in += len(data)
        try:
            envelope = self._codec.decode(data)
        except WireError as error:
            stats.refused["wire"] += 1
            if stats.refused["wire"] == 1:  # the first says what it is; the counter says how often
                _say("message_refused", peer=name, error=str(error))
            return
        if self._links.admits(time.monotonic(), envelope, name, is_numbered):
            self._receive(envelope.sender, envelope.boot, envelope.packets)

    # Sockets.

    def _server(self, kind: int) -> zmq.Socket[bytes]:
        made = self._socket(kind)
        made.curve_server = 1
        made.curve_publickey, made.curve_secretkey = self._keys.public, self._keys.secret
        made.zap_domain = zap.DOMAIN
        made.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        return made

    def _client(self, kind: int, server_key: bytes) -> zmq.Socket[bytes]:
        made = self._socket(kind)
        made.curve_serverkey = server_key
        made.curve_publickey, made.curve_secretkey = self._keys.public, self._keys.secret
        made.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        made.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MS_MAX)
        return made

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        made = self._context.socket(kind)
        queue_max = BROADCAST_MESSAGES_MAX if kind in (zmq.PUB, zmq.SUB) else DIRECT_MESSAGES_MAX
        made.setsockopt(zmq.SNDHWM, queue_max)
        made.setsockopt(zmq.RCVHWM, queue_max)
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX + CURVE_BYTES)
        made.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        made.setsockopt(zmq.TCP_KEEPALIVE, 1)
        made.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 5)
        made.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 1)
        made.setsockopt(zmq.TCP_KEEPALIVE_CNT, 5)
        made.setsockopt(zmq.TCP_MAXRT, UNACKNOWLEDGED_MS)
        return made

    def _connect(self, peer: str) -> None:
        address = self._links.address(peer)
        assert address is not None
        key = self._keys.server_key(peer, address.public)
        if key is None:
            _say("peer_without_key", peer=peer)
            return
        sub, dealer = self._client(zmq.SUB, key), self._client(zmq.DEALER, key)
        sub.setsockopt(zmq.SUBSCRIBE, TO_ALL)
        sub.setsockopt(zmq.SUBSCRIBE, self._topic)
        dealer.setsockopt(zmq.IMMEDIATE, 1)  # without a connection there is no queue: the packets would be old
        try:
            for made, at in ((sub, address.pub_address), (dealer, address.router_address)):
                made.setsockopt(zmq.IPV6, int(at.startswith("[")))
                made.connect(f"tcp://{at}")
        except zmq.ZMQError as error:
            sub.close()
            dealer.close()
            _say("peer_address_wrong", peer=peer, pub=address.pub_address, router=address.router_address, error=error)
            return
        self._sockets[peer] = _Sockets(sub, dealer)
        self._pump.add(sub, lambda: sub.recv(_DONTWAIT), lambda frame: self._on_broadcast(peer, frame))

    def _disconnect(self, peer: str) -> None:
        sockets = self._sockets.pop(peer, None)
        if sockets is not None:
            self._pump.remove(sockets.sub)
            sockets.sub.close()
            sockets.dealer.close()


def _topic(name: str) -> bytes:
    """The topic that only this node subscribes to; none is the beginning of another."""
    return b"@" + name.encode() + b"\0"


def _bind(made: zmq.Socket[bytes], host: str, port: int) -> int:
    made.setsockopt(zmq.IPV6, int(host.startswith("[")))
    try:
        made.bind(f"tcp://{host}:{port or '*'}")
    except zmq.ZMQError as error:
        raise cannot_listen(host, port, error.errno) from error
    return int(made.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])


def _say(name: str, **fields: object) -> None:
    """One line of the log, in the form of gateway/link/logs.py, which this package may not import."""
    log.warning("%s", name, extra={"fields": fields})
