"""A client's session: one connection after another, and what goes on over all of them. PROTOCOL sections 4, 9 and 11.

A pure core, the whole of the client but for sockets, time and the application's queues. To drive it:

    session = Session(SessionConfig(("ws://a:8080", "ws://b:8080"), ENCODINGS["json"], "name/1"), Random(seed))
    session.start(now)                                  # any input
    for output in session.take():                       # then what follows from it, in order
        match output:
            case Connect(server): ...                   # later: opened(now), or lost(now, code, reason)
            case Send(data): ...                        # a frame for the connection
            case Disconnect(at_once): ...               # close it, and forget what else comes of it
            case _: ...                                 # an event of whimbrel.events, for the application
    session.deadline                                    # call tick(now) then; None: no need to

Inputs of the connection: `opened`, `receive` (a frame: str if text, bytes if binary), `lost`. Of the application:
`start`, `subscribe` and `unsubscribe` (an `Interest`, which events name), `publish` (an `Outgoing`, which ends in
`PublishDone` or `PublishFailed`), `suspend` and `resume` (of an interest whose messages it cannot take), `reading`,
`set_token` and `token_failed` (after `TokenNeeded` or `TokenExpiring`), `close`. Of time: `tick`, and `clocks` or
`wake` where machines sleep.

`now` is in seconds, of any origin, and never goes back. The same seed and the same inputs give the same outputs, byte
for byte. There is one connection at a time; after `Disconnect` the next is asked for by another `Connect`. The
place to resume from is `interest.track.place`; that of an application that takes messages later than they come is
kept by a `Reader` (reader.py), which is given the interest's events.

Not here: subscriptions and publishes themselves (subscriptions.py, publishing.py); sockets and tasks (client.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random

from whimbrel import codes, events, frames
from whimbrel.encodings import Encoding
from whimbrel.errors import FrameError
from whimbrel.interest import Interest
from whimbrel.outgoing import Outgoing
from whimbrel.outputs import Output, Outputs
from whimbrel.publishing import Publishing
from whimbrel.servers import Servers, asked_pause_s
from whimbrel.subscriptions import Stats, Subscriptions

WELCOME_TIMEOUT_S = 10.0
PONG_TIMEOUT_S = 5.0
RENEW_AGAIN_S = 2.0
"""After a renewal for which no token could be had, or that the server could not decide."""
SLEPT_S = 5.0
"""So much more on the wall clock than in `now`, or so late a `tick`: the machine or the process stood still."""


class State(Enum):
    """Where a session stands between its connections."""

    IDLE = "not started"
    PAUSING = "before the next attempt"
    OPENING = "connecting"
    GREETING = "hello sent, no welcome yet"
    READY = "connected"
    TOKEN = "waits for a new token"
    CLOSED = "over"


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a session is told once."""

    servers: tuple[str, ...]
    """At least one, as `servers.server_url` takes them."""
    encoding: Encoding
    client: str
    """Name and version, said in `hello`."""
    token: str | None = None
    learn_servers: bool = True
    """Whether servers that a node names are used beside those configured."""


class Session:
    """The client's end of the protocol."""

    def __init__(self, config: SessionConfig, rng: Random) -> None:
        self._config = config
        self._rng = rng
        self._encoding = config.encoding
        self._token = config.token
        self._outputs = Outputs(config.encoding)
        self._servers = Servers(config.servers, learn=config.learn_servers)
        self._subscriptions = Subscriptions(self._outputs, rng)
        self._publishing = Publishing(self._outputs, rng)
        self._server = ""
        self._attempt_at = 0.0
        self._heard_at = 0.0
        self._heartbeat_s = 0.0
        self._move_at: float | None = None
        self._pong_due: float | None = None
        self._expires_at = 0.0
        """When the token of this connection ends, as the server has said."""
        self._renew_at: float | None = None
        """When to want a new one for it."""
        self._is_token_wanted = False
        self._renewal_id: int | None = None
        """Of the `renew` that is not answered."""
        self._reading = True
        self._ahead_s: float | None = None
        """How far the wall clock is ahead of `now`."""
        self.state = State.IDLE
        self.reason = ""
        """Why there is no connection: how the last one, or the last attempt, ended. Empty while there is one."""

    # Inputs: the application.

    def start(self, now: float) -> None:
        """Make the first connection; the only one without a pause before."""
        self._attempt()

    def subscribe(self, now: float, interest: Interest) -> None:
        self._subscriptions.add(interest)

    def unsubscribe(self, now: float, interest: Interest) -> None:
        """End it; no event about it follows."""
        self._subscriptions.remove(interest)

    def suspend(self, now: float, interest: Interest) -> None:
        """Have nothing sent for it until `resume`: the application is far behind."""
        self._subscriptions.suspend(interest)

    def resume(self, now: float, interest: Interest) -> None:
        self._subscriptions.resume(interest)

    def publish(self, now: float, item: Outgoing) -> None:
        """Ends in one event, `PublishDone` or `PublishFailed`."""
        self._publishing.publish(now, item)

    def set_token(self, now: float, token: str) -> None:
        """Use it from now on: for the connection that there is if it wants one, else for the next."""
        self._token = token
        if self._is_token_wanted:
            self._is_token_wanted = False
            self._renewal_id = self._outputs.send("renew", {"token": token})
        if self.state is State.TOKEN:
            self._pause(now, None, "a new token is used")

    def token_failed(self, now: float, reason: str) -> None:
        """No new token could be had: try again after a pause, and the server says if it still wants another."""
        if self.state is State.TOKEN:
            self._pause(now, None, f"no new token: {reason}")
        elif self._is_token_wanted:
            self._renew_at = now + RENEW_AGAIN_S

    def reading(self, now: float, is_reading: bool) -> None:
        """Whether frames are being read: while the application is behind they are not, and silence means nothing."""
        self._reading = is_reading
        self._heard_at = now
        self._pong_due = None

    def close(self, now: float, code: int | None = None, reason: str = "by the application") -> None:
        """End it all: what is not answered yet fails."""
        if self.state is State.CLOSED:
            return
        if self.state in (State.OPENING, State.GREETING, State.READY):
            self._outputs.disconnect()
        if code is None and self.reason:
            reason = f"{reason}; no connection: {self.reason}"
        self._end(code, reason)

    # Inputs: the connection.

    def opened(self, now: float) -> None:
        """The WebSocket handshake is done."""
        self.state = State.GREETING
        self._heard_at = now
        self._reading = True
        self._outputs.new_connection()
        token = {} if self._token is None else {"token": self._token}
        self._outputs.send("hello", {"client": self._config.client, **token})
        self._subscriptions.connected()

    def lost(self, now: float, code: int | None, reason: str) -> None:
        """The connection ended, with that close code, or could not be made."""
        match codes.on_close(code):
            case codes.Action.STOP:
                self._end(code, reason)
            case codes.Action.TOKEN:
                self._disconnected(State.TOKEN, code, reason)
                self._outputs.tell(events.TokenNeeded(code, reason))
            case codes.Action.RETRY | codes.Action.ELSEWHERE:
                self._pause(now, code, reason)

    def receive(self, now: float, data: str | bytes) -> None:
        """A frame."""
        self._heard_at = now
        self._pong_due = None
        try:
            frame = frames.read(self._encoding.decode(data))
        except FrameError as error:
            self._drop(now, None, f"the server sent what is not a frame: {error}")
            return
        match frame:
            case frames.Msg():
                self._subscriptions.message(now, frame)
            case frames.Published():
                self._publishing.published(now, frame)
            case frames.Heartbeat():
                self._subscriptions.heartbeat(frame)
            case frames.Live():
                self._subscriptions.live(frame)
            case frames.Subscribed():
                self._subscriptions.subscribed(frame)
            case frames.Gap():
                self._subscriptions.gap(frame)
            case frames.Ended():
                self._subscriptions.ended(frame)
            case frames.Waiting():
                self._subscriptions.waiting(frame)
            case frames.Error():
                self._error(now, frame)
            case frames.Welcome():
                self._welcome(now, frame)
            case frames.Move():
                self._move(now, frame)
            case frames.Expiring():
                self._expires_at = now + frame.within_s
                self._renew_at = now + self._rng.uniform(0, frame.within_s / 3)
            case frames.Renewed():
                self._renewal_id = None
            case None:
                pass

    def tick(self, now: float) -> None:
        """Time has passed."""
        if self.state is State.PAUSING and now >= self._attempt_at:
            self._attempt()
        silent_at = self._silent_at()
        if silent_at is not None and now >= silent_at:
            if self.state is State.READY and self._pong_due is None and now >= silent_at + SLEPT_S:
                self.wake(now)  # what has come meanwhile is still to be read
            else:
                self._drop(now, None, "the server has been silent", at_once=True)
        if self._move_at is not None and now >= self._move_at:
            self._outputs.disconnect()
            self._disconnected(State.PAUSING, None, "the server asked to move")
            self._attempt()
        if self._renew_at is not None and now >= self._renew_at:
            self._renew_at = None
            self._is_token_wanted = True
            self._outputs.tell(events.TokenExpiring(max(self._expires_at - now, 0.0)))
        self._subscriptions.tick(now)
        self._publishing.tick(now)

    def clocks(self, now: float, wall_s: float) -> None:
        """Compare `now`, which may stand still while a machine sleeps, with the wall clock; once a second, say."""
        ahead_s = wall_s - now
        if self._ahead_s is not None and ahead_s > self._ahead_s + SLEPT_S:
            self.wake(now)
        self._ahead_s = ahead_s

    def wake(self, now: float) -> None:
        """The machine slept, or changed networks: connect at once, or ask the server whether it is still there."""
        if self.state is State.PAUSING:
            self._attempt()
        elif self.state is State.READY and self._pong_due is None:
            self._outputs.send("ping", {})
            self._pong_due = now + PONG_TIMEOUT_S

    # Outputs.

    def take(self) -> list[Output]:
        """What is to be done, in order. Take it after every input."""
        return self._outputs.take()

    # Questions.

    @property
    def deadline(self) -> float | None:
        """When to call `tick` next; it changes with every input."""
        parts = self._subscriptions, self._publishing
        times = [*(part.deadline for part in parts), self._silent_at(), self._move_at, self._renew_at]
        if self.state is State.PAUSING:
            times.append(self._attempt_at)
        return min((time for time in times if time is not None), default=None)

    @property
    def stats(self) -> Stats:
        """Counters of messages."""
        return self._subscriptions.stats

    @property
    def publisher(self) -> str:
        """This client's publisher id."""
        return self._publishing.publisher

    def _attempt(self) -> None:
        self.state = State.OPENING
        self._server = self._servers.next(self._rng)
        self._outputs.connect(self._server)

    def _pause(self, now: float, code: int | None, reason: str) -> None:
        self._disconnected(State.PAUSING, code, reason)
        pause_s = asked_pause_s(reason) + self._servers.next_pause_s(self._rng)
        self._attempt_at = now + pause_s
        self._outputs.tell(events.Reconnecting(code, reason, pause_s))

    def _drop(self, now: float, code: int | None, reason: str, *, at_once: bool = False) -> None:
        self._outputs.disconnect(at_once=at_once)
        self.lost(now, code, reason)

    def _end(self, code: int | None, reason: str) -> None:
        self._disconnected(State.CLOSED, code, reason)
        self._publishing.close(code, reason)
        self._outputs.tell(events.Closed(code, reason))

    def _disconnected(self, state: State, code: int | None, reason: str) -> None:
        self.state = state
        self.reason = f"{code}: {reason}" if code else reason
        self._move_at = None
        self._pong_due = None
        self._renew_at = self._renewal_id = None
        self._is_token_wanted = False
        self._subscriptions.disconnected()
        self._publishing.disconnected(self.reason)

    def _silent_at(self) -> float | None:
        if self.state is State.GREETING:
            return self._heard_at + WELCOME_TIMEOUT_S
        if self.state is State.READY and self._reading:
            return self._heard_at + 2 * self._heartbeat_s if self._pong_due is None else self._pong_due
        return None

    def _welcome(self, now: float, frame: frames.Welcome) -> None:
        self.state = State.READY
        self.reason = ""
        self._heartbeat_s = frame.heartbeat_s
        self._servers.told(frame.servers, self._server)
        self._servers.succeeded(self._server)
        self._outputs.tell(events.Connected(self._server, frame.node, frame.cluster))
        self._publishing.connected(now, frame.publishes_max, frame.frame_bytes_max)

    def _move(self, now: float, frame: frames.Move) -> None:
        self._servers.told(frame.servers, self._server)
        self._move_at = now + self._rng.uniform(0, frame.within_s)
        self._outputs.tell(events.Moving(frame.within_s))

    def _error(self, now: float, frame: frames.Error) -> None:
        answered = (
            self._publishing.refused(now, frame)
            or self._subscriptions.refused(now, frame)
            or self._renewal_refused(now, frame)
        )
        if answered and codes.on_error(frame.code) in (codes.Action.ELSEWHERE, codes.Action.TOKEN):
            self._drop(now, frame.code, frame.reason)

    def _renewal_refused(self, now: float, frame: frames.Error) -> bool:
        """Take an error; False when it answers no `renew`. What is refused for good leaves the old token its time."""
        if frame.id != self._renewal_id:
            return False
        self._renewal_id = None
        if codes.on_error(frame.code) is codes.Action.RETRY:
            self._renew_at = now + RENEW_AGAIN_S
        return True
