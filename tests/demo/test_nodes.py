"""The demo's nodes as processes: started again when they die, and never left behind. Stand-ins for nodes, no cluster.

Not here: the demo as a whole (test_run.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtest.process import is_running
from node.demo import guard as guard_file
from node.demo.guard import Guard
from node.demo.nodes import RESTART_S, DemoNode, how_it_ended
from tests.support.patience import PATIENCE_S

SLEEPER = "import time, sys; print('here', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER

pytestmark = pytest.mark.slow


def until(condition: Callable[[], object], claim: str, timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {claim}"
        time.sleep(0.02)


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    directory = tmp_path / "demo"
    directory.mkdir()
    guard = Guard(directory)
    yield guard
    guard.close()
    assert not directory.exists()


@pytest.fixture
def node(guard: Guard) -> Iterator[DemoNode]:
    node = DemoNode("a", [sys.executable, "-c", SLEEPER], dict(os.environ), guard, "a | ")
    yield node
    node.wait(time.monotonic())


def test_a_node_that_dies_is_due_again_after_a_while(node: DemoNode) -> None:
    node.start()
    assert node.look() is None
    first = node.pid
    os.kill(first, signal.SIGKILL)
    found: list[int] = []

    def has_died() -> bool:
        status = node.look()
        found.extend([] if status is None else [status])
        return bool(found)

    until(has_died, "it has died")
    assert found == [-9]
    assert node.look() is None, "it is told once"
    assert node.restart_at == pytest.approx(time.monotonic() + RESTART_S, abs=1.5)
    node.start()
    assert (node.lives, node.restart_at, node.look()) == (2, None, None)
    assert node.pid != first


def test_what_it_writes_comes_with_its_name(node: DemoNode, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    node.start()
    told = b""

    def has_come() -> bool:
        nonlocal told
        told += capfdbinary.readouterr().err
        return b"\n" in told

    until(has_come, "a line comes")
    assert told == b"a | here\n"


def test_a_node_that_does_not_end_is_killed(guard: Guard) -> None:
    node = DemoNode("a", [sys.executable, "-c", STUBBORN], dict(os.environ), guard)
    node.start()
    time.sleep(0.5)
    node.signal(signal.SIGTERM)
    began = time.monotonic()
    assert node.wait(began + 0.5) == -9
    assert node.wait(began) is None, "it has ended already"


def test_how_it_ended_is_said_in_words() -> None:
    assert how_it_ended(-9) == "was ended by SIGKILL"
    assert how_it_ended(2) == "has ended with exit code 2"


@pytest.mark.parametrize(("program", "is_quick"), [(SLEEPER, True), (STUBBORN, False)])
def test_nothing_outlives_a_demo_that_was_killed(tmp_path: Path, program: str, is_quick: bool) -> None:
    directory = tmp_path / "demo"
    directory.mkdir()
    demo = f"""
import os, signal, sys, time
from pathlib import Path
from node.demo.guard import Guard
from node.demo.nodes import DemoNode
guard = Guard(Path({str(directory)!r}))
nodes = [DemoNode(name, [sys.executable, "-c", {program!r}], dict(os.environ), guard) for name in "abc"]
for node in nodes: node.start()
nodes[0].signal(signal.SIGKILL)
nodes[0].wait(time.monotonic() + 5)
time.sleep(0.5)
print(*[node.pid for node in nodes], guard._process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", demo], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        _, *pids = map(int, running.stdout.readline().split())
        assert [is_running(pid) for pid in pids] == [True] * 3
        running.kill()
    began = time.monotonic()
    until(lambda: not any(map(is_running, pids)), "all have ended")
    assert is_quick or time.monotonic() - began > guard_file._GENTLY_S - 0.5
    assert not directory.exists()


def test_a_guard_that_was_killed_does_not_disturb(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "demo")
    guard._process.kill()
    guard._process.wait()
    node = DemoNode("a", [sys.executable, "-c", SLEEPER], dict(os.environ), guard)
    node.start()
    node.signal(signal.SIGTERM)
    assert node.wait(time.monotonic() + PATIENCE_S) == -15
    guard.close()
