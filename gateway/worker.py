"""A gateway worker: one process with its loop, its clients, its end of the link and its HTTP server.

Started by the node with its settings as one line of JSON on standard input. When standard input ends the node is
gone, and nothing here can be served any more.

Not here: any decision about a client (sessions/clients.py, sessions/session.py) or a request (http/server.py,
http/site.py).
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from typing import Any

import gevent
import msgspec
from gevent import get_hub
from gevent.event import Event

from gateway.http.pages import Pages
from gateway.http.queries import Asks
from gateway.http.server import Server, listen
from gateway.http.site import Site
from gateway.link import codes
from gateway.link import events as link
from gateway.link.logs import event, set_up
from gateway.link.settings import GatewaySettings
from gateway.sessions.authority import Authority, LoadError, load
from gateway.sessions.authorizer import ConnectionInfo, Decision, Question
from gateway.sessions.clients import Clients
from gateway.sessions.stats import Stats
from gateway.sockets.connection import Connection
from gateway.sockets.wheel import Wheel
from gateway.uplink import Uplink

log = logging.getLogger(__name__)

TICK_S = 0.05
STATS_S = 1.0
LINK_BYTES_MAX = 128 * 1024 * 1024
"""Of events that the node does not take. Publishes alone are kept below that (sessions/clients.py): such a node is
lost.
"""
NODE_LOST_SPREAD_S = 1.0
CLOSE_STEP_S = 0.02
LAST_WORDS_S = 1.0
"""How long clients have to answer the last close frames."""
EXIT_NODE_LOST = 1


class Worker:
    """Wires everything together; one per process."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.stats = Stats()
        self.loop = get_hub().loop
        self.clients = Clients(settings, self.stats)
        self.wheel: Wheel[Connection] = Wheel(self.now(), TICK_S)
        self.connections: dict[Connection, None] = {}
        """All sockets, also those whose session has ended."""
        self.blocked: dict[Connection, None] = {}
        """Those with an outbox."""
        self.draining = False
        self.node_is_silent = False
        self.done = Event()
        self.exit_status = 0
        self._authority = Authority(load(settings.authorizer, settings.authorizer_options), self._decided)
        self.pages = Pages(settings)
        self._asks = Asks(self._ask, self.now)
        self._is_flushing = False
        self._is_performing = False
        self._ticked = self.now()
        self._stats_sent = self._ticked
        self._delay_s = 0.0
        self._server = Server(listen(settings.host, settings.port), Site(self._asks.ask, self.pages), self)
        routing_id = f"worker-{settings.index}-{os.getpid()}"
        self._uplink = Uplink(self.loop, settings.link, routing_id, self._told, self._jumped)
        self._timer = self.loop.timer(TICK_S, TICK_S)

    @staticmethod
    def now() -> float:
        """Seconds of a clock that only goes forward."""
        return time.monotonic()

    def start(self) -> None:
        """Listen, and tell the node so."""
        self._server.start()
        self._uplink.send([link.Ready(self.settings.index, os.getpid())])
        self._timer.start(self._tick)

    # For the HTTP server.

    @property
    def is_full(self) -> bool:
        """Whether no more connections are taken."""
        return self.draining or self.node_is_silent or len(self.connections) >= self.settings.connections_max

    def upgraded(self, fd: int, encoding: int, info: ConnectionInfo, data: bytes) -> None:
        """A handshake is done: the socket is ours, with bytes that came behind it."""
        connection = Connection(self, fd)
        connection.session = self.clients.connect(encoding, info, connection)
        self.connections[connection] = None
        self.stats.handshakes += 1
        self.wheel.schedule(self.now(), connection, self.settings.hello_timeout_s)
        connection.start(data)

    # For connections.

    def perform(self) -> None:
        """Do everything that the clients' core has asked for."""
        clients = self.clients
        if self._is_performing:
            return
        self._is_performing = True
        try:
            while clients.questions or clients.sends or clients.closes or clients.paged:
                questions, clients.questions = clients.questions, []
                for question in questions:
                    self._authority.ask(question)
                sends, clients.sends = clients.sends, {}
                for session, pieces in sends.items():
                    session.connection.send(pieces[0] if len(pieces) == 1 else b"".join(pieces))
                closes, clients.closes = clients.closes, []
                for session, code, reason in closes:
                    session.connection.close(code, reason)
                paged, clients.paged = clients.paged, []
                for session in paged:
                    if session.connection.outbox is None:
                        session.drained()
        finally:
            self._is_performing = False
        if clients.events and not self._is_flushing:
            self._is_flushing = True
            self.loop.run_callback(self._flush)

    def ended(self, connection: Connection) -> None:
        """A socket is closed."""
        self.stats.closed += 1
        self.connections.pop(connection, None)
        self.blocked.pop(connection, None)

    # From the loop.

    def _ask(self, ask: link.Ask) -> None:
        self.clients.events.append(ask)
        self.perform()

    def _flush(self) -> None:
        self._is_flushing = False
        events, self.clients.events = self.clients.events, []
        self._uplink.send(events)
        if self._uplink.waiting_bytes > LINK_BYTES_MAX:
            self.node_lost()

    def _tick(self) -> None:
        now = self.now()
        late_s = now - self._ticked - TICK_S
        self._delay_s = max(self._delay_s, late_s)
        self._ticked = now
        if late_s > self.settings.node_silent_s / 2:
            self._uplink.heard_at = now  # this process stood still itself
        self._uplink.poll()
        self._look_at_node(now)
        due = self.wheel.advance(now)
        if due:
            made: dict[tuple[object, ...], bytes] = {}
            for connection in due:
                connection.due(now, made)
            self.perform()
        if now - self._stats_sent >= STATS_S:
            self._stats_sent = now
            self.clients.events.append(self._stats())
        self._flush()

    def _look_at_node(self, now: float) -> None:
        """A node that lives and says nothing (stopped, or stuck) serves nobody: its clients had better go elsewhere."""
        was_silent = self.node_is_silent
        self.node_is_silent = now - self._uplink.heard_at > self.settings.node_silent_s
        if self.node_is_silent and not was_silent:
            event(log, "node_silent", logging.WARNING, clients=len(self.clients))
            gevent.spawn(self._close_all, codes.NODE_LOST, "the node process does not answer", NODE_LOST_SPREAD_S)

    def _stats(self) -> link.Stats:
        stats = self.stats
        stats.connections = len(self.connections)
        stats.subscriptions = self.clients.subscription_count
        stats.subjects = self.clients.subject_count
        stats.outboxes = len(self.blocked)
        stats.outbox_bytes = sum(one.outbox.size for one in self.blocked if one.outbox is not None)
        stats.authorizer_failures = self._authority.failures
        stats.http_requests = self._server.requests
        stats.loop_delay_s, self._delay_s = self._delay_s, 0.0
        return link.Stats(stats.values())

    def _decided(self, question: Question, decision: Decision) -> None:
        question.session.decide(question, decision)
        if not self._is_performing:
            self.perform()
            question.session.connection.resume_reading()

    def _told(self, events: list[link.FromNode]) -> None:
        for said in events:
            if isinstance(said, link.Tell):
                self._asks.told(said)
            elif isinstance(said, link.Drain):
                gevent.spawn(self._drain, said)
            else:
                if isinstance(said, link.Servers):
                    self.pages.learn(said.servers)
                self.clients.told(said)
        self.perform()

    def _jumped(self) -> None:
        self._asks.jumped()
        self.clients.jumped()
        self.perform()

    # The end.

    def _drain(self, drain: link.Drain) -> None:
        event(log, "draining", clients=len(self.clients), window_s=drain.window_s)
        self._stop_listening()
        self.clients.move(drain.window_s, drain.servers)
        self.perform()
        until = self.now() + drain.window_s
        while self.connections and self.now() < until:
            gevent.sleep(CLOSE_STEP_S)
        self._close_all(codes.DRAINING, "the server is shutting down", LAST_WORDS_S)
        self.done.set()

    def node_lost(self) -> None:
        """Nothing can be served any more: send the clients away, not all in one instant, and exit."""
        if self.draining:
            return
        event(log, "node_lost", logging.ERROR, clients=len(self.clients))
        self._stop_listening()
        self.exit_status = EXIT_NODE_LOST
        gevent.spawn(self._leave)

    def _leave(self) -> None:
        self._close_all(codes.NODE_LOST, "the worker lost its node process", NODE_LOST_SPREAD_S)
        self.done.set()

    def _stop_listening(self) -> None:
        self.draining = True
        self._server.stop_accepting()
        self._server.close()

    def _close_all(self, code: int, reason: str, spread_s: float) -> None:
        sessions = list(self.clients.sessions)
        steps = max(int(spread_s / CLOSE_STEP_S), 1)
        for step in range(steps):
            batch = sessions[step::steps]
            for session in batch:
                session.close(code, reason)
            self.perform()
            if batch:
                gevent.sleep(CLOSE_STEP_S)
        until = self.now() + LAST_WORDS_S
        while self.connections and self.now() < until:
            gevent.sleep(CLOSE_STEP_S)


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
    except (LoadError, OSError) as error:
        event(log, "worker_cannot_start", logging.CRITICAL, index=settings.index, error=str(error))
        return 2
    _watch_stdin(worker)
    worker.start()
    # What exists now lives as long as the process: keep the collector from walking it, and from walking often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    event(log, "worker_started", index=settings.index, pid=os.getpid(), host=settings.host, port=settings.port)
    worker.done.wait()
    event(log, "worker_stopped", index=settings.index, status=worker.exit_status)
    return worker.exit_status


def _watch_stdin(worker: Worker) -> None:
    watcher: Any = worker.loop.io(0, 1)

    def readable() -> None:
        if not os.read(0, 4096):
            watcher.stop()
            worker.node_lost()

    watcher.start(readable)


def _ignore_first_signal() -> None:
    """The node stops its workers over the link; somebody who insists gets his way."""
    seen: list[int] = []

    def on_signal(number: int) -> None:
        if seen:
            os._exit(128 + number)
        seen.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, on_signal, number)
