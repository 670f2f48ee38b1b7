"""The two sub-protocols: bytes of a frame <-> a map that is the same for both.

In that map a value stands under `value` as a `Value`, and `headers` are pairs of name and bytes; everything
else is as in PROTOCOL.

The exact bytes of an embedded JSON value are what stands between the frame's own `:` and `,` or `}`. `json.loads` would
lose them, so the frame's outermost map is read key by key, each value by the json module's own scanner, which
says where it ended.

Not here: what frames mean (frames.py).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgpack  # type: ignore[import-untyped]

from whimbrel.errors import FrameError
from whimbrel.message import NOT_PARSED, Headers, Value

FrameMap: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Encoding:
    """One sub-protocol."""

    subprotocol: str
    encode: Callable[[FrameMap], str | bytes]
    decode: Callable[[str | bytes], FrameMap]
    """Raises FrameError."""


def _no_constant(name: str) -> object:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(parse_constant=_no_constant).raw_decode
_dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_KEY = re.compile(r'[ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:')
_SPACE = re.compile(r"[ \t\n\r]*")
_DIGITS = re.compile(r"-?[0-9]+")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]|[^"\[\]{}]+')


def _encode_json(frame: FrameMap) -> str:
    frame = dict(frame)
    value: Value | None = frame.pop("value", None)
    if "headers" in frame:
        frame["headers"] = [[name, _header_to_json(raw)] for name, raw in frame["headers"]]
    if value is None:
        return _dump(frame)
    raw = value.raw or b""
    match value.kind:
        case "json":
            written = f'"json":{raw.decode()}'
        case "text":
            written = f'"text":{_dump(raw.decode())}'
        case "bytes":
            written = f'"base64":"{base64.b64encode(raw).decode()}"'
        case _:
            written = '"tombstone":true'
    return f"{_dump(frame)[:-1]},{written}}}"


def _header_to_json(raw: bytes | None) -> object:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def _decode_json(data: str | bytes) -> FrameMap:
    try:
        text = data if isinstance(data, str) else data.decode()
        return _neutral_json(*_read_outermost(text))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FrameError(f"not a frame in JSON: {error}") from None


def _read_outermost(text: str) -> tuple[FrameMap, str | None]:
    """The map, and the exact text of the value under `json`."""
    frame: FrameMap = {}
    exact = None
    position = _skip_space(text, 0)
    if text[position : position + 1] != "{":
        raise ValueError("not a map")
    position += 1
    if text[(end := _skip_space(text, position)) : end + 1] == "}":
        delimiter = end
    else:
        while True:
            found = _KEY.match(text, position)
            if not found:
                raise ValueError(f"no key at character {position}")
            key = found[1][1:-1] if "\\" not in found[1] else json.loads(found[1])
            frame[key], end = _read_value(text, _skip_space(text, found.end()))
            delimiter = _skip_space(text, end)
            if key == "json":
                exact = text[found.end() : delimiter]
            position = delimiter + 1
            if text[delimiter:position] != ",":
                break
    if text[delimiter : delimiter + 1] != "}" or _skip_space(text, delimiter + 1) != len(text):
        raise ValueError(f"neither `,` nor the end at character {delimiter}")
    return frame, exact


def _read_value(text: str, start: int) -> tuple[Any, int]:
    try:
        return _scan(text, start)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError):
        # JSON that Python will not hold (nested thousands deep, integers of thousands of digits) is passed on as it is;
        # under a key that is not known it means nothing.
        return NOT_PARSED, _end_of_value(text, start)


def _end_of_value(text: str, start: int) -> int:
    if digits := _DIGITS.match(text, start):
        return digits.end()
    depth = 0
    while found := _TOKEN.match(text, start):
        start = found.end()
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth <= 0:
            return start
    raise ValueError("a value that does not end")


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _neutral_json(frame: FrameMap, exact: str | None) -> FrameMap:
    if "headers" in frame:
        frame["headers"] = [(name, _header_from_json(value)) for name, value in frame["headers"]]
    if exact is not None:
        frame["value"] = Value("json", exact.encode(), frame.pop("json"))
    elif "text" in frame:
        # Half of a surrogate pair, which no server should send, must not end one connection after another.
        frame["value"] = Value("text", str.encode(frame.pop("text"), "utf-8", "surrogatepass"))
    elif "base64" in frame:
        frame["value"] = Value("bytes", base64.b64decode(frame.pop("base64"), validate=True))
    elif frame.pop("tombstone", False) is True:
        frame["value"] = Value("tombstone", None)
    return frame


def _header_from_json(value: str | FrameMap | None) -> bytes | None:
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"], validate=True)


def _encode_msgpack(frame: FrameMap) -> bytes:
    frame = dict(frame)
    value: Value | None = frame.pop("value", None)
    if value is not None:
        raw = value.raw or b""
        frame[value.kind] = {"tombstone": True, "text": raw.decode() if value.kind == "text" else ""}.get(
            value.kind, raw
        )
    packed: bytes = msgpack.packb(frame)
    return packed


def _decode_msgpack(data: str | bytes) -> FrameMap:
    try:
        frame = msgpack.unpackb(data)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise FrameError(f"not a frame in MessagePack: {error}") from None
    if not isinstance(frame, dict):
        raise FrameError("not a frame in MessagePack: not a map")
    if "headers" in frame:
        frame["headers"] = _pairs(frame["headers"])
    for kind in ("json", "text", "bytes"):
        if kind in frame:
            raw = frame.pop(kind)
            if not isinstance(raw, str if kind == "text" else bytes):
                raise FrameError(f"not a frame in MessagePack: `{kind}` is a {type(raw).__name__}")
            frame["value"] = Value(kind, raw.encode() if isinstance(raw, str) else raw)
            return frame
    if frame.pop("tombstone", False) is True:
        frame["value"] = Value("tombstone", None)
    return frame


def _pairs(headers: Headers) -> Headers:
    try:
        return [(name, raw) for name, raw in headers]
    except (ValueError, TypeError):
        raise FrameError("not a frame in MessagePack: `headers` is not a list of pairs") from None


ENCODINGS = {
    "json": Encoding("whimbrel.v1.json", _encode_json, _decode_json),
    "msgpack": Encoding("whimbrel.v1.msgpack", _encode_msgpack, _decode_msgpack),
}
