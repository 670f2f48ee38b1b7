"""One message that an application publishes, and what has become of it.

Not here: when it is sent (publishing.py).
"""

from __future__ import annotations

from whimbrel.frames import Error
from whimbrel.message import Headers, Value


class Outgoing:
    """Made by the application, changed only by the session, named in the one event that ends it."""

    def __init__(self, subject: str, value: Value, headers: Headers, deadline: float) -> None:
        self.subject = subject
        self.value = value
        self.headers = headers
        self.deadline = deadline
        """When to give up; the time of the session's `now`."""
        self.seq = 0
        self.done = False
        self.attempts = 0
        """How often it was sent. Each but the last had no answer, or one that leaves open whether it is in the log."""
        self.round = 0
        self.refusals = 0
        self.refusal: Error | None = None
        """The last error that may pass."""
