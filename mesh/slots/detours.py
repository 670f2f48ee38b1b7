"""Packets for nodes that do not hear this one: by way of others, over whatever links there are (reach.py).

Over links of TCP a node that is reached by others gets everything in packets as large as they are. Where a link of the
way is one for datagrams, it gets it in pieces (pieces.py), acknowledged by whatever way leads back; beacons alone are
sent as they are, since what is lost of them comes again.

Not here: what the packets mean (slots.py), the datagrams' bytes (node/cluster/network.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from mesh.cache.peer_scan import PeerScanPacket, ScanAsk
from mesh.cache.state_transfer import CacheAsk, StateTransferPacket
from mesh.revocations import RevocationsPacket
from mesh.slots.pieces import Held, Piece, PieceReceiver, PieceSender
from mesh.slots.reach import Deafness, LinkHello, Reach, Relayed
from mesh.slots.slot import EVERYONE, NodeName

DATAGRAM_BYTES_MAX = 1_120
"""Of a packet: what a sealed and encrypted datagram (membership/seal.py) has room for, whatever the nodes' names."""
HELLO_BYTES_MAX = DATAGRAM_BYTES_MAX - 20
PIECE_BYTES_MIN = 256
PAYLOAD_BYTES_MAX = 1 << 20
FAINT_PAYLOAD_BYTES_MAX = ANSWER_BYTES_MAX = 1 << 16
"""What is sent in one go, over TCP and in pieces, unless one packet is larger: what is too much for a node to take, or
to keep in its queues, is lost as a whole."""
PACKET_BYTES = 80
"""What a piece has around it, besides names."""

Datagram: TypeAlias = LinkHello | Relayed
P = TypeVar("P", bound=msgspec.Struct)
OthersPacket: TypeAlias = StateTransferPacket | PeerScanPacket | RevocationsPacket
"""What other cores of a node say to their like, and what goes by way of other nodes, too (`detours.send`)."""
_encode = msgspec.msgpack.Encoder().encode
_decode_datagram = msgspec.msgpack.Decoder(Datagram).decode


class CameByOthers(msgspec.Struct, frozen=True):
    """A packet that is not the slots' has come by way of other nodes; from its sender, in that start of it."""

    sender: NodeName
    boot: str
    packet: OthersPacket


def encode_datagram(datagram: Datagram) -> bytes:
    """As it travels."""
    return _encode(datagram)


def decode_datagram(data: bytes) -> Datagram | None:
    """None if these bytes are none."""
    try:
        datagram: Datagram = _decode_datagram(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return datagram


class Detours:
    """What one node sends by way of others, passes on for them, and gets by them."""

    def __init__(self, me: NodeName, boot: str, voters: Collection[NodeName], fleeting: type) -> None:
        """Begin with all links there.

        Args:
            fleeting: The type of packets that are sent again and again, so that it does no harm if one is lost.
        """
        self.reach = Reach(me, boot, voters)
        self.relayed = 0
        """Packets of others that were passed on."""
        self._me = me
        self._boot = boot
        self._voters = voters
        self._fleeting = fleeting
        names = len(me) + max(len(voter) for voter in voters) + sum(len(voter) + 2 for voter in voters)
        self._piece_bytes = max(PIECE_BYTES_MIN, DATAGRAM_BYTES_MAX - PACKET_BYTES - len(boot) - names)
        self._outgoing: dict[NodeName, PieceSender] = {}
        self._streams = 0
        """Numbers of streams: of all that this node began, a later one has a higher one."""
        self._incoming: dict[NodeName, PieceReceiver] = {}
        self._to_acknowledge: dict[NodeName, None] = {}
        self._direct: list[tuple[NodeName, Relayed]] = []
        self._datagrams: list[tuple[NodeName, Datagram]] = []

    # Inputs.

    def members(self, alive: Collection[NodeName]) -> None:
        """Who is alive."""
        self.reach.members(alive)
        for ends in (self._outgoing, self._incoming, self._to_acknowledge):
            for name in [name for name in ends if name not in alive]:
                del ends[name]

    def tick(self, now: float) -> None:
        """Time goes on; about every 50 ms."""
        self.reach.tick(now)
        greeted = self.reach.greeted()
        if greeted:
            self._datagrams += [(name, hello) for hello in _hellos(self.reach.rows()) for name in greeted]

    def relay(self, sender: NodeName, boot: str, relayed: Relayed) -> bytes | None:
        """A packet on its way by others: what it holds, if it is for this node; None if it is passed on.

        Raises:
            ValueError: If it should not have come here, or not from there.
        """
        is_mine = relayed.route[:1] == [self._me] and relayed.origin != self._me
        is_trusted = relayed.boot == boot if relayed.origin == sender else sender in self._voters
        if not is_mine or not is_trusted:
            raise ValueError("not on its way")
        if len(relayed.route) == 1:
            return relayed.payload
        self.relayed += 1
        route = relayed.route[1:]
        self._send(Relayed(route, relayed.origin, relayed.boot, relayed.payload))
        return None

    def piece(self, origin: NodeName, boot: str, piece: Piece) -> list[bytes]:
        """A piece of a message of another node: the messages that are whole with it."""
        if piece.to_boot != self._boot:
            return []
        incoming = self._incoming.get(origin)
        if incoming is None or incoming.boot != boot:
            incoming = self._incoming[origin] = PieceReceiver(boot)
        self._to_acknowledge[origin] = None
        return incoming.take(piece)

    def held(self, now: float, origin: NodeName, boot: str, held: Held) -> None:
        """What another node holds of the pieces that this one has sent."""
        outgoing = self._outgoing.get(origin)
        if outgoing is not None and outgoing.to_boot == boot and held.to_boot == self._boot:
            outgoing.held(now, held)

    # Outputs.

    def send(self, now: float, sends: Sequence[tuple[NodeName, P]]) -> Sequence[tuple[NodeName, P | Relayed]]:
        """The same for links of TCP, with what goes by way of others; for the other links `take_datagrams`."""
        if not (sends or self._outgoing or self._to_acknowledge or self._direct):
            return sends  # as with nearly every batch of records: not worth looking for routes
        routes = self.reach.detours()
        if not (routes or self._outgoing or self._to_acknowledge or self._direct):
            return sends
        direct: list[tuple[NodeName, P]] = []
        by_node: dict[NodeName, list[msgspec.Struct]] = {}
        for to, packet in sends:
            for name in routes if to == EVERYONE else [to] if to in routes else []:
                by_node.setdefault(name, []).append(packet)
            if to not in routes:
                direct.append((to, packet))
        faint = {name: route for name, route in routes.items() if self.reach.is_faint(route)}
        for name, packets in by_node.items():
            if name in faint:
                self._offer(now, name, faint[name], packets)
            else:
                for payload in _payloads(packets, PAYLOAD_BYTES_MAX):
                    self._send(Relayed(routes[name], self._me, self._boot, payload))
        self._send_pieces(now, faint)
        for name in self._to_acknowledge:
            held = self._incoming[name].held()
            self._send(Relayed(routes.get(name, [name]), self._me, self._boot, _encode([held])))
        self._to_acknowledge.clear()
        passing, self._direct = self._direct, []
        return [*direct, *passing]

    def came(self, relayed: Relayed, packet: OthersPacket) -> CameByOthers:
        """A packet that is not the slots' was in one that was relayed. What it asks for is to come in small parts."""
        if isinstance(packet, CacheAsk | ScanAsk):
            packet.bytes = min(packet.bytes, ANSWER_BYTES_MAX)
        return CameByOthers(relayed.origin, relayed.boot, packet)

    def take_datagrams(self) -> list[tuple[NodeName, Datagram]]:
        """What is to leave as datagrams, and to which node."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    # Private.

    def _offer(self, now: float, name: NodeName, route: list[NodeName], packets: list[msgspec.Struct]) -> None:
        """Put packets into the stream to a node, but beacons beside it, so that they do not wait in it."""
        in_order = []
        for packet in packets:
            payload = _encode([packet]) if isinstance(packet, self._fleeting) else b""
            if 0 < len(payload) <= self._piece_bytes:
                self._send(Relayed(route, self._me, self._boot, payload))
            else:
                in_order.append(packet)
        if in_order:
            boot = self.reach.boot_of(name)
            outgoing = self._outgoing.get(name)
            if outgoing is None or outgoing.to_boot != boot:
                outgoing = self._begin(now, name, boot)
            for message in _payloads(in_order, FAINT_PAYLOAD_BYTES_MAX):
                outgoing.offer(message)

    def _begin(self, now: float, name: NodeName, boot: str) -> PieceSender:
        self._streams += 1
        self._outgoing[name] = PieceSender(now, boot, self._streams, self._piece_bytes)
        return self._outgoing[name]

    def _send_pieces(self, now: float, faint: dict[NodeName, list[NodeName]]) -> None:
        for name, outgoing in [*self._outgoing.items()]:
            route = faint.get(name)
            if route is None or outgoing.is_stuck(now):
                del self._outgoing[name]
                continue
            for piece in outgoing.take(now):
                self._send(Relayed(route, self._me, self._boot, _encode([piece])))

    def _send(self, relayed: Relayed) -> None:
        """To the first node of its route, over the link that there is."""
        to = relayed.route[0]
        if not self.reach.is_deaf(to):
            self._direct.append((to, relayed))
        elif len(relayed.payload) <= DATAGRAM_BYTES_MAX:
            self._datagrams.append((to, relayed))


def _payloads(packets: list[msgspec.Struct], bytes_max: int) -> list[bytes]:
    """The packets, encoded, in as few as have room for them."""
    payload = _encode(packets)
    if len(payload) <= bytes_max or len(packets) == 1:
        return [payload]
    half = len(packets) // 2
    return _payloads(packets[:half], bytes_max) + _payloads(packets[half:], bytes_max)


def _hellos(rows: list[Deafness]) -> list[LinkHello]:
    """As few as have room for them."""
    hellos = [LinkHello([])]
    room = HELLO_BYTES_MAX
    for row in rows:
        size = len(_encode(row))
        if size > room and hellos[-1].deaf:
            hellos.append(LinkHello([]))
            room = HELLO_BYTES_MAX
        hellos[-1].deaf.append(row)
        room -= size
    return hellos
