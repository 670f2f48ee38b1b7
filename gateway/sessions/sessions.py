"""All clients of one worker as one core: sockets, the link, the clock and the authorizer's threads are the shell's.

Every input is one method; `now` is in seconds of a clock that only goes forward. After each input, or after several
that belong together, the shell takes what is in `outputs`.

Not here: the rules of requests (requests.py) and of subscriptions (subscribing.py); performing (worker.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.link import codes
from gateway.link import events as link
from gateway.link.rates import ConnectionLimits, network_of, rate_of
from gateway.link.settings import GatewaySettings
from gateway.sessions import frames
from gateway.sessions.admission import Admission
from gateway.sessions.expiry import Expiry
from gateway.sessions.farewell import Away, Farewell
from gateway.sessions.outputs import SessionOutputs
from gateway.sessions.publishing import PendingPublishes
from gateway.sessions.reachable import reachable
from gateway.sessions.requests import Requests
from gateway.sessions.revoked import Revoked
from gateway.sessions.selecting import selected
from gateway.sessions.session import GONE, NEW, OPEN, ClientConnection, Decision, Question, Session
from gateway.sessions.slowing import Slowing
from gateway.sessions.stats import WorkerStats
from gateway.sessions.subscribing import Subscribing
from gateway.sessions.trail import trail_of
from gateway.sockets.websocket import PING, PONG, control_frame
from gateway.sockets.wheel import Wheel
from mesh.revocations import Revocation
from whimbrel_server import Authorizer, Connection

TICK_S = 0.05
"""How often the shell calls `tick`."""
SILENT_MAX = 2
"""Heartbeats without a sign of life before a connection is given up at the next."""
BACKLOG_MAX = 64
"""Frames of one client that wait for the authorizer before no more are read."""
ABNORMAL_CLOSURE = 1006
"""Without a close frame (RFC 6455 section 7.4.1)."""
_PING_FRAME = control_frame(PING)
_PONG_FRAME = control_frame(PONG)


class Sessions:
    """The clients of a worker. Create with the authorizer, which is asked here if it never blocks."""

    def __init__(self, now: float, settings: GatewaySettings, authorizer: Authorizer) -> None:
        self.outputs = SessionOutputs()
        self.stats = WorkerStats()
        self._settings = settings
        self._sessions: dict[Session, None] = {}
        """Also those that are GONE, as long as their connection is not."""
        self._wheel: Wheel[Session] = Wheel(now, TICK_S)
        self.trail = trail_of(settings)
        """For auditors: to be taken now and then; None if there are none."""
        self._subscribing = Subscribing(self.outputs, self.stats, self.trail)
        self._publishing = PendingPublishes(self.outputs, self.trail)
        self._addresses = ConnectionLimits(settings.limit_address_connections, rate_of(settings.limit_address_connects))
        """Of this worker, to refuse at once what the node would refuse in any case."""
        self._admission = Admission(settings, self.outputs, self.stats)
        self._slowing = Slowing(settings, self.stats)
        self._expiry = Expiry(settings.token_life_s)
        self._revoked = Revoked(now)
        self._farewell: Farewell | None = None
        self._requests = Requests(
            settings,
            authorizer,
            self.outputs,
            self.stats,
            self._subscribing,
            self._publishing,
            self._expiry,
            self._revoked,
            self._admission,
            self._slowing,
            self.trail,
        )

    def __len__(self) -> int:
        return len(self._sessions)

    # From connections.

    def refused_s(self, now: float, host: str) -> float:
        """0 if this address may open another connection; else after how many seconds it may."""
        if not self._addresses.is_on:
            return 0.0
        who = network_of(host)
        wait_s = self._addresses.wait_s(now, who)
        if not wait_s:
            self._addresses.connecting(now, who)
        return wait_s

    @property
    def counts_bytes(self) -> bool:
        """Whether `took` must be called."""
        return self._slowing.counts_bytes

    def took(self, now: float, session: Session, size: int) -> None:
        """Bytes were read from the client."""
        self._slowing.took(now, session, size)

    def connected(self, now: float, encoding: int, client: Connection, connection: ClientConnection) -> Session:
        """The handshake of a client is done. `connection` is kept in the session for the shell."""
        session = Session(encoding, client, connection)
        self._sessions[session] = None
        if self._addresses.is_on:
            self._addresses.joined(now, network_of(session.address.rpartition(":")[0]))
        self._wheel.schedule(now, session, self._settings.hello_timeout_s)
        self.stats.handshakes += 1
        return session

    def heard(self, session: Session) -> None:
        """The client lives: something came from it, or it has taken a part of what waits for it."""
        session.silent = 0

    def received(self, now: float, session: Session, kind: int, data: bytes) -> None:
        """A whole WebSocket message (TEXT or BINARY) of a client."""
        was_new = session.state == NEW
        self._requests.received(now, session, kind, data)
        if was_new and session.state != GONE:
            self._wheel.schedule(now, session, self._settings.heartbeat_s)

    def pinged(self, session: Session, payload: bytes) -> None:
        """A WebSocket ping. Pongs leave with the other answers, so that a flood is answered in one write."""
        self.outputs.send(session, control_frame(PONG, payload) if payload else _PONG_FRAME)

    def may_read(self, session: Session) -> bool:
        """Whether more of the client should be read: not while much waits for the authorizer."""
        return (session.steps is None or len(session.steps) < BACKLOG_MAX) and not self._slowing.is_slowed(session)

    def drained(self, session: Session) -> None:
        """Everything that was sent to the client has left this process."""
        self._subscribing.drained(session)

    def close(self, session: Session, code: int, reason: str) -> None:
        """End the session, telling its client why."""
        self._subscribing.close(session, code, reason)

    def select(self, event: link.Select) -> list[Session]:
        """The clients that an operator asks for; they are closed if the request says so."""
        found = selected(event, self._sessions)
        if event.close is not None:
            for session in found:
                self.close(session, codes.DISCONNECTED, event.close)
        return found

    def gone(self, session: Session, code: int = ABNORMAL_CLOSURE, reason: str = "") -> None:
        """The client's connection is gone, or it wants nothing more and said so with this code."""
        self._subscribing.gone(session, code, reason)
        if session in self._sessions:
            del self._sessions[session]
            self._slowing.gone(session)
            self._admission.gone(session)
            if self._addresses.is_on:
                self._addresses.left(network_of(session.address.rpartition(":")[0]))

    # From the authorizer's threads.

    def decided(self, question: Question, decision: Decision, failure: Exception | None = None) -> None:
        """The answer to one of `outputs.questions`. `failure`: what the authorizer raised besides a refusal."""
        self._requests.decided(question, decision, failure)

    # From the node.

    def handle(self, events: Iterable[link.FromNode]) -> None:
        """What the node says, in order. `Reply`, `Room`, `Select` and `Drain` are not for
        sessions but for the shell."""
        subscribing, publishing = self._subscribing, self._publishing
        for event in events:
            match event:
                case link.Live():
                    subscribing.live(event)
                case link.Page():
                    subscribing.page(event)
                case link.Answer():
                    subscribing.answer(event)
                case link.Published():
                    publishing.published(event)
                case link.Refused():
                    publishing.refused(event)
                case link.Waiting():
                    subscribing.waiting(event)
                case link.Cancelled():
                    subscribing.cancelled(event)
                case link.Missed():
                    subscribing.missed(event)
                case link.Resuming():
                    subscribing.resuming(event)
                case link.NewLog():
                    subscribing.new_log(event)
                case link.LogGap():
                    subscribing.log_gap(event)
                case link.LogEnded():
                    subscribing.log_ended(event)
                case link.Servers():
                    self._requests.servers(event)
                case link.Admitted():
                    self._requests.admitted(event)
                case link.RevokedTokens(entries):
                    self._revoke(entries)

    def link_jumped(self) -> None:
        """The link has lost something of what the node said."""
        self.stats.resyncs += 1
        self.outputs.events.append(link.WantRevoked())
        self._admission.link_jumped()
        self._publishing.link_jumped()
        self._subscribing.link_jumped()

    # From the clock, and from the operator.

    def tick(self, now: float, wall_s: float) -> None:
        """Deadlines and heartbeats.

        Args:
            wall_s: Seconds since 1970, for tokens.
        """
        if self.trail is not None:
            self.trail.wall_ms = int(wall_s * 1000)
        for session, left_s in self._expiry.due(wall_s):
            if left_s <= 0:
                self.stats.expired += 1
                self.close(session, codes.TOKEN_EXPIRED, "the token has expired")
            else:
                self.outputs.reply(session, frames.Expiring(round(left_s, 3)))
        if self._farewell is not None:
            for session in self._farewell.due(now):
                self.close(session, self._farewell.away.code, self._farewell.away.reason)
        self._revoked.now = now
        self.outputs.uncork_all()
        self._requests.tick(now)
        made: dict[tuple[object, ...], bytes] = {}
        for session in self._wheel.advance(now):
            if session.state == GONE:
                continue
            if session.state == NEW:
                reason = f"no `hello` within {self._settings.hello_timeout_s:g} s"
                self.close(session, codes.HELLO_TIMEOUT, reason)
            elif session.silent >= SILENT_MAX:
                self.stats.idle_closed += 1
                self.close(session, codes.IDLE, f"nothing came for {SILENT_MAX} heartbeats")
            else:
                session.silent += self.may_read(session)  # else it cannot be heard
                self._wheel.schedule(now, session, self._settings.heartbeat_s)
                is_open = session.state == OPEN
                frame = self._subscribing.heartbeat(session, made) if is_open else b""
                self.outputs.send(session, _PING_FRAME + frame)

    @property
    def has_more(self) -> bool:
        """Whether clients that were slowed can go on: say `go_on` soon, before the next tick."""
        return self._requests.has_more

    def go_on(self, now: float) -> None:
        """A slice of what was put off. Others have their turn in between."""
        self._requests.go_on(now)

    def _revoke(self, entries: list[Revocation]) -> None:
        self._revoked.add(entries)
        for session in self._sessions:
            if session.state == OPEN and self._revoked.is_meant(entries, session.identity):
                self.stats.revoked += 1
                if self.trail is not None:
                    self.trail.revoked(session)
                self.close(session, codes.TOKEN_REVOKED, "the token has been revoked")

    def move(self, within_s: float, servers: list[str]) -> None:
        """Ask all clients to go elsewhere."""
        for session in self._sessions:
            if session.state == OPEN:
                self.outputs.reply(session, frames.Move(within_s, reachable(servers, session.vantage)))

    def send_away(self, now: float, away: Away) -> None:
        """Close all sessions with the ticks of so many seconds."""
        self._farewell = Farewell(now, self._sessions, away)

    def measure(self) -> None:
        """Update the gauges of `stats` that are about sessions."""
        self.stats.subscriptions = self._subscribing.subscription_count
        self.stats.subjects = self._subscribing.subject_count
