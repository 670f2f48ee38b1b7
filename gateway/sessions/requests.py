"""What clients ask: one frame after another, within the limits, and only what the authorizer allows.

Frames are handled in the order in which they came: one that waits for the authorizer holds back those behind it, but
their questions are asked at once.

Invariants:
- a client never holds more subscriptions or unanswered publishes than its limits;
- nothing is asked of the authorizer before it has let the client in.

Not here: what becomes of a subscription or publish that is allowed (subscribing.py, publishing.py).
"""

from __future__ import annotations

from collections import deque

from gateway.link import codes
from gateway.link import events as link
from gateway.link.settings import GatewaySettings
from gateway.link.topic_rules import Mapping
from gateway.sessions import frames
from gateway.sessions.admission import Admission
from gateway.sessions.asking import ask
from gateway.sessions.expiry import Expiry
from gateway.sessions.outputs import SessionOutputs
from gateway.sessions.publishing import PendingPublishes
from gateway.sessions.reachable import reachable
from gateway.sessions.revoked import Revoked
from gateway.sessions.session import GONE, GREETED, NEW, OPEN, Decision, PutOff, Question, Session, Step, Subscription
from gateway.sessions.slowing import Slowing
from gateway.sessions.stats import WorkerStats
from gateway.sessions.subscribing import Subscribing
from gateway.sessions.trail import Trail
from gateway.sockets.websocket import BINARY, TEXT
from mesh.subject import SubjectError, check, to_key
from whimbrel_server import Authorizer, Identity

UNSUPPORTED_DATA = 1003
TURNS_MAX = 8
"""Of clients that were slowed so many are read again with a tick: what many of them have sent meanwhile would keep the
others waiting.
"""
RESUMED_MAX = 8
"""Of clients that were slowed so many go on with what was put off before everything else has its turn."""
_LIMITED = (frames.Publish, frames.Subscribe)


class Requests:
    """Takes frames of clients. `authorizer` is asked at once if it never blocks, else through the outputs."""

    def __init__(
        self,
        settings: GatewaySettings,
        authorizer: Authorizer,
        outputs: SessionOutputs,
        stats: WorkerStats,
        subscribing: Subscribing,
        publishing: PendingPublishes,
        expiry: Expiry,
        revoked: Revoked,
        admission: Admission,
        slowing: Slowing,
        trail: Trail | None,
    ) -> None:
        self._settings = settings
        self._authorizer = authorizer
        self._outputs = outputs
        self._stats = stats
        self._subscribing = subscribing
        self._publishing = publishing
        self._expiry = expiry
        self._revoked = revoked
        self._admission = admission
        self._slowing = slowing
        self._trail = trail
        self._due: deque[Session] = deque()
        """Clients that were slowed and may go on."""
        self._reads_left = 0
        """So many clients are read again before the next tick."""
        self._mapping = Mapping(settings.topics)
        self._servers = settings.servers
        heartbeat_s = settings.heartbeat_s
        self._welcome = frames.Welcome(
            id=0,
            node=settings.node,
            cluster=settings.cluster,
            heartbeat_s=int(heartbeat_s) if heartbeat_s == int(heartbeat_s) else heartbeat_s,
            servers=[],
            limits=frames.Limits(
                frame_bytes=settings.frame_bytes_max,
                subscriptions=settings.subscriptions_max,
                publishes=settings.publishes_max,
                last=settings.last_max,
            ),
        )

    def servers(self, event: link.Servers) -> None:
        """The cluster's nodes have changed."""
        self._servers = event.servers

    def received(self, now: float, session: Session, kind: int, data: bytes) -> None:
        """A whole WebSocket message of a client (TEXT or BINARY)."""
        if session.state == GONE:
            return
        if kind != (BINARY if session.encoding == link.MSGPACK else TEXT):
            found = "text" if kind == BINARY else "binary"
            self._break_off(session, UNSUPPORTED_DATA, f"this sub-protocol has {found} frames")
            return
        try:
            frame = frames.decode(data, session.encoding)
        except frames.BadFrame as bad:
            self._stats.bad_frames += 1
            self._break_off(session, codes.BAD_FRAME, str(bad))
        except frames.BadRequest as bad:
            if session.state == NEW:
                self._out_of_order(session)
            else:
                self._then(session, self._no(session, "frame", "", bad.id, codes.BAD_REQUEST, str(bad)))
        else:
            if isinstance(frame, frames.Hello) != (session.state == NEW):
                self._out_of_order(session)
            elif isinstance(frame, frames.Hello):
                self._hello(session, frame)
            else:
                self._asked(now, session, frame)

    def decided(self, question: Question, decision: Decision, failure: Exception | None = None) -> None:
        """A blocking authorizer has answered, or failed."""
        session = question.session
        self._decide(question, decision, failure)
        self._go_on(session)

    def admitted(self, event: link.Admitted) -> None:
        """The node has said whether there is room for a client."""
        session = self._admission.answered(event)
        if session is not None:
            self._go_on(session)
            self._outputs.reads.append(session)  # with much that waited, reading has stopped

    def tick(self, now: float) -> None:
        """Go on with what was put off, of some clients; who asks too much for too long is closed."""
        for session, reason in self._slowing.insisting(now):
            self._break_off(session, codes.RATE_LIMITED, reason)
        self._due = deque(self._slowing.due(now))
        self._reads_left = TURNS_MAX
        self.go_on(now)

    def go_on(self, now: float) -> None:
        """The same of some more of those that were due at the last tick."""
        turns = RESUMED_MAX
        while turns and self._due:
            session = self._due.popleft()
            if not self._slowing.is_slowed(session):
                continue
            if session.steps:
                turns -= 1
                self._resume(now, session)
            elif self._reads_left:
                self._reads_left -= 1
                self._slowing.free(now, session)
                self._outputs.reads.append(session)

    @property
    def has_more(self) -> bool:
        """Whether there is something for `go_on`."""
        return bool(self._due)

    # Private.

    def _asked(self, now: float, session: Session, frame: frames.ClientFrame) -> None:
        if isinstance(frame, _LIMITED) and self._slowing.puts_off(now, session, frame):
            self._then(session, PutOff(frame))
        else:
            self._then(session, self._checked(session, frame))

    def _resume(self, now: float, session: Session) -> None:
        """Handle the requests that were put off, as far as the limits allow now."""
        while session.steps and isinstance(step := session.steps[0], PutOff):
            if not self._slowing.is_next(now, session, step.frame):
                return
            session.steps[0] = found = self._checked(session, step.frame)
            if isinstance(found, Question) and session.state == OPEN:
                self._ask(found)  # also with a renewal under way: it came later, and waits for this
            self._go_on(session)

    def _go_on(self, session: Session) -> None:
        """Do what waits no longer."""
        while session.steps and session.state != GONE:
            step = session.steps[0]
            if _waits(step):
                return
            session.steps.popleft()
            self._do(session, step)
        session.steps = None

    def _out_of_order(self, session: Session) -> None:
        self._stats.bad_frames += 1
        self._break_off(session, codes.BAD_ORDER, "`hello` comes first, and once")

    def _break_off(self, session: Session, code: int, reason: str) -> None:
        if self._trail is not None and session.state != GONE:
            self._trail.not_asked(session, "frame", "", code, reason)
        self._subscribing.close(session, code, reason)

    def _no(self, session: Session, what: str, subject: str, request: int, code: int, reason: str) -> frames.Error:
        """What is refused without asking the authorizer."""
        if self._trail is not None:
            self._trail.not_asked(session, what, subject, code, reason)
        return frames.error(request, code, reason)

    def _hello(self, session: Session, frame: frames.Hello) -> None:
        assert session.client is not None
        session.client.token = frame.token
        session.client.client = frame.client
        session.state = GREETED
        self._then(session, Question(session, "connect", session.client, "", frame))

    def _renew(self, session: Session, frame: frames.Renew) -> Step:
        """The question, or why the client cannot renew."""
        if session.state != OPEN or session.is_renewing:
            return self._no(session, "renew", "", frame.id, codes.BAD_REQUEST, "one token after another")
        if session.client is None:
            return self._no(session, "renew", "", frame.id, codes.BAD_REQUEST, "nothing expires here")
        session.client.token = frame.token
        session.is_renewing = True
        return Question(session, "renew", session.client, "", frame)

    def _then(self, session: Session, step: Step) -> None:
        """Do it once everything before it is done."""
        may_ask = session.state == OPEN and not session.is_renewing
        if isinstance(step, Question) and (may_ask or step.client is not None):
            self._ask(step)
        if session.steps is None and not _waits(step):
            self._do(session, step)
        elif session.steps is None:
            session.steps = deque([step])
        else:
            session.steps.append(step)

    def _ask(self, question: Question) -> None:
        question.identity = question.session.identity
        if self._authorizer.blocks:
            self._outputs.questions.append(question)
            return
        decision, failure = ask(self._authorizer, question)
        if decision.wants or decision.instead is not None:
            self._outputs.questions.append(question)
        else:
            self._decide(question, decision, failure)

    def _decide(self, question: Question, decision: Decision, failure: Exception | None) -> None:
        if question.client is not None and not decision.code:
            reason = self._expiry.why_not(decision.identity)
            decision = self._unless_revoked(Decision(codes.TOKEN_INVALID, reason) if reason else decision)
            if question.kind == "connect" and not decision.code and self._admission.asks(question, decision):
                return
        question.decision = decision
        if failure is not None:
            self._stats.authorizer_failures += 1
            self._outputs.failures.append((question.kind, failure))

    def _unless_revoked(self, decision: Decision) -> Decision:
        """What was decided about a token, if it has not been revoked."""
        if decision.code or not self._revoked.covers(decision.identity):
            return decision
        return Decision(codes.TOKEN_REVOKED, "the token has been revoked")

    def _checked(self, session: Session, frame: frames.ClientFrame) -> Step:
        """The frame, a question about it, or why it is refused."""
        if isinstance(frame, frames.Renew):
            return self._renew(session, frame)
        if not isinstance(frame, frames.Subscribe | frames.Publish):
            return frame
        what = "publish" if isinstance(frame, frames.Publish) else "subscribe"
        if refusal := self._why_not(frame):
            return self._no(session, what, frame.subject, frame.id, *refusal)
        return Question(session, what, None, frame.subject, frame)

    def _why_not(self, frame: frames.Subscribe | frames.Publish) -> tuple[int, str] | None:
        """Why this cannot be asked for by any client: code and reason."""
        settings, subject = self._settings, frame.subject
        if len(subject.encode()) > settings.subject_bytes_max:
            return codes.BAD_SUBJECT, f"longer than {settings.subject_bytes_max} bytes"
        try:
            topic = to_key(subject)[0] if isinstance(frame, frames.Publish) else check(subject)
        except SubjectError as error:
            return codes.BAD_SUBJECT, str(error)
        rule = self._mapping.rule_for(topic)
        if rule is None:
            return codes.NOT_MAPPED, f"this node does not carry the topic {topic}"
        if isinstance(frame, frames.Publish):
            return None if rule.publish else (codes.PUBLISH_DISABLED, f"clients may not publish to {topic}")
        if frame.start.kind == "last" and frame.start.number > settings.last_max:
            return codes.BAD_REQUEST, f"`last` is at most {settings.last_max}"
        return None

    def _do(self, session: Session, step: Step) -> None:
        match step:
            case Question():
                self._answered(session, step)
            case frames.Error():
                self._outputs.reply(session, step)
            case frames.Ping():
                self._outputs.reply(session, frames.Pong(step.id))
            case frames.Unsubscribe():
                self._unsubscribe(session, step)

    def _answered(self, session: Session, question: Question) -> None:
        decision, frame = question.decision, question.frame
        assert decision is not None
        if question.client is not None:
            decision = self._unless_revoked(decision)  # it may have been while it waited for the node, or its turn
        if isinstance(frame, frames.Renew):
            self._renewed(session, frame, decision)
        elif isinstance(frame, Subscription):
            self._reconsidered(session, frame, decision)
        elif decision.code:
            self._refused(session, question.kind, question.subject, decision)
            if isinstance(frame, frames.Hello):
                self._subscribing.close(session, decision.code, decision.reason)
            else:
                self._outputs.reply(session, frames.error(frame.id, decision.code, decision.reason))
        elif isinstance(frame, frames.Hello):
            self._admit(session, frame, decision.identity)
        elif isinstance(frame, frames.Subscribe):
            self._subscribe(session, frame)
        else:
            self._publish(session, frame)

    def _refused(self, session: Session, what: str, subject: str, decision: Decision) -> None:
        self._stats.refused += 1
        if self._trail is not None:
            self._trail.refused(session, what, subject, decision.code, decision.reason)

    def _admit(self, session: Session, frame: frames.Hello, identity: Identity) -> None:
        session.state = OPEN
        session.identity = identity
        if self._trail is not None and session.client is not None:
            self._trail.connected(session, session.client, identity)
        if identity.expires_at is None:
            session.client = None
        self._expiry.add(session)
        self._welcome.id = frame.id
        self._welcome.servers = reachable(self._servers, session.vantage)
        self._outputs.reply(session, self._welcome)
        self._ask_waiting(session)

    def _ask_waiting(self, session: Session) -> None:
        """Ask what could not be asked until it was known who this is."""
        for step in session.steps or ():
            if isinstance(step, Question):
                self._ask(step)

    def _renewed(self, session: Session, frame: frames.Renew, decision: Decision) -> None:
        session.is_renewing = False
        if not decision.code and decision.identity.name != session.identity.name:
            decision = Decision(codes.TOKEN_INVALID, "the token of somebody else: connect with it")
        if decision.code:
            self._refused(session, "renew", "", decision)
            self._outputs.reply(session, frames.error(frame.id, decision.code, decision.reason))
        else:
            session.identity = decision.identity
            if self._trail is not None:
                self._trail.renewed(session)
            self._expiry.add(session)
            self._outputs.reply(session, frames.Renewed(frame.id))
        self._ask_waiting(session)
        if not decision.code:
            for subscription in list(session.subscriptions):
                self._then(session, Question(session, "subscribe", None, subscription.subject, subscription))

    def _reconsidered(self, session: Session, subscription: Subscription, decision: Decision) -> None:
        """What a new token does not allow any more ends; the rest never notices."""
        if decision.code and session.subscription(subscription.id) is subscription:
            self._refused(session, "subscribe", subscription.subject, decision)
            self._subscribing.unsubscribe(subscription)
            self._outputs.reply(session, frames.error(subscription.id, decision.code, decision.reason))

    def _subscribe(self, session: Session, frame: frames.Subscribe) -> None:
        limit = self._settings.subscriptions_max
        if session.subscription(frame.id) is not None:
            code, reason = codes.ID_IN_USE, f"there is a subscription {frame.id}"
        elif len(session.subscriptions) >= limit:
            code, reason = codes.TOO_MANY_SUBSCRIPTIONS, f"at most {limit} at a time"
        else:
            self._subscribing.subscribe(session, frame.id, frame.subject, frame.start)
            return
        self._outputs.reply(session, self._no(session, "subscribe", frame.subject, frame.id, code, reason))

    def _unsubscribe(self, session: Session, frame: frames.Unsubscribe) -> None:
        subscription = session.subscription(frame.sub)
        if subscription is None:
            reason = f"there is no subscription {frame.sub}"
            self._outputs.reply(session, frames.error(frame.id, codes.NO_SUCH_SUBSCRIPTION, reason))
            return
        self._subscribing.unsubscribe(subscription)
        self._outputs.reply(session, frames.Unsubscribed(frame.id, frame.sub))

    def _publish(self, session: Session, frame: frames.Publish) -> None:
        limit = self._settings.publishes_max
        if session.publishes >= limit:
            code, reason = codes.TOO_MANY_PUBLISHES, f"{limit} are not answered yet"
        elif self._publishing.is_full:
            code, reason = codes.QUEUE_FULL, "too many publishes of all clients are not answered yet"
        else:
            self._stats.publishes += 1
            self._publishing.publish(session, frame)
            return
        self._outputs.reply(session, self._no(session, "publish", frame.subject, frame.id, code, reason))


def _waits(step: Step) -> bool:
    return isinstance(step, PutOff) or (isinstance(step, Question) and step.decision is None)
