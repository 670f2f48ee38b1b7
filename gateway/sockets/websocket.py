"""RFC 6455 from a server's side, after the handshake: bytes in, messages and control frames out.

Each frame is parsed by `websockets.frames.Frame.parse`. Between calls nothing is kept unless a frame or message is
incomplete, so that an idle connection costs nothing. A frame that arrives in many pieces is copied once.

Not here: the handshake (http/server.py), what messages mean (sessions/frames.py).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Close, Frame, Opcode

from gateway.link.codes import FRAME_TOO_LARGE
from gateway.link.messages import server_frame

TEXT = int(Opcode.TEXT)
BINARY = int(Opcode.BINARY)
CLOSE = int(Opcode.CLOSE)
PING = int(Opcode.PING)
PONG = int(Opcode.PONG)
FAILED = 0x10
"""Not an opcode: the client broke RFC 6455 or a limit; close with the event's code."""

_FIN = 0x80
_PROTOCOL_ERROR = 1002
_INVALID_DATA = 1007
_TOO_BIG = 1009
FRAGMENTS_MAX = 1024
"""Of one message: an empty fragment costs no memory, but as much time as a whole frame."""
_REASON_BYTES_MAX = 123


class Received(NamedTuple):
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


def receive(partial: Partial | None, data: bytes, size_max: int) -> tuple[list[Received], Partial | None]:
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
    found: list[Received] = []
    start = 0
    try:
        while start < len(source):
            frame, start = _frame(source, start, size_max)
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
    if start or source is data:
        partial.bytes = bytearray(memoryview(source)[start:])
    return found, partial if partial.bytes or partial.message is not None else None


def close_payload(code: int, reason: str) -> bytes:
    """A close frame's payload; a long reason is cut."""
    return code.to_bytes(2, "big") + reason.encode()[:_REASON_BYTES_MAX].decode(errors="ignore").encode()


def close_reason(payload: bytes) -> tuple[int, str]:
    """What a close frame's payload says."""
    return (int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")) if payload else (1005, "")


def control_frame(kind: int, payload: bytes = b"") -> bytes:
    """A CLOSE, PING or PONG to the client."""
    return server_frame(_FIN | kind, payload)


def _failed(code: int, reason: str) -> Received:
    return Received(FAILED, close_payload(code, reason), code, reason)


def _frame(source: bytes | bytearray, start: int, size_max: int) -> tuple[Frame, int]:
    at = start

    def read_exact(size: int) -> Generator[None, None, bytes | bytearray]:
        nonlocal at
        end = at + size
        if end > len(source):
            raise _Short
        piece = source[at:end]
        at = end
        return piece
        yield  # Frame.parse wants a generator; this one never has to wait.

    try:
        next(Frame.parse(read_exact, mask=True, max_size=size_max))
    except StopIteration as stop:
        return stop.value, at
    raise AssertionError("Frame.parse waits only where read_exact does")


def _event(partial: Partial, frame: Frame, size_max: int) -> Received | None:
    """What a frame completes, if anything."""
    kind = int(frame.opcode)
    data = bytes(frame.data)
    if kind >= CLOSE:
        if kind == CLOSE:
            Close.parse(data)
        return Received(kind, data)
    if kind:
        if partial.message is not None:
            raise ProtocolError("a new message inside a fragmented one")
        if not frame.fin:
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
        if not frame.fin:
            return None
        kind, data, partial.message = partial.kind, bytes(partial.message), None
    if kind == TEXT and not data.isascii():
        data.decode()
    return Received(kind, data)
