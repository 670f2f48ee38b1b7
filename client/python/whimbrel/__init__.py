"""Client of Whimbrel: subscribe to Kafka over WebSockets, resume exactly, publish back.

`Client` is for asyncio, `BlockingClient` for code without it. Statuses are in `whimbrel.events`.
"""

from whimbrel.blocking import BlockingClient, BlockingSubscription
from whimbrel.client import Client, Published
from whimbrel.errors import (
    ClosedError,
    FrameError,
    PublishError,
    RequestError,
    SubjectError,
    SubscribeError,
    SubscribeTimeoutError,
    WhimbrelError,
)
from whimbrel.events import Status
from whimbrel.message import Message
from whimbrel.start import After, Last, Latest, Now, Place, Position, Resume, Since, Start
from whimbrel.subjects import from_key, to_key
from whimbrel.subscription import Subscription

__all__ = [
    "After",
    "BlockingClient",
    "BlockingSubscription",
    "Client",
    "ClosedError",
    "FrameError",
    "Last",
    "Latest",
    "Message",
    "Now",
    "Place",
    "Position",
    "PublishError",
    "Published",
    "RequestError",
    "Resume",
    "Since",
    "Start",
    "Status",
    "SubjectError",
    "SubscribeError",
    "SubscribeTimeoutError",
    "Subscription",
    "WhimbrelError",
    "from_key",
    "to_key",
]
