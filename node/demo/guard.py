"""Ends the demo's processes and removes its files if the demo was killed and could not do so itself.

`python -m node.demo.guard DIRECTORY` reads from standard input which processes have started (`+PID`) and ended
(`-PID`). When the input ends, it ends the remaining processes, with SIGTERM and then SIGKILL, and removes the
directory. After a demo that ended by itself there is nothing to do. Nodes do not watch the demo themselves: they are
started like any other node, and a node must outlive the terminal that it was started from.

Not here: starting and ending the nodes (nodes.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_GENTLY_S = 4.0
_STEP_S = 0.05


class Guard:
    """The guard's process, as the demo sees it. It ends when it is closed, or when the demo dies."""

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, "-m", "node.demo.guard", str(directory)]
        # A session of its own: Ctrl-C, and a terminal that is closed, must not reach it.
        self._process = subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, start_new_session=True)

    def begun(self, pid: int) -> None:
        """Register a process that must not outlive the demo."""
        self._tell(f"+{pid}\n")

    def ended(self, pid: int) -> None:
        """Remove a process that has been waited for: its id may be reused from now on."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """End the guard, which first ends the remaining processes."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError:
            pass  # the guard was killed: it is only needed if the demo is killed, too


def main() -> None:
    """Wait for the end of standard input; then end the processes that it named, and remove the directory."""
    guarded: dict[int, None] = {}
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            guarded[pid] = None
        else:
            guarded.pop(pid, None)
    until = time.monotonic() + _GENTLY_S
    left = [pid for pid in guarded if _signal(pid, signal.SIGTERM)]
    while left and time.monotonic() < until:
        time.sleep(_STEP_S)
        left = [pid for pid in left if _signal(pid, 0)]
    for pid in left:
        _signal(pid, signal.SIGKILL)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


def _signal(pid: int, number: int) -> bool:
    """Send a signal; whether the process existed."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
