"""Where links lead: peers by the addresses that their hosts' names were found to have.

libzmq would look a name up again with each attempt to connect, in the thread that carries all links: a name server that
does not answer would cut off everybody, whichever node is away.

Not here: looking up (mesh/membership/udp.py), links (mesh/transport/transport.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mesh.transport.links import PeerAddress


class Locations:
    """Those of all peers that are known. A name that comes to mean another is followed once its link is silent."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[PeerAddress, PeerAddress]] = {}

    def update(self, peers: Mapping[str, PeerAddress], hosts: Mapping[str, str]) -> dict[str, PeerAddress]:
        """Where to have links now.

        Args:
            peers: By name, with the hosts' names.
            hosts: The IP address of the host of each peer, as far as it is known; IPv6 in brackets.
        """
        found = {}
        for name, peer in peers.items():
            before = self._found.get(name)
            if before is not None and before[0] == peer:
                found[name] = before
            elif name in hosts:
                found[name] = peer, _located(peer, hosts[name])
        self._found = found
        return {name: located for name, (_, located) in found.items()}

    def forget(self, name: str) -> None:
        """Nothing comes from there: it may be elsewhere now."""
        self._found.pop(name, None)


def _located(peer: PeerAddress, host: str) -> PeerAddress:
    router, pub = peer.router_address.rpartition(":")[2], peer.pub_address.rpartition(":")[2]
    return replace(peer, router_address=f"{host}:{router}", pub_address=f"{host}:{pub}")
