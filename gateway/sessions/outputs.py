"""What the sessions of a worker want done. The shell takes everything after every input, in the order of the fields.

Not here: doing it (worker.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.link import events as link
from gateway.sessions import frames
from gateway.sessions.session import GONE, Question, Session


class Round:
    """What is done for clients before anything that came up later: the sends first, then the rest."""

    __slots__ = ("closes", "delivered", "drains", "sends")

    def __init__(
        self,
        sends: Iterator[tuple[Session, list[bytes]]],
        delivered: list[tuple[float, int]],
        closes: list[tuple[Session, int, str]],
        drains: list[Session],
    ) -> None:
        self.sends = sends
        self.delivered = delivered
        self.closes = closes
        self.drains = drains


class SessionOutputs:
    """Collects; each attribute may be taken, and replaced by an empty one, at any time."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        """For an authorizer that may block: answer each with `Sessions.decided`."""
        self.failures: list[tuple[str, Exception]] = []
        """Of an authorizer that was asked at once: the kind of question, and what it raised. For the log."""
        self.sends: dict[Session, list[bytes]] = {}
        """Whole WebSocket frames in order; those of one session leave in one write."""
        self.delivered: list[tuple[float, int]] = []
        """Live messages among the sends: when the node had them (`link.Live.read_at`), and how many there are, once per
        recipient."""
        self.closes: list[tuple[Session, int, str]] = []
        """Connections to close after their sends, with code and reason. The session is GONE already."""
        self.reads: list[Session] = []
        """Not slowed any more: read on where reading had stopped."""
        self.drains: list[Session] = []
        """Say `Sessions.drained` of each as soon as everything that was sent to it has left this process."""
        self.events: list[link.FromWorker] = []
        """For the node, in order; what follows may overtake the subscribes of other clients."""
        self._behind: dict[int, link.Subscribe | link.Publish] = {}
        """For the node after `events`: subscribes by sid, and by -pid the publishes that follow one of their client."""
        self._behind_of: dict[Session, None] = {}
        self._corked: dict[Session, list[bytes]] = {}
        """Frames that leave with the first answer to the only subscription of their client."""

    def take_events(self) -> tuple[list[link.FromWorker], list[link.FromWorker]]:
        """What is for the node: first the one list, then the other."""
        events, self.events = self.events, []
        behind: list[link.FromWorker] = [*self._behind.values()]
        self._behind.clear()
        self._behind_of.clear()
        return events, behind

    @property
    def has_events(self) -> bool:
        """Whether `take_events` has anything."""
        return bool(self.events or self._behind)

    def subscribe(self, session: Session, event: link.Subscribe) -> None:
        """Ask the node for a subscription.

        What the client has not been sent yet waits for the answer: nearly all say hello and subscribe in one go, and a
        write is a tenth of what connecting costs. With other subscriptions it does not wait, for they have messages.
        """
        self._behind[event.sid] = event
        self._behind_of[session] = None
        if len(session.subscriptions) == 1 and session in self.sends:
            self._corked[session] = self.sends.pop(session)

    def cancel(self, sid: int) -> bool:
        """Cancel a subscription at the node. Returns whether the node had been asked for it."""
        if self._behind.pop(sid, None) is not None:
            return False
        self.events.append(link.Cancel(sid))
        return True

    def publish(self, session: Session, event: link.Publish) -> None:
        """Give the node a publish, after what the same client asked for before."""
        if session in self._behind_of:
            self._behind[-event.pid] = event
        else:
            self.events.append(event)

    def take_round(self) -> Round:
        """All that is to be done for clients now. What is added meanwhile is merged into the next round."""
        sends, self.sends = self.sends, {}
        delivered, self.delivered = self.delivered, []
        closes, self.closes = self.closes, []
        drains, self.drains = self.drains, []
        return Round(iter(sends.items()), delivered, closes, drains)

    @property
    def are_urgent(self) -> bool:
        """Whether there is anything besides `events`, which may wait until the loop's next pass."""
        return bool(self.sends or self.questions or self.closes or self.drains or self.reads or self.failures)

    def send(self, session: Session, frame: bytes) -> None:
        """Send whole WebSocket frames, unless the client is gone."""
        if session.state == GONE:
            return
        pieces = self.sends.get(session)
        if pieces is None:
            self.sends[session] = [*self._corked.pop(session, ()), frame]
        else:
            pieces.append(frame)

    def uncork(self, session: Session) -> None:
        """Wait no longer with what waits for the answer to a subscription."""
        if session in self._corked:
            self.sends[session] = self._corked.pop(session)

    def uncork_all(self) -> None:
        """The same for all."""
        self.sends.update(self._corked)
        self._corked.clear()

    def forget(self, session: Session) -> None:
        """The client is gone."""
        self._corked.pop(session, None)

    def reply(self, session: Session, frame: frames.ServerFrame) -> None:
        """Send a frame of the protocol in the client's encoding."""
        self.send(session, frames.encode(frame, session.encoding))
