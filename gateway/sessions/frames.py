"""Frames between a client and its gateway: decoding what clients send, encoding what they are told.

Both sub-protocols carry the same maps (client/PROTOCOL.md section 3), so each frame is one struct; only `publish`
differs, in how values and headers are written. Unknown keys are ignored. What comes out of `decode` has the right
shape; what it asks for may still be refused (requests.py).

Not here: messages (link/messages.py), RFC 6455 (sockets/websocket.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.link.codes import NAMES
from gateway.link.events import JSON, MSGPACK, Start
from gateway.link.messages import RESERVED_HEADER, is_json, server_frame
from mesh.log import Gap, Headers

INTEGER_MAX = 2**53 - 1
Count = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
Seq = Annotated[int, Meta(ge=-1, le=INTEGER_MAX)]
ClientPositions = dict[str, tuple[Count, Seq]]
ClientPlace = dict[str, tuple[Count, Seq] | None]

HEADERS_MAX = 100
"""Of one publish: each is encoded anew for every pattern and encoding that the message goes to."""
PLACE_LOGS_MAX = 10_000
"""Of one place: more partitions than a topic has, and no more than a node can look up without others noticing."""

_PUBLISHER = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")
_HALF_PAIR = re.compile(rb"(?<!\\)(?:\\\\)*\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")


class BadFrame(ValueError):
    """Not a frame: the connection is closed with 4300. The message is the reason that the client is given."""


class BadRequest(ValueError):
    """A frame with a value that cannot be used: error 4318 answers the request `id`."""

    def __init__(self, request: int, reason: str) -> None:
        super().__init__(reason)
        self.id = request


# From clients.


class Hello(msgspec.Struct, tag="hello", tag_field="op", gc=False):
    id: Count
    client: str = ""
    token: str | None = None


class Renew(msgspec.Struct, tag="renew", tag_field="op", gc=False):
    id: Count
    token: str


class Unsubscribe(msgspec.Struct, tag="unsubscribe", tag_field="op", gc=False):
    id: Count
    sub: Count


class Ping(msgspec.Struct, tag="ping", tag_field="op", gc=False):
    id: Count


class Subscribe(msgspec.Struct, gc=False):
    """`subscribe`, its `from` or `resume` made one start."""

    id: int
    subject: str
    start: Start


class Publish(msgspec.Struct, gc=False):
    """`publish`, its value made the bytes that Kafka gets (None: a tombstone)."""

    id: int
    subject: str
    publisher: str
    seq: int
    value: bytes | None
    headers: Headers


ClientFrame: TypeAlias = Hello | Renew | Subscribe | Unsubscribe | Publish | Ping


class _From(msgspec.Struct, gc=False):
    last: int | UnsetType = UNSET
    time: int | UnsetType = UNSET
    at: ClientPositions | UnsetType = UNSET


class _Subscribe(msgspec.Struct, tag="subscribe", tag_field="op", gc=False):
    id: Count
    subject: str
    start: str | _From | UnsetType = msgspec.field(name="from", default=UNSET)
    resume: ClientPlace | UnsetType = UNSET


class _Publish(msgspec.Struct, tag="publish", tag_field="op", gc=False, kw_only=True):
    id: Count
    subject: str
    publisher: str
    seq: Count
    text: str | UnsetType = UNSET
    tombstone: bool | UnsetType = UNSET


class _Base64(msgspec.Struct, gc=False):
    base64: bytes


class _PublishJson(_Publish, tag="publish", gc=False, kw_only=True):
    json: msgspec.Raw | UnsetType = UNSET
    """Raw keeps the client's own bytes."""
    bytes_: bytes | UnsetType = msgspec.field(name="base64", default=UNSET)
    headers: list[tuple[str, str | _Base64 | None]] = []


class _PublishMsgpack(_Publish, tag="publish", gc=False, kw_only=True):
    json: bytes | UnsetType = UNSET
    bytes_: bytes | UnsetType = msgspec.field(name="bytes", default=UNSET)
    headers: list[tuple[str, bytes | None]] = []


_Wire: TypeAlias = Hello | Renew | _Subscribe | Unsubscribe | _PublishJson | _PublishMsgpack | Ping
_from_json: Callable[[bytes], _Wire] = msgspec.json.Decoder(
    Hello | Renew | _Subscribe | Unsubscribe | _PublishJson | Ping
).decode
_from_msgpack: Callable[[bytes], _Wire] = msgspec.msgpack.Decoder(
    Hello | Renew | _Subscribe | Unsubscribe | _PublishMsgpack | Ping
).decode


def decode(data: bytes, encoding: int) -> ClientFrame:
    """One frame from a client.

    Raises:
        BadFrame: If it is not one; close the connection.
        BadRequest: If it is one, with a start, publisher or header that cannot be used; answer it.
    """
    try:
        frame = _from_json(data) if encoding == JSON else _from_msgpack(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadFrame(_reason(str(error), data, encoding)) from None
    except RecursionError:
        raise BadFrame("nested too deep") from None
    if isinstance(frame, _Subscribe):
        return Subscribe(frame.id, frame.subject, _start(frame))
    if isinstance(frame, _PublishJson | _PublishMsgpack):
        return _publish(frame)
    return frame


def _reason(reason: str, data: bytes, encoding: int) -> str:
    """What is wrong with a frame. Half of a pair just before the end is to msgspec an end that comes too early."""
    if encoding == JSON and reason == "Input data was truncated" and _HALF_PAIR.search(data):
        return "JSON is malformed: half of a surrogate pair"
    return reason


def _start(frame: _Subscribe) -> Start:
    asked = frame.start
    if frame.resume is not UNSET:
        if asked is not UNSET:
            raise BadRequest(frame.id, "at most one of `from` and `resume`")
        _check_size(frame.id, frame.resume)
        return Start("resume", place=frame.resume)
    if asked is UNSET:
        return Start("latest")
    if isinstance(asked, str):
        if asked not in ("latest", "now"):
            raise BadRequest(frame.id, f"`from` is latest, now or a map, not {asked!r}")
        return Start(asked)
    if sum(value is not UNSET for value in (asked.last, asked.time, asked.at)) != 1:
        raise BadRequest(frame.id, "`from` has exactly one of `last`, `time` and `at`")
    if asked.at is not UNSET:
        _check_size(frame.id, asked.at)
        return Start("at", place={**asked.at})
    if asked.time is not UNSET:
        if not 0 <= asked.time <= INTEGER_MAX:
            raise BadRequest(frame.id, f"`time` is in milliseconds since 1970, not {asked.time}")
        return Start("time", asked.time)
    assert isinstance(asked.last, int)
    if asked.last < 1:
        raise BadRequest(frame.id, f"`last` is at least 1, not {asked.last}")
    return Start("last", asked.last)


def _check_size(request: int, place: Mapping[str, object]) -> None:
    if len(place) > PLACE_LOGS_MAX:
        raise BadRequest(request, f"a place names at most {PLACE_LOGS_MAX} logs, not {len(place)}")


def _publish(frame: _PublishJson | _PublishMsgpack) -> Publish:
    values = [frame.json, frame.text, frame.bytes_, frame.tombstone]
    if sum(value is not UNSET for value in values) != 1:
        raise BadFrame("`publish` has exactly one value: json, text, base64 or bytes, or tombstone")
    value: bytes | None
    if frame.json is not UNSET:
        value = bytes(frame.json)
        if isinstance(frame, _PublishMsgpack) and not is_json(value):
            raise BadFrame("what is in `json` is not JSON")
    elif frame.text is not UNSET:
        value = frame.text.encode()
    elif frame.bytes_ is not UNSET:
        value = frame.bytes_
    else:
        if frame.tombstone is not True:
            raise BadFrame("`tombstone` is true where there is one")
        value = None
    if not _PUBLISHER.match(frame.publisher):
        raise BadRequest(frame.id, "`publisher` is 16 to 64 of A-Z a-z 0-9 _ -")
    if len(frame.headers) > HEADERS_MAX:
        raise BadRequest(frame.id, f"at most {HEADERS_MAX} headers, not {len(frame.headers)}")
    headers: Headers = []
    for name, content in frame.headers:
        if name.startswith(RESERVED_HEADER):
            raise BadRequest(frame.id, f"header names that begin with {RESERVED_HEADER} are reserved: {name!r}")
        if isinstance(content, str):
            content = content.encode()
        headers.append((name, content.base64 if isinstance(content, _Base64) else content))
    return Publish(frame.id, frame.subject, frame.publisher, frame.seq, value, headers)


# To clients.


class Limits(msgspec.Struct, gc=False):
    frame_bytes: int
    subscriptions: int
    publishes: int
    last: int


class Welcome(msgspec.Struct, tag="welcome", tag_field="op", gc=False):
    id: int
    node: str
    cluster: str
    heartbeat_s: float
    servers: list[str]
    limits: Limits


class Expiring(msgspec.Struct, tag="expiring", tag_field="op", gc=False):
    within_s: float


class Renewed(msgspec.Struct, tag="renewed", tag_field="op", gc=False):
    id: int


class ShownGap(msgspec.Struct, gc=False):
    """A gap as clients get it."""

    log: str
    start: tuple[int, int] | None = msgspec.field(name="from")
    end: tuple[int, int] | None = msgspec.field(name="to")
    why: str


class Subscribed(msgspec.Struct, tag="subscribed", tag_field="op", gc=False, omit_defaults=True):
    id: int
    answer: str
    at: dict[str, tuple[int, int]]
    gaps: list[ShownGap] = []
    waiting: list[str] = []


class Unsubscribed(msgspec.Struct, tag="unsubscribed", tag_field="op", gc=False):
    id: int
    sub: int


class Published(msgspec.Struct, tag="published", tag_field="op", gc=False, omit_defaults=True):
    id: int
    log: str
    at: tuple[int, int] | None = None


class Pong(msgspec.Struct, tag="pong", tag_field="op", gc=False):
    id: int


class Error(msgspec.Struct, tag="error", tag_field="op", gc=False):
    id: int
    code: int
    error: str
    reason: str


class Live(msgspec.Struct, tag="live", tag_field="op", gc=False):
    sub: int
    at: dict[str, tuple[int, int]]


class GapFrame(msgspec.Struct, tag="gap", tag_field="op", gc=False):
    sub: int
    gaps: list[ShownGap]


class Ended(msgspec.Struct, tag="ended", tag_field="op", gc=False):
    sub: int
    log: str


class Waiting(msgspec.Struct, tag="waiting", tag_field="op", gc=False):
    sub: int
    why: str


class Heartbeat(msgspec.Struct, tag="heartbeat", tag_field="op", gc=False, omit_defaults=True):
    at: dict[str, tuple[int, int]] = {}


class Move(msgspec.Struct, tag="move", tag_field="op", gc=False):
    within_s: float
    servers: list[str]


ServerFrame: TypeAlias = (
    Welcome
    | Expiring
    | Renewed
    | Subscribed
    | Unsubscribed
    | Published
    | Pong
    | Error
    | Live
    | GapFrame
    | Ended
    | Waiting
    | Heartbeat
    | Move
)

_to_json = msgspec.json.Encoder().encode
_to_msgpack = msgspec.msgpack.Encoder().encode
_TEXT, _BINARY = 0x81, 0x82


def encode(frame: ServerFrame, encoding: int) -> bytes:
    """A frame to a client as a finished WebSocket frame."""
    if encoding == MSGPACK:
        return server_frame(_BINARY, _to_msgpack(frame))
    return server_frame(_TEXT, _to_json(frame))


def error(request: int, code: int, reason: str) -> Error:
    """The answer to a request that is refused, with the code's name from the table."""
    return Error(request, code, NAMES.get(code, "internal"), reason)


def shown(gaps: list[Gap]) -> list[ShownGap]:
    """The node's gaps as clients get them."""
    return [ShownGap(gap.log, gap.start, gap.end, gap.why) for gap in gaps]
