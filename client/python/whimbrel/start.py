"""Where a subscription starts (PROTOCOL section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

Position: TypeAlias = tuple[int, int]
"""(epoch, seq). Compare positions of one log only."""

Positions: TypeAlias = dict[str, Position]
"""By log."""

Place: TypeAlias = dict[str, Position | None]
"""log -> position: everything up to and including it has been received; None: nothing of the log yet, it could not be
read when the subscription began. Plain data, to keep wherever one likes."""


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest message of each matching subject, then live."""


@dataclass(frozen=True, slots=True)
class Now:
    """Live only."""


@dataclass(frozen=True, slots=True)
class Last:
    """The last `count` messages of the subscription as a whole, as far as the server has them, then live."""

    count: int


@dataclass(frozen=True, slots=True)
class Since:
    """The first message of each log at or after `time`, and all that follow."""

    time: datetime | int
    """An aware or local datetime, or milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class After:
    """Whatever follows these positions; logs not named start with live messages."""

    positions: Mapping[str, Position]


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on from a place kept earlier (`Subscription.place`); logs not named are new, and read from their beginning."""

    place: Mapping[str, Position | None]


Start: TypeAlias = Latest | Now | Last | Since | After | Resume

StartOrName: TypeAlias = Start | Literal["latest", "now"]

_INTEGER_MAX = 2**53 - 1


def to_start(given: StartOrName) -> Start:
    """What the application says a subscription is to start with, checked: the server would end the connection.

    Raises:
        TypeError: If it is not a start, or holds something of a wrong type; the message says which.
        ValueError: If a number is out of its range.
    """
    match given:
        case "latest":
            return Latest()
        case "now":
            return Now()
        case Latest() | Now():
            pass
        case Last(count):
            if not _is_integer(count):
                raise TypeError(f"Last: a whole number is expected, found {count!r}")
            if not 1 <= count <= _INTEGER_MAX:
                raise ValueError(f"Last: at least 1 is expected, found {count!r}")
        case Since(time):
            if not isinstance(time, datetime) and not _is_integer(time):
                raise TypeError(f"Since: a datetime or whole milliseconds since 1970 are expected, found {time!r}")
            if not 0 <= _milliseconds(time) <= _INTEGER_MAX:
                raise ValueError(f"Since: a time since 1970 is expected, found {time!r}")
        case After(positions):
            _check_positions("After", positions, or_none=False)
        case Resume(place):
            _check_positions("Resume", place, or_none=True)
        case _:
            raise TypeError(
                f'start is "latest", "now", Latest(), Now(), Last(n), Since(time), After(positions) or Resume(place): '
                f"found {given!r}"
            )
    return given


def _check_positions(name: str, positions: object, *, or_none: bool) -> None:
    if not isinstance(positions, Mapping):
        raise TypeError(f"{name}: a map from log to position is expected, found {positions!r}")
    for log, position in positions.items():
        if not isinstance(log, str):
            raise TypeError(f"{name}: the name of a log is expected, found {log!r}")
        if position is None and or_none:
            continue
        if not (isinstance(position, tuple | list) and len(position) == 2 and all(map(_is_integer, position))):
            raise TypeError(f"{name}: log {log}: a position (epoch, seq) is expected, found {position!r}")
        if not (0 <= position[0] <= _INTEGER_MAX and -1 <= position[1] <= _INTEGER_MAX):
            raise ValueError(f"{name}: log {log}: there is no such position: {position!r}")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _milliseconds(time: datetime | int) -> int:
    return round(time.timestamp() * 1000) if isinstance(time, datetime) else time


def to_frame(start: Start) -> dict[str, object]:
    """The key and value that say so in a `subscribe` frame."""
    match start:
        case Latest():
            return {"from": "latest"}
        case Now():
            return {"from": "now"}
        case Last(count):
            return {"from": {"last": count}}
        case Since(time):
            return {"from": {"time": _milliseconds(time)}}
        case After(positions):
            return {"from": {"at": dict(positions)}}
        case Resume(place):
            return {"resume": dict(place)}
