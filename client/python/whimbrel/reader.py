"""The application's end of a subscription: what it has taken so far, which is less than what has been received.

Invariant: `place` covers only messages that the application has taken, so it may be kept and resumed from at any time.
"""

from __future__ import annotations

from whimbrel.events import PlaceMoved, Received, SubscriptionEvent, SubscriptionStatus
from whimbrel.message import Message
from whimbrel.start import Place


class Reader:
    """Turns the events of a subscription, in order, into messages and statuses for the application."""

    def __init__(self) -> None:
        self.place: Place = {}

    def take(self, event: SubscriptionEvent) -> Message | SubscriptionStatus | None:
        """What the application gets for this event."""
        match event:
            case Received(_, message):
                place = self.place.get(message.log)
                if not message.snapshot and (place is None or message.at > place):
                    self.place[message.log] = message.at
                return message
            case PlaceMoved(_, place):
                self.place = dict(place)
                return None
        return event
