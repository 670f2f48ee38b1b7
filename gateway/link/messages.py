"""A message as a client gets it: one finished WebSocket frame, `msg` of client/PROTOCOL.md section 6.

The hot path: made once per message and encoding, sent as it is to every recipient. JSON values are spliced in, not
parsed and written again, so that clients get exactly the bytes that were produced; therefore they are checked here
to be one JSON text each.

Not here: all other frames (sessions/frames.py).
"""

from __future__ import annotations

import re
from array import array
from base64 import b64encode
from itertools import accumulate

import msgspec

from mesh.log import Entry, Headers

DEPTH_MAX = 500
"""Deeper JSON is sent as text: embedded, it would be more than many a client's parser takes."""

RESERVED_HEADER = "whimbrel-"
"""Headers whose name starts so are Whimbrel's own: neither shown to clients nor accepted from them."""

_TEXT, _BINARY = 0x81, 0x82
_FRAME_16 = 126

_raw = msgspec.json.Decoder(msgspec.Raw).decode
_json = msgspec.json.Encoder().encode
_msgpack = msgspec.msgpack.Encoder().encode
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def encode_json(
    subject: str, log: str, entry: Entry, kind: str, sub: int | None = None, snapshot: bool = False
) -> bytes:
    """A message as a text frame.

    Args:
        kind: What the mapping says that values are: json, text or bytes. What does not fit goes as the next.
        sub: Of one subscription's history: the client's number for it.
        snapshot: A latest value, which says nothing of what was before it.
    """
    value, headers, time = entry.value, entry.headers, entry.time
    if value is None:
        shown = b'"tombstone":true'
    elif kind == "json" and is_json(value):
        shown = b'"json":' + value
    elif fitting(value, kind) == "text":
        shown = b'"text":' + _json(value.decode())
    else:
        shown = b'"base64":"' + b64encode(value) + b'"'
    if headers:
        shown = _json_headers(headers) + shown
    if sub is not None:
        shown = (b'"sub":%d,"snapshot":true,' if snapshot else b'"sub":%d,') % sub + shown
    name, where, (epoch, seq) = _json(subject), _json(log), entry.at
    prev = None if snapshot else entry.prev
    if time < 0:
        if prev is None:
            body = b'{"op":"msg","subject":%b,"log":%b,"at":[%d,%d],%b}' % (name, where, epoch, seq, shown)
        else:
            body = b'{"op":"msg","subject":%b,"log":%b,"at":[%d,%d],"prev":[%d,%d],%b}' % (
                name, where, epoch, seq, *prev, shown,
            )  # fmt: skip
    elif prev is None:
        body = b'{"op":"msg","subject":%b,"log":%b,"at":[%d,%d],"time":%d,%b}' % (
            name, where, epoch, seq, time, shown,
        )  # fmt: skip
    else:
        body = b'{"op":"msg","subject":%b,"log":%b,"at":[%d,%d],"prev":[%d,%d],"time":%d,%b}' % (
            name, where, epoch, seq, *prev, time, shown,
        )  # fmt: skip
    return server_frame(_TEXT, body)


def encode_msgpack(
    subject: str, log: str, entry: Entry, kind: str, sub: int | None = None, snapshot: bool = False
) -> bytes:
    """A message as a binary frame; arguments as of `encode_json`."""
    value, headers = entry.value, entry.headers
    message: dict[str, object] = {"op": "msg", "subject": subject, "log": log, "at": entry.at}
    if entry.prev is not None and not snapshot:
        message["prev"] = entry.prev
    if entry.time >= 0:
        message["time"] = entry.time
    if sub is not None:
        message["sub"] = sub
        if snapshot:
            message["snapshot"] = True
    if headers:
        shown = [header for header in headers if not header[0].startswith(RESERVED_HEADER)]
        if shown:
            message["headers"] = shown
    if value is None:
        message["tombstone"] = True
    else:
        kind = fitting(value, kind)
        message[kind] = value.decode() if kind == "text" else value
    return server_frame(_BINARY, _msgpack(message))


def fitting(value: bytes, kind: str) -> str:
    """The first of json, text, bytes, from `kind` on, that the value really is."""
    if kind == "json":
        if is_json(value):
            return "json"
        kind = "text"
    if kind == "text" and not _is_utf8(value):
        return "bytes"
    return kind


def is_json(value: bytes) -> bool:
    """Whether the value is one JSON text (RFC 8259) in UTF-8, not nested deeper than DEPTH_MAX."""
    try:
        # Checks the grammar without building anything, but not that strings are UTF-8.
        _raw(value)
    except (msgspec.DecodeError, RecursionError):
        return False
    # A bracket that opens needs one that closes: what is short is not deep.
    return (value.isascii() or _is_utf8(value)) and (len(value) <= 2 * DEPTH_MAX or not _is_too_deep(value))


def server_frame(head: int, body: bytes) -> bytes:
    """A final, unmasked WebSocket frame (RFC 6455 section 5.2); `head` is the first byte, FIN and opcode."""
    size = len(body)
    if size < _FRAME_16:
        return b"%c%c%b" % (head, size, body)
    if size < 0x10000:
        return b"%c\x7e%b%b" % (head, size.to_bytes(2, "big"), body)
    return b"%c\x7f%b%b" % (head, size.to_bytes(8, "big"), body)


def _json_headers(headers: Headers) -> bytes:
    shown = [[name, _json_header(value)] for name, value in headers if not name.startswith(RESERVED_HEADER)]
    return b'"headers":%b,' % _json(shown) if shown else b""


def _json_header(value: bytes | None) -> object:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_too_deep(value: bytes) -> bool:
    """Whether the brackets of a JSON text are nested deeper than DEPTH_MAX."""
    if value.count(b"[") + value.count(b"{") <= DEPTH_MAX:
        return False
    steps = array("b", _STRING.sub(b"", value).translate(_STEPS, _NOT_BRACKETS))
    return max(accumulate(steps)) > DEPTH_MAX
