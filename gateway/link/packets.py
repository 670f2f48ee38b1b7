"""A worker's events as packets for its node: each event is encoded once, and many large ones do not become one packet.

Not here: sending them (uplink.py), the events (events.py).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.link.events import FromWorker

PACKET_BYTES_MAX = 8 * 1024 * 1024
"""Of a packet with more than one event."""

_encode = msgspec.msgpack.Encoder().encode


def packets(events: Iterable[FromWorker], bytes_max: int = PACKET_BYTES_MAX) -> list[bytes]:
    """The events, in order, as packets of at most `bytes_max` bytes of events each; a longer event is alone in its."""
    made: list[bytes] = []
    pieces: list[msgspec.Raw] = []
    size = 0
    for event in events:
        piece = _encode(event)
        if pieces and size + len(piece) > bytes_max:
            made.append(_encode(pieces))
            pieces, size = [], 0
        pieces.append(msgspec.Raw(piece))
        size += len(piece)
    if pieces:
        made.append(_encode(pieces))
    return made
