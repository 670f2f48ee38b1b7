"""A gateway worker: one process with its loop, its clients, its end of the link and its HTTP server.

Started by the node with its settings as one line of JSON on standard input. When standard input ends the node is
gone, and nothing here can be served any more.

Not here: any decision about a client (sessions/) or a request (http/server.py, http/site.py).
"""

from __future__ import annotations

import gc
import logging
import math
import os
import resource
import signal
import ssl
import sys
import time

import gevent
import msgspec
from gevent import get_hub
from gevent.event import Event

import whimbrel_server
from gateway.authorizers.keyed import KeyedAuthorizer
from gateway.http.origins import Origins
from gateway.http.proxies import Proxies
from gateway.http.queries import Queries
from gateway.http.server import Server, listen
from gateway.http.site import Site
from gateway.http.wanted import Wanted
from gateway.link import codes
from gateway.link import events as link
from gateway.link.certificates import CertificateError, Certificates
from gateway.link.crash import or_crash
from gateway.link.logs import event, set_up
from gateway.link.plugins import LoadError
from gateway.link.processor_wait import ProcessorWait
from gateway.link.settings import GatewaySettings
from gateway.sessions.authority import Authority
from gateway.sessions.farewell import NODE_LOST, NODE_SILENT, SHUTTING_DOWN, Away
from gateway.sessions.loading import load
from gateway.sessions.node_watch import NodeWatch
from gateway.sessions.outputs import Round
from gateway.sessions.selecting import row
from gateway.sessions.session import Decision, Question, Session
from gateway.sessions.sessions import TICK_S, Sessions
from gateway.sessions.trail import Trail
from gateway.sockets.client_socket import ClientSocket
from gateway.sockets.tls import TlsStream
from gateway.sockets.websocket import close_reason
from gateway.sockets.wheel import Wheel
from gateway.uplink import Mark, Uplink
from mesh.loop import READ, Loop, Watcher

log = logging.getLogger(__name__)

STATS_S = 1.0
SENDING_S = 0.01
"""How long clients are sent to before everything else has its turn: reading clients and the link, new connections."""
PAUSE_S = 0.0001
"""Zero would not let the loop look at its sockets in between."""
CLOSE_STEP_S = 0.02
LAST_WORDS_S = 1.0
"""How long clients have to answer the last close frames."""
DESCRIPTORS_KEPT = 256
"""For other things than clients: the link, files of the page, requests and handshakes under way."""
EXIT_NODE_LOST = 1


class Worker:
    """Wires everything together, and performs what the sessions want; one per process."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.frame_bytes_max = settings.frame_bytes_max
        self.outbox_bytes_max = settings.outbox_bytes_max
        self.loop: Loop = get_hub().loop
        authorizer = load(settings.authorizer, settings.authorizer_options, settings.authorizer_folder)
        self.sessions = Sessions(self.now(), settings, authorizer)
        self.connections_max = min(settings.connections_max, descriptors() - DESCRIPTORS_KEPT)
        if self.connections_max < settings.connections_max:
            event(
                log,
                "descriptors_few",
                logging.WARNING,
                index=settings.index,
                wanted=settings.connections_max + DESCRIPTORS_KEPT,
                connections_max=self.connections_max,
                hint="raise the limit of open files (ulimit -n, LimitNOFILE), or lower client.connections",
            )
        self.others_have_room = False
        """Whether other workers of the node take connections, as it said last."""
        self.connection_count = 0
        """Sockets, also those whose session has ended."""
        self.draining = False
        self.done = Event()
        self.exit_status = 0
        self.counts_bytes = self.sessions.counts_bytes
        self._outputs = self.sessions.outputs
        self._stats = self.sessions.stats
        self._trail = self.sessions.trail
        self._authorizer = authorizer
        self._authority = Authority(authorizer, or_crash(self._decided), self._want_keys)
        self._closing: Wheel[ClientSocket] = Wheel(self.now(), TICK_S)
        self._blocked: dict[ClientSocket, None] = {}
        """Those with an outbox."""
        self._origins = Origins(settings.origins, settings.host, settings.servers)
        self._queries = Queries(self._query, self.now)
        self._is_sending = False
        self._send_events = or_crash(self._send)
        self._is_flushing = False
        self._round: Round | None = None
        """Under way."""
        self._round_mark: Mark = (0, 0)
        """What the node had said when it began."""
        self._rest = self.loop.timer(0.0)
        """Active while a round waits for its next turn."""
        self._slowed = self.loop.timer(PAUSE_S)
        """Active while clients that were slowed wait for their turn."""
        self._ticked = self.now()
        self._node_watch, self._node_wait = NodeWatch(self._ticked, settings.node_silent_s), ProcessorWait(os.getppid())
        self._taken_told = 0
        self._stats_sent = self._ticked
        self._delay_s = 0.0
        site = Site(self._queries.ask, self._origins, settings.controls, settings.console)
        wanted = Wanted(settings.headers, settings.cookies)
        tls = (settings.certificate, settings.certificate_key, settings.client_ca, settings.client_certificates)
        self._certificates = Certificates(*tls) if settings.certificate else None
        self._server = Server(
            listen(settings.host, settings.port),
            site,
            self,
            self._origins,
            wanted,
            self._stats,
            Proxies(settings.trusted_proxies, settings.forwarded_by),
            self._certificates,
            settings.path,
        )
        routing_id = f"worker-{settings.index}-{os.getpid()}"
        self._uplink = Uplink(self.loop, settings.link, routing_id, self._handle, self._link_jumped)
        self._timer = self.loop.timer(TICK_S, TICK_S)

    @staticmethod
    def now() -> float:
        """Seconds of a clock that only goes forward."""
        return time.monotonic()

    def start(self) -> None:
        """Listen, and tell the node so."""
        if self._certificates is not None:
            # Python's ssl hands OpenSSL no descriptor where it works in memory, so the kernel cannot take over.
            event(log, "tls", kernel_tls=False, openssl=ssl.OPENSSL_VERSION)
        self.sessions.tick(self.now(), time.time())
        self._server.start()
        self._uplink.send([link.Ready(self.settings.index, os.getpid())])
        self._timer.start(or_crash(self._tick))

    # For the HTTP server.

    @property
    def is_full(self) -> bool:
        """Whether no more connections are taken."""
        return self.draining or self._node_watch.is_silent or self.connection_count >= self.connections_max

    def refused_s(self, host: str) -> float:
        """0 if this address may open another connection; else after how many seconds it may."""
        return self.sessions.refused_s(self.now(), host)

    def upgraded(
        self,
        fd: int,
        encoding: int,
        client: whimbrel_server.Connection,
        data: bytes,
        tls: TlsStream | None = None,
        reader: Watcher | None = None,
    ) -> None:
        """A handshake is done: the socket is ours, with its TLS, bytes that came behind it and its watcher."""
        connection = ClientSocket(self, fd, tls, reader)
        connection.session = self.sessions.connected(self.now(), encoding, client, connection)
        self.connection_count += 1
        connection.start(data)
        if self.is_full:
            self._join_or_leave()

    # For connections.

    def received(self, session: Session, kind: int, data: bytes) -> None:
        self.sessions.received(self.now(), session, kind, data)

    def pinged(self, session: Session, payload: bytes) -> None:
        self.sessions.pinged(session, payload)

    def failed(self, session: Session, code: int, reason: str) -> None:
        self._stats.bad_frames += code != codes.INTERNAL
        if self._trail is not None:
            self._trail.not_asked(session, "frame", "", code, reason)
        self.sessions.close(session, code, reason)

    def left(self, session: Session, payload: bytes | None = None) -> None:
        if payload is None:
            self.sessions.gone(session)
        else:
            self.sessions.gone(session, *close_reason(payload))

    def handshake_refused(self, host: str, reason: str) -> None:
        """For auditors: the HTTP server has refused a connection."""
        if self._trail is not None:
            self._trail.handshake_refused(host, reason)

    def heard(self, session: Session) -> None:
        self.sessions.heard(session)

    def took(self, session: Session, size: int) -> None:
        self.sessions.took(self.now(), session, size)

    def may_read(self, session: Session) -> bool:
        return self.sessions.may_read(session)

    def sent(self, size: int) -> None:
        self._stats.bytes_out += size

    def blocked(self, connection: ClientSocket) -> None:
        self._blocked[connection] = None

    def overflowed(self, connection: ClientSocket, reason: str) -> None:
        self._stats.slow_consumers += 1
        self.sessions.close(connection.session, codes.SLOW_CONSUMER, reason)

    def drained(self, connection: ClientSocket) -> None:
        self._blocked.pop(connection, None)
        self.sessions.drained(connection.session)

    def closing(self, connection: ClientSocket, wait_s: float) -> None:
        self._closing.schedule(self.now(), connection, wait_s)

    def ended(self, connection: ClientSocket) -> None:
        self._stats.closed += 1
        self.connection_count -= 1
        self._blocked.pop(connection, None)

    # From the link.

    def _handle(self, events: list[link.FromNode]) -> None:
        self.sessions.handle(events)
        for one in events:
            match one:
                case link.Reply():
                    self._queries.replied(one)
                case link.Select():
                    self._select(one)
                case link.Servers():
                    self._origins.learn(one.servers)
                case link.IssuerKeys():
                    self._keys_came(one)
                case link.Room():
                    self.others_have_room = one.others
                    self._join_or_leave()
                case link.Drain():
                    gevent.spawn(or_crash(self._drain), one)
        self.flush()

    def _keys_came(self, keys: link.IssuerKeys) -> None:
        if isinstance(self._authorizer, KeyedAuthorizer):
            why = self._authorizer.keys_fetched(keys.url, keys.jwks)
            if why:
                event(log, "keys_unusable", logging.WARNING, url=keys.url, error=why)
        self._authority.keys_came(keys.url)

    def _select(self, select: link.Select) -> None:
        found = self.sessions.select(select)
        rows = [row(one, one.connection.waiting_bytes) for one in found[: select.rows_max]]
        self._outputs.events.append(link.Selected(select.number, len(found), rows))

    def _link_jumped(self) -> None:
        self._queries.link_jumped()
        self.sessions.link_jumped()
        self.flush()

    # To clients and to the node.

    def flush(self) -> None:
        """Do what the sessions want, for a bounded time: what is left follows once everything else had its turn.

        What comes for a client meanwhile waits, and leaves in one write: the more there is to send, the less a message
        costs. What is for the node leaves at the loop's next pass.
        """
        if not self._rest.active:
            self._perform(self.now() + SENDING_S)

    def finish(self) -> None:
        """As `flush`, to the end."""
        self._outputs.uncork_all()
        self._perform(math.inf)

    def _perform(self, until: float) -> None:
        outputs = self._outputs
        if self._is_flushing:
            return
        self._is_flushing = True
        try:
            while self._round is not None or outputs.are_urgent:
                if self._round is None:
                    self._begin_round()
                if not self._go_on(until):
                    self._rest.start(or_crash(self._send_rest))
                    break
            else:
                self._uplink.done(self._uplink.handed_over)
        finally:
            self._is_flushing = False
        if outputs.has_events and not self._is_sending:
            self._is_sending = True
            self.loop.run_callback(self._send_events)

    def _begin_round(self) -> None:
        outputs = self._outputs
        questions, outputs.questions = outputs.questions, []
        for question in questions:
            self._authority.ask(question)
        failures, outputs.failures = outputs.failures, []
        for kind, failure in failures:
            event(log, "authorizer_failed", question=kind, error=f"{type(failure).__name__}: {failure}")
        reads, outputs.reads = outputs.reads, []
        for session in reads:
            session.connection.resume_reading()
        self._round, self._round_mark = outputs.take_round(), self._uplink.handed_over

    def _go_on(self, until: float) -> bool:
        """Do more of the round that is under way; returns whether that was its end."""
        round = self._round
        assert round is not None
        now = self.now
        for session, pieces in round.sends:
            session.connection.send(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            if now() >= until:
                return False
        self._round = None
        if round.delivered:
            self._stats.observe_delivery(now(), round.delivered)
        for session, code, reason in round.closes:
            session.connection.close(code, reason)
        for session in round.drains:
            if not session.connection.waiting_bytes:
                self.sessions.drained(session)
        self._uplink.done(self._round_mark)
        return True

    # From the loop.

    def _send_rest(self) -> None:
        self._perform(self.now() + SENDING_S)

    def _send(self) -> None:
        self._is_sending = False
        for events in self._outputs.take_events():
            self._uplink.send(events)
        if self._node_watch.takes_nothing(self._uplink.waiting_bytes):
            self.node_lost()

    def _query(self, query: link.Query) -> None:
        self._outputs.events.append(query)
        self.flush()

    def _tick(self) -> None:
        now = self.now()
        self._delay_s = max(self._delay_s, now - self._ticked - TICK_S)
        self._ticked = now
        if self._node_watch.tick(now, self._uplink.heard_at, self._uplink.is_behind, self._node_wait.read_s()):
            event(log, "node_silent", logging.WARNING, clients=len(self.sessions))
            self.sessions.send_away(now, NODE_SILENT)
        self._join_or_leave()
        for connection in self._closing.advance(now):
            connection.end()
        self.sessions.tick(now, time.time())
        self.flush()
        self._go_on_soon()
        if now - self._stats_sent >= STATS_S:
            self._stats_sent = now
            self._look_at_certificates()
            self._outputs.events.append(self._measured())
        if self._trail is not None:
            self._tell_auditors(self._trail)
        if self._uplink.taken != self._taken_told:
            self._taken_told = self._uplink.taken
            self._outputs.events.append(link.Taken(self._taken_told))
        self._send()

    def _go_on_soon(self) -> None:
        if self.sessions.has_more and not self._slowed.active:
            self._slowed.start(or_crash(self._go_on_slowed))

    def _go_on_slowed(self) -> None:
        self.sessions.go_on(self.now())
        self.flush()
        self._go_on_soon()

    def _tell_auditors(self, trail: Trail) -> None:
        audited = trail.take(self._uplink.waiting_bytes)
        if audited is not None:
            self._outputs.events.append(audited)

    def _look_at_certificates(self) -> None:
        if self._certificates is None:
            return
        try:
            if self._certificates.look():
                event(log, "certificate_taken", file=self.settings.certificate)
        except CertificateError as error:
            event(log, "certificate_refused", logging.ERROR, error=str(error))

    def _join_or_leave(self) -> None:
        """Stop listening when full while other workers have room; if none has, listen, to answer that all are full."""
        if self.draining:
            return
        is_wanted = self._node_watch.is_silent or not (self.is_full and self.others_have_room)
        if is_wanted == self._server.is_listening:
            return
        if is_wanted:
            try:
                self._server.join()
            except OSError:
                return  # tried again at the next tick
        else:
            self._server.leave()
        event(log, "worker_accepts" if is_wanted else "worker_full", connections=self.connection_count)
        self._stats_sent = 0.0  # the node hears of it with the next tick

    def _measured(self) -> link.Stats:
        self.sessions.measure()
        stats = self._stats
        stats.connections = self.connection_count
        stats.audit_dropped = self._trail.dropped if self._trail is not None else 0
        stats.connections_max = self.connections_max
        stats.outboxes = len(self._blocked)
        stats.outbox_bytes = sum(one.outbox.size for one in self._blocked if one.outbox is not None)
        stats.loop_delay_s, self._delay_s = self._delay_s, 0.0
        return link.Stats(stats.values(), stats.delivery.counts, stats.delivery.sum)

    def _decided(self, question: Question, decision: Decision, failure: Exception | None) -> None:
        self.sessions.decided(question, decision, failure)
        self.flush()
        question.session.connection.resume_reading()

    def _want_keys(self, url: str) -> None:
        self._outputs.events.append(link.WantKeys(url))
        self.flush()

    # The end.

    def _drain(self, drain: link.Drain) -> None:
        event(log, "draining", clients=len(self.sessions), window_s=drain.window_s)
        self.draining = True  # health and metrics are still answered, connections refused
        self.sessions.move(drain.window_s, drain.servers)
        self.flush()
        until = self.now() + drain.window_s
        while self.connection_count and self.now() < until:
            gevent.sleep(CLOSE_STEP_S)
        if self._server.is_listening:
            self._server.leave()
        self._send_away(SHUTTING_DOWN)
        if self._trail is not None:
            self._tell_auditors(self._trail)
            self._send()
            gevent.sleep(CLOSE_STEP_S)  # ZeroMQ sends in a thread of its own
        self.done.set()

    def node_lost(self) -> None:
        """Nothing can be served any more: send the clients away, not all in one instant, and exit."""
        if self.draining:
            return
        event(log, "node_lost", logging.ERROR, clients=len(self.sessions))
        self._stop_listening()
        self.exit_status = EXIT_NODE_LOST
        gevent.spawn(or_crash(self._leave))

    def _leave(self) -> None:
        self._send_away(NODE_LOST)
        self.done.set()

    def _stop_listening(self) -> None:
        self.draining = True
        self._server.stop_accepting()
        self._server.close()

    def _send_away(self, away: Away) -> None:
        """Send all clients away, and wait until they are gone."""
        self.sessions.send_away(self.now(), away)
        until = self.now() + away.spread_s + LAST_WORDS_S
        while self.connection_count and self.now() < until:
            gevent.sleep(CLOSE_STEP_S)


def descriptors() -> int:
    """How many files this process may open; raised to as many as it may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else sys.maxsize


def main() -> int:
    """Run a worker until its node says stop or dies. Returns the exit status."""
    line = sys.stdin.buffer.readline()
    try:
        settings = msgspec.json.decode(line, type=GatewaySettings)
    except msgspec.DecodeError as error:
        print(f"gateway: standard input's first line is not a worker's settings: {error}", file=sys.stderr)
        return 2
    set_up(settings.log_format, settings.log_level)
    _ignore_first_signal()
    try:
        worker = Worker(settings)
    except (LoadError, CertificateError, OSError) as error:
        event(log, "worker_cannot_start", logging.CRITICAL, index=settings.index, error=str(error))
        return 2
    _watch_stdin(worker)
    worker.start()
    # What exists now lives as long as the process: keep the collector from walking it. What is new it walks often,
    # while it is little and still in the processor's caches, and what is older hardly ever.
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 500, 500)
    event(log, "worker_started", index=settings.index, pid=os.getpid(), host=settings.host, port=settings.port)
    worker.done.wait()
    event(log, "worker_stopped", index=settings.index, status=worker.exit_status)
    return worker.exit_status


def _watch_stdin(worker: Worker) -> None:
    watcher = worker.loop.io(sys.stdin.fileno(), READ)

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            watcher.stop()
            worker.node_lost()

    watcher.start(or_crash(readable))


def _ignore_first_signal() -> None:
    """The node stops its workers over the link, so the first signal does nothing; a second one exits at once."""
    seen: list[int] = []

    def on_signal(number: int) -> None:
        if seen:
            os._exit(128 + number)
        seen.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, on_signal, number)
