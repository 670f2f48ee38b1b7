"""RFC 6455 from a server's side, after the handshake: bytes in, messages and control frames out.

Masks and close frames are the `websockets` package's. Its `Frame.parse` would take the heads apart, too, at ten times
the price: it is made for bytes that have not come yet. Between calls nothing is kept unless a frame or message is
incomplete, so that an idle connection costs nothing. A frame that arrives in many pieces is copied once.

Not here: the handshake (http/server.py), what messages mean (sessions/frames.py).
"""

from __future__ import annotations

from typing import NamedTuple

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Close, Opcode, apply_mask  # type: ignore[attr-defined]

from gateway.link.codes import FRAME_TOO_LARGE
from gateway.link.messages import server_frame

TEXT = int(Opcode.TEXT)
BINARY = int(Opcode.BINARY)
CLOSE = int(Opcode.CLOSE)
PING = int(Opcode.PING)
PONG = int(Opcode.PONG)
FAILED = 0x10
"""Not an opcode: the client broke RFC 6455 or a limit; close with the event's code."""

_FIN = _MASKED = 0x80
_RESERVED, _OPCODE, _SIZE = 0x70, 0x0F, 0x7F
_OPCODES = frozenset(int(one) for one in Opcode)
_SIZES = {126: 2, 127: 8}
"""How many bytes of a longer size follow, where the size is one of these."""
_MASK_BYTES = 4
_CONTROL_BYTES_MAX = 125
_PROTOCOL_ERROR = 1002
_INVALID_DATA = 1007
_TOO_BIG = 1009
FRAGMENTS_MAX = 1024
"""Of one message: an empty fragment costs no memory, but as much time as a whole frame."""
_REASON_BYTES_MAX = 123


class WebSocketEvent(NamedTuple):
    """A whole message (TEXT, BINARY), a control frame (CLOSE, PING, PONG) or FAILED."""

    kind: int
    data: bytes
    """Of CLOSE and FAILED: the payload for the close frame that answers, made of code and reason."""
    code: int = 0
    """FAILED: the close code."""
    reason: str = ""


class Partial:
    """What has arrived of a frame, and of a message in fragments."""

    __slots__ = ("bytes", "fragments", "kind", "message")

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.kind = 0
        self.fragments = 0
        self.message: bytearray | None = None


class _Short(Exception):
    """The rest of the frame has not come yet."""


class _TooManyFragments(Exception):
    """A message is in more pieces than are taken."""


def receive(partial: Partial | None, data: bytes, size_max: int) -> tuple[list[WebSocketEvent], Partial | None]:
    """Everything that is complete once `data` has arrived, and what is left over.

    Args:
        partial: What the previous call left over.
        size_max: The longest message, in bytes, all its fragments together.

    After CLOSE or FAILED, always the last event, ignore what else comes.
    """
    source: bytes | bytearray = data
    if partial is None:
        partial = Partial()
    elif partial.bytes:
        source = partial.bytes
        source += data
    found: list[WebSocketEvent] = []
    start = 0
    try:
        while start < len(source):
            frame = _frame(source, start, size_max)
            start = frame.end
            event = _event(partial, frame, size_max)
            if event is not None:
                found.append(event)
                if event.kind == CLOSE:
                    return found, None
    except _Short:
        pass
    except ProtocolError as error:
        return [*found, _failed(_PROTOCOL_ERROR, str(error))], None
    except UnicodeDecodeError:
        return [*found, _failed(_INVALID_DATA, "text is UTF-8")], None
    except PayloadTooBig:
        return [*found, _failed(FRAME_TOO_LARGE, f"a frame has at most {size_max} bytes")], None
    except _TooManyFragments:
        return [*found, _failed(_TOO_BIG, f"a message has at most {FRAGMENTS_MAX} fragments")], None
    if start == len(source):
        if partial.message is None:
            return found, None
        partial.bytes = bytearray()
    elif start or source is data:
        partial.bytes = bytearray(memoryview(source)[start:])
    return found, partial


def close_payload(code: int, reason: str) -> bytes:
    """A close frame's payload; a long reason is cut."""
    return code.to_bytes(2, "big") + reason.encode()[:_REASON_BYTES_MAX].decode(errors="ignore").encode()


def close_reason(payload: bytes) -> tuple[int, str]:
    """What a close frame's payload says."""
    return (int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")) if payload else (1005, "")


def control_frame(kind: int, payload: bytes = b"") -> bytes:
    """A CLOSE, PING or PONG to the client."""
    return server_frame(_FIN | kind, payload)


def _failed(code: int, reason: str) -> WebSocketEvent:
    return WebSocketEvent(FAILED, close_payload(code, reason), code, reason)


class _Frame(NamedTuple):
    opcode: int
    is_last: bool
    """Of its message."""
    data: bytes
    end: int
    """Where the next one begins."""


def _frame(source: bytes | bytearray, start: int, size_max: int) -> _Frame:
    """The frame that begins at `start` (RFC 6455 section 5.2)."""
    at = start + 2
    if at > len(source):
        raise _Short
    head, size = source[start], source[start + 1]
    opcode, is_last = head & _OPCODE, bool(head & _FIN)
    if opcode not in _OPCODES:
        raise ProtocolError("invalid opcode")
    if head & _RESERVED:
        raise ProtocolError("reserved bits must be 0")
    if not size & _MASKED:
        raise ProtocolError("incorrect masking")
    size &= _SIZE
    if opcode >= CLOSE:
        if size > _CONTROL_BYTES_MAX:
            raise ProtocolError("control frame too long")
        if not is_last:
            raise ProtocolError("fragmented control frame")
    if size in _SIZES:
        begin, at = at, at + _SIZES[size]
        if at > len(source):
            raise _Short
        size = int.from_bytes(source[begin:at], "big")
    if size > size_max:
        raise PayloadTooBig(size, size_max)
    begin = at + _MASK_BYTES
    end = begin + size
    if end > len(source):
        raise _Short
    return _Frame(opcode, is_last, apply_mask(source[begin:end], source[at:begin]), end)


def _event(partial: Partial, frame: _Frame, size_max: int) -> WebSocketEvent | None:
    """What a frame completes, if anything."""
    kind, is_last, data, _ = frame
    if kind >= CLOSE:
        if kind == CLOSE:
            Close.parse(data)
        return WebSocketEvent(kind, data)
    if kind:
        if partial.message is not None:
            raise ProtocolError("a new message inside a fragmented one")
        if not is_last:
            partial.kind, partial.fragments, partial.message = kind, 1, bytearray(data)
            return None
    else:
        if partial.message is None:
            raise ProtocolError("a continuation of nothing")
        partial.message += data
        partial.fragments += 1
        if len(partial.message) > size_max:
            raise PayloadTooBig(len(partial.message), size_max)
        if partial.fragments > FRAGMENTS_MAX:
            raise _TooManyFragments
        if not is_last:
            return None
        kind, data, partial.message = partial.kind, bytes(partial.message), None
    if kind == TEXT and not data.isascii():
        data.decode()
    return WebSocketEvent(kind, data)
