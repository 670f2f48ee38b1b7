"""`whimbrel demo`: runs an embedded Kafka, the producer of flights and three nodes.

Not here: the configuration of the nodes (plan.py), their processes (nodes.py), the end of a demo that was killed
(guard.py), the other parts (node/kafka/embedded.py, producer.py).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from node.demo.guard import Guard
from node.demo.nodes import RESTART_S, DemoNode, how_it_ended, say
from node.demo.plan import NAMES, NOTES, NodePlan, arguments, banner, settings_of_nodes, text_of
from node.demo.producer import TOPICS
from node.kafka.embedded import EmbeddedKafka
from node.settings import Settings

WHIMBREL = [sys.executable, "-m", "node.cli"]
"""How the nodes are started: the same as the command `whimbrel`."""

_CLUSTER_PORTS = range(7400, 7600, 2)
_LOOK_S = 0.1
_PORT_WAIT_S = 3.0
"""How long to wait for ports that processes of a killed demo may still hold."""
_GRACE_S = 10.0
"""How long nodes may take to end, in addition to the time in which they drain."""


class _Stop:
    """SIGTERM, Ctrl-C or a closed terminal: the first signal asks the demo to end, the second ends it at once."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.nodes: list[DemoNode] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup has it ignored
            signal.signal(signal.SIGHUP, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        if self.asked.is_set():
            for node in self.nodes:
                node.signal(signal.SIGKILL)
            os._exit(1)  # the guard removes the files; the other processes end when their input does
        self.asked.set()


def run_demo(settings: Settings) -> int:
    """Run the demo until a signal asks it to stop; return the exit code."""
    stop = _Stop()
    try:
        places = _places(settings)
    except OSError as error:
        print(f"whimbrel: {error.strerror}", file=sys.stderr)
        return 1
    settings = settings_of_nodes(settings, places)
    directory = Path(tempfile.mkdtemp(prefix="whimbrel-demo-"))
    guard = Guard(directory)
    try:
        with EmbeddedKafka({**TOPICS, NOTES: 1}) as kafka, _producer(kafka.bootstrap, settings.log.format) as flights:
            _write_files(directory, text_of(settings))
            environment = {name: value for name, value in os.environ.items() if not name.startswith("WHIMBREL_")}
            for place in places:
                command = [*WHIMBREL, *arguments(place, places, kafka.bootstrap, str(directory))]
                prefix = f"{place.name} | " if settings.log.format == "text" else ""
                stop.nodes.append(DemoNode(place.name, command, environment, guard, prefix))
            try:
                return _run(stop, places, kafka.bootstrap, directory)
            finally:
                flights.close()
                _end(stop.nodes, settings.node.drain_s + _GRACE_S)
    finally:
        guard.close()


def _run(stop: _Stop, places: Sequence[NodePlan], bootstrap: str, directory: Path) -> int:
    """Start the nodes and restart those that die, until the demo has to end; return the exit code."""
    for node in stop.nodes:
        node.start()
    is_ready = False
    while not stop.asked.wait(_LOOK_S):
        for node in stop.nodes:
            status = node.look()
            if status is not None and not is_ready and node.lives == 1 and status >= 0:
                say(f"whimbrel: node {node.name} {how_it_ended(status)} before it was ready")
                return 1
            if status is not None:
                say(f"  Node {node.name} {how_it_ended(status)}; it is restarted in {RESTART_S:.0f} s.")
            if node.restart_at is not None and time.monotonic() >= node.restart_at:
                node.start()
                say(f"  Node {node.name} was restarted: process {node.pid}.")
        if not is_ready and all(_is_ready(place) for place in places):
            is_ready = True
            processes = {node.name: node.pid for node in stop.nodes}
            print(banner(places, processes, bootstrap, str(directory), _as_called()), flush=True)
    return 0


def _end(nodes: Sequence[DemoNode], wait_s: float) -> None:
    """Ask all nodes to end, and wait for them."""
    for node in nodes:
        node.signal(signal.SIGTERM)
    until = time.monotonic() + wait_s
    for node in nodes:
        status = node.wait(until)
        if status is not None and status < 0:
            say(f"  Node {node.name} {how_it_ended(status)}.")


@contextmanager
def _producer(bootstrap: str, log_format: str) -> Iterator[IO[bytes]]:
    """The producer of flights; yields its standard input, with which it ends."""
    command = [sys.executable, "-m", "node.demo.producer", "--bootstrap", bootstrap, "--log-format", log_format]
    producer = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert producer.stdin is not None
    try:
        yield producer.stdin
    finally:
        producer.stdin.close()
        try:
            producer.wait(timeout=5)
        except subprocess.TimeoutExpired:
            producer.kill()


def _write_files(directory: Path, text: str) -> None:
    (directory / "demo.toml").write_text(text, encoding="utf-8")
    (directory / "key").write_text(secrets.token_hex(32) + "\n")  # nobody else can look into the directory
    for name in NAMES:
        (directory / name).mkdir()


def _is_ready(place: NodePlan) -> bool:
    try:
        with urllib.request.urlopen(f"http://{place.shown}/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


# Addresses.


def _places(settings: Settings) -> list[NodePlan]:
    """The addresses of the nodes.

    Raises:
        OSError: If a port cannot be used; `strerror` has the reason and the remedy.
    """
    host, first = settings.node.host, settings.node.port
    bracketed = f"[{host}]" if ":" in host else host
    ports = [first + n for n in range(len(NAMES))] if first else _free_ports(host)
    until = time.monotonic() + _PORT_WAIT_S
    for port in ports:
        while why := _why_not(host, port):
            if time.monotonic() > until:
                needed = f"the demo needs the ports {', '.join(map(str, ports[:-1]))} and {ports[-1]}"
                text = f"cannot listen on {bracketed}:{port}: {why} ({needed}; others with --listen HOST:PORT)"
                raise OSError(0, text)
            time.sleep(_LOOK_S)
    # Two demos that are started at once look from different ports, or both would find the same ones free.
    turn = ports[0] % len(_CLUSTER_PORTS)
    candidates = [*_CLUSTER_PORTS[turn:], *_CLUSTER_PORTS[:turn]]
    cluster = [port for port in candidates if _is_free_for_nodes(port)][: len(NAMES)]
    if len(cluster) < len(NAMES):
        raise OSError(0, f"no free ports for the cluster from {_CLUSTER_PORTS.start} to {_CLUSTER_PORTS.stop}")
    shown = _own_address() if host in ("", "0.0.0.0", "::") else bracketed
    return [
        NodePlan(name, f"{bracketed}:{port}", f"{shown}:{port}", f"127.0.0.1:{between}")
        for name, port, between in zip(NAMES, ports, cluster, strict=True)
    ]


def _why_not(host: str, port: int, kind: int = socket.SOCK_STREAM) -> str:
    """Why the port cannot be used; empty if it can."""
    if port > 65535:
        return "there is no such port"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            if kind == socket.SOCK_STREAM:
                probe.listen()
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _is_free_for_nodes(port: int) -> bool:
    """UDP and TCP on this port, TCP on the next one."""
    wanted = ((port, socket.SOCK_DGRAM), (port, socket.SOCK_STREAM), (port + 1, socket.SOCK_STREAM))
    return not any(_why_not("127.0.0.1", number, kind) for number, kind in wanted)


def _free_ports(host: str) -> list[int]:
    probes = [socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) for _ in NAMES]
    try:
        for probe in probes:
            probe.bind((host, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _own_address() -> str:
    """The address of this machine that others in its network can use, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: the system only chooses the source address
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _as_called() -> str:
    """The command as the user can type it: `whimbrel`, if it is on the PATH."""
    called = Path(sys.argv[0])
    if called.name != "whimbrel":
        return f"{sys.executable} -m node.cli"
    found = shutil.which("whimbrel")
    return "whimbrel" if found is not None and called.exists() and called.samefile(found) else str(called)
