"""The subscriptions of one client: asked for, routed to, resumed (PROTOCOL sections 5 and 7).

Invariant: at most one subscription id of an interest is in use on the connection; whatever comes for another one is
ignored.

Not here: what proves that nothing is missing (place.py), when to connect (session.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from whimbrel import codes, events, frames
from whimbrel.interest import Interest
from whimbrel.outputs import Outputs
from whimbrel.place import Verdict
from whimbrel.servers import again_pause_s, asked_pause_s, loss_pause_s
from whimbrel.start import Resume, to_frame
from whimbrel.subjects import patterns_of

MISSING_PAUSE_S = 1.0
"""A second loss within this time is resumed after a pause only: a server at fault must not keep both sides busy."""


@dataclass(slots=True)
class Stats:
    """What has come since the client was made."""

    received: int = 0
    """Messages handed over; where subscriptions overlap, once for each."""
    repeated: int = 0
    """Messages dropped because they had been handed over before."""
    missing: int = 0
    """How often a message was found missing, and asked for again."""


class Subscriptions:
    """All interests of one client, and the frames about them."""

    def __init__(self, outputs: Outputs, rng: Random) -> None:
        self._outputs = outputs
        self._rng = rng
        self._all: dict[Interest, None] = {}
        self._by_id: dict[int, Interest] = {}
        self._by_subject: dict[str, list[Interest]] = {}
        self._asked_again_at: dict[Interest, float] = {}
        self._connected = False
        self.stats = Stats()

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        return min(self._asked_again_at.values(), default=None)

    def tick(self, now: float) -> None:
        for interest in [interest for interest, at in self._asked_again_at.items() if at <= now]:
            del self._asked_again_at[interest]
            self._ask(interest)

    # From the application.

    def add(self, interest: Interest) -> None:
        self._all[interest] = None
        self._by_subject.setdefault(interest.subject, []).append(interest)
        self._ask(interest)

    def remove(self, interest: Interest) -> None:
        if interest in self._all:
            self._leave(interest)
            self._forget(interest)

    def suspend(self, interest: Interest) -> None:
        """The application cannot take more for now."""
        if interest in self._all and not interest.suspended:
            interest.suspended = True
            self._leave(interest)

    def resume(self, interest: Interest) -> None:
        """It can again."""
        if interest in self._all and interest.suspended:
            interest.suspended = False
            self._ask(interest)

    # From the connection.

    def connected(self) -> None:
        self._connected = True
        for interest in self._all:
            self._ask(interest)

    def disconnected(self) -> None:
        self._connected = False
        self._by_id.clear()
        self._asked_again_at.clear()
        for interest in self._all:
            interest.id = None
            interest.track.live.clear()

    def subscribed(self, frame: frames.Subscribed) -> None:
        interest = self._by_id.get(frame.id)
        if interest is None:
            return
        fresh = frame.answer == "fresh"
        interest.answered = True
        interest.failures = 0
        interest.track.subscribed(fresh, frame.at, frame.waiting, frame.gaps)
        waiting = tuple(frame.waiting)
        self._tell(
            events.Subscribed(interest, waiting) if fresh else events.Resumed(interest, frame.answer == "full", waiting)
        )
        self._tell_gaps(interest, frame.gaps)
        self._tell_place(interest)

    def message(self, now: float, frame: frames.Msg) -> None:
        log = frame.message.log
        if frame.sub is None:
            for interest in self._matching(frame.message.subject):
                if log in interest.track.live:
                    self._take(now, interest, frame)
        elif frame.sub in self._by_id:
            self._take(now, self._by_id[frame.sub], frame)

    def live(self, frame: frames.Live) -> None:
        if interest := self._by_id.get(frame.sub):
            interest.was_live = True
            interest.track.now_live(frame.at)
            self._tell_place(interest)
            self._tell(events.Live(interest, tuple(frame.at)))

    def gap(self, frame: frames.Gap) -> None:
        if interest := self._by_id.get(frame.sub):
            for gap in frame.gaps:
                interest.track.gap(gap)
            self._tell_gaps(interest, frame.gaps)
            self._tell_place(interest)

    def ended(self, frame: frames.Ended) -> None:
        if interest := self._by_id.get(frame.sub):
            interest.track.ended(frame.log)
            self._tell(events.Ended(interest, frame.log))
            self._tell_place(interest)

    def waiting(self, frame: frames.Waiting) -> None:
        if interest := self._by_id.get(frame.sub):
            self._tell(events.Waiting(interest, frame.why))

    def heartbeat(self, frame: frames.Heartbeat) -> None:
        for interest in self._all:
            if interest.track.heartbeat(frame.at):
                self._tell_place(interest)

    def refused(self, now: float, frame: frames.Error) -> bool:
        """Take an error; False when it answers no subscribe."""
        if frame.id not in self._by_id:
            return False
        interest = self._by_id.pop(frame.id)
        interest.id = None
        if codes.on_error(frame.code) is codes.Action.STOP:
            self._forget(interest)
            self._tell(events.Refused(interest, frame.code, frame.name, frame.reason))
        else:
            interest.failures += 1
            pause_s = asked_pause_s(frame.reason) + again_pause_s(interest.failures, self._rng)
            self._asked_again_at[interest] = now + pause_s
        return True

    def _take(self, now: float, interest: Interest, frame: frames.Msg) -> None:
        message = frame.message
        if message.snapshot and frame.sub is not None:
            taken = interest.track.take_snapshot(message.log, message.subject, message.at)
        else:
            verdict = interest.track.take(message.log, message.subject, message.at, message.prev)
            if verdict is Verdict.MISSING:
                self._missing(now, interest, message.subject, message.log, message.at)
                return
            taken = verdict is Verdict.HAND_OVER
            if taken and interest.resumes:
                interest.track.trim(message.log)
        if taken:
            self.stats.received += 1
            self._tell(events.Received(interest, message))
        else:
            self.stats.repeated += 1

    def _missing(self, now: float, interest: Interest, subject: str, log: str, at: tuple[int, int]) -> None:
        self.stats.missing += 1
        self._tell(events.Missing(interest, subject, log, at))
        self._tell_place(interest)
        self._leave(interest)
        if now - interest.missing_at < MISSING_PAUSE_S:
            interest.failures += 1
            self._asked_again_at[interest] = now + loss_pause_s(interest.failures, self._rng)
        else:
            interest.failures = 0
            self._ask(interest)
        interest.missing_at = now

    def _ask(self, interest: Interest) -> None:
        if self._connected and not interest.suspended:
            start = Resume(interest.track.place) if interest.resumes else interest.start
            interest.id = self._outputs.send("subscribe", {"subject": interest.subject, **to_frame(start)})
            assert interest.id is not None
            self._by_id[interest.id] = interest

    def _leave(self, interest: Interest) -> None:
        self._asked_again_at.pop(interest, None)
        interest.track.live.clear()
        if interest.id is not None:
            self._outputs.send("unsubscribe", {"sub": interest.id})
            del self._by_id[interest.id]
            interest.id = None

    def _forget(self, interest: Interest) -> None:
        del self._all[interest]
        same = self._by_subject[interest.subject]
        same.remove(interest)
        if not same:
            del self._by_subject[interest.subject]

    def _matching(self, subject: str) -> Iterator[Interest]:
        for name in (subject, *patterns_of(subject)):
            yield from self._by_subject.get(name, ())

    def _tell(self, event: events.SubscriptionEvent) -> None:
        self._outputs.tell(event)

    def _tell_gaps(self, interest: Interest, gaps: list[frames.GapSaid]) -> None:
        for gap in gaps:
            self._tell(events.Gap(interest, gap.log, gap.start, gap.end, gap.why))

    def _tell_place(self, interest: Interest) -> None:
        self._tell(events.PlaceMoved(interest, dict(interest.track.place)))
