"""Frames from the server, checked: a map (encodings.py) -> one of the classes below.

Unknown keys and unknown frames are ignored (`read` returns None for the latter). Anything else that does not follow
PROTOCOL raises FrameError, so that the session never sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from whimbrel.encodings import FrameMap
from whimbrel.errors import FrameError
from whimbrel.message import Message, Value
from whimbrel.start import Position, Positions


@dataclass(frozen=True, slots=True)
class Welcome:
    node: str
    cluster: str
    heartbeat_s: float
    servers: list[str]
    frame_bytes_max: int | None
    publishes_max: int | None


@dataclass(frozen=True, slots=True)
class Expiring:
    within_s: float


@dataclass(frozen=True, slots=True)
class Renewed:
    id: int


@dataclass(frozen=True, slots=True)
class GapSaid:
    """Messages of `log` after `start` up to and including `end` will not come. `end` is None: nor will the log."""

    log: str
    start: Position | None
    end: Position | None
    why: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    id: int
    answer: str
    at: Positions
    gaps: list[GapSaid]
    waiting: list[str]


@dataclass(frozen=True, slots=True)
class Published:
    id: int
    log: str
    at: Position | None


@dataclass(frozen=True, slots=True)
class Error:
    id: int
    code: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Msg:
    sub: int | None
    message: Message


@dataclass(frozen=True, slots=True)
class Live:
    sub: int
    at: Positions


@dataclass(frozen=True, slots=True)
class Gap:
    sub: int
    gaps: list[GapSaid]


@dataclass(frozen=True, slots=True)
class Ended:
    sub: int
    log: str


@dataclass(frozen=True, slots=True)
class Waiting:
    sub: int
    why: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    at: Positions


@dataclass(frozen=True, slots=True)
class Move:
    within_s: float
    servers: list[str]


ServerFrame: TypeAlias = (
    Welcome
    | Expiring
    | Renewed
    | Subscribed
    | Published
    | Error
    | Msg
    | Live
    | Gap
    | Ended
    | Waiting
    | Heartbeat
    | Move
)


def read(frame: FrameMap) -> ServerFrame | None:
    """Check a frame; None when a client need do nothing about it.

    Raises:
        FrameError: If a key is missing or has a value that it cannot have.
    """
    op = frame.get("op")
    reader = _READERS.get(op) if isinstance(op, str) else _no_op
    if reader is None:
        return None
    try:
        return reader(frame)
    except KeyError as error:
        raise FrameError(f"`{op}` without {error}") from None
    except (TypeError, ValueError) as error:
        raise FrameError(f"`{op}` with a wrong value: {error}") from None


def _no_op(frame: FrameMap) -> ServerFrame:
    raise FrameError("a frame without `op`")


def _welcome(frame: FrameMap) -> Welcome:
    limits = frame.get("limits", {})
    if not isinstance(limits, dict):
        raise TypeError(f"limits {limits!r}")
    return Welcome(
        node=_text(frame["node"]),
        cluster=_text(frame["cluster"]),
        heartbeat_s=_number(frame["heartbeat_s"]),
        servers=[_text(server) for server in frame.get("servers", [])],
        frame_bytes_max=_integer_or_none(limits.get("frame_bytes")),
        publishes_max=_integer_or_none(limits.get("publishes")),
    )


def _subscribed(frame: FrameMap) -> Subscribed:
    answer = frame["answer"]
    if answer not in ("fresh", "full", "gap"):
        raise ValueError(f"answer {answer!r}")
    waiting = [_text(log) for log in frame.get("waiting", [])]
    return Subscribed(_integer(frame["id"]), answer, _positions(frame["at"]), _gaps(frame.get("gaps", [])), waiting)


def _published(frame: FrameMap) -> Published:
    return Published(_integer(frame["id"]), _text(frame["log"]), _position_or_none(frame.get("at")))


def _error(frame: FrameMap) -> Error:
    code = _integer(frame["code"])
    return Error(_integer(frame["id"]), code, _text(frame.get("error", "")), _text(frame.get("reason", "")))


def _msg(frame: FrameMap) -> Msg:
    value = frame["value"]
    if not isinstance(value, Value):
        raise TypeError("value")
    message = Message(
        _text(frame["subject"]),
        value,
        frame.get("headers", []),
        _integer_or_none(frame.get("time")),
        _text(frame["log"]),
        _position(frame["at"]),
        _position_or_none(frame.get("prev")),
        frame.get("snapshot", False) is True,
    )
    return Msg(_integer_or_none(frame.get("sub")), message)


def _gaps(said: Iterable[FrameMap]) -> list[GapSaid]:
    return [
        GapSaid(_text(gap["log"]), _position_or_none(gap["from"]), _position_or_none(gap["to"]), _text(gap["why"]))
        for gap in said
    ]


_READERS: dict[str, Callable[[FrameMap], ServerFrame]] = {
    "welcome": _welcome,
    "expiring": lambda frame: Expiring(_number(frame["within_s"])),
    "renewed": lambda frame: Renewed(_integer(frame["id"])),
    "subscribed": _subscribed,
    "published": _published,
    "error": _error,
    "msg": _msg,
    "live": lambda frame: Live(_integer(frame["sub"]), _positions(frame["at"])),
    "gap": lambda frame: Gap(_integer(frame["sub"]), _gaps(frame["gaps"])),
    "ended": lambda frame: Ended(_integer(frame["sub"]), _text(frame["log"])),
    "waiting": lambda frame: Waiting(_integer(frame["sub"]), _text(frame.get("why", ""))),
    "heartbeat": lambda frame: Heartbeat(_positions(frame.get("at", {}))),
    "move": lambda frame: Move(_number(frame["within_s"]), [_text(server) for server in frame.get("servers", [])]),
}


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} where an integer belongs")
    return value


def _integer_or_none(value: object) -> int | None:
    return None if value is None else _integer(value)


def _number(value: object) -> float:
    if not isinstance(value, int | float) or value < 0:
        raise TypeError(f"{value!r} where a number of seconds belongs")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where a string belongs")
    return value


def _position(value: object) -> Position:
    match value:
        case [epoch, seq]:
            return _integer(epoch), _integer(seq)
    raise TypeError(f"{value!r} where a position belongs")


def _position_or_none(value: object) -> Position | None:
    return None if value is None else _position(value)


def _positions(value: object) -> Positions:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} where a map of positions belongs")
    return {_text(log): _position(at) for log, at in value.items()}
