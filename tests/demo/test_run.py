"""`whimbrel demo` as a newcomer meets it: three nodes, its banner, its commands, README's program, and its end.

Not here: how its page shows a failover (tests/browser/test_failover.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from loadtest.kafka.ports import free_port
from loadtest.kafka.processes import start_process
from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
WHIMBREL = Path(sys.executable).with_name("whimbrel")

pytestmark = pytest.mark.slow


def until(condition: Callable[[], object], claim: object, timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {claim}"
        time.sleep(0.05)


class Demo:
    """A demo that has said where it is."""

    def __init__(self, directory: Path, program: Path = WHIMBREL, folder: Path = ROOT) -> None:
        """Start it, and wait for its banner.

        Args:
            directory: Where its output is kept.
            program: The installed command.
            folder: Where the user is.
        """
        self._output = directory / "output"
        self.port = free_port()
        with self._output.open("ab") as file:
            command = [str(program), "demo", "--listen", f"127.0.0.1:{self.port}"]
            self.process = start_process(command, stdout=file, stderr=file, cwd=folder, start_new_session=True)
        until(lambda: "Ctrl-C ends it" in self.output or self.process.poll() is not None, "it is running")
        assert self.process.poll() is None, self.output

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def server(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def files(self) -> Path:
        return Path(re.findall(r"its files +(\S+)", self.output)[0])

    def pids(self) -> dict[str, int]:
        """Process ids of the nodes, as the banner says, and what was said since."""
        rows = re.findall(r"^    ([abc])  .* (\d+)$", self.output, re.M)
        again = re.findall(r"Node ([abc]) was restarted: process (\d+)", self.output)
        return {name: int(pid) for name, pid in (*rows, *again)}

    def get(self, n: int, path: str) -> Any:
        """What node n says, or None."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port + n}{path}", timeout=2) as answer:
                return json.loads(answer.read())
        except OSError:
            return None

    def is_ready(self, n: int) -> bool:
        return bool((self.get(n, "/health/ready") or {}).get("ready"))

    def is_whole(self, n: int) -> bool:
        """Whether node n says that the cluster is."""
        return bool(self.get(n, "/v1/status")["cluster"]["state"] == "ok")

    def left(self) -> list[str]:
        """Command lines of the processes that belong to it."""
        found = []
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = line.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(str(self.files) in word for word in words):
                found.append(" ".join(words))
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


ALARM = re.compile(r"^.*Z (?:warning|error|critical) .*$|^.*Traceback.*$", re.M)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo"))
    yield demo
    told = len(demo.output)
    os.killpg(demo.process.pid, signal.SIGINT)  # Ctrl-C in a terminal reaches the whole group
    assert demo.process.wait(PATIENCE_S) == 0, demo.output
    assert ALARM.findall(demo.output[told:]) == []
    assert not demo.files.exists()
    assert demo.left() == []


def test_the_banner_comes_when_all_is_ready_and_nothing_after_it(demo: Demo) -> None:
    log, banner, after = re.split(
        r"\n  Whimbrel's demo is running: three nodes, one cluster\.\n|\n  Ctrl-C ends it\.\n", demo.output
    )
    for name in "abc":
        assert re.search(rf"^{name} \| .* ready messages=", log, re.M)
        assert re.search(rf"^{name} \| .* worker_ready index=", log, re.M)
    assert not [line for line in after.splitlines() if "error" in line or "warning" in line]
    for n in range(3):
        assert f"http://127.0.0.1:{demo.port + n}/" in banner
    assert demo.pids().keys() == {*"abc"}


def test_three_nodes_are_one_cluster(demo: Demo) -> None:
    for n, name in enumerate("abc"):
        until(partial(demo.is_whole, n), f"{name} says ok")
        cluster = demo.get(n, "/v1/status")["cluster"]
        assert (cluster["me"], cluster["voters"], cluster["controls"]) == (name, ["a", "b", "c"], True)
        assert [(member["name"], member["state"]) for member in cluster["members"]] == [(one, "alive") for one in "abc"]
        assert {feed["feeder"] for feed in cluster["feeds"]} <= {*"abc"}
        assert all(slot["coordinator"] in "abc" for slot in cluster["slots"])


def test_the_commands_of_the_banner_work_as_they_stand(demo: Demo) -> None:
    publishes = re.findall(r"(?:a publish|without Kafka) +(.+)", demo.output)
    [subscribe] = re.findall(r"a subscription +(.+)", demo.output)
    assert len(publishes) == 2
    for command in (*publishes, f"{subscribe} --count 1"):
        ran = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=20)
        assert ran.returncode == 0, ran.stderr
        assert len(ran.stdout.splitlines()) == 1


@pytest.mark.parametrize("page", ["README.md", "client/python/README.md"])
def test_the_python_program_of_a_readme_runs_against_the_demo(demo: Demo, page: str) -> None:
    program = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)[0]
    program, changed = re.subn(r'"ws://[^"]+"', f'"{demo.server}"', program)
    assert changed
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as running:
        assert running.stdout is not None
        try:
            lines = [running.stdout.readline() for _ in range(5)]
        finally:
            running.kill()
    assert all(lines), lines


def test_a_node_that_dies_is_started_again(demo: Demo) -> None:
    before = demo.pids()
    until(lambda: demo.is_ready(1), "it is ready")
    os.kill(before["b"], signal.SIGKILL)
    until(lambda: "Node b was ended by SIGKILL; it is restarted in 6 s." in demo.output, "its death is told")
    assert demo.is_ready(0), "the others go on"
    until(lambda: demo.pids()["b"] != before["b"], "it is started again")
    until(lambda: demo.is_ready(1), "it is ready again")
    assert demo.get(1, "/v1/status")["node"] == "b"
    assert {name: pid for name, pid in demo.pids().items() if name != "b"} == {
        name: pid for name, pid in before.items() if name != "b"
    }


def test_a_node_is_killed_by_its_control_and_started_again(demo: Demo) -> None:
    before = demo.pids()
    until(lambda: demo.is_ready(2), "it is ready")
    url = f"http://127.0.0.1:{demo.port + 2}/v1/demo/kill"
    with pytest.raises(OSError, match="403"):
        urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=5)
    request = urllib.request.Request(url, method="POST", headers={"X-Whimbrel-Demo": "1"})
    with contextlib.suppress(OSError):  # it may be dead before it has answered
        urllib.request.urlopen(request, timeout=5).close()
    until(lambda: "Node c was ended by SIGKILL" in demo.output, "its death is told")
    until(lambda: demo.pids()["c"] != before["c"], "it is started again")
    until(lambda: demo.is_ready(2), "it is ready again")


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_port_that_is_taken_is_named(taken: int) -> None:
    port = free_port()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port + taken))
        sock.listen()
        command = [str(WHIMBREL), "demo", "--listen", f"127.0.0.1:{port}"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        f"whimbrel: cannot listen on 127.0.0.1:{port + taken}: Address already in use (the demo needs the ports "
        f"{port}, {port + 1} and {port + 2}; others with --listen HOST:PORT)\n"
    )


def test_a_second_signal_ends_it_at_once_and_nothing_is_left(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    try:
        os.kill(demo.pids()["a"], signal.SIGSTOP)  # one that does not end by itself
        demo.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert demo.process.poll() is None
        demo.process.send_signal(signal.SIGTERM)
        assert demo.process.wait(PATIENCE_S) == 1
        until(lambda: demo.left() == [] and not demo.files.exists(), "nothing is left")
    finally:
        demo.end()


def test_nothing_is_left_of_a_demo_that_was_killed(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    assert len(demo.left()) == 4, "three nodes and the guard"
    demo.process.kill()
    demo.process.wait()
    until(lambda: demo.left() == [] and not demo.files.exists(), "nothing is left")
    until(lambda: all(demo.get(n, "/health/ready") is None for n in range(3)), "no worker is left")
