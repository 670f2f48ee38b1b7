"""One subject or pattern that an application subscribes to, and where its subscription stands.

Not here: frames about it (subscriptions.py), the application's handle of it (subscription.py).
"""

from __future__ import annotations

from whimbrel.place import Track
from whimbrel.start import Latest, Start


class Interest:
    """Made by the application, changed only by the session, named in every event about the subscription."""

    def __init__(self, subject: str, start: Start) -> None:
        self.subject = subject
        self.start = start
        self.track = Track()
        self.id: int | None = None
        """The subscription's id on this connection."""
        self.answered = False
        """Whether the server ever said `subscribed`: then there is a place."""
        self.was_live = False
        self.suspended = False
        self.failures = 0
        self.missing_at = float("-inf")

    @property
    def resumes(self) -> bool:
        """Whether it is resumed from its place rather than sent again as it was."""
        return self.answered and (self.was_live or not isinstance(self.start, Latest))
