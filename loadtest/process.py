"""Processes of the benchmark: started, told what to do over a pipe, and what they cost.

Not here: what they do (fleet.py, bare.py, kafka_load.py), the node itself (node.py).
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol, Self

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
LOOK_S = 0.01
PATIENCE_S = 300
PAGE_KB = os.sysconf("SC_PAGE_SIZE") / 1024


class Failed(Exception):
    """A scenario cannot be measured; the text says why, for people."""


class Answering(Protocol):
    """What a child serves: commands are its methods; `idle` is called in between, at most `timeout_s` long."""

    def idle(self, timeout_s: float) -> None: ...


def serve(pipe: Connection, make: Callable[[], Answering]) -> None:
    """Main function of a child: do what the pipe says until it is closed."""
    try:
        worker = make()
        look_at = 0.0
        while True:
            worker.idle(LOOK_S)
            # Looking costs more than a short pass of the loop does.
            if time.monotonic() < look_at:
                continue
            look_at = time.monotonic() + LOOK_S
            if not pipe.poll():
                continue
            name, arguments = pipe.recv()
            try:
                pipe.send((True, getattr(worker, name)(**arguments)))
            except Exception as error:
                words = str(error) if isinstance(error, Failed) else traceback.format_exc()
                pipe.send((False, words))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass  # the parent is done with us


class Child:
    """A process of ours that serves `make()`. Use as a context manager."""

    def __init__(self, name: str, make: Callable[[], Answering]) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, make), name=name, daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def begin(self, method: str, **arguments: Any) -> None:
        """Start a command; `result` must follow.

        Raises:
            Failed: The process died.
        """
        try:
            self._pipe.send((method, arguments))
        except ConnectionError as error:
            raise Failed(f"the {self.name} died") from error

    def result(self) -> Any:
        """What the command of `begin` returned.

        Raises:
            Failed: The command failed, the process died, or it took longer than `PATIENCE_S`.
        """
        try:
            if not self._pipe.poll(PATIENCE_S):
                raise Failed(f"the {self.name} did not answer for {PATIENCE_S} s")
            done, value = self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            raise Failed(f"the {self.name} died") from error
        if not done:
            raise Failed(f"{self.name}: {value}")
        return value

    def call(self, method: str, **arguments: Any) -> Any:
        self.begin(method, **arguments)
        return self.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL if that does not end it."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tree(pid: int) -> list[int]:
    """The process and all its descendants that are alive."""
    pids, at = [pid], 0
    while at < len(pids):
        try:
            for task in Path(f"/proc/{pids[at]}/task").iterdir():
                pids.extend(int(child) for child in (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended just now
        at += 1
    return pids


def is_running(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of the process, its descendants and those that they have waited for."""
    ticks = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return ticks / TICKS_PER_S


def resident_kb(pid: int) -> float:
    """Resident memory of the process and its descendants."""
    pages = 0
    for one in tree(pid):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return pages * PAGE_KB


def peak_kb(pid: int) -> float:
    """The most resident memory that the process has had, without its descendants."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0])


class Shares:
    """What share of a core each named process tree takes between two moments."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._began = time.monotonic()
        self._before = {name: cpu_s(pid) for name, pid in pids.items()}

    def used_s(self) -> dict[str, float]:
        """CPU seconds so far, by name."""
        return {name: cpu_s(pid) - self._before[name] for name, pid in self._pids.items()}

    def words(self) -> str:
        elapsed = time.monotonic() - self._began
        return ", ".join(f"{name} {used / elapsed:.0%}" for name, used in self.used_s().items())
