"""A member as the network sees it: datagrams in, datagrams out.

    datagram -> Seal -> payload -> packet -> Membership -> packet -> payload -> Seal -> datagram

What is not membership's own is carried along, for links that TCP does not have (slots/detours.py).

Boots that membership learns save the seal a question before the first packet to a member.

Not here: sockets and the clock (udp.py; in tests a simulated network).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mesh.membership.membership import Membership
from mesh.membership.packets import Carried, MemberChanged, MembershipEvent, Payload, Sender
from mesh.membership.seal import Seal
from mesh.membership.strangers import Strangers

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Payload).decode


def decode_packet(payload: bytes) -> Payload | None:
    """The packet, or None if these bytes are none."""
    try:
        packet: Payload = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return packet


class MembershipLink:
    """Membership and seal of one process. Does no I/O, reads no clock."""

    def __init__(self, membership: Membership, seal: Seal) -> None:
        self.membership = membership
        self.seal = seal
        self._events: list[MembershipEvent] = []
        self._carried: list[tuple[Sender, bytes]] = []
        self._strangers = Strangers()

    # Inputs.

    def join(self, now: float, addresses: Sequence[str]) -> None:
        self.membership.join(now, addresses)
        self._pass_on()

    def receive(self, now: float, address: str, datagram: bytes) -> None:
        """A datagram has come from this address (host:port)."""
        opened = self.seal.receive(address, datagram)
        if opened is None:
            stranger = self.seal.take_stranger()
            if stranger is not None and self._strangers.heard(now, stranger):
                self.seal.notify(stranger)
            return
        sender, payload = opened
        packet = decode_packet(payload)
        if packet is None:
            self.seal.rejected["no_packet"] += 1
            return
        if isinstance(packet, Carried):
            self._carried.append((sender, packet.payload))
            return
        self.membership.receive(now, sender, packet)
        self._pass_on()

    def carry(self, address: str, payload: bytes) -> None:
        """Send a payload to the member at an address; it is authenticated, but not encrypted."""
        self.seal.send(address, _encode(Carried(payload)))

    def tick(self, now: float) -> None:
        self.membership.tick(now)
        self._pass_on()

    def set_meta(self, now: float, meta: bytes) -> None:
        self.membership.set_meta(now, meta)
        self._pass_on()

    def leave(self, now: float) -> None:
        self.membership.leave(now)
        self._pass_on()

    # Outputs. Take all after every input.

    def take_sends(self) -> list[tuple[str, bytes]]:
        return self.seal.take_sends()

    def take_events(self) -> list[MembershipEvent]:
        events, self._events = self._events, []
        return events

    def take_carried(self) -> list[tuple[Sender, bytes]]:
        """What others have had carried here."""
        carried, self._carried = self._carried, []
        return carried

    # Questions.

    def strangers(self, now: float) -> list[str]:
        """Addresses of processes that have another cluster key or cluster name than this one."""
        return self._strangers.addresses(now)

    def _pass_on(self) -> None:
        for event in self.membership.take_events():
            if isinstance(event, MemberChanged) and event.state.is_living:
                self.seal.learn(event.address, event.boot)
            self._events.append(event)
        for address, packet in self.membership.take_sends():
            self.seal.send(address, _encode(packet))
