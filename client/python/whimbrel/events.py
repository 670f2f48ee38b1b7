"""News: what a session tells its shell, most of it passed on to the application's `on_status`.

Each of them is one line when printed (`str(event)`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from whimbrel.interest import Interest
from whimbrel.message import Message
from whimbrel.outgoing import Outgoing
from whimbrel.start import Place, Position


@dataclass(frozen=True, slots=True)
class Connected:
    """A server said `welcome`."""

    server: str
    node: str
    cluster: str

    def __str__(self) -> str:
        return f"connected to {self.server} (node {self.node})"


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The connection was lost, or an attempt has failed; the next one begins in `pause_s` seconds."""

    code: int | None
    reason: str
    pause_s: float

    def __str__(self) -> str:
        return f"reconnecting in {self.pause_s:.2f} s: {f'{self.code} ' if self.code else ''}{self.reason}"


@dataclass(frozen=True, slots=True)
class Moving:
    """The server asked to use another one; the client goes in `within_s` seconds at most."""

    within_s: float

    def __str__(self) -> str:
        return f"the server is shutting down; reconnecting within {self.within_s:g} s"


@dataclass(frozen=True, slots=True)
class TokenNeeded:
    """The server wants a new token; the session waits for it."""

    code: int | None
    reason: str

    def __str__(self) -> str:
        return f"a new token is needed: {self.code} {self.reason}"


@dataclass(frozen=True, slots=True)
class TokenExpiring:
    """The token ends soon: the session takes a new one for the living connection."""

    within_s: float

    def __str__(self) -> str:
        return f"the token expires in {self.within_s:.0f} s"


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over and will not come back."""

    code: int | None
    reason: str

    def __str__(self) -> str:
        return f"closed: {f'{self.code} ' if self.code else ''}{self.reason}"


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The server answered a new subscription. `waiting` names logs that cannot be read just now."""

    interest: Interest
    waiting: tuple[str, ...]

    def __str__(self) -> str:
        return f"subscribed to {self.interest.subject}{_waiting(self.waiting)}"


@dataclass(frozen=True, slots=True)
class Resumed:
    """The server answered a resume: everything missed follows if `full`; else `Gap`s say what does not."""

    interest: Interest
    full: bool
    waiting: tuple[str, ...]

    def __str__(self) -> str:
        return f"resumed {self.interest.subject}{'' if self.full else ' with a gap'}{_waiting(self.waiting)}"


@dataclass(frozen=True, slots=True)
class Live:
    """Everything asked for of these logs has been handed over; what follows is live."""

    interest: Interest
    logs: tuple[str, ...]

    def __str__(self) -> str:
        return f"live: {self.interest.subject}"


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages of `log` after `start`, up to and including `end`, if there were any, will not come.

    `start` is None when it is not known, `end` is None when the log no longer exists.
    """

    interest: Interest
    log: str
    start: Position | None
    end: Position | None
    why: str

    def __str__(self) -> str:
        after = f" after {_position(self.start)}" if self.start else ""
        to = f" up to {_position(self.end)}" if self.end else "; the log is gone"
        return f"gap: {self.interest.subject} log {self.log}: everything{after}{to}: {self.why}"


@dataclass(frozen=True, slots=True)
class Ended:
    """The log no longer exists, and nothing of it was missed."""

    interest: Interest
    log: str

    def __str__(self) -> str:
        return f"ended: {self.interest.subject} log {self.log}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """The server cannot read what is needed just now; the subscription goes on when it can."""

    interest: Interest
    why: str

    def __str__(self) -> str:
        return f"waiting: {self.interest.subject}: {self.why}"


@dataclass(frozen=True, slots=True)
class Missing:
    """A message of `subject` in `log` before `at` did not come. It is asked for again: no gap unless one is said."""

    interest: Interest
    subject: str
    log: str
    at: Position

    def __str__(self) -> str:
        return f"missing: {self.subject} log {self.log} before {_position(self.at)}; resuming"


@dataclass(frozen=True, slots=True)
class Refused:
    """The subscription was refused for good; it is over."""

    interest: Interest
    code: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"refused: {self.interest.subject}: {self.code} {self.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Received:
    """A message for the application. Not a status."""

    interest: Interest
    message: Message


@dataclass(frozen=True, slots=True)
class PlaceMoved:
    """The place is now `place`, by something else than a message handed over. Not a status."""

    interest: Interest
    place: Place


@dataclass(frozen=True, slots=True)
class PublishDone:
    """Kafka has it. Not a status."""

    item: Outgoing
    log: str
    at: Position | None


@dataclass(frozen=True, slots=True)
class PublishFailed:
    """It was refused for good, or its time is up. Not a status."""

    item: Outgoing
    code: int | None
    name: str
    reason: str
    outcome_unknown: bool


SubscriptionStatus: TypeAlias = Subscribed | Resumed | Live | Gap | Ended | Waiting | Missing | Refused
ConnectionStatus: TypeAlias = Connected | Reconnecting | Moving | TokenNeeded | TokenExpiring | Closed
Status: TypeAlias = ConnectionStatus | SubscriptionStatus
SubscriptionEvent: TypeAlias = SubscriptionStatus | Received | PlaceMoved
Event: TypeAlias = ConnectionStatus | SubscriptionEvent | PublishDone | PublishFailed


def _position(position: Position) -> str:
    return "{},{}".format(*position)


def _waiting(logs: tuple[str, ...]) -> str:
    return f" (waiting for {', '.join(logs)})" if logs else ""
