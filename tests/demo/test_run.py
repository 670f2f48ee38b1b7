"""`whimbrel demo` as a newcomer meets it: its banner, its commands, and README's program against it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import start_process

ROOT = Path(__file__).parents[2]
WHIMBREL = Path(sys.executable).with_name("whimbrel")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A demo that has said where it is: its address, and all that it has written."""
    output = tmp_path_factory.mktemp("demo") / "output"
    port = free_port()
    with output.open("ab") as file:
        running = start_process([str(WHIMBREL), "demo", "--listen", f"127.0.0.1:{port}"], stdout=file, stderr=file)
    try:
        for _ in range(400):
            if "Ctrl-C" in output.read_text():
                break
            assert running.poll() is None, output.read_text()
            time.sleep(0.05)
        yield f"ws://127.0.0.1:{port}", output
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(30)


def test_the_banner_comes_when_all_is_ready_and_nothing_after_it(demo: tuple[str, Path]) -> None:
    server, output = demo
    log, banner, after = re.split(r"\n  Whimbrel's demo is running\.\n|\n  Ctrl-C ends it\.\n", output.read_text())
    assert " ready messages=" in log
    assert " worker_ready index=" in log
    assert after.strip() == ""
    assert f"http{server[2:]}/" in banner


def test_the_commands_of_the_banner_work_as_they_stand(demo: tuple[str, Path]) -> None:
    _, output = demo
    [publish] = re.findall(r"a publish +(.+)", output.read_text())
    [subscribe] = re.findall(r"a subscription +(.+)", output.read_text())
    for command in (publish, f"{subscribe} --count 1"):
        ran = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=20)
        assert ran.returncode == 0, ran.stderr
        assert len(ran.stdout.splitlines()) == 1


@pytest.mark.parametrize("page", ["README.md", "client/python/README.md"])
def test_the_python_program_of_a_readme_runs_against_the_demo(demo: tuple[str, Path], page: str) -> None:
    server, _ = demo
    program = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)[0]
    program, changed = re.subn(r'"ws://[^"]+"', f'"{server}"', program)
    assert changed
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as running:
        assert running.stdout is not None
        try:
            lines = [running.stdout.readline() for _ in range(5)]
        finally:
            running.kill()
    assert all(lines), lines
