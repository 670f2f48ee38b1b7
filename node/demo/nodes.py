"""The demo's nodes: processes that are started, started again when they die, and ended.

A node that dies is started again after a while, with the same command: long enough to watch the others go on without
it. Whatever a node writes is passed on, line by line, so that the lines of several nodes do not mix.

Not here: their commands (plan.py), what else the demo starts (run.py).
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from node.demo.guard import Guard

RESTART_S = 6.0

_writing = threading.Lock()


class DemoNode:
    """One node, over all its lives."""

    def __init__(
        self, name: str, command: Sequence[str], environment: dict[str, str], guard: Guard, prefix: str = ""
    ) -> None:
        """Args:
        prefix: What goes before each line that it writes.
        """
        self.name = name
        self._prefix = prefix.encode()
        self.lives = 0
        self.restart_at: float | None = None
        """When it is started again; None while it runs."""
        self._command = [*command]
        self._environment = environment
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._passing_on: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """Of this life, or of the last one."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it."""
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,  # Ctrl-C reaches the demo alone, which then ends its nodes
        )
        self._guard.begun(process.pid)
        self._process, self.restart_at = process, None
        self.lives += 1
        self._passing_on = threading.Thread(target=_pass_on, args=(self._prefix, process), daemon=True)
        self._passing_on.start()

    def look(self) -> int | None:
        """The exit status, told once, when it has ended by itself; it is then due to be started again."""
        if self._process is None or self.restart_at is not None or self._process.poll() is None:
            return None
        self._ended()
        self.restart_at = time.monotonic() + RESTART_S
        return self._process.returncode

    def signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self, until: float) -> int | None:
        """The exit status, once it has ended; killed if it has not by then. None if it was not running."""
        if self._process is None or self.restart_at is not None:
            return None
        try:
            self._process.wait(max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._ended()
        self.restart_at = 0.0
        return self._process.returncode

    def _ended(self) -> None:
        self._guard.ended(self.pid)
        assert self._passing_on is not None
        self._passing_on.join(1)  # its workers, which write there too, may live a little longer


def say(text: str) -> None:
    """A line of the demo's own, not in the middle of a node's."""
    with _writing:
        print(text, file=sys.stderr, flush=True)


def how_it_ended(status: int) -> str:
    """An exit status, in words."""
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"has ended with exit code {status}"


def _pass_on(prefix: bytes, process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            with _writing:
                sys.stderr.buffer.write(prefix + line.rstrip(b"\n") + b"\n")
                sys.stderr.buffer.flush()
