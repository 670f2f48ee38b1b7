"""One client as its gateway knows it: state without rules.

States: NEW until `hello`, GREETED until the authorizer has said yes, OPEN, GONE (told why, or disconnected).

Not here: what clients may ask (requests.py), what happens to a subscription (subscribing.py), bytes and sockets
(sockets/client_socket.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import NamedTuple, Protocol, TypeAlias

from gateway.link.events import Start
from gateway.sessions import frames
from gateway.sessions.reachable import vantage
from gateway.sockets.wheel import NEVER
from whimbrel_server import Authorizer, Connection, Identity

NEW, GREETED, OPEN, GONE = range(4)
NOBODY = Identity()
"""Until the authorizer has said who it is."""
HELD_BACK, ASKED, TAKEN = range(3)
"""Stages of a subscription: the node has not been asked for it yet; the node works for it; the client has taken its
first page, or was told that it has to wait.
"""


class Subscription:
    """One subscription of a session."""

    __slots__ = ("id", "is_final", "is_live", "session", "sid", "stage", "start", "subject", "waiting")

    def __init__(self, sid: int, request: int, subject: str, session: Session, start: Start) -> None:
        self.sid = sid
        """The worker's own number for it, never used again."""
        self.id = request
        """The client's number for it."""
        self.subject = subject
        """Subject or pattern."""
        self.session = session
        self.start: Start | None = start
        """Where it shall start; None once the node has answered."""
        self.stage = HELD_BACK
        self.is_live = False
        """Whether it gets live messages."""
        self.is_final = False
        """Whether it has had its final page."""
        self.waiting: set[str] | None = None
        """Logs in which it is not live yet."""

    @property
    def is_complete(self) -> bool:
        """Whether it is live in every log there is."""
        return self.is_final and not self.waiting


class ClientConnection(Protocol):
    """A client's connection, as the shell drives it."""

    @property
    def waiting_bytes(self) -> int:
        """How much has been sent that the client's socket has not taken yet."""

    def send(self, data: bytes) -> None:
        """Send whole WebSocket frames now, or as soon as the client takes them."""

    def close(self, code: int, reason: str) -> None:
        """Say why, and end."""

    def resume_reading(self) -> None:
        """Read on, if reading had been stopped."""


class Session:
    """One client, from the handshake to its end."""

    __slots__ = (
        "_subscriptions",
        "address",
        "client",
        "connection",
        "encoding",
        "held_back",
        "identity",
        "is_renewing",
        "number",
        "paging",
        "publishes",
        "silent",
        "state",
        "steps",
        "unanswered",
        "vantage",
        "wake",
    )

    def __init__(self, encoding: int, client: Connection, connection: ClientConnection) -> None:
        self.connection = connection
        """For the shell, which performs what the sessions want; no core touches it."""
        self.encoding = encoding
        self.address = client.address
        self.client: Connection | None = client
        """For the authorizer, as long as it can be asked who this is."""
        self.is_renewing = False
        """Whether it has sent a new token that the authorizer has not answered for."""
        self.vantage = vantage(client.host, client.origin)
        """Under which address it came: those that mean nothing there are not told to it."""
        self.number = 0
        """Tells the node that several subscriptions are of one client; 0 until there is one."""
        self.identity = NOBODY
        """The client's identity, once the authorizer has given it."""
        self.state = NEW
        self._subscriptions: Subscription | dict[int, Subscription] | None = None
        """By the client's number; the only one, as most have, stands by itself: a dictionary takes 224 bytes."""
        self.unanswered = 0
        """How much the node works for: for those ASKED, and those cancelled and not dropped yet."""
        self.held_back: dict[int, Subscription] | None = None
        """By sid, in order: those that the node is not asked for yet, because too many are unanswered."""
        self.publishes = 0
        """Not yet answered."""
        self.paging: list[Subscription] | None = None
        """Those with a page that has not left this process yet."""
        self.steps: deque[Step] | None = None
        """What waits, in order, because the authorizer has not answered yet."""
        self.silent = 0
        """Heartbeats since the client was heard last."""
        self.wake = NEVER
        """The tick of the wheel at which something is due."""

    @property
    def subscriptions(self) -> Collection[Subscription]:
        """All of them, in the order in which they came."""
        held = self._subscriptions
        if held is None:
            return ()
        return held.values() if isinstance(held, dict) else (held,)

    def subscription(self, number: int) -> Subscription | None:
        """The one that the client gave this number."""
        held = self._subscriptions
        if isinstance(held, dict):
            return held.get(number)
        return held if held is not None and held.id == number else None

    def add(self, subscription: Subscription) -> None:
        """Another subscription, under a number that none has."""
        held = self._subscriptions
        if held is None:
            self._subscriptions = subscription
        elif isinstance(held, dict):
            held[subscription.id] = subscription
        else:
            self._subscriptions = {held.id: held, subscription.id: subscription}

    def drop(self, subscription: Subscription) -> None:
        """One of its subscriptions has ended."""
        if isinstance(self._subscriptions, dict):
            del self._subscriptions[subscription.id]
        else:
            self._subscriptions = None

    def drop_all(self) -> None:
        """All its subscriptions have ended."""
        self._subscriptions = None


class Decision:
    """The authorizer's answer to a question; `code` 0 is yes."""

    __slots__ = ("code", "identity", "instead", "reason", "wants")

    def __init__(
        self,
        code: int = 0,
        reason: str = "",
        identity: Identity = NOBODY,
        *,
        wants: str = "",
        instead: Authorizer | None = None,
    ) -> None:
        self.code = code
        self.reason = reason
        self.identity = identity
        self.instead = instead
        """Whom to ask, in a thread, to have a decision."""
        self.wants = wants
        """URL of keys that may make it another answer, once they have been fetched."""


class Question:
    """A question for the authorizer, and the frame that waits for the answer."""

    __slots__ = ("client", "decision", "frame", "identity", "kind", "session", "subject")

    def __init__(
        self,
        session: Session,
        kind: str,
        client: Connection | None,
        subject: str,
        frame: frames.Hello | frames.Renew | frames.Subscribe | frames.Publish | Subscription,
    ) -> None:
        self.session = session
        self.kind = kind
        """connect, renew, subscribe or publish."""
        self.client = client
        """For `connect` and `renew`."""
        self.subject = subject
        self.frame = frame
        """What waits for the answer; a subscription that may have to end after a renewal."""
        self.identity = NOBODY
        self.decision: Decision | None = None


class PutOff(NamedTuple):
    """A request that is put off because its client asks too fast."""

    frame: frames.Subscribe | frames.Publish


Step: TypeAlias = "frames.ClientFrame | frames.Error | Question | PutOff"
"""A question, a frame that needs no answer from the authorizer, an answer to be sent, or a request to be looked at."""
