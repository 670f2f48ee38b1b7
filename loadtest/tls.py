"""What TLS costs: in the worker, with HAProxy in front of a worker without, and none at all; one after the other in one
run, with the same clients.

Not here: the clients (tls_load.py), the certificate of an installation (OPERATIONS.md).
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.bench import Bench
from loadtest.node import Node
from loadtest.process import Child, Failed, cpu_s, resident_kb
from loadtest.report import Row
from loadtest.tls_load import TlsLoad

NAMESPACE = "bench"
CONNECTS = 1_000
CLIENTS = 1_000
PER_S = 40
BYTES = 512
WARM = 50
_PROXY = """
global
  nbthread 1
  maxconn 5000
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend clients
  bind 127.0.0.1:{port} ssl crt {certificate} alpn http/1.1
  default_backend node
backend node
  server node 127.0.0.1:{node}
"""


def tls(bench: Bench) -> Iterator[Row]:
    """The same load three times."""
    certificate = _certificate(bench.artifacts)
    authority = str(certificate)
    bench.say("without TLS")
    with _node(bench, {}) as node:
        plain = _measured(bench, node.port, "", [node.pid])
    yield from _rows("none", plain, plain)
    bench.say("TLS in the worker")
    with _node(bench, {"tls.certificate": authority}) as node:
        yield from _rows("worker", _measured(bench, node.port, authority, [node.pid]), plain)
    if shutil.which("haproxy") is None:
        bench.miss("HAProxy in front: haproxy is not installed")
        return
    bench.say("HAProxy in front")
    with _node(bench, {}) as node, _proxy(bench.artifacts, certificate, node.port) as (port, pid):
        yield from _rows("haproxy", _measured(bench, port, authority, [node.pid, pid]), plain)


def _node(bench: Bench, settings: dict[str, str]) -> Node:
    flags = ("--namespaces", NAMESPACE, "--workers", "1")
    return Node(bench.artifacts / "bench-tls.log", *flags, settings=settings, checkout=bench.checkout)


def _measured(bench: Bench, port: int, authority: str, pids: list[int]) -> dict[str, float]:
    """By figure: connects per CPU-second (full, resumed), KB per client, messages per CPU-second."""
    found: dict[str, float] = {}
    subject = f"/{NAMESPACE}/x"
    with Child("clients", TlsLoad) as load:
        load.call("come_and_go", port=port, authority=authority, count=WARM, resumes=False)
        for name, resumes in (("full", False), ("resumed", True)):
            if resumes and not authority:
                continue
            before = _cpu_s(pids)
            resumed = load.call("come_and_go", port=port, authority=authority, count=CONNECTS, resumes=resumes)
            time.sleep(0.2)
            found[name] = CONNECTS / (_cpu_s(pids) - before)
            if resumed < 0.9 * CONNECTS * resumes:
                raise Failed(f"only {resumed} of {CONNECTS} connections resumed their session")
        before_kb = sum(map(resident_kb, pids))
        load.call("stay", port=port, authority=authority, subject=subject, count=CLIENTS)
        time.sleep(1)
        found["kb"] = (sum(map(resident_kb, pids)) - before_kb) / CLIENTS
        before = _cpu_s(pids)
        messages = load.call("carry", subject=subject, per_s=PER_S, seconds=bench.seconds, size=BYTES)
        found["messages"] = messages / (_cpu_s(pids) - before)
        due = PER_S * bench.seconds * CLIENTS
        bench.say(f"{messages:,} messages of {due:,.0f} came; {found}")
        load.call("leave")
    return found


def _rows(what: str, found: dict[str, float], plain: dict[str, float]) -> Iterator[Row]:
    yield Row(f"tls.{what}_connects_per_cpu_s", found["full"], "1/s", plain["full"])
    if "resumed" in found:
        yield Row(f"tls.{what}_resumed_per_cpu_s", found["resumed"], "1/s", plain["full"])
    yield Row(f"tls.{what}_kb_per_client", found["kb"], "KB", plain["kb"], less_is_better=True)
    yield Row(f"tls.{what}_msgs_per_cpu_s", found["messages"], "1/s", plain["messages"])


def _cpu_s(pids: list[int]) -> float:
    return sum(map(cpu_s, pids))


def _certificate(folder: Path) -> Path:
    """One that signs itself, with its key in the same file."""
    file, key = folder / "bench-tls.pem", folder / "bench-tls.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, *subject, "-keyout", str(key), "-out", str(file)], check=True, capture_output=True)
    file.write_text(file.read_text() + key.read_text())
    return file.resolve()


@contextmanager
def _proxy(folder: Path, certificate: Path, node_port: int) -> Iterator[tuple[int, int]]:
    """Its port and process id."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    file = folder / "bench-haproxy.cfg"
    file.write_text(_PROXY.format(port=port, certificate=certificate, node=node_port))
    process = subprocess.Popen(["haproxy", "-db", "-f", str(file)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        else:
            raise Failed("HAProxy did not start")
        yield port, process.pid
    finally:
        process.kill()
        process.wait()
