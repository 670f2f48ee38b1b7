"""One client machine: the SDK's session with its timer, and an application that keeps places and publishes.

The application takes what comes a little later than it comes, and keeps its places now and then; after a crash it
goes on from one that it kept, with another session. What it is handed is told to the checkers.

Not here: what the session decides (client/python/whimbrel/session.py), what is right (checkers/).
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Protocol

from tests.sim.apps.line import Line
from tests.sim.broker.cluster import START_MS
from tests.sim.checkers.publishes import Publishes
from tests.sim.checkers.reader import Limits, Reader
from tests.sim.checkers.truth import Truth
from tests.sim.setting import Setting
from whimbrel import events, outputs
from whimbrel.encodings import ENCODINGS
from whimbrel.events import SubscriptionEvent
from whimbrel.interest import Interest
from whimbrel.message import Message, Value
from whimbrel.outgoing import Outgoing
from whimbrel.reader import Reader as SdkReader
from whimbrel.session import Session, SessionConfig
from whimbrel.start import Last, Latest, Now, Place, Resume, Since, Start

QUEUE_MAX = 30
"""Events that wait for the application before its subscription is suspended."""
KEPT_MAX = 4


class Host(Protocol):
    """Where clients connect."""

    def connect(self, server: str, client: Client, rng: Random) -> Line | None:
        """A line to a worker of that server's; None if there is none."""

    def subjects_for(self, rng: Random, number: int) -> str:
        """Something to subscribe to."""

    def subject_to_publish(self, rng: Random) -> str | None:
        """Something to publish to, if there is anything."""


class Subscription:
    """One subscription of the application, over crashes and new sessions."""

    def __init__(self, name: str, subject: str, start: Start) -> None:
        self.name = name
        self.subject = subject
        self.start = start
        self.interest: Interest
        self.sdk: SdkReader
        self.reader: Reader
        self.queue: deque[SubscriptionEvent] = deque()
        self.is_taking = False
        self.kept: list[Place] = []
        """Places that the application has kept, newest last."""


class Client:
    """One machine with one application."""

    session_type: type[Session] = Session
    interest_type: type[Interest] = Interest

    def __init__(
        self,
        setting: Setting,
        host: Host,
        truth: Truth,
        publishes: Publishes,
        name: str,
        servers: tuple[str, ...],
        wishes: list[tuple[str, Start]],
        rng: Random,
    ) -> None:
        """Begin, with something to subscribe to."""
        self.name = name
        self.rng = rng
        self.line: Line | None = None
        self.session: Session | None = None
        self.readers: list[Reader] = []
        """Of all lives."""
        self.is_publishing = True
        self.subscriptions = [
            Subscription(f"{name}.{number}", subject, start) for number, (subject, start) in enumerate(wishes)
        ]
        self._setting = setting
        self._host = host
        self._truth = truth
        self._publishes = publishes
        options = setting.options
        self._limits = Limits(options.is_roomy, options.replay_messages_max)
        self._servers = servers
        self._encoding = rng.choice(("json", "msgpack"))
        self._offset_s = rng.uniform(0.0, 1000.0)
        self._boots = 0
        self._published = 0
        self.unanswered: dict[bytes, tuple[Outgoing, float]] = {}
        """Value -> publish, and since when."""
        self._sent_on: dict[bytes, Line | None] = {}
        """Value -> the line that there was when it was published."""
        self._tick_at: float | None = None
        self._by_interest: dict[Interest, Subscription] = {}
        self.is_slow_app = rng.random() < 0.15
        setting.schedule.after(rng.random() * 0.5, self.begin)
        if options.publishes_per_s:
            setting.schedule.after(rng.expovariate(options.publishes_per_s), self._publish_next)

    @property
    def now(self) -> float:
        """By its own clock."""
        return self._offset_s + self._setting.now

    # Its life.

    def begin(self) -> None:
        """A new session, and every subscription goes on from a place that was kept."""
        if self.session is not None:
            return
        self._boots += 1
        config = SessionConfig(self._servers, ENCODINGS[self._encoding], "sim/1")
        session = self.session = self.session_type(config, Random(f"{self.rng.random()}"))
        session.start(self.now)
        for subscription in self.subscriptions:
            self._subscribe(subscription, self._kept(subscription))
        self._perform()

    def crash(self) -> None:
        """Whatever was in memory is lost; places that were kept are not."""
        if self.session is None:
            return
        self._setting.say(self.name, "crashes")
        self.session = None
        self._by_interest.clear()
        self.unanswered.clear()
        if self.line is not None:
            self.line.cut()
            self.line.drop(at_once=True)
            self.line = None
        for subscription in self.subscriptions:
            subscription.queue.clear()
        self._setting.schedule.after(self.rng.uniform(0.05, 0.6), self.begin)

    def subscribe_anew(self) -> bool:
        """End a subscription; begin it again from its place, or otherwise."""
        session = self.session
        if session is None:
            return False
        subscription = self.rng.choice(self.subscriptions)
        if subscription.interest not in self._by_interest:
            return False
        del self._by_interest[subscription.interest]
        session.unsubscribe(self.now, subscription.interest)
        subscription.queue.clear()
        if self.rng.random() < 0.5:
            subscription.kept.append(dict(subscription.sdk.place))
            self._subscribe(subscription, self._kept(subscription, is_newest=True))
        else:
            subscription.kept.clear()
            subscription.start = start_for(self.rng, START_MS + int(self._setting.now * 1000))
            self._subscribe(subscription, None)
        self._perform()
        return True

    # Publishing.

    def publish(self, subject: str) -> None:
        """Something new."""
        session = self.session
        if session is None:
            return
        self._published += 1
        value = b'"%s-%d"' % (self.name.encode(), self._published)
        item = Outgoing(subject, Value("json", value), [], self.now + self.rng.choice((1.0, 4.0, 8.0)))
        self.unanswered[value] = (item, self.now)
        self._sent_on[value] = self.line
        session.publish(self.now, item)
        self._perform()

    def _publish_next(self) -> None:
        self._setting.schedule.after(self.rng.expovariate(self._setting.options.publishes_per_s), self._publish_next)
        subject = self._host.subject_to_publish(self.rng)
        if self.is_publishing and subject is not None:
            self.publish(subject)

    # The line.

    def line_received(self, line: Line, data: str | bytes) -> None:
        """See ClientEnd."""
        if line is self.line and self.session is not None:
            self.session.receive(self.now, data)
            self._perform()

    def line_lost(self, line: Line, code: int | None, reason: str) -> None:
        """See ClientEnd."""
        if line is self.line and self.session is not None:
            self.line = None
            self._setting.say(self.name, f"loses its connection to {line.node}: {code} {reason}")
            self.session.lost(self.now, code, reason)
            self._perform()

    # The session.

    def _perform(self) -> None:
        session = self.session
        if session is None:
            return
        for output in session.take():
            match output:
                case outputs.Send():
                    if self.line is not None:
                        self.line.say(output.data)
                case outputs.Connect():
                    delay_s = self.rng.random() * 2 * self._setting.options.line_s
                    self._setting.schedule.after(delay_s, self._connected, session, output.server)
                case outputs.Disconnect():
                    if self.line is not None:
                        self.line.drop(output.at_once)
                        self.line = None
                case _:
                    self._handle(output)
        self._set_timer(session)

    def _connected(self, session: Session, server: str) -> None:
        if session is not self.session:
            return
        line = self._host.connect(server, self, self.rng)
        if line is None:
            self._setting.say(self.name, f"is not let in by {server}")
            session.lost(self.now, None, "connection refused")
        else:
            self.line = line
            line.connect(0 if self._encoding == "json" else 1, self.name)
            self._setting.say(self.name, f"connects to {line.node}")
            session.opened(self.now)
        self._perform()

    def _set_timer(self, session: Session) -> None:
        deadline = session.deadline
        if deadline is not None and (self._tick_at is None or deadline < self._tick_at):
            self._tick_at = deadline
            self._setting.schedule.at(deadline - self._offset_s + 1e-6, self._tick, session, deadline)

    def _tick(self, session: Session, deadline: float) -> None:
        if self._tick_at == deadline:
            self._tick_at = None
        if session is self.session:
            session.tick(self.now)
            self._perform()
        elif self.session is not None:
            self._set_timer(self.session)

    def _handle(self, event: events.Event) -> None:
        self._setting.counts[f"client hears {type(event).__name__}"] += 1
        match event:
            case events.PublishDone(item, log, at):
                took_s = self._answered(item)
                assert item.value.raw is not None
                self._setting.say(self.name, f"has {item.value.raw!r} confirmed at {at} of {log}")
                self._publishes.done(self.name, item.subject, item.value.raw, log, at, took_s)
            case events.PublishFailed(item, code, _, reason, outcome_unknown):
                self._answered(item)
                self._setting.say(self.name, f"fails to publish {item.value.raw!r}: {code} {reason}")
                assert item.value.raw is not None
                is_known = not outcome_unknown and item.refusals == 0 and self._sent_on.get(item.value.raw) is self.line
                self._publishes.failed(item.subject, item.value.raw, is_known)
            case events.Closed():
                raise AssertionError(f"{self.name} is sent away for good: {event}")
            case events.Connected() | events.Reconnecting() | events.Moving():
                pass
            case events.TokenNeeded() | events.TokenExpiring():
                raise AssertionError("the simulator has no tokens")
            case _:
                subscription = self._by_interest.get(event.interest)
                if subscription is not None:
                    self._queue(subscription, event)

    def _answered(self, item: Outgoing) -> float:
        """How long it took."""
        assert item.value.raw is not None
        _, since = self.unanswered.pop(item.value.raw)
        return self.now - since

    # The application.

    def _subscribe(self, subscription: Subscription, place: Place | None) -> None:
        assert self.session is not None
        start = subscription.start if place is None else Resume(place)
        self._setting.counts[f"client starts {type(start).__name__}"] += 1
        self._setting.say(subscription.name, f"subscribes to {subscription.subject} from {start}")
        subscription.interest = self.interest_type(subscription.subject, start)
        subscription.sdk = SdkReader()
        subscription.sdk.place = dict(place or {})
        subscription.reader = Reader(
            self._truth, self._limits, f"{subscription.name}#{self._boots}", subscription.subject, start, place or {}
        )
        self.readers.append(subscription.reader)
        self._by_interest[subscription.interest] = subscription
        self.session.subscribe(self.now, subscription.interest)

    def _kept(self, subscription: Subscription, is_newest: bool = False) -> Place | None:
        kept = subscription.kept
        if not kept:
            return None
        return dict(kept[-1] if is_newest or self.rng.random() < 0.5 else self.rng.choice(kept))

    def _queue(self, subscription: Subscription, event: SubscriptionEvent) -> None:
        subscription.queue.append(event)
        if len(subscription.queue) >= QUEUE_MAX and not subscription.interest.suspended and self.session is not None:
            self._setting.counts["client suspends"] += 1
            self.session.suspend(self.now, subscription.interest)
            self._setting.schedule.after(0.0, self._perform)
        if not subscription.is_taking:
            subscription.is_taking = True
            self._take_later(subscription)

    def _take_later(self, subscription: Subscription) -> None:
        wait_s = self.rng.choice((0.0, 0.001, 0.02)) + (0.1 if self.is_slow_app else 0.0)
        self._setting.schedule.after(wait_s, self._take, subscription)

    def _take(self, subscription: Subscription) -> None:
        """The application takes something."""
        count = 3 if self.is_slow_app else len(subscription.queue)
        while subscription.queue and count:
            count -= 1
            self._take_one(subscription, subscription.queue.popleft())
        if subscription.interest.suspended and len(subscription.queue) <= QUEUE_MAX // 2 and self.session is not None:
            self.session.resume(self.now, subscription.interest)
            self._perform()
        if subscription.queue:
            self._take_later(subscription)
        else:
            subscription.is_taking = False

    def _take_one(self, subscription: Subscription, event: SubscriptionEvent) -> None:
        taken = subscription.sdk.take(event)
        reader = subscription.reader
        if isinstance(taken, Message):
            if self._setting.transcript is not None:
                what = "the latest" if taken.snapshot else "message"
                self._setting.say(reader.name, f"{what} {taken.at} of {taken.log} {taken.subject} {taken.value!r}")
            reader.message(taken)
            reader.place(subscription.sdk.place)
        elif taken is not None:
            self._setting.say(reader.name, f"is told: {taken}")
            if isinstance(taken, events.Refused):
                raise AssertionError(f"{reader} is refused: {taken}")
            if isinstance(taken, events.Gap):
                self._setting.counts[f"gap: {taken.why}"] += 1
            reader.status(taken)
        else:
            reader.place(subscription.sdk.place)
        if self.rng.random() < 0.2 and subscription.sdk.place:
            subscription.kept.append(dict(subscription.sdk.place))
            del subscription.kept[:-KEPT_MAX]


def start_for(rng: Random, now_ms: int) -> Start:
    """Where a new subscription starts."""
    return rng.choice((Latest(), Latest(), Now(), Last(rng.choice((1, 3, 20))), Since(now_ms - rng.randint(0, 2000))))
