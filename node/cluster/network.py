"""The sockets towards other nodes: ZeroMQ links for packets, UDP for membership.

    datagrams -> membership -> MemberChanged -> core;  LinkPeers -> links
    messages -> packets -> core;  ToPeer -> messages, one per destination and turn
    datagrams -> packets -> core;  DatagramToPeer -> datagrams, where TCP has no way

Not here: what packets and members mean (node/core.py), who is alive (mesh/membership/membership.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from random import Random
from secrets import randbits
from typing import Protocol

import gevent
from zmq.utils import z85

from gateway.link.crash import crash, or_crash
from gateway.link.logs import event
from mesh.membership.config import MembershipConfig
from mesh.membership.link import MembershipLink
from mesh.membership.membership import Membership
from mesh.membership.packets import MemberChanged, MembershipEvent, NameTaken, Sender
from mesh.membership.seal import Seal
from mesh.membership.udp import Udp
from mesh.packets import Packet
from mesh.slots.detours import Datagram, decode_datagram, encode_datagram
from mesh.slots.slot import EVERYONE
from mesh.transport.links import LinkStats, PeerAddress
from mesh.transport.secrecy import Secrecy
from mesh.transport.transport import Transport
from mesh.transport.wire import Codec
from node.cluster.greeting import greets
from node.cluster.locations import Locations
from node.cluster.only_tcp import OnlyTcp, only_tcp_text
from node.settings import Settings
from node.settings.cluster_files import mesh_keys

log = logging.getLogger(__name__)

GOODBYE_S = 0.5
"""How long this node stays after it has said that it leaves, so that the others can pass it on."""
HALF_OPEN_S = 1.5
"""A link that is silent for this time while its peer is alive is reconnected: TCP may not have noticed a break."""


class _Link(MembershipLink):
    """Membership that can be cut off, for demonstrations."""

    cut_until = 0.0

    def receive(self, now: float, address: str, datagram: bytes) -> None:
        if now >= self.cut_until:
            super().receive(now, address, datagram)

    def take_sends(self) -> list[tuple[str, bytes]]:
        sends = super().take_sends()
        return sends if time.monotonic() >= self.cut_until else []


class NetworkOwner(Protocol):
    """Who is told what comes."""

    def member_changed(self, changed: MemberChanged) -> None:
        """Membership has news of another node."""

    def peer_packets(self, sender: str, boot: str, packets: list[Packet]) -> None:
        """A message of a peer."""

    def peer_datagram(self, sender: str, boot: str, packet: Datagram) -> None:
        """A datagram of a peer."""

    def perform(self) -> None:
        """That was all for this turn."""


class Network:
    """All sockets of this node for other nodes."""

    def __init__(self, settings: Settings, boot: str, owner: NetworkOwner) -> None:
        """Listen; the first `tell_members` joins the others.

        Raises:
            OSError: If that cannot be; its text names the address.
            ValueError: If the keys cannot be used.
        """
        self._settings = settings
        self._owner = owner
        keys = mesh_keys(settings)
        cluster = settings.cluster
        self._transport = Transport(
            settings.node.name, boot, cluster.host, cluster.port, keys, Codec(Packet), owner.peer_packets, crash,
            received=owner.perform,
        )  # fmt: skip
        seal = Seal(keys.datagrams[0], cluster.name, settings.node.name, boot, keys.datagrams[1:])
        self.membership = Membership(
            settings.node.name, cluster.advertised, boot, b"", MembershipConfig(), Random(randbits(64))
        )
        self._link = _Link(self.membership, seal)
        self._secrecy = Secrecy(keys, boot)
        self.public = z85.decode(keys.public)
        """The CURVE key of the sockets, 32 bytes."""
        self._udp = Udp(
            cluster.host, cluster.port, self._link, or_crash(self._membership_events), crash, self._carried
        )  # fmt: skip
        self.datagrams_refused = 0
        """Datagrams of peers that could not be read."""
        self._is_joined = False
        self._outgoing: dict[str, list[Packet]] = {}
        self._linked: dict[str, PeerAddress] = {}
        self._locations = Locations()
        self._strangers: list[str] = []
        """Addresses of nodes with another key, as they were logged."""
        self._only_tcp = OnlyTcp()

    @property
    def ports(self) -> tuple[int, int]:
        """Where the ROUTER and the PUB socket listen."""
        return self._transport.router_port, self._transport.pub_port

    @property
    def stats(self) -> LinkStats:
        """Counts of the links since the start."""
        return self._transport.stats

    # Effects of the core.

    def tell_members(self, meta: bytes) -> None:
        """Spread this of this node; the first time, join."""
        self._udp.set_meta(meta)
        if not self._is_joined:
            self._is_joined = True
            self._udp.start([one for one in self._settings.cluster.join if one != self._settings.cluster.advertised])

    def link_peers(self, peers: dict[str, PeerAddress]) -> None:
        """Have links to exactly these nodes."""
        self._linked = peers
        self._link_located()

    def send(self, to: str, packet: Packet) -> None:
        """Send a packet to a node or to EVERYONE, with the next `flush`."""
        self._outgoing.setdefault(to, []).append(packet)

    def send_datagram(self, to: str, packet: Datagram) -> None:
        """Send a packet to a node as a datagram, at once."""
        peer, member = self._linked.get(to), self.membership.members.get(to)
        if peer is None or member is None:
            return
        closed = self._secrecy.close(to, peer.boot, encode_datagram(packet), peer.public)
        if closed is not None:
            self._udp.carry(member.address, closed)

    def flush(self) -> None:
        """Send what was given: everything for one destination in one message."""
        if not self._outgoing:
            return
        outgoing, self._outgoing = self._outgoing, {}
        for to, packets in outgoing.items():
            if to == EVERYONE:
                self._transport.broadcast(packets)
            else:
                self._transport.send(to, packets)

    # For the shell.

    def second(self, alive: Collection[str]) -> None:
        """Once a second: look after the links, and for strangers.

        Args:
            alive: Nodes that are well, as far as membership knows.
        """
        now = time.monotonic()
        silent = [name for name in self._linked if name in alive and self._transport.silent_s(name, now) > HALF_OPEN_S]
        for name in silent:
            event(log, "link_silent", peer=name)
            self._locations.forget(name)
        self._link_located()
        for name in silent:
            self._transport.kick(name)
        strangers = self._link.strangers(now)
        for address in strangers:
            if address not in self._strangers:
                event(log, "stranger", logging.WARNING, address=address, text=_stranger_text(address))
        self._strangers = strangers
        # Who has another key is heard, if not understood.
        unheard = {*self.membership.unheard} - {*strangers}
        for address in self._only_tcp.second(now, unheard):
            gevent.spawn(self._try_tcp, address)

    def problems(self) -> list[str]:
        """What a person should know, in sentences."""
        found = [_stranger_text(address) for address in self._strangers]
        rival = self.membership.rival
        if rival:
            me = self._settings.node.name
            found.append(f"another process goes by the name {me}, at {rival}: give one of the two another node.name")
        return found + [only_tcp_text(address) for address in self._only_tcp.found]

    def cut(self, others: list[str], seconds: float) -> None:
        """For demonstrations: exchange nothing with these nodes for a while."""
        until = time.monotonic() + seconds
        self._transport.cut(others, until)
        self._link.cut_until = until
        event(log, "cut_off", logging.WARNING, seconds=seconds)

    def close(self) -> None:
        """Say goodbye, and close the sockets."""
        self._udp.leave()
        gevent.sleep(GOODBYE_S)
        self._udp.close()
        self._transport.close()

    # Private.

    def _link_located(self) -> None:
        """Have links to the peers whose addresses are known."""
        members = self.membership.members
        found = {name: self._udp.host(members[name].address) for name in self._linked if name in members}
        hosts = {name: host for name, host in found.items() if host is not None}
        self._transport.peers(self._locations.update(self._linked, hosts))

    def _try_tcp(self, address: str) -> None:
        is_there = greets(address)
        if self._only_tcp.tried(address, is_there):
            event(log, "only_tcp", logging.WARNING, address=address, text=only_tcp_text(address))

    def _carried(self, carried: list[tuple[Sender, bytes]]) -> None:
        for sender, payload in carried:
            peer = self._linked.get(sender.name)
            data = None
            if peer is not None and peer.boot == sender.boot:
                data = self._secrecy.open(sender.name, sender.boot, payload, peer.public)
            packet = decode_datagram(data) if data is not None else None
            if packet is None:
                self.datagrams_refused += 1
            else:
                self._owner.peer_datagram(sender.name, sender.boot, packet)
        self._owner.perform()

    def _membership_events(self, events: list[MembershipEvent]) -> None:
        for said in events:
            match said:
                case MemberChanged():
                    self._owner.member_changed(said)
                case NameTaken():
                    event(
                        log, "name_taken", logging.ERROR, name=self._settings.node.name, by=said.address,
                        what_to_do="give one of the two another node.name",
                    )  # fmt: skip
        self._owner.perform()


def _stranger_text(address: str) -> str:
    return (
        f"the process at {address} has another cluster.key or cluster.name than this node, so neither takes what the "
        "other sends: give both the same"
    )
