"""The SDK's encodings, with `msg` frames in JSON read more quickly. A core.

The SDK reads a frame key by key, to keep the exact bytes of a value, in Python. Here msgspec does that, and what it
does not take (other frames, values that are not JSON, faults) is left to the SDK.

Not here: what frames mean (whimbrel.frames).
"""

from __future__ import annotations

from typing import Any

import msgspec

from whimbrel.encodings import ENCODINGS, Encoding, FrameMap
from whimbrel.message import Value

BEGINNING = b'{"op":"msg",'
_SDK = ENCODINGS["json"]


class Sent(msgspec.Struct, gc=False):
    """When a value says that it was sent."""

    t: int


class Message(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A `msg` frame whose value is JSON, and whose record has no headers."""

    op: str
    subject: str
    log: str
    at: tuple[int, int]
    json: msgspec.Raw
    prev: tuple[int, int] | None = None
    time: int | None = None
    sub: int | None = None
    snapshot: bool = False


_message = msgspec.json.Decoder(Message).decode
_sent = msgspec.json.Decoder(Sent).decode


def decode(data: str | bytes) -> FrameMap:
    """A frame, as the SDK's own decoder gives it, but for values, which are parsed when they are asked for.

    Raises:
        FrameError: As the SDK's decoder.
    """
    if isinstance(data, str) or not data.startswith(BEGINNING):
        return _SDK.decode(data)
    try:
        found = _message(data)
    except msgspec.MsgspecError:
        return _SDK.decode(data)
    frame: dict[str, Any] = {
        "op": found.op,
        "subject": found.subject,
        "log": found.log,
        "at": found.at,
        "value": Value("json", bytes(found.json)),
        "snapshot": found.snapshot,
    }
    if found.prev is not None:
        frame["prev"] = found.prev
    if found.time is not None:
        frame["time"] = found.time
    if found.sub is not None:
        frame["sub"] = found.sub
    return frame


def sent_us(value: bytes | None) -> int | None:
    """When a value was sent, as it says (`t`, an integer); None: it does not say."""
    try:
        return _sent(value or b"").t
    except msgspec.MsgspecError:
        return None


QUICK = {"json": Encoding(_SDK.subprotocol, _SDK.encode, decode), "msgpack": ENCODINGS["msgpack"]}
"""By name, as the SDK's."""
