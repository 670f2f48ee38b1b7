"""Where a subscription starts (PROTOCOL section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

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


def to_frame(start: Start) -> dict[str, Any]:
    """The key and value that say so in a `subscribe` frame."""
    match start:
        case Latest():
            return {"from": "latest"}
        case Now():
            return {"from": "now"}
        case Last(count):
            return {"from": {"last": count}}
        case Since(time):
            return {"from": {"time": round(time.timestamp() * 1000) if isinstance(time, datetime) else time}}
        case After(positions):
            return {"from": {"at": dict(positions)}}
        case Resume(place):
            return {"resume": dict(place)}
