"""The keys of a cluster, all from one shared text, and the key pairs of its nodes, if they have any.

From the shared key and the cluster's name BLAKE2b (RFC 7693), keyed and with a personalisation for each purpose, makes
the key of the datagrams (membership/seal.py) and a CURVE key pair. Without keys of their own all nodes use that pair,
so that with nothing but the shared key ZeroMQ traffic is encrypted and closed to strangers and to other clusters.
With `node_keys` each node has a pair of its own, and what it says counts under its own name only.

While keys are rotated a node has one set of keys, which it uses, and accepts a second one of others. Which of the two a
peer uses it tells itself (node/cluster/meta.py), and is believed only if that key is one of its own.

BLAKE2b is fast: the shared key must be random, not a password. Making and completing pairs is left to libzmq.

Not here: who asks for keys (zap.py), how nodes are configured (node/settings/).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import zmq
from zmq.utils import z85

SHARED_CHARACTERS_MIN = 16
_CURVE_BYTES = 32
_TEMPLATE_BEGINS = ("{{", "{%", "{#")


class KeysError(ValueError):
    """The keys of the configuration cannot be used; the text says why and never contains one."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What this node has: CURVE keys are in Z85, as libzmq takes them."""

    datagrams: tuple[bytes, ...] = field(repr=False)
    """32 bytes each, the same on all nodes: the first seals, each opens."""
    public: bytes
    secret: bytes = field(repr=False)
    publics: tuple[bytes, ...] = ()
    """Public keys of which every node may show any, this node's own first; empty with `by_node`."""
    by_node: dict[str, tuple[bytes, ...]] | None = None
    """Public keys of the nodes that may take part, this one included; None: all have the same pair."""

    def server_key(self, node: str, told: bytes = b"") -> bytes | None:
        """The public key that this node must show; None: no such node, or none with such a key, may take part.

        Args:
            told: The public key that the node says it has, as 32 bytes; empty: it does not say, so it has the first.
        """
        keys = self.publics if self.by_node is None else self.by_node.get(node, ())
        return next((key for key in keys if not told or z85.decode(key) == told), None)

    def accepted(self) -> dict[bytes, str]:
        """Public keys that may connect, as 32 bytes, and the node that each proves; "": any node of the cluster."""
        of = {"": self.publics} if self.by_node is None else self.by_node
        return {z85.decode(public): node for node, publics in of.items() for public in publics}


def derive(
    shared: str | bytes,
    cluster: str,
    me: str = "",
    node_keys: Mapping[str, str] | None = None,
    secret: str | None = None,
    accepted: str | None = None,
    accepted_node_keys: Mapping[str, str] | None = None,
) -> Keys:
    """The keys of node `me`.

    Args:
        shared: The cluster's key, at least 16 characters. Space around it is ignored, as files end in a newline.
        cluster: The cluster's name: another name makes other keys.
        node_keys: Public keys by node, in Z85, if each has its own.
        secret: This node's secret key, in Z85, with `node_keys`.
        accepted: Another key of the cluster that others may use.
        accepted_node_keys: Other public keys that these nodes may use, with `node_keys`.

    Raises:
        KeysError: If they are too short, malformed, or do not belong together.
    """
    roots = [_root(key) for key in (shared, accepted) if key is not None]
    datagrams = tuple(_derived(root, b"datagram", cluster) for root in roots)
    if node_keys:
        return Keys(datagrams, *_own_pair(me, node_keys, secret, accepted_node_keys or {}))
    if secret is not None:
        raise KeysError("a secret key without node_keys: the others could not know the public key")
    secrets = [z85.encode(_derived(root, b"curve", cluster)) for root in roots]
    publics = tuple(zmq.curve_public(common) for common in secrets)
    return Keys(datagrams, publics[0], secrets[0], publics)


def make_pair() -> tuple[str, str]:
    """A new key pair for a node: public and secret, in Z85, without what Ansible would take for a template."""
    while True:
        public, secret = (key.decode() for key in zmq.curve_keypair())
        if not any(begin in public + " " + secret for begin in _TEMPLATE_BEGINS):
            return public, secret


def _derived(root: bytes, purpose: bytes, cluster: str) -> bytes:
    return hashlib.blake2b(cluster.encode(), digest_size=_CURVE_BYTES, key=root, person=purpose).digest()


def _root(shared: str | bytes) -> bytes:
    key = (shared.encode() if isinstance(shared, str) else shared).strip()
    if len(key) < SHARED_CHARACTERS_MIN:
        raise KeysError(f"the cluster key has {len(key)} characters, fewer than {SHARED_CHARACTERS_MIN}")
    return hashlib.blake2b(key, person=b"whimbrel root").digest()


def _own_pair(
    me: str, node_keys: Mapping[str, str], secret: str | None, others: Mapping[str, str]
) -> tuple[bytes, bytes, tuple[bytes, ...], dict[str, tuple[bytes, ...]]]:
    by_node: dict[str, tuple[bytes, ...]] = {}
    nodes: dict[bytes, str] = {}
    for node, text in [*node_keys.items(), *others.items()]:
        public = _key(f"the public key of node {node!r}", text)
        if nodes.setdefault(public, node) != node:
            raise KeysError(f"nodes {nodes[public]!r} and {node!r} have the same public key")
        by_node[node] = (*by_node.get(node, ()), public)
    if "" in by_node:
        raise KeysError("node_keys has a key without a name")
    if me not in node_keys:
        raise KeysError(f"node_keys has no key of this node, {me!r}")
    if secret is None:
        raise KeysError("node_keys needs the secret key of this node")
    own = _key("the secret key of this node", secret)
    if zmq.curve_public(own) != by_node[me][0]:
        raise KeysError(f"the secret key of this node does not belong to the public key of {me!r}")
    return by_node[me][0], own, (), by_node


def _key(what: str, text: str) -> bytes:
    key = text.strip()
    try:
        raw = z85.decode(key)
        is_right = len(raw) == _CURVE_BYTES and z85.encode(raw).decode() == key
    except Exception:  # the decoder raises whatever its arithmetic does
        is_right = False
    if not is_right:
        raise KeysError(f"{what} is not a CURVE key: 40 characters of Z85")
    return key.encode()
