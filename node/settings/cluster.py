"""The section `[cluster]`: the nodes that are one.

Not here: all other sections (schema.py), the files that keys are read from (cluster_files.py), what must hold between
keys (relations.py).
"""

from __future__ import annotations

import ipaddress
from typing import Annotated

from msgspec import field

from node.settings.fields import MemberAddress, MemberAddresses, Name, NodeKeys, Secret, Section, Voters, whole

LISTEN = "127.0.0.1:7400"
"""Where a node listens that is told of other nodes, but not where."""


class ClusterSettings(Section, frozen=True):
    """The nodes that are one. A node that is told of no others (`listen`, `join`, `voters`) has no sockets for them."""

    name: Name = "whimbrel"
    """The cluster's name, the same on all nodes: nodes of clusters with different names are strangers."""
    listen: MemberAddress = ""
    """Address for other nodes: UDP and TCP on this port, TCP on the next one too. Empty: none, a node alone; but
    `127.0.0.1:7400` if `join` or `voters` is given."""
    advertise: MemberAddress = ""
    """Address at which other nodes reach this one, told to them; the next port must lead here too. Empty: `listen`,
    which must then be an address and not `0.0.0.0` or `[::]`."""
    join: MemberAddresses = ()
    """Cluster addresses of nodes to join by. One that runs is enough; name more for when some do not. The node's own
    may be among them."""
    voters: Voters = ()
    """Names of the nodes whose copies and votes count, the same on all nodes: a message of a namespace is kept when the
    majority of them has it. All other nodes are observers. Empty: this node alone."""
    key: Secret = ""
    """The cluster's secret, the same on all nodes. Without it a node gets nothing and changes nothing.
    `whimbrel keygen` makes one. This or `key_file` is needed as soon as there are other nodes."""
    key_file: str = ""
    """A file that has the cluster's secret and nothing else."""
    accepted_key_file: str = ""
    """A file with another secret that nodes may have, while secrets are rotated: this node accepts both, and uses the
    other one."""
    data_dir: str = ""
    """Where the node keeps what should survive a restart: what it promised as a voter, the latest values of
    compacted topics, revocations, and fetched keys of token issuers. A directory of this node's own.
    Empty: `whimbrel/<cluster.name>/<node.name>` in `$XDG_STATE_HOME`, which is `~/.local/state` where it is not set."""
    slots: Annotated[int, whole(1, 1024)] = 64
    """Into how many logs the subjects of namespaces are spread, the same on all nodes. Fixed once the cluster has
    run."""
    node_keys: NodeKeys = field(default_factory=dict)
    """Public keys of the nodes by name: with them connections between nodes are encrypted with keys of their own, and
    a node is taken for the one it says it is only if it has the key."""
    accepted_node_keys: NodeKeys = field(default_factory=dict)
    """Other public keys that nodes may have, while keys are rotated. Needs `node_keys`."""
    secret_key_file: str = ""
    """A file with this node's pair of keys, as `whimbrel keygen --node-key` prints it. Needs `node_keys`."""
    controls: bool = False
    """Whether whoever reaches `node.listen` may kill this node and cut it off from the others over HTTP: for
    demonstrations."""

    @property
    def is_on(self) -> bool:
        """Whether the node has sockets for other nodes."""
        return bool(self.listen or self.join or self.voters)

    @property
    def address(self) -> str:
        """HOST:PORT to listen on; empty when there are no sockets."""
        return self.listen or (LISTEN if self.is_on else "")

    @property
    def advertised(self) -> str:
        """HOST:PORT at which others reach this node; empty when there are no sockets."""
        return self.advertise or self.address if self.is_on else ""

    @property
    def host(self) -> str:
        """The host of `address`, without the brackets of an IPv6 address."""
        return host_of(self.address)

    @property
    def port(self) -> int:
        """The port of `address`: UDP, and TCP for what is for one node. What is for all is on the next one."""
        return port_of(self.address)


def host_of(address: str) -> str:
    """The host of HOST:PORT, without the brackets of an IPv6 address."""
    return address.rpartition(":")[0].strip("[]")


def port_of(address: str) -> int:
    """The port of HOST:PORT."""
    return int(address.rpartition(":")[2])


def is_wildcard(host: str) -> bool:
    """Whether this stands for all addresses of the machine, and so is none at which others can reach it."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
