"""A worker process: the shipped sessions, its end of the link, and lines to clients instead of sockets.

It feeds the core, and performs its outputs in the order in which gateway/sessions/outputs.py names them.

Not here: any decision about a client (gateway/sessions), the line (apps/line.py).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from gateway.authorizers.allow_all import AllowAll
from gateway.link import codes
from gateway.link import events as link
from gateway.link.events import FromNode
from gateway.link.numbering import Arrivals
from gateway.link.settings import GatewaySettings
from gateway.sessions.farewell import NODE_SILENT, SHUTTING_DOWN
from gateway.sessions.node_watch import NodeWatch
from gateway.sessions.session import ClientConnection, Session
from gateway.sessions.sessions import TICK_S, Sessions
from tests.sim.machines.link import Link
from tests.sim.setting import Setting
from whimbrel_server import Connection

_decode = msgspec.msgpack.Decoder(list[FromNode]).decode

AWAY_S = 0.2
"""Over which clients are sent away; less than of the shipped, for lives are short."""
SILENT_S = 2.0
"""A node that says nothing for so long is taken for lost until it speaks again."""


class WorkerMachine:
    """One worker process, from its start to its end."""

    sessions_type: type[Sessions] = Sessions

    def __init__(
        self,
        setting: Setting,
        settings: GatewaySettings,
        name: str,
        offset_s: float,
        rng: Random,
        ended: Callable[[], None],
    ) -> None:
        """Begin; `attach` gives it its link.

        Args:
            ended: Told when it has ended by itself.
        """
        self.name = name
        self.is_over = False
        self.is_draining = False
        self.stalled_until = 0.0
        self.lines: dict[Session, ClientConnection] = {}
        self._setting = setting
        self._settings = settings
        self._offset_s = offset_s
        self._ended = ended
        self._sessions = self.sessions_type(self.now, settings, AllowAll())
        self._arrivals = Arrivals()
        self._heard_at = self.now
        self._node_watch = NodeWatch(self.now, SILENT_S)
        self._link: Link | None = None
        setting.schedule.after(rng.random() * TICK_S, self._tick)

    @property
    def now(self) -> float:
        """By its machine's clock."""
        return self._offset_s + self._setting.now

    @property
    def takes_clients(self) -> bool:
        """Whether a new connection is taken."""
        return not (self.is_over or self.is_draining or self._node_watch.is_silent)

    @property
    def is_stalled(self) -> bool:
        return self._setting.now < self.stalled_until

    def attach(self, link_end: Link, index: int) -> None:
        """The link to its node."""
        self._link = link_end
        link_end.say([link.Ready(index, 1)])

    def stall(self, seconds: float) -> None:
        """Stand still."""
        self._setting.say(self.name, f"stands still for {seconds:.2f} s")
        self.stalled_until = max(self.stalled_until, self._setting.now + seconds)
        if self._link is not None:
            self._link.is_stalled = True
        self._setting.schedule.at(self.stalled_until, self._go_on)

    def end(self) -> None:
        """The process is gone, and so are all its connections."""
        if self.is_over:
            return
        self.is_over = True
        if self._link is not None:
            self._link.close()
        for line in [*self.lines.values()]:
            line.close(0, "")
        self.lines.clear()

    # From lines.

    def connect(self, encoding: int, address: str, line: ClientConnection) -> Session:
        """A handshake is done."""
        session = self._sessions.connected(self.now, encoding, Connection(address), line)
        self.lines[session] = line
        return session

    def receive(self, session: Session, kind: int, data: bytes) -> None:
        """A message of a client."""
        self._sessions.heard(session)
        self._sessions.received(self.now, session, kind, data)
        self._perform()

    def heard(self, session: Session) -> None:
        """The client has taken something."""
        self._sessions.heard(session)

    def drained(self, session: Session) -> None:
        """The client has taken all that waited."""
        self._sessions.drained(session)
        self._perform()

    def overflowed(self, session: Session) -> None:
        """Too much waits for the client."""
        self._setting.counts["slow consumers"] += 1
        self._sessions.close(session, codes.SLOW_CONSUMER, "too much was waiting to be read")
        self._perform()

    def gone(self, session: Session) -> None:
        """The client's connection is gone."""
        self.lines.pop(session, None)
        self._sessions.gone(session)
        self._perform()

    # From the link.

    def take(self, header: bytes, packet: bytes) -> None:
        """A packet of the node's."""
        if self.is_over:
            return
        self._heard_at = self.now
        if self._arrivals.arrived(header):
            self._setting.counts["link: jumps"] += 1
            self._sessions.link_jumped()
        events = _decode(packet)
        drain = next((event for event in events if isinstance(event, link.Drain)), None)
        self._sessions.handle([event for event in events if not isinstance(event, link.Drain)])
        self._perform()
        if drain is not None:
            self._drain(drain)

    # The clock.

    def _tick(self) -> None:
        if self.is_over:
            return
        if not self.is_stalled:
            if self._node_watch.tick(self.now, self._heard_at, is_behind=False, waited_s=0.0):
                self._sessions.send_away(self.now, NODE_SILENT._replace(spread_s=AWAY_S))
            self._sessions.tick(self.now, self.now)
            self._perform()
            while self._sessions.has_more:
                self._sessions.go_on(self.now)
                self._perform()
        self._setting.schedule.after(TICK_S, self._tick)

    def _go_on(self) -> None:
        if self.is_over or self.is_stalled:
            return
        if self._link is not None:
            self._link.is_stalled = False
            self._link.take()

    def _drain(self, drain: link.Drain) -> None:
        self.is_draining = True
        self._sessions.move(drain.window_s, drain.servers)
        self._perform()
        self._setting.schedule.after(drain.window_s, self._drained)

    def _drained(self) -> None:
        self._sessions.send_away(self.now, SHUTTING_DOWN._replace(spread_s=AWAY_S))
        self._setting.schedule.after(AWAY_S + 2 * TICK_S, self._gone)

    def _gone(self) -> None:
        if not self.is_over:
            self.end()
            self._ended()

    # Outputs.

    def _perform(self) -> None:
        outputs = self._sessions.outputs
        while outputs.are_urgent:
            assert not outputs.questions, "an authorizer that does not block is asked at once"
            sends, outputs.sends = outputs.sends, {}
            for session, pieces in sends.items():
                self._setting.counts["worker: sends"] += 1
                if (line := self.lines.get(session)) is not None:
                    line.send(b"".join(pieces))
            outputs.delivered.clear()
            closes, outputs.closes = outputs.closes, []
            for session, code, reason in closes:
                self._setting.counts[f"worker: closes {code}"] += 1
                if (line := self.lines.get(session)) is not None:
                    line.close(code, reason)
            drains, outputs.drains = outputs.drains, []
            for session in drains:
                if (line := self.lines.get(session)) is not None and not line.waiting_bytes:
                    self._sessions.drained(session)
        if outputs.has_events and self._link is not None:
            for events in outputs.take_events():
                for event in events:
                    self._setting.counts[f"worker says {type(event).__name__}"] += 1
                self._link.say(events)
