"""All clients of one worker: what the node says, carried to the sessions, and what they ask, carried to the node.

Invariants:
- a subscription is asked of the node once; its `sid` is never used again;
- a session gets a live message once, however many of its subscriptions match;
- publishes that the node has not answered hold at most PUBLISH_BYTES_MAX, and one publish more;
- `ends` of a topic is never above what has been handed out to its live subscriptions.

Outputs (`sends`, `closes`, `events`, `questions`, `paged`) are taken by the shell after every input; a session's
pieces leave in one write.

Not here: one client's rules (session.py), sockets and the link's (worker.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway.link import codes
from gateway.link import events as link
from gateway.link.settings import GatewaySettings
from gateway.link.topic_rules import Mapping
from gateway.sessions import frames
from gateway.sessions.authorizer import ConnectionInfo, Question
from gateway.sessions.session import GONE, OPEN, Session, Subscription
from gateway.sessions.stats import Stats
from gateway.sessions.subscriptions import Subscriptions
from mesh.log import Gap, Place
from mesh.placement import slot_of
from mesh.subject import is_pattern, topic_of

PUBLISH_BYTES_MAX = 64 * 1024 * 1024
"""Of publishes of all clients that the node has not answered: they wait here, on the link or in a node that is busy."""
_PUBLISH_BYTES = 200
"""What a publish takes besides its value and headers, about."""


class Clients:
    """The sessions of a worker and the node's end of everything that they want."""

    def __init__(self, settings: GatewaySettings, stats: Stats) -> None:
        self.settings = settings
        self.stats = stats
        self.mapping = Mapping(settings.topics)
        self.sessions: dict[Session, None] = {}
        self.sends: dict[Session, list[bytes]] = {}
        """Whole frames, in order."""
        self.closes: list[tuple[Session, int, str]] = []
        """Sessions to end after their sends, with code and reason."""
        self.events: list[link.FromWorker] = []
        self.questions: list[Question] = []
        """Answer each with `question.session.decide`."""
        self.paged: list[Session] = []
        """Call `drained` of each once its sends have left."""
        self.ends: dict[str, Place] = {}
        """Topic -> log -> position up to which everything that live subscriptions want has been handed out."""
        self._subscriptions: tuple[Subscriptions[Subscription], ...] = (Subscriptions(), Subscriptions())
        """By encoding."""
        self._by_sid: dict[int, Subscription] = {}
        self._topics: dict[str, int] = {}
        """How many subscriptions there are to each topic."""
        self._publishes: dict[int, tuple[Session, int, int]] = {}
        """Those that the node has not answered: (session, request id, bytes) by `pid`."""
        self._publish_bytes = 0
        self._last_sid = 0
        self._last_pid = 0
        heartbeat_s = settings.heartbeat_s
        self._welcome = frames.Welcome(
            id=0,
            node=settings.node,
            cluster=settings.cluster,
            heartbeat_s=int(heartbeat_s) if heartbeat_s == int(heartbeat_s) else heartbeat_s,
            servers=settings.servers,
            limits=frames.Limits(
                frame_bytes=settings.frame_bytes_max,
                subscriptions=settings.subscriptions_max,
                publishes=settings.publishes_max,
                last=settings.last_max,
            ),
        )

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def subscription_count(self) -> int:
        """Subscriptions of all sessions."""
        return len(self._by_sid)

    @property
    def subject_count(self) -> int:
        """Subjects and patterns that somebody subscribes to, counted per encoding."""
        return sum(len(one) for one in self._subscriptions)

    def connect(self, encoding: int, info: ConnectionInfo, connection: Any) -> Session:
        """A client has connected."""
        session = Session(self, encoding, info, connection)
        self.sessions[session] = None
        return session

    # Inputs from sessions.

    def send(self, session: Session, frame: bytes) -> None:
        """Have the session's client sent whole frames."""
        if session.state == GONE:
            return
        pieces = self.sends.get(session)
        if pieces is None:
            self.sends[session] = [frame]
        else:
            pieces.append(frame)

    def welcome(self, request: int) -> frames.Welcome:
        """The answer to a `hello`."""
        self._welcome.id = request
        return self._welcome

    def next_sid(self) -> int:
        """A number for a subscription."""
        self._last_sid += 1
        return self._last_sid

    def add(self, subscription: Subscription, start: link.Start) -> None:
        """Ask the node for a new subscription."""
        session, subject = subscription.session, subscription.subject
        self._by_sid[subscription.sid] = subscription
        self._subscriptions[session.encoding].add(subscription)
        topic = topic_of(subject)
        self._topics[topic] = self._topics.get(topic, 0) + 1
        self.events.append(link.Subscribe(subscription.sid, subscription.id, subject, session.encoding, start))

    def remove(self, subscription: Subscription) -> None:
        """A subscription ended."""
        del self._by_sid[subscription.sid]
        subject, encoding = subscription.subject, subscription.session.encoding
        if not subscription.is_complete:
            self.events.append(link.Cancel(subscription.sid))
        if self._subscriptions[encoding].remove(subscription):
            # An unanswered one is held as well, so none is waiting for this subject.
            self.events.append(link.Drop(subject, encoding))
        topic = topic_of(subject)
        self._topics[topic] -= 1
        if not self._topics[topic]:
            del self._topics[topic]
            self.ends.pop(topic, None)

    @property
    def takes_publishes(self) -> bool:
        """Whether `publish` may be called: not so many are unanswered that memory would not do."""
        return self._publish_bytes < PUBLISH_BYTES_MAX

    def publish(self, session: Session, frame: frames.Publish) -> None:
        """Pass a publish on."""
        size = _PUBLISH_BYTES + len(frame.value or b"")
        size += sum(len(name) + len(content or b"") for name, content in frame.headers)
        self._publish_bytes += size
        self._last_pid += 1
        self._publishes[self._last_pid] = (session, frame.id, size)
        self.stats.publishes += 1
        self.events.append(
            link.Publish(self._last_pid, frame.subject, frame.publisher, frame.seq, frame.value, frame.headers)
        )

    # Inputs from the node.

    def told(self, said: link.FromNode) -> None:
        """Take one event. `Tell` and `Drain` are not for sessions: the shell has them."""
        match said:
            case link.Live():
                self._live(said)
            case link.Page():
                self._page(said)
            case link.Answer():
                self._answer(said)
            case link.Published():
                self._published(said)
            case link.Refused():
                self._refused(said)
            case link.Waiting():
                if (found := self._by_sid.get(said.sid)) is not None and not found.is_reasked:
                    found.session.send(frames.Waiting(found.id, said.why))
            case link.NewLog():
                self._ends(said.topic)[said.log] = said.at
                self._tell_live(said.topic, said.share, lambda one: frames.Live(one.id, {said.log: said.at}))
            case link.LogGap():
                self._log_gap(said.topic, said.share, said.gap)
            case link.LogEnded():
                self._forget_log(said.topic, said.log)
                self._tell_live(said.topic, said.share, lambda one: frames.Ended(one.id, said.log))
            case link.Servers():
                self._welcome.servers = said.servers

    def jumped(self) -> None:
        """The link has lost something: ask again for what can be asked again, end what cannot."""
        self.stats.resyncs += 1
        for session, request, _ in self._publishes.values():
            session.publishes -= 1
            if session.state != GONE:
                session.send(frames.error(request, codes.OUTCOME_UNKNOWN, "the answer was lost: send it again"))
        self._publishes.clear()
        self._publish_bytes = 0
        for session in {one.session: None for one in self._by_sid.values()}:
            held = session.subscriptions.values()
            if not all(one.is_complete for one in held) or _overlap([one.subject for one in held]):
                session.close(codes.RESYNC, "the server lost track of a subscription: resume")
        for subscription in list(self._by_sid.values()):
            self._ask_again(subscription)

    # Outputs that are asked for.

    def heartbeat(self, session: Session, made: dict[tuple[object, ...], bytes]) -> bytes:
        """The session's `heartbeat` frame; `made` keeps those already made since `ends` changed last."""
        topics: dict[str, None] = {}
        unsure: set[str] = set()
        for subscription in session.subscriptions.values():
            topic = topic_of(subscription.subject)
            topics[topic] = None
            if subscription.is_reasked:
                unsure.add(topic)
        key = (session.encoding, *sorted(topics.keys() - unsure))
        frame = made.get(key)
        if frame is None:
            at = {log: at for topic in key[1:] for log, at in self.ends.get(str(topic), {}).items()}
            frame = made[key] = frames.encode(frames.Heartbeat(at), session.encoding)
        return frame

    def move(self, within_s: float, servers: list[str]) -> None:
        """Ask all clients to go elsewhere."""
        made = [frames.encode(frames.Move(within_s, servers), encoding) for encoding in (link.JSON, link.MSGPACK)]
        for session in self.sessions:
            if session.state == OPEN:
                self.send(session, made[session.encoding])

    # Private.

    def _live(self, live: link.Live) -> None:
        self._fan_out(link.JSON, *live.json)
        self._fan_out(link.MSGPACK, *live.msgpack)
        for topic, place in live.ends.items():
            self._ends(topic).update(place)

    def _fan_out(self, encoding: int, subjects: Sequence[str], made: Sequence[bytes]) -> None:
        """Hand a batch out: what several sessions get is joined once for all of them."""
        sends, count = self.sends, 0
        for indices, sessions in self._subscriptions[encoding].share(subjects):
            joined = made[indices[0]] if len(indices) == 1 else b"".join([made[index] for index in indices])
            count += len(indices) * len(sessions)
            for session in sessions:
                pieces = sends.get(session)
                if pieces is None:
                    sends[session] = [joined]
                else:
                    pieces.append(joined)
        self.stats.messages_out += count

    def _page(self, page: link.Page) -> None:
        subscription = self._by_sid.get(page.sid)
        if subscription is None:
            return
        session = subscription.session
        if page.gaps:
            session.send(frames.GapFrame(subscription.id, frames.shown(page.gaps)))
            self._settle(subscription, page.gaps)
        if page.data:
            self.send(session, page.data)
        if page.live:
            session.send(frames.Live(subscription.id, page.live))
            ends = self._ends(topic_of(subscription.subject))
            for log, at in page.live.items():
                ends[log] = max(at, ends.get(log, at))
            if subscription.waiting:
                subscription.waiting = subscription.waiting - page.live.keys() or None
        if subscription.is_reasked and subscription.waiting and (page.live or page.final):
            # Its client believes that it is live in all of them. Live messages would come before what it missed.
            session.close(codes.RESYNC, "not all logs can be caught up at once: resume")
            return
        if page.live or page.final:
            subscription.is_live = True
        if page.final:
            subscription.is_final = True
            subscription.is_reasked = False
        else:
            if session.paging is None:
                session.paging = []
            session.paging.append(subscription)
            self.paged.append(session)

    def _answer(self, answer: link.Answer) -> None:
        subscription = self._by_sid.get(answer.sid)
        if subscription is None:
            return
        gaps = frames.shown(answer.gaps)
        subscription.waiting = {*answer.at, *answer.waiting}
        self._settle(subscription, answer.gaps)
        if not subscription.is_reasked:
            subscription.session.send(
                frames.Subscribed(subscription.id, answer.answer, answer.at, gaps, answer.waiting)
            )
        elif gaps:
            subscription.session.send(frames.GapFrame(subscription.id, gaps))

    def _settle(self, subscription: Subscription, gaps: list[Gap]) -> None:
        """Wait no longer for logs that are gone."""
        if subscription.waiting:
            subscription.waiting -= {gap.log for gap in gaps if gap.end is None}

    def _published(self, published: link.Published) -> None:
        session, request = self._answered(published.pid)
        if session is not None:
            session.send(frames.Published(request, published.log, published.at))

    def _refused(self, refused: link.Refused) -> None:
        session, request = self._answered(refused.pid)
        if session is not None:
            session.send(frames.error(request, refused.code, refused.reason))

    def _answered(self, pid: int) -> tuple[Session | None, int]:
        """Whose publish it was, if that client is there to be told, and which of its requests."""
        session, request, size = self._publishes.pop(pid, (None, 0, 0))
        self._publish_bytes -= size
        if session is None:
            return None, 0
        session.publishes -= 1
        return None if session.state == GONE else session, request

    def _log_gap(self, topic: str, share: link.Share, gap: Gap) -> None:
        if gap.end is None:
            self._forget_log(topic, gap.log)
        else:
            self._ends(topic)[gap.log] = gap.end
        # Who is not live in the log yet hears of what it cannot have from its own place, in its pages.
        self._tell_live(topic, share, lambda one: frames.GapFrame(one.id, frames.shown([gap])), gap.log)

    def _forget_log(self, topic: str, log: str) -> None:
        self.ends.get(topic, {}).pop(log, None)
        for subscription in self._by_sid.values():
            if subscription.waiting:
                subscription.waiting.discard(log)

    def _tell_live(
        self, topic: str, share: link.Share, frame: Callable[[Subscription], frames.ServerFrame], waited_for: str = ""
    ) -> None:
        """Tell the topic's live subscriptions that can have messages of this share of it.

        Those that are still to become live in the log `waited_for` are not told.
        """
        for subscription in self._by_sid.values():
            subject = subscription.subject
            if not subscription.is_live or topic_of(subject) != topic or waited_for in (subscription.waiting or ()):
                continue
            if share is None or is_pattern(subject) or slot_of(subject, share[1]) == share[0]:
                subscription.session.send(frame(subscription))

    def _ends(self, topic: str) -> Place:
        """The ends of a topic, to be changed; of one that nobody wants, nothing is remembered."""
        return self.ends.setdefault(topic, {}) if topic in self._topics else {}

    def _ask_again(self, subscription: Subscription) -> None:
        """Resume a subscription for its client, from what this worker has had of the topic."""
        held = self._subscriptions[subscription.session.encoding]
        held.remove(subscription)
        del self._by_sid[subscription.sid]
        subscription.sid = self.next_sid()
        subscription.is_live = subscription.is_final = False
        subscription.is_reasked = True
        self._by_sid[subscription.sid] = subscription
        held.add(subscription)
        start = link.Start("resume", place={**self.ends.get(topic_of(subscription.subject), {})})
        encoding = subscription.session.encoding
        self.events.append(link.Subscribe(subscription.sid, subscription.id, subscription.subject, encoding, start))


def _overlap(subjects: list[str]) -> bool:
    """Whether two may match the same message: its client would take it for both once one of them is caught up."""
    topics = [topic_of(subject) for subject in subjects]
    patterns = {topic_of(subject) for subject in subjects if is_pattern(subject)}
    return len({*subjects}) < len(subjects) or any(topics.count(topic) > 1 for topic in patterns)
