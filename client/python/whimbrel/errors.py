"""What this package raises. Everything derives from `WhimbrelError`."""

from __future__ import annotations


class WhimbrelError(Exception):
    """Base of all errors of this package."""


class SubjectError(WhimbrelError, ValueError):
    """Not a subject or pattern. Nothing was sent; the message says why and, where there is one, the right form."""


class FrameError(WhimbrelError, ValueError):
    """Bytes that are not a frame of the protocol. Seen by users only as the reason of a reconnect."""


class RequestError(WhimbrelError):
    """The server refused a request, or did not answer it in time.

    `code` and `name` are those of PROTOCOL section 10; `code` is None when no server has said anything.
    """

    def __init__(self, what: str, code: int | None, name: str, reason: str) -> None:
        said = " ".join(str(part) for part in (code, name) if part)
        super().__init__(f"{what}: {said + ': ' if said else ''}{reason}")
        self.code = code
        self.name = name
        self.reason = reason


class SubscribeError(RequestError):
    """The subscription was refused for good, at first or when it was resumed. It is over; others go on."""


class SubscribeTimeoutError(SubscribeError, TimeoutError):
    """No server has answered within `timeout_s`; `reason` says why, if it is known. The subscription is over."""


class PublishError(RequestError):
    """The message was refused for good, or not acknowledged within the timeout.

    `outcome_unknown` is true when it may nevertheless be in the log: an attempt to send it is not known to have failed.
    """

    def __init__(self, what: str, code: int | None, name: str, reason: str, *, outcome_unknown: bool) -> None:
        super().__init__(what, code, name, reason)
        self.outcome_unknown = outcome_unknown


class ClosedError(WhimbrelError):
    """The client is closed: by `close()`, or because the server said not to come back (`code`, `reason`)."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"the client is closed: {f'{code}: ' if code else ''}{reason}")
        self.code = code
        self.reason = reason
