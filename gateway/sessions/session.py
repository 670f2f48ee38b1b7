"""One client, as its gateway sees it: what it may do now, what it has asked for, and what it is told.

States: NEW until `hello`, GREETED until the authorizer has said yes, OPEN, GONE. Frames are handled in the order in
which they came: one that waits for the authorizer holds back those behind it, but their questions are asked at once.

Invariants:
- a client never holds more subscriptions or unanswered publishes than its limits;
- nothing is sent to a session that is GONE;
- `More` is asked only after all that the node sent before has left this process.

Outputs go to the worker's `Clients`, which the shell empties after every input.

Not here: all the clients together (clients.py), bytes and sockets (sockets/websocket.py, sockets/connection.py).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.link import codes
from gateway.link import events as link
from gateway.sessions import frames
from gateway.sessions.authorizer import ConnectionInfo, Decision, Question
from gateway.sockets.websocket import BINARY, TEXT
from mesh.subject import SubjectError, check, to_key

if TYPE_CHECKING:
    from gateway.sessions.clients import Clients

NEW, GREETED, OPEN, GONE = range(4)

UNSUPPORTED_DATA = 1003

Step: TypeAlias = "frames.ClientFrame | frames.Error | Question"
"""What waits in order: a question, a frame that needs no answer from the authorizer, or an answer to be sent."""


class Subscription:
    """One subscription of a session."""

    __slots__ = ("id", "is_final", "is_live", "is_reasked", "session", "sid", "subject", "waiting")

    def __init__(self, sid: int, request: int, subject: str, session: Session) -> None:
        self.sid = sid
        self.id = request
        self.subject = subject
        self.session = session
        self.is_live = False
        """Whether it gets live messages."""
        self.is_final = False
        """Whether it has had its final page."""
        self.is_reasked = False
        """Whether it is being caught up again after the link lost something, which its client does not see."""
        self.waiting: set[str] | None = None
        """Logs that it is to become live in yet."""

    @property
    def is_complete(self) -> bool:
        """Whether it is live in every log there is."""
        return self.is_final and not self.waiting


class Session:
    """One client's state machine. Inputs are the methods without an underscore."""

    __slots__ = (
        "_steps",
        "clients",
        "connection",
        "encoding",
        "identity",
        "info",
        "paging",
        "publishes",
        "state",
        "subscriptions",
    )

    def __init__(self, clients: Clients, encoding: int, info: ConnectionInfo, connection: Any) -> None:
        self.clients = clients
        self.connection = connection
        """The shell's own; never looked at here."""
        self.encoding = encoding
        self.info: ConnectionInfo | None = info
        """For the authorizer's first question only."""
        self.identity: object = None
        self.state = NEW
        self.subscriptions: dict[int, Subscription] = {}
        self.publishes = 0
        """Not yet answered."""
        self.paging: list[Subscription] | None = None
        """Those whose last page was not final and has not been followed by `More`."""
        self._steps: deque[Step] | None = None

    @property
    def backlog(self) -> int:
        """How many frames wait for the authorizer: read no more while it is large."""
        return len(self._steps) if self._steps else 0

    def received(self, kind: int, data: bytes) -> None:
        """A whole message from the client (TEXT or BINARY)."""
        if self.state == GONE:
            return
        if kind != (BINARY if self.encoding == link.MSGPACK else TEXT):
            self.close(
                UNSUPPORTED_DATA, "this sub-protocol has " + ("text" if kind == BINARY else "binary") + " frames"
            )
            return
        try:
            frame = frames.decode(data, self.encoding)
        except frames.BadFrame as bad:
            self.clients.stats.bad_frames += 1
            self.close(codes.BAD_FRAME, str(bad))
        except frames.BadRequest as bad:
            if self.state == NEW:
                self._out_of_order()
            else:
                self._then(frames.error(bad.id, codes.BAD_REQUEST, str(bad)))
        else:
            if isinstance(frame, frames.Hello) != (self.state == NEW):
                self._out_of_order()
            elif isinstance(frame, frames.Hello):
                self._hello(frame)
            else:
                self._then(self._checked(frame))

    def decide(self, question: Question, decision: Decision) -> None:
        """The authorizer has answered one of this session's questions."""
        question.decision = decision
        while self.state != GONE and self._steps:
            step = self._steps[0]
            if isinstance(step, Question) and step.decision is None:
                return
            self._steps.popleft()
            self._do(step)
        self._steps = None

    def drained(self) -> None:
        """Everything that was sent has left this process."""
        if self.paging:
            for subscription in self.paging:
                if self.subscriptions.get(subscription.id) is subscription:
                    self.clients.events.append(link.More(subscription.sid))
        self.paging = None

    def close(self, code: int, reason: str) -> None:
        """End the session, telling the client why."""
        if self.state != GONE:
            self.clients.closes.append((self, code, reason))
            self.gone()

    def gone(self) -> None:
        """The client is gone."""
        if self.state == GONE:
            return
        self.state = GONE
        self._steps = self.paging = self.info = self.identity = None
        for subscription in self.subscriptions.values():
            self.clients.remove(subscription)
        self.subscriptions = {}
        self.clients.sessions.pop(self, None)

    def send(self, frame: frames.ServerFrame) -> None:
        """Tell the client."""
        self.clients.send(self, frames.encode(frame, self.encoding))

    def _out_of_order(self) -> None:
        self.clients.stats.bad_frames += 1
        self.close(codes.BAD_ORDER, "`hello` comes first, and once")

    def _hello(self, frame: frames.Hello) -> None:
        assert self.info is not None
        self.info.token = frame.token
        self.info.client = frame.client
        question = Question(self, "connect", self.info, "", frame)
        self.state = GREETED
        self.info = None
        self._steps = deque([question])
        self.clients.questions.append(question)

    def _then(self, step: Step) -> None:
        """Do it once everything before it is done."""
        if isinstance(step, Question):
            if self._steps is None:
                self._steps = deque()
            if self.state == OPEN:
                step.identity = self.identity
                self.clients.questions.append(step)
        if self._steps is None:
            self._do(step)
        else:
            self._steps.append(step)

    def _checked(self, frame: frames.ClientFrame) -> Step:
        """The frame, a question about it, or why it is refused."""
        if not isinstance(frame, frames.Subscribe | frames.Publish):
            return frame
        settings = self.clients.settings
        subject = frame.subject
        if len(subject.encode()) > settings.subject_bytes_max:
            reason = f"longer than {settings.subject_bytes_max} bytes"
            return frames.error(frame.id, codes.BAD_SUBJECT, reason)
        is_publish = isinstance(frame, frames.Publish)
        try:
            topic = to_key(subject)[0] if is_publish else check(subject)
        except SubjectError as error:
            return frames.error(frame.id, codes.BAD_SUBJECT, str(error))
        rule = self.clients.mapping.rule_for(topic)
        if rule is None:
            return frames.error(frame.id, codes.NOT_MAPPED, f"this node does not carry the topic {topic}")
        if isinstance(frame, frames.Publish):
            if not rule.publish:
                return frames.error(frame.id, codes.PUBLISH_DISABLED, f"clients may not publish to {topic}")
        elif frame.start.kind == "last" and frame.start.number > settings.last_max:
            return frames.error(frame.id, codes.BAD_REQUEST, f"`last` is at most {settings.last_max}")
        return Question(self, "publish" if is_publish else "subscribe", None, subject, frame)

    def _do(self, step: Step) -> None:
        match step:
            case Question():
                self._decided(step)
            case frames.Error():
                self.send(step)
            case frames.Ping():
                self.send(frames.Pong(step.id))
            case frames.Unsubscribe():
                self._unsubscribe(step)

    def _decided(self, question: Question) -> None:
        decision, frame = question.decision, question.frame
        assert decision is not None
        if isinstance(frame, frames.Hello):
            if decision.code:
                self.clients.stats.refused += 1
                self.close(decision.code, decision.reason)
            else:
                self._welcome(frame, decision.identity)
        elif decision.code:
            self.clients.stats.refused += 1
            self.send(frames.error(frame.id, decision.code, decision.reason))
        elif isinstance(frame, frames.Subscribe):
            self._subscribe(frame)
        else:
            self._publish(frame)

    def _welcome(self, frame: frames.Hello, identity: object) -> None:
        self.state = OPEN
        self.identity = identity
        self.send(self.clients.welcome(frame.id))
        for step in self._steps or ():
            if isinstance(step, Question):
                step.identity = identity
                self.clients.questions.append(step)

    def _subscribe(self, frame: frames.Subscribe) -> None:
        limit = self.clients.settings.subscriptions_max
        if frame.id in self.subscriptions:
            self.send(frames.error(frame.id, codes.ID_IN_USE, f"there is a subscription {frame.id}"))
        elif len(self.subscriptions) >= limit:
            self.send(frames.error(frame.id, codes.TOO_MANY_SUBSCRIPTIONS, f"at most {limit} at a time"))
        else:
            subscription = Subscription(self.clients.next_sid(), frame.id, frame.subject, self)
            self.subscriptions[frame.id] = subscription
            self.clients.add(subscription, frame.start)

    def _unsubscribe(self, frame: frames.Unsubscribe) -> None:
        subscription = self.subscriptions.pop(frame.sub, None)
        if subscription is None:
            self.send(frames.error(frame.id, codes.NO_SUCH_SUBSCRIPTION, f"there is no subscription {frame.sub}"))
            return
        self.clients.remove(subscription)
        self.send(frames.Unsubscribed(frame.id, frame.sub))

    def _publish(self, frame: frames.Publish) -> None:
        limit = self.clients.settings.publishes_max
        if self.publishes >= limit:
            reason = f"{limit} are not answered yet"
            self.send(frames.error(frame.id, codes.TOO_MANY_PUBLISHES, reason))
        elif not self.clients.takes_publishes:
            self.send(
                frames.error(frame.id, codes.QUEUE_FULL, "too many publishes of all clients are not answered yet")
            )
        else:
            self.publishes += 1
            self.clients.publish(self, frame)
