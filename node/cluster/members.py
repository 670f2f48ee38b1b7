"""The other nodes: membership's sockets, what each node tells of itself, and the links that follow from that.

Not here: who is alive (mesh/membership/membership.py), what else follows from it (cluster.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from random import Random
from secrets import randbits
from typing import Any

import gevent
from msgspec.structs import replace

from gateway.link.logs import event
from mesh.membership.config import MembershipConfig
from mesh.membership.link import MembershipLink
from mesh.membership.membership import Membership
from mesh.membership.packets import MemberChanged, MembershipEvent, NameTaken
from mesh.membership.seal import Seal
from mesh.membership.udp import Udp
from mesh.transport.keys import Keys
from mesh.transport.links import PeerAddress
from mesh.transport.transport import Transport
from node.cluster import meta as cluster_meta
from node.cluster.meta import Meta
from node.kafka.threads import crash
from node.settings import Settings
from node.settings.cluster import host_of

log = logging.getLogger(__name__)

GOODBYE_S = 0.5
"""So long the others have to pass on that this node has left."""
LIVING = ("alive", "suspect")
SHOWN_S = 60.0
"""How long what has passed is still shown."""
NEVER = -1.0e9
NOT_OURS = "wrong_digest"
"""What the seal calls a datagram with another key (mesh/membership/seal.py)."""
STRANGERS = "datagrams come that are not sealed with this cluster's key and name: does a node have another one?"
HALF_OPEN_S = 1.5
"""A living peer from which no broadcast came for so long: its link is made anew."""


class _Link(MembershipLink):
    """Membership that can be cut off, for demonstrations."""

    cut_until = 0.0

    def receive(self, now: float, address: str, datagram: bytes) -> None:
        if now >= self.cut_until:
            super().receive(now, address, datagram)

    def take_sends(self) -> list[tuple[str, bytes]]:
        sends = super().take_sends()
        return sends if time.monotonic() >= self.cut_until else []


class _Peer:
    def __init__(self) -> None:
        self.state = "dead"
        self.boot = ""
        self.address = ""
        self.since = 0.0
        self.meta: Meta | None = None
        self.told = ""
        """What was logged last of how it differs."""


class Members:
    """Membership, wired to the transport."""

    def __init__(
        self, settings: Settings, boot: str, keys: Keys, url: str, transport: Transport, changed: Callable[[], None]
    ) -> None:
        """Join.

        Args:
            url: Where clients reach this node.
            changed: Called when the answers of `alive`, `ready` or `urls` may have changed.

        Raises:
            OSError: If the socket cannot be opened; its text names the address.
        """
        self._me = settings.node.name
        self._transport = transport
        self._changed = changed
        self._peers: dict[str, _Peer] = {}
        self._name_taken = ""
        self._name_taken_at = NEVER
        self._strangers = 0
        """Datagrams with another key, so far."""
        self._strangers_at = NEVER
        self._started_at = time.monotonic()
        digest = cluster_meta.digest_of(settings)
        namespaces = cluster_meta.namespaces_of(settings)
        self._meta = Meta(transport.router_port, transport.pub_port, url, digest, namespaces, False, False)
        cluster, address = settings.cluster, settings.cluster.advertised
        self._address = address
        meta = cluster_meta.encode(self._meta)
        membership = Membership(self._me, address, boot, meta, MembershipConfig(), Random(randbits(64)))
        self._link = _Link(membership, Seal(keys.datagram, cluster.name, self._me, boot))
        self._udp = Udp(cluster.host, cluster.port, self._link, self._happened)
        self._udp.start([one for one in cluster.join if one != address])

    # Questions.

    def alive(self) -> list[str]:
        """Living nodes, this one included, sorted."""
        return sorted([self._me, *(name for name, peer in self._peers.items() if self._is_linked(peer))])

    def others(self) -> list[str]:
        """All other nodes that were ever seen."""
        return [*self._peers]

    def ready(self) -> list[str]:
        """Living peers whose cache is filled."""
        return sorted(
            name for name, peer in self._peers.items() if self._is_linked(peer) and peer.meta and peer.meta.is_ready
        )

    def urls(self) -> list[str]:
        """Where clients can go: this node and all living ones."""
        peers = [peer for _, peer in sorted(self._peers.items()) if self._is_linked(peer) and peer.state == "alive"]
        return [self._meta.url, *(peer.meta.url for peer in peers if peer.meta)]

    @property
    def local_health(self) -> int:
        """How well this node runs, as it judges itself: 0 (well) to 7."""
        return self._link.membership.local_health

    @property
    def paused_s(self) -> float:
        """For how long, in all, this node stood still."""
        return self._link.membership.paused_s

    def problems(self) -> list[str]:
        """What a person should know, in sentences."""
        found = []
        for name, peer in sorted(self._peers.items()):
            if peer.state in LIVING and (why := self._why_different(peer)):
                found.append(f"node {name} {why}")
        now = time.monotonic()
        if now - self._name_taken_at < SHOWN_S:
            found.append(
                f"another process goes by the name {self._me}, at {self._name_taken}: give one of the two another name"
            )
        if now - self._strangers_at < SHOWN_S:
            found.append(STRANGERS)
        return found

    def _why_different(self, peer: _Peer) -> str:
        """What a peer does not have alike with this node; empty if that is nothing that matters."""
        if peer.meta is None:
            return "is of another version: it gets no link"
        if peer.meta.digest != self._meta.digest:
            return "has not the same voters, slots and publish.retry_window as this one: it gets no link"
        if peer.meta.namespaces != self._meta.namespaces:
            return "has other namespaces than this one: what one carries the other refuses"
        return ""

    def rows(self, now: float) -> list[dict[str, Any]]:
        """All nodes ever seen, for the status document."""
        rows: list[dict[str, Any]] = [
            {"name": self._me, "state": "alive", "url": self._meta.url.removesuffix("/v1/ws"),
             "cluster_address": self._address, "for_s": round(now - self._started_at, 1)}
        ]  # fmt: skip
        for name, peer in self._peers.items():
            if peer.state == "left" and now - peer.since > SHOWN_S:
                continue
            meta = peer.meta
            rows.append(
                {"name": name, "state": peer.state, "url": meta.url.removesuffix("/v1/ws") if meta else "",
                 "cluster_address": peer.address, "for_s": round(now - peer.since, 1),
                 "synced": meta is not None and meta.is_synced and peer.state in LIVING}
            )  # fmt: skip
        return sorted(rows, key=lambda row: str(row["name"]))

    # Inputs.

    def tell(self, is_ready: bool, is_synced: bool) -> None:
        """Once a second: how this node is, for the others; and look after the links."""
        if (is_ready, is_synced) != (self._meta.is_ready, self._meta.is_synced):
            self._meta = replace(self._meta, is_ready=is_ready, is_synced=is_synced)
            self._udp.set_meta(cluster_meta.encode(self._meta))
        now = time.monotonic()
        self._look_at_strangers(now)
        for name, peer in self._peers.items():
            if peer.state == "alive" and self._is_linked(peer) and self._transport.silent_s(name, now) > HALF_OPEN_S:
                event(log, "link_silent", peer=name)
                self._transport.kick(name)

    def _look_at_strangers(self, now: float) -> None:
        """Say it, now and then, when datagrams come that were not sealed with this cluster's key."""
        count = self._link.seal.rejected[NOT_OURS]
        if count > self._strangers:
            self._strangers = count
            if now - self._strangers_at >= SHOWN_S:
                event(log, "strangers", logging.WARNING, text=STRANGERS)
            self._strangers_at = now

    def cut(self, until: float) -> None:
        """For demonstrations: neither send nor take datagrams until then."""
        self._link.cut_until = until

    def leave(self) -> None:
        """Say goodbye, and close."""
        self._udp.leave()
        gevent.sleep(GOODBYE_S)
        self._udp.close()

    # Private.

    def _is_linked(self, peer: _Peer) -> bool:
        return peer.state in LIVING and peer.meta is not None and peer.meta.digest == self._meta.digest

    def _happened(self, events: list[MembershipEvent]) -> None:
        try:
            for said in events:
                match said:
                    case MemberChanged():
                        self._member_changed(said)
                    case NameTaken():
                        self._name_taken, self._name_taken_at = said.address, time.monotonic()
                        what_to_do = "give one of the two another node.name"
                        event(log, "name_taken", 40, name=self._me, by=said.address, what_to_do=what_to_do)
            self._link_peers()
            self._changed()
        except Exception:
            crash()

    def _link_peers(self) -> None:
        self._transport.peers(
            {
                name: PeerAddress(
                    peer.boot,
                    f"{_host(peer.address)}:{peer.meta.router_port}",
                    f"{_host(peer.address)}:{peer.meta.pub_port}",
                )
                for name, peer in self._peers.items()
                if peer.meta is not None and self._is_linked(peer)
            }
        )

    def _member_changed(self, said: MemberChanged) -> None:
        if said.name == self._me:
            return
        now = time.monotonic()
        peer = self._peers.setdefault(said.name, _Peer())
        state = said.state.name.lower()
        if state != peer.state or said.boot != peer.boot:
            level = logging.INFO if state in ("alive", "left") else logging.WARNING
            event(
                log, f"member_{state}", level, node=said.name, after_s=round(now - peer.since, 1) if peer.since else 0
            )
            peer.since = now
        peer.state, peer.boot, peer.address = state, said.boot, said.address
        peer.meta = cluster_meta.decode(said.meta)
        why = self._why_different(peer) if peer.state in LIVING else ""
        if why and why != peer.told:
            event(log, "member_differs", logging.WARNING, node=said.name, text=f"node {said.name} {why}")
        peer.told = why


def _host(address: str) -> str:
    host = host_of(address)
    return f"[{host}]" if ":" in host else host
