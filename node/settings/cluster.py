"""What can be configured of the cluster: the section `[cluster]`.

Not here: all other sections (schema.py), the files that keys are read from (cluster_files.py), what must hold between
the keys (relations.py).
"""

from __future__ import annotations

import ipaddress
from typing import Annotated

from msgspec import field

from node.settings.fields import Section, about

LISTEN = "127.0.0.1:7400"
"""Where a node listens that is told of other nodes, but not where."""


class Cluster(Section, frozen=True, kw_only=True):
    """The nodes that are one. A node that is told of no others (`listen`, `join`, `voters`) has no sockets for them."""

    name: Annotated[
        str,
        about(
            "The cluster's name, the same on all nodes: nodes of clusters with different names are strangers.",
            "name",
        ),
    ] = "whimbrel"
    listen: Annotated[
        str,
        about(
            "Address for other nodes: UDP and TCP on this port, TCP on the next one too. Empty: none, a node alone; "
            f"but `{LISTEN}` if `join` or `voters` is given.",
            "cluster_address",
        ),
    ] = ""
    advertise: Annotated[
        str,
        about(
            "Address at which other nodes reach this one, told to them; the next port must lead here too. Empty: "
            "`listen`, which must then be an address and not `0.0.0.0` or `[::]`.",
            "cluster_address",
        ),
    ] = ""
    join: Annotated[
        tuple[str, ...],
        about(
            "Cluster addresses of nodes to join by: any that run will do, more are for when some do not. "
            "The node's own may be among them.",
            "cluster_addresses",
        ),
    ] = ()
    voters: Annotated[
        tuple[str, ...],
        about(
            "Names of the nodes whose copies and votes count, the same on all nodes: a message of a namespace is kept "
            "when the majority of them has it. All other nodes are observers. Empty: this node alone.",
            "voters",
        ),
    ] = ()
    key: Annotated[
        str,
        about(
            "The cluster's secret, the same on all nodes. Without it a node gets nothing and changes nothing. "
            "`whimbrel keygen` makes one. This or `key_file` is needed as soon as there are other nodes.",
            "secret",
        ),
    ] = ""
    key_file: Annotated[str, about("A file that has the cluster's secret and nothing else.")] = ""
    data_dir: Annotated[
        str,
        about(
            "Where the node keeps what must survive a restart: what it promised as a voter. A directory of this "
            "node's own. Empty: `whimbrel/<cluster.name>/<node.name>` in `$XDG_STATE_HOME`, which is `~/.local/state` "
            "where it is not set.",
        ),
    ] = ""
    slots: Annotated[
        int,
        about(
            "Into how many logs the subjects of namespaces are spread, the same on all nodes. Fixed once the cluster "
            "has run.",
            ge=1,
            le=1024,
        ),
    ] = 64
    node_keys: Annotated[
        dict[str, str],
        about(
            "Public keys of the nodes by name: with them connections between nodes are encrypted, and a node is "
            "taken for the one it says it is only if it has the key. In the environment and in flags: `a=KEY,b=KEY`.",
            "node_keys",
        ),
    ] = field(default_factory=dict)
    secret_key_file: Annotated[
        str,
        about("A file with this node's pair of keys, as `whimbrel keygen --node-key` prints it. Needs `node_keys`."),
    ] = ""

    controls: Annotated[
        bool,
        about(
            "Whether whoever reaches `node.listen` may kill this node and cut it off from the others over HTTP: "
            "for demonstrations."
        ),
    ] = False

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
