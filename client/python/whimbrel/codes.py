"""What to do about a code of an `error` frame or of a close: its range says it (PROTOCOL sections 10 and 11)."""

from __future__ import annotations

from enum import Enum

STANDARD_STOPS = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
HTTP_STOPS = frozenset({400, 403, 404, 426})
"""Of the handshake."""
MESSAGE_TOO_LARGE = 4314


class Action(Enum):
    """What a client does."""

    RETRY = "retry here"
    ELSEWHERE = "reconnect elsewhere"
    TOKEN = "refresh the token"
    STOP = "do not come back"


_RANGES = {40: Action.RETRY, 41: Action.ELSEWHERE, 42: Action.TOKEN, 43: Action.STOP}


def on_close(code: int | None) -> Action:
    """After a connection ended. `code`: its close code, None without one; or the status of a refused handshake."""
    if code in STANDARD_STOPS or code in HTTP_STOPS:
        return Action.STOP
    return _RANGES.get((code or 0) // 100, Action.RETRY)


def on_error(code: int) -> Action:
    """After an `error` frame."""
    return _RANGES.get(code // 100, Action.RETRY if code < 4300 else Action.STOP)
