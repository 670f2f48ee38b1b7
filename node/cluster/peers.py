"""The other nodes as membership knows them: which of them count, where they are, and what is wrong with the others.

    MemberChanged -> who is alive, who is filled, where clients can go;  LinkPeers: to whom links are kept

Not here: who is alive (mesh/membership/membership.py), sockets (network.py).
"""

from __future__ import annotations

from msgspec.structs import replace

from mesh.membership.packets import MemberChanged, MemberState
from mesh.transport.links import PeerAddress
from node.cluster import meta
from node.cluster.meta import Meta
from node.config import NodeConfig
from node.effects import INFO, WARNING, Effects, LinkPeers, TellMembers


class Peer:
    """Another node."""

    def __init__(self) -> None:
        self.state = MemberState.DEAD
        self.boot = ""
        self.address = ""
        self.since = 0.0
        """When it got into this state, by this node's clock."""
        self.meta: Meta | None = None
        self.told = ""
        """What was logged last of how it differs."""


class Peers:
    """All other nodes that were ever seen, and what this one tells of itself."""

    def __init__(self, config: NodeConfig, effects: Effects) -> None:
        self._me = config.name
        self._servers = config.servers
        self._is_clustered = bool(config.cluster_address)
        self._effects = effects
        self._own = Meta(0, 0, "", config.digest, config.namespaces_digest, False, False)
        self._peers: dict[str, Peer] = {}

    # Inputs.

    def connected(self, router_port: int, pub_port: int, public: bytes, url: str) -> None:
        """This node listens.

        Args:
            public: The CURVE key of its sockets.
            url: Where clients reach it.
        """
        self._own = replace(self._own, router_port=router_port, pub_port=pub_port, public=public, url=url)
        self._effects.add(TellMembers(meta.encode(self._own)))

    def tell(self, is_ready: bool, is_synced: bool, has_workers: bool) -> None:
        """How this node is, for the others."""
        own = replace(self._own, is_ready=is_ready, is_synced=is_synced, has_workers=has_workers)
        if own != self._own:
            self._own = own
            self._effects.add(TellMembers(meta.encode(self._own)))

    def changed(self, now: float, changed: MemberChanged) -> None:
        """Another node has another state, address or meta."""
        if changed.name == self._me:
            return
        peer = self._peers.setdefault(changed.name, Peer())
        if changed.state != peer.state or changed.boot != peer.boot:
            level = INFO if changed.state in (MemberState.ALIVE, MemberState.LEFT) else WARNING
            after_s = round(now - peer.since, 1) if peer.since else 0
            self._effects.log(f"member_{changed.state.word}", level, node=changed.name, after_s=after_s)
            peer.since = now
        peer.state, peer.boot, peer.address = changed.state, changed.boot, changed.address
        peer.meta = meta.decode(changed.meta)
        why = self._why_different(peer) if peer.state.is_living else ""
        if why and why != peer.told:
            self._effects.log("member_differs", WARNING, node=changed.name, text=f"node {changed.name} {why}")
        peer.told = why
        self._effects.add(LinkPeers(self._addresses()))

    # Questions.

    @property
    def url(self) -> str:
        """Where clients reach this node; empty while it does not listen."""
        return self._own.url

    @property
    def all(self) -> dict[str, Peer]:
        """All other nodes that were ever seen, by name."""
        return self._peers

    def alive(self) -> list[str]:
        """Living nodes with links, this one included, sorted."""
        return sorted([self._me, *(name for name, peer in self._peers.items() if self._is_linked(peer))])

    def ready(self) -> list[str]:
        """Living peers whose cache is filled."""
        return sorted(
            name for name, peer in self._peers.items() if self._is_linked(peer) and peer.meta and peer.meta.is_ready
        )

    def servers(self) -> list[str]:
        """Where clients can go: as configured, else wherever a living node has workers, this one first."""
        if self._servers or not self._is_clustered:
            return [*self._servers]
        peers = [peer for _, peer in sorted(self._peers.items()) if self._is_linked(peer)]
        alive = [
            peer.meta.url for peer in peers if peer.meta and peer.meta.has_workers and peer.state is MemberState.ALIVE
        ]
        return [self._own.url, *alive]

    def problems(self) -> list[str]:
        """What a person should know, in sentences."""
        return [
            f"node {name} {why}"
            for name, peer in sorted(self._peers.items())
            if peer.state.is_living and (why := self._why_different(peer))
        ]

    # Private.

    def _is_linked(self, peer: Peer) -> bool:
        return peer.state.is_living and peer.meta is not None and peer.meta.digest == self._own.digest

    def _why_different(self, peer: Peer) -> str:
        """What a peer does not have alike with this node; empty if that is nothing that matters."""
        if peer.meta is None:
            return "is of another version: it gets no link"
        if peer.meta.digest != self._own.digest:
            return "has not the same voters, slots and publish.retry_window as this one: it gets no link"
        if peer.meta.namespaces != self._own.namespaces:
            return "has other namespaces than this one: what one carries the other refuses"
        return ""

    def _addresses(self) -> dict[str, PeerAddress]:
        return {
            name: PeerAddress(
                peer.boot,
                f"{_host(peer.address)}:{peer.meta.router_port}",
                f"{_host(peer.address)}:{peer.meta.pub_port}",
                peer.meta.public,
            )
            for name, peer in self._peers.items()
            if peer.meta is not None and self._is_linked(peer)
        }


def _host(address: str) -> str:
    """The host of `host:port` or `[IPv6]:port`, as it stands there."""
    return address.rpartition(":")[0]
