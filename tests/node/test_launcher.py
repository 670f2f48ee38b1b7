"""The installed command and a node's place under a service manager, as a process sees them from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest.kafka.ports import free_port
from loadtest.kafka.processes import start_process

WHIMBREL = str(Path(sys.executable).with_name("whimbrel"))

pytestmark = pytest.mark.slow


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with packages that are called as ours are, and end whoever imports them."""
    for name in ("node", "gateway", "mesh", "loadtest"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('not ours')\n")
    (tmp_path / "their_authorizer.py").write_text(
        "from whimbrel_server import Authorizer\nclass Theirs(Authorizer):\n    pass\n"
    )
    return tmp_path


@contextmanager
def running(folder: Path, environment: dict[str, str], *flags: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A node of one namespace, and its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [WHIMBREL, "node", "--namespaces", "chat", "--listen", address, "--set", "node.drain=0s", *flags]
    process = start_process(command, cwd=folder, env={**os.environ, **environment})
    try:
        yield process, address
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """Where a service manager would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0whimbrel-test-{os.getpid()}")
        listening.settimeout(30)
        yield listening


def notify(manager: socket.socket) -> dict[str, str]:
    return {"NOTIFY_SOCKET": "@" + manager.getsockname()[1:].decode()}


def test_a_node_and_its_workers_are_ours_whatever_the_folder_and_the_path_hold(
    hostile: Path, manager: socket.socket
) -> None:
    paths = {"PYTHONPATH": str(hostile), **notify(manager)}
    with running(hostile, paths, "--set", "authorizer.use=their_authorizer:Theirs") as (_, address):
        assert manager.recv(100) == b"READY=1"  # so its workers run, with what they load from the path
        with urllib.request.urlopen(f"http://{address}/health/ready", timeout=10) as answer:
            assert answer.status == 200


def test_a_node_tells_its_service_manager_that_it_is_ready_alive_and_stopping(
    tmp_path: Path, manager: socket.socket
) -> None:
    with running(tmp_path, {"WATCHDOG_USEC": "400000", **notify(manager)}) as (process, _):
        said = set[bytes]()
        while said != {b"READY=1", b"WATCHDOG=1"}:
            said.add(manager.recv(100))
        process.send_signal(signal.SIGTERM)
        while manager.recv(100) != b"STOPPING=1":
            pass
        assert process.wait(30) == 0


def test_a_watchdog_that_is_another_process_s_is_none_of_ours(tmp_path: Path, manager: socket.socket) -> None:
    with running(tmp_path, {"WATCHDOG_USEC": "4000", "WATCHDOG_PID": "1", **notify(manager)}) as (process, _):
        assert manager.recv(100) == b"READY=1"
        process.send_signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
