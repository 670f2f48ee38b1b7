"""Subscriptions of all clients of a worker: asked of the node, caught up, live, told the news of their logs.

Invariants:
- a subscription is asked of the node once; its `sid` is never used again;
- for one client the node works for UNANSWERED_MAX subscriptions at most: until the client has taken the first page, or,
  of a cancelled one, until the node has dropped it. So one client's wishes, however many and however short-lived, do
  not delay those of the others, and who reads nothing is read nothing;
- a session gets a live message once, however many of its subscriptions match;
- `More` is asked only after all that the node sent before has left this process;
- `ends` of a topic is never above what has been handed out to its live subscriptions.

Not here: whether a client may subscribe (requests.py), who gets a live message (fan_out.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.link import codes
from gateway.link import events as link
from gateway.sessions import frames
from gateway.sessions.fan_out import FanOut
from gateway.sessions.outputs import SessionOutputs
from gateway.sessions.session import ASKED, GONE, HELD_BACK, NOBODY, TAKEN, Session, Subscription
from gateway.sessions.stats import WorkerStats
from gateway.sessions.trail import Trail
from mesh.log import Gap, Place
from mesh.placement import slot_of
from mesh.subject import is_pattern, topic_of

UNANSWERED_MAX = 8
"""Subscriptions of one client that the node works for at a time."""
PATTERN_WORK = 4
"""A pattern counts as this many subscriptions: the node may have to look through the whole topic for it."""
UNDROPPED_MAX = 1000
"""Subscriptions of all clients that were cancelled and that the node has not dropped yet: while there are more, it is
asked for no new ones. Clients that subscribe and disconnect, again and again, are held up by this.
"""


class Subscribing:
    """What the node says of subscriptions, carried to the sessions, and what they want, carried to the node."""

    def __init__(self, outputs: SessionOutputs, stats: WorkerStats, trail: Trail | None) -> None:
        self.ends: dict[str, Place] = {}
        """Topic -> log -> position up to which everything that live subscriptions want has been handed out."""
        self._outputs = outputs
        self._stats = stats
        self._trail = trail
        self._last_number = 0
        """The number of the client that got one last."""
        self._catch_up = 0
        """The number of the last `CatchUp`."""
        self._is_lost = False
        """Whether that was not taken yet: then what the node says of logs is from before."""
        self._fan_outs = (FanOut(), FanOut())
        """By encoding."""
        self._by_topic: dict[str, dict[int, Subscription]] = {}
        self._incomplete: dict[int, Subscription] = {}
        """By sid, those for which the node owes more than live messages: an answer, pages, or a log that waits."""
        self._undropped: dict[int, Subscription] = {}
        """By sid, those that were cancelled while the node worked for them, and that it has not dropped yet."""
        self._held_back: dict[Session, None] = {}
        """Sessions with subscriptions that are held back, in the order of their turns."""
        self._last_sid = 0

    @property
    def subscription_count(self) -> int:
        """Subscriptions of all sessions."""
        return sum(map(len, self._by_topic.values()))

    @property
    def subject_count(self) -> int:
        """Subjects and patterns with a subscription, counted per encoding."""
        return sum(map(len, self._fan_outs))

    # From clients.

    def subscribe(self, session: Session, request: int, subject: str, start: link.Start) -> None:
        """Ask the node for a new subscription."""
        subscription = Subscription(self._next_sid(), request, subject, session, start)
        session.add(subscription)
        self._hold(subscription)
        self._ask(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        """The client wants it no longer."""
        if self._trail is not None:
            self._trail.unsubscribed(subscription.session, subscription.subject)
        subscription.session.drop(subscription)
        self._remove(subscription)

    def close(self, session: Session, code: int, reason: str) -> None:
        """End a session, telling its client why."""
        if session.state != GONE:
            self._outputs.uncork(session)
            self._outputs.closes.append((session, code, reason))
            self._stats.closes[code] += 1
            self.gone(session, code, reason)

    def gone(self, session: Session, code: int, reason: str) -> None:
        """The client is gone: closed with this code, by us or by itself."""
        if session.state == GONE:
            return
        if self._trail is not None:
            self._trail.disconnected(session, code, reason)
        session.state = GONE
        self._outputs.forget(session)
        session.steps = session.paging = session.client = None
        session.identity = NOBODY
        session.held_back = None
        self._held_back.pop(session, None)
        for subscription in session.subscriptions:
            self._remove(subscription)
        session.drop_all()

    def drained(self, session: Session) -> None:
        """Everything that was sent to the client has left this process."""
        paging, session.paging = session.paging, None
        for subscription in paging or ():
            if session.subscription(subscription.id) is subscription:
                self._taken(subscription)
                if not subscription.is_final:
                    self._outputs.events.append(link.More(subscription.sid))

    # From the node.

    def waiting(self, event: link.Waiting) -> None:
        """Nothing can be read yet."""
        subscription = self._incomplete.get(event.sid)
        if subscription is None:
            return
        self._taken(subscription)
        self._outputs.reply(subscription.session, frames.Waiting(subscription.id, event.why))

    def answer(self, event: link.Answer) -> None:
        """Where a subscription starts."""
        subscription = self._incomplete.get(event.sid)
        if subscription is None:
            return
        if not event.at.keys() - event.waiting:
            self._taken(subscription)
        subscription.start = None
        subscription.waiting = {*event.at, *event.waiting}
        _stop_waiting(subscription, event.gaps)
        if self._trail is not None:
            self._trail.subscribed(subscription.session, subscription.subject, event.answer)
            self._trail.gaps(subscription.session, subscription.subject, event.gaps)
        gaps = frames.shown(event.gaps)
        self._outputs.reply(
            subscription.session, frames.Subscribed(subscription.id, event.answer, event.at, gaps, event.waiting)
        )

    def cancelled(self, event: link.Cancelled) -> None:
        """The node has dropped what was cancelled."""
        subscription = self._undropped.pop(event.sid, None)
        if subscription is None:
            return
        subscription.session.unanswered -= _work(subscription)
        self._ask_more(subscription.session)
        if len(self._undropped) == UNDROPPED_MAX:
            for other in list(self._held_back):
                self._ask_more(other)

    def page(self, page: link.Page) -> None:
        """History of a subscription, and the logs in which it is live from here on."""
        subscription = self._incomplete.get(page.sid)
        if subscription is None:
            return
        session = subscription.session
        if page.gaps:
            if self._trail is not None:
                self._trail.gaps(session, subscription.subject, page.gaps)
            self._outputs.reply(session, frames.GapFrame(subscription.id, frames.shown(page.gaps)))
            _stop_waiting(subscription, page.gaps)
        if page.data:
            self._outputs.send(session, page.data)
        if page.live:
            self._outputs.reply(session, frames.Live(subscription.id, page.live))
            ends = self._ends(topic_of(subscription.subject))
            for log, at in page.live.items():
                ends[log] = max(at, ends.get(log, at))
            if subscription.waiting:
                subscription.waiting = subscription.waiting - page.live.keys() or None
        if page.live or page.final:
            subscription.is_live = True
        subscription.is_final = page.final  # not for good: a log that had to wait has pages of its own
        if page.final and subscription.is_complete:
            del self._incomplete[page.sid]
        if page.final and not page.data:
            self._taken(subscription)
        else:
            if session.paging is None:
                session.paging = []
            session.paging.append(subscription)
            self._outputs.drains.append(session)

    def live(self, live: link.Live) -> None:
        """Live messages, to everyone who subscribes to their subjects."""
        if self._is_lost:
            return
        if count := self._deliver(live):
            self._outputs.delivered.append((live.read_at, count))
        for topic, place in live.ends.items():
            self._ends(topic).update(place)

    def resuming(self, event: link.Resuming) -> None:
        """The node catches the worker up."""
        if event.number == self._catch_up:
            self._is_lost = False

    def missed(self, event: link.Missed) -> None:
        """What live subscriptions missed of a log."""
        if not self._is_lost and event.number == self._catch_up:
            self._deliver(event)
            self._ends(event.topic)[event.log] = event.at
            self._outputs.events.append(link.MissedTaken(event.number))

    def new_log(self, event: link.NewLog) -> None:
        """Live subscriptions of the topic are live in the log from its beginning."""
        if self._is_lost:
            return
        self._ends(event.topic)[event.log] = event.at
        for one in self._live_in(event.topic, event.share):
            # Who has a place in the log is live in it once the pages from there have come.
            if event.log not in (one.waiting or ()):
                self._outputs.reply(one.session, frames.Live(one.id, {event.log: event.at}))

    def log_gap(self, event: link.LogGap) -> None:
        """The node missed a part of a log, or all that was left of it."""
        if self._is_lost:
            return
        gap = event.gap
        if gap.end is None:
            self._forget_log(event.topic, gap.log)
        else:
            self._ends(event.topic)[gap.log] = gap.end
        if self._trail is not None:
            self._trail.log_gap(event.topic, gap)
        for one in self._live_in(event.topic, event.share):
            # Who is not live in the log yet hears of what it cannot have from its own place, in its pages.
            if gap.log not in (one.waiting or ()):
                self._outputs.reply(one.session, frames.GapFrame(one.id, frames.shown([gap])))

    def log_ended(self, event: link.LogEnded) -> None:
        """The log no longer exists, and nothing of it is missing."""
        if self._is_lost:
            return
        self._forget_log(event.topic, event.log)
        for one in self._live_in(event.topic, event.share):
            self._outputs.reply(one.session, frames.Ended(one.id, event.log))

    def link_jumped(self) -> None:
        """The link has lost something: what is live is caught up, what is unanswered asked again; the rest ends."""
        self._undropped.clear()
        held = sorted((one for topic in self._by_topic.values() for one in topic.values()), key=lambda one: one.sid)
        for session in {one.session: None for one in held}:
            subscriptions = session.subscriptions
            session.unanswered = 0
            for one in subscriptions:
                if one.stage == ASKED:
                    one.stage = TAKEN
            if any(one.start is None and not one.is_complete for one in subscriptions):
                self.close(session, codes.RESYNC, "the server lost track of a subscription: resume")
        self._catch_up += 1
        self._is_lost = True
        topics = {topic_of(one.subject) for one in held if one.is_live and one.session.state != GONE}
        ends = {topic: {**self.ends.get(topic, {})} for topic in topics}
        self._outputs.events.append(link.CatchUp(self._catch_up, ends))
        for subscription in held:
            if subscription.session.state != GONE and subscription.start is not None:
                self._ask_again(subscription)
        for session in list(self._held_back):
            self._ask_more(session)

    # For heartbeats.

    def heartbeat(self, session: Session, made: dict[tuple[object, ...], bytes]) -> bytes:
        """The session's `heartbeat` frame; `made` keeps those already made since `ends` changed last."""
        topics = {topic_of(subscription.subject) for subscription in session.subscriptions}
        key = (session.encoding, *sorted(topics))
        frame = made.get(key)
        if frame is None:
            at = {log: at for topic in key[1:] for log, at in self.ends.get(str(topic), {}).items()}
            frame = made[key] = frames.encode(frames.Heartbeat(at), session.encoding)
        return frame

    # Private.

    def _next_sid(self) -> int:
        self._last_sid += 1
        return self._last_sid

    def _number(self, session: Session) -> int:
        """The client's number, which it gets with its first subscription."""
        if not session.number:
            self._last_number += 1
            session.number = self._last_number
        return session.number

    def _hold(self, subscription: Subscription) -> None:
        self._fan_outs[subscription.session.encoding].add(subscription)
        self._by_topic.setdefault(topic_of(subscription.subject), {})[subscription.sid] = subscription
        self._incomplete[subscription.sid] = subscription

    def _ask(self, subscription: Subscription) -> None:
        """Ask the node as soon as it may be asked."""
        session = subscription.session
        subscription.stage = HELD_BACK
        if session.held_back is None:
            session.held_back = {}
        session.held_back[subscription.sid] = subscription
        self._ask_more(session)

    def _ask_more(self, session: Session) -> None:
        """Ask the node for subscriptions of a client that were held back, as many as are allowed now."""
        held_back = session.held_back
        if held_back is None:
            return
        while held_back and session.unanswered < UNANSWERED_MAX and len(self._undropped) <= UNDROPPED_MAX:
            subscription = held_back.pop(next(iter(held_back)))
            assert subscription.start is not None
            subscription.stage = ASKED
            session.unanswered += _work(subscription)
            self._outputs.subscribe(
                session,
                link.Subscribe(
                    subscription.sid,
                    subscription.id,
                    subscription.subject,
                    session.encoding,
                    subscription.start,
                    self._number(session),
                ),
            )
        if held_back:
            self._held_back[session] = None
        else:
            session.held_back = None
            self._held_back.pop(session, None)

    def _taken(self, subscription: Subscription) -> None:
        """The client has had its first page, or the node has said why that has to wait."""
        if subscription.stage == ASKED:
            subscription.stage = TAKEN
            subscription.session.unanswered -= _work(subscription)
            self._ask_more(subscription.session)

    def _cancel(self, subscription: Subscription) -> None:
        """Have the node work no more for a subscription that is not complete."""
        session = subscription.session
        if subscription.stage == HELD_BACK:
            if session.held_back is not None:
                session.held_back.pop(subscription.sid, None)
        elif self._outputs.cancel(subscription.sid):
            if subscription.stage == ASKED:
                self._undropped[subscription.sid] = subscription
        else:
            session.unanswered -= _work(subscription)
            self._ask_more(session)

    def _ask_again(self, subscription: Subscription) -> None:
        """Ask again for one that was not answered."""
        if subscription.stage == HELD_BACK:
            return
        self._outputs.cancel(subscription.sid)
        self._fan_outs[subscription.session.encoding].remove(subscription)
        del self._by_topic[topic_of(subscription.subject)][subscription.sid]
        del self._incomplete[subscription.sid]
        subscription.sid = self._next_sid()
        self._hold(subscription)
        self._ask(subscription)

    def _remove(self, subscription: Subscription) -> None:
        self._incomplete.pop(subscription.sid, None)
        subject, encoding = subscription.subject, subscription.session.encoding
        if subscription.is_complete:
            self._taken(subscription)
        else:
            self._cancel(subscription)
        if self._fan_outs[encoding].remove(subscription):
            # An unanswered one is held as well, so none is waiting for this subject.
            self._outputs.events.append(link.Drop(subject, encoding))
        topic = topic_of(subject)
        held = self._by_topic[topic]
        del held[subscription.sid]
        if not held:
            del self._by_topic[topic]
            self.ends.pop(topic, None)

    def _deliver(self, event: link.Live | link.Missed) -> int:
        """Returns how many messages that makes, once per recipient."""
        sends, count = self._outputs.sends, 0
        for encoding, (subjects, made) in enumerate((event.json, event.msgpack)):
            if subjects:
                count += self._fan_outs[encoding].deliver(subjects, made, sends)
                if self._trail is not None and self._trail.samples:
                    self._sample(self._trail, encoding, subjects, made)
        self._stats.messages_out += count
        return count

    def _sample(self, trail: Trail, encoding: int, subjects: list[str], made: list[bytes]) -> None:
        for subject, frame in zip(subjects, made, strict=True):
            if trail.is_sample(subject):
                trail.delivered(subject, frame, encoding, self._fan_outs[encoding].recipients(subject))

    def _ends(self, topic: str) -> Place:
        """The ends of a topic, for changing; those of a topic without subscriptions are not kept."""
        return self.ends.setdefault(topic, {}) if topic in self._by_topic else {}

    def _forget_log(self, topic: str, log: str) -> None:
        self.ends.get(topic, {}).pop(log, None)
        for subscription in self._by_topic.get(topic, {}).values():
            if subscription.waiting:
                subscription.waiting.discard(log)

    def _live_in(self, topic: str, share: link.Share) -> Iterator[Subscription]:
        """The topic's live subscriptions that can have messages of this share of it."""
        for subscription in self._by_topic.get(topic, {}).values():
            subject = subscription.subject
            if subscription.is_live and (
                share is None or is_pattern(subject) or slot_of(subject, share[1]) == share[0]
            ):
                yield subscription


def _work(subscription: Subscription) -> int:
    return PATTERN_WORK if is_pattern(subscription.subject) else 1


def _stop_waiting(subscription: Subscription, gaps: list[Gap]) -> None:
    """Wait no longer for logs that are gone."""
    if subscription.waiting:
        subscription.waiting -= {gap.log for gap in gaps if gap.end is None}
