"""The client's end of WebSocket and of client/PROTOCOL.md, as little of it as a load generator needs.

Not the SDK: a process that plays 15,000 clients must cost much less than what it measures. Frames are masked
with zeros, which RFC 6455 section 5.3 lets a server not notice, and which saves the exclusive-or.

Not here: what a client makes of the frames (subscriber.py), sockets (fleet.py).
"""

from __future__ import annotations

import json

from loadtest.payload import FIRST, ZERO_US

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def handshake(host: str, port: int, path: str = "/v1/ws", subprotocol: str = "whimbrel.v1.json") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bG9hZHRlc3QgbG9hZHRlcw==\r\n"
        f"Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    ).encode()


def masked(opcode: int, payload: bytes) -> bytes:
    """One whole frame from a client."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, 0x80 | length, 0, 0, 0, 0)) + payload
    if length < 1 << 16:
        return bytes((0x80 | opcode, 0xFE, length >> 8, length & 255, 0, 0, 0, 0)) + payload
    return bytes((0x80 | opcode, 0xFF, *length.to_bytes(8, "big"), 0, 0, 0, 0)) + payload


GOING_AWAY = (1000).to_bytes(2, "big")
"""What a close frame of a client that goes says."""

HELLO = masked(TEXT, b'{"op":"hello","id":1,"client":"whimbrel-loadtest/1"}')


def hello_and_subscribe(subject: str, place: dict[str, list[int]] | None) -> bytes:
    """The first two frames; `place` is for a resume, without it the subscription starts with the latest value."""
    subscribe: dict[str, object] = {"op": "subscribe", "id": 2, "subject": subject}
    if place is None:
        subscribe["from"] = "latest"
    else:
        subscribe["resume"] = place
    return HELLO + masked(TEXT, json.dumps(subscribe).encode())


def subscribe(subject: str, start: str) -> bytes:
    """A subscription that is not a resume."""
    return masked(TEXT, json.dumps({"op": "subscribe", "id": 2, "subject": subject, "from": start}).encode())


def publish_form(subject: str, publisher: str, pad: int) -> bytes:
    """A `publish` frame to be completed by `%` with its id, its seq, when it was sent, and its number.

    The id has ten digits, so that the frame has the same length each time. The value is that of payload.py.
    """
    value = b'{"t":%%d,"n":%%d,"pad":"%b"}' % (b"x" * pad)
    form = b'{"op":"publish","id":%%d,"subject":"%b","publisher":"%b","seq":%%d,"json":%b}' % (
        subject.encode().replace(b"%", b"%%"), publisher.encode(), value,
    )  # fmt: skip
    length = len(form % (FIRST, FIRST, ZERO_US, FIRST))
    head = masked(TEXT, b" " * length)[:-length]
    return head.replace(b"%", b"%%") + form


def ping(number: int) -> bytes:
    """A `ping` frame of the protocol."""
    return masked(TEXT, b'{"op":"ping","id":%d}' % number)


def walk(data: bytearray, end: int) -> tuple[int, int, int]:
    """Step over whole text frames of 126 to 65,535 bytes from the start of `data`, whose end is at `end`.

    Returns:
        Where the walk stopped (a frame of another kind, or one not whole), where the last frame begins, and how
        many there were.
    """
    at = frames = 0
    last = 0
    limit = end - 4
    while at <= limit and data[at] == 0x81 and data[at + 1] == 126:
        after = at + 4 + (data[at + 2] << 8) + data[at + 3]
        if after > end:
            break
        last = at
        at = after
        frames += 1
    return at, last, frames


def frame_at(data: bytearray | bytes, at: int, end: int) -> tuple[int, int, int] | None:
    """Opcode, payload start and payload end of the server's frame at `at`; None when it is not whole."""
    if end - at < 2:
        return None
    length, start = data[at + 1], at + 2
    if length == 126:
        start += 2
    elif length == 127:
        start += 8
    if start > end:
        return None
    if length >= 126:
        length = int.from_bytes(data[at + 2 : start], "big")
    if start + length > end:
        return None
    return data[at] & 15, start, start + length
