"""What a node tells the others of itself through membership: where its sockets are, and how it is.

Not here: how that gets around (mesh/membership/membership.py).
"""

from __future__ import annotations

import zlib

import msgspec

from node.settings.schema import Settings


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


def digest_of(settings: Settings) -> int:
    """A number that two nodes have in common if what must be alike is: voters, slots, and what repeats are known by."""
    alike = [sorted(settings.voters), settings.cluster.slots, settings.publish.retry_window_s]
    return zlib.crc32(msgspec.json.encode(alike))


def namespaces_of(settings: Settings) -> int:
    """As `Meta.namespaces`."""
    return zlib.crc32(msgspec.json.encode(sorted((one.name, one.value) for one in settings.namespaces)))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Meta).decode


def encode(meta: Meta) -> bytes:
    return _encode(meta)


def decode(data: bytes) -> Meta | None:
    """None if it is of another version."""
    try:
        return _decode(data)
    except msgspec.DecodeError:
        return None
