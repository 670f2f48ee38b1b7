"""Packets between two nodes as bytes, and back.

A message is one msgpack array, an envelope: `[version, sender, boot, link_seq, [packet, ...]]`. Packets are a tagged
union that whoever makes the codec passes in, so this file knows none of them. A packet may get new fields at its end,
with defaults: nodes of neighbouring releases understand each other. Anything else needs a new VERSION.

Invariants:
- Any bytes give an envelope or a WireError, nothing else, in time and memory proportional to their number.
- What `encode` returns is not longer than MESSAGE_BYTES_MAX, and `decode` takes nothing longer.

Not here: which packets there are (packets.py), who may send them (links.py), sockets (transport.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar, cast

import msgspec

VERSION = 1
MESSAGE_BYTES_MAX = 16 << 20
"""Kafka's largest message is 1 MB unless set otherwise; a batch of several has room in here."""
NAME_CHARACTERS_MAX = 128

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]
P = TypeVar("P")


class WireError(Exception):
    """Bytes that are no message of ours, or a message that must not be sent; the text says what is wrong with it."""


class TooLarge(WireError):
    """More than MESSAGE_BYTES_MAX: the receiver would close the connection."""


class _Opening(msgspec.Struct, array_like=True, gc=False):
    version: int


class Envelope(msgspec.Struct, Generic[P], array_like=True, gc=False):
    """One message: what a node says to another in one go."""

    version: int
    sender: Name
    boot: Name
    """A random text of the sender's process: it tells it from the same node before a restart."""
    link_seq: Annotated[int, msgspec.Meta(ge=0)]
    """Number of this message among all that the sender's process has put on its PUB socket, from 1; else 0."""
    packets: list[P]


class Codec(Generic[P]):
    """Encodes and decodes messages whose packets are of one union of structs."""

    def __init__(self, packet_type: Any) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Envelope[packet_type]).decode
        self._opening = msgspec.msgpack.Decoder(_Opening).decode

    def encode(self, sender: str, boot: str, link_seq: int, packets: list[P]) -> bytes:
        """The bytes of a message.

        Raises:
            TooLarge: If they are too many. Nothing else: packets are our own.
        """
        data = self._encode((VERSION, sender, boot, link_seq, packets))
        if len(data) > MESSAGE_BYTES_MAX:
            raise TooLarge(f"{len(data)} bytes, more than {MESSAGE_BYTES_MAX}")
        return data

    def decode(self, data: bytes | memoryview) -> Envelope[P]:
        """The message that these bytes are.

        Raises:
            WireError: If they are none, or one of another version or with packets that are not of the union.
        """
        if len(data) > MESSAGE_BYTES_MAX:
            raise TooLarge(f"{len(data)} bytes, more than {MESSAGE_BYTES_MAX}")
        try:
            envelope = self._decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(self._complaint(data, error)) from error
        if envelope.version != VERSION:
            raise WireError(_other_version(envelope.version))
        return cast("Envelope[P]", envelope)

    def _complaint(self, data: bytes | memoryview, error: Exception) -> str:
        """What was wrong: a later version may look different from the second field on, so that comes first."""
        try:
            version = self._opening(data).version
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return f"no message: {error}"
        return f"no message: {error}" if version == VERSION else _other_version(version)


def _other_version(version: int) -> str:
    return f"version {version}, not {VERSION}"
