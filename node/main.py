"""Starting and stopping a node.

Not here: what it does in between (node.py), reading the configuration (node/settings).
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gevent

from gateway.link.logs import event, set_up
from gateway.link.topic_rules import Mapping
from mesh.slots.promises import Promises, PromisesError
from node.audit.audit import Auditors
from node.audit.insides import Insides
from node.audit.loading import load
from node.fit import misfits, worker_count
from node.machine import this_machine
from node.node import Node
from node.run_dir import LINK, RunDirError, run_directory
from node.settings import Settings, warnings
from node.settings.cluster_files import data_dir
from node.settings.worker import topic_rules
from node.systemd import ServiceManager
from node.tables.keeper import TablesInUseError
from node.tokens.store import RevocationStore

log = logging.getLogger(__name__)

PORT_WAIT_S = 3.0
"""How long to wait for a port that the workers of a killed node may still hold."""
DRAIN_GRACE_S = 5.0
READY_POLL_S = 0.05
SWITCH_INTERVAL_S = 0.002
"""How soon the hub gets the interpreter back from a thread that converts records; Python's own is 5 ms."""


def run_node(settings: Settings, started: Callable[[int], None] | None = None) -> int:
    """Run a node until it is told to stop; the exit code.

    Args:
        started: Called with the port once the node and all its workers are ready.
    """
    set_up(settings.log.format, settings.log.level)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    machine = this_machine()
    for warning in warnings(settings):
        event(log, "open_to_others", logging.WARNING, text=warning)
    for misfit in misfits(settings, machine):
        event(log, "does_not_fit", logging.WARNING, text=misfit)
    try:
        port = _free_port(settings.node.host, settings.node.port)
    except OSError as error:
        why = f"{error.strerror or error} (another with --listen HOST:PORT)"
        print(f"whimbrel: cannot listen on {settings.node.listen}: {why}", file=sys.stderr)
        return 1
    try:
        promises = _promises(settings)
    except PromisesError as error:
        print(f"whimbrel: {error}", file=sys.stderr)
        return 1
    try:
        with run_directory(settings.node.run_dir) as run_dir:
            return _run(settings, port, worker_count(settings, machine), run_dir / LINK, promises, started)
    except RunDirError as error:
        print(f"whimbrel: {error}", file=sys.stderr)
        return 1


def _promises(settings: Settings) -> Promises | None:
    """Where a voter keeps its promises; None for the only voter, and for an observer.

    Raises:
        PromisesError: If they cannot be kept there.
    """
    if len(settings.voters) == 1 or settings.node.name not in settings.voters:
        return None
    return Promises(data_dir(settings, os.environ), settings.node.name, settings.cluster.name, settings.cluster.slots)


def _audit(settings: Settings) -> Auditors | None:
    """The auditors, if there are any.

    Raises:
        LoadError: If one cannot be made.
    """
    use, folder = settings.audit.use, settings.authorizer.folder
    if not use:
        return None
    auditors = {name: load(name, settings.audit.options_of(name, settings.kafka), folder) for name in use}
    insides = Insides(time.monotonic(), settings.audit.events, settings.audit.stats_s, Mapping(topic_rules(settings)))
    return Auditors(auditors, settings.node.name, settings.audit.queue_max, insides)


def _run(
    settings: Settings,
    port: int,
    count: int,
    link_path: Path,
    promises: Promises | None,
    started: Callable[[int], None] | None,
) -> int:
    try:
        audit = _audit(settings)
        revocations = RevocationStore(data_dir(settings, os.environ))
        node = Node(settings, port, f"ipc://{link_path}", count, promises, revocations, audit)
    except (OSError, ValueError, TablesInUseError) as error:
        print(f"whimbrel: {error}", file=sys.stderr)
        return 1
    signals = [gevent.signal_handler(number, _on_signal, node) for number in (signal.SIGTERM, signal.SIGINT)]
    manager = ServiceManager(os.environ)
    if manager.alive_every_s:
        gevent.spawn(_repeat, manager.alive_every_s, manager.alive)
    node.start()
    # Entries hold no cycles: keep the collector from walking the whole cache again and again. It looks at each position
    # once, to find that it need not look again: at few at a time, which are still in the processor's caches.
    gc.freeze()
    gc.set_threshold(2_000, 500, 500)
    event(log, "node_started", name=settings.node.name, host=settings.node.host, port=port, workers=count)
    gevent.spawn(_tell_when_ready, node, manager, started, port)
    status: int = node.stopped.get()
    manager.stopping()
    event(log, "draining", window_s=settings.node.drain_s)
    node.leave()
    node.drain(settings.node.drain_s)
    node.workers.stop(settings.node.drain_s + DRAIN_GRACE_S)
    node.stop()
    for handler in signals:
        handler.cancel()
    event(log, "stopped", status=status)
    return status


def _tell_when_ready(node: Node, manager: ServiceManager, started: Callable[[int], None] | None, port: int) -> None:
    while not node.is_ready:
        gevent.sleep(READY_POLL_S)
    manager.ready()
    if started is not None:
        started(port)


def _repeat(each_s: float, call: Callable[[], None]) -> None:
    while True:
        call()
        gevent.sleep(each_s)


def _on_signal(node: Node) -> None:
    if node.stopped.ready():
        event(log, "stopped_at_once")
        for worker in node.workers.all:
            if worker.process is not None:
                worker.process.kill()
        os._exit(1)
    node.stopped.set(0)


def _free_port(host: str, port: int) -> int:
    """Make sure that the port is free: workers share it, so another node on it would go unnoticed.

    Raises:
        OSError: If it is not, or the address is not one of this machine.
    """
    deadline = time.monotonic() + PORT_WAIT_S
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen()
                return int(probe.getsockname()[1])
            except OSError:
                if time.monotonic() > deadline:
                    raise
        time.sleep(0.1)
