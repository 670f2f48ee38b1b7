"""The demo's nodes: starts their processes, restarts those that die, and ends them.

A node that dies is restarted with the same command after a pause, long enough to watch the others continue without it.
The output of each node is copied line by line, so that the lines of several nodes do not mix.

Not here: their commands (plan.py), the other processes of the demo (run.py).
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
    """One node, across restarts."""

    def __init__(
        self, name: str, command: Sequence[str], environment: dict[str, str], guard: Guard, prefix: str = ""
    ) -> None:
        """Args:
        prefix: Written before each of its lines.
        """
        self.name = name
        self._prefix = prefix.encode()
        self.lives = 0
        self.restart_at: float | None = None
        """When to restart it; None while it runs."""
        self._command = [*command]
        self._environment = environment
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._copying: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """The process id of the running process, or of the last one."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process."""
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
        self._copying = threading.Thread(target=_copy_lines, args=(self._prefix, process), daemon=True)
        self._copying.start()

    def look(self) -> int | None:
        """The exit status, once, if the process has ended without being asked to; schedules its restart."""
        if self._process is None or self.restart_at is not None or self._process.poll() is None:
            return None
        self._ended()
        self.restart_at = time.monotonic() + RESTART_S
        return self._process.returncode

    def signal(self, number: int) -> None:
        """Send a signal to the process, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self, until: float) -> int | None:
        """Wait for the process and kill it if it has not ended in time; its exit status, or None if it did not run."""
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
        assert self._copying is not None
        self._copying.join(1)  # its workers write to the same pipe, and may run a little longer


def say(text: str) -> None:
    """Print a line of the demo's own, never in the middle of a node's line."""
    with _writing:
        print(text, file=sys.stderr, flush=True)


def how_it_ended(status: int) -> str:
    """An exit status in words."""
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"has ended with exit code {status}"


def _copy_lines(prefix: bytes, process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            with _writing:
                sys.stderr.buffer.write(prefix + line.rstrip(b"\n") + b"\n")
                sys.stderr.buffer.flush()
