"""What a node tells the others of itself through membership: where its sockets are, and how it is.

Not here: how that gets around (mesh/membership/membership.py).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import msgspec

from gateway.link.settings import TopicRule


class Meta(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A few hundred bytes at the most: it is in every rumour of the node."""

    router_port: int
    pub_port: int
    url: str
    """Where clients connect."""
    digest: int
    """Of what all nodes must have alike; who differs gets no link."""
    namespaces: int
    """A number that two nodes have in common if their namespaces are the same."""
    is_ready: bool
    """Its cache is filled: it can serve others."""
    is_synced: bool
    """It holds the log of every slot."""
    public: bytes = b""
    """The CURVE key that its sockets have, 32 bytes: while keys are rotated it may have the one or the other. Empty
    from nodes that are older than that."""
    has_workers: bool = True
    """A worker of it runs, which clients can connect to."""


def digest_of(voters: Sequence[str], slots: int, retry_window_s: float) -> int:
    """A number that two nodes have in common if what must be alike is: voters, slots, and what repeats are known by."""
    return zlib.crc32(msgspec.json.encode([sorted(voters), slots, retry_window_s]))


def namespaces_of(namespaces: Iterable[TopicRule]) -> int:
    """A number that two nodes have in common if their namespaces are the same."""
    return zlib.crc32(msgspec.json.encode(sorted((one.name, one.value) for one in namespaces)))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Meta).decode


def encode(meta: Meta) -> bytes:
    """As it travels."""
    return _encode(meta)


def decode(data: bytes) -> Meta | None:
    """None if it is of another version."""
    try:
        return _decode(data)
    except msgspec.DecodeError:
        return None
