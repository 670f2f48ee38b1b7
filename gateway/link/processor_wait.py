"""How long another process has been ready to run and got no processor: the time in which its silence says nothing.

On a machine with more to do than it can, whoever is waited for may only be waiting itself. One that was stopped, waits
for a disk or runs in circles does not count as such.

Not here: whose silence it is (../sessions/node_watch.py, node/standstill.py).
"""

from __future__ import annotations

import os

SECOND_NS = 1_000_000_000


class ProcessorWait:
    """Of a process's main thread, as Linux counts it (proc_pid_schedstat(5), second number).

    0 where the kernel does not count; of a process that has ended it is what was read last.
    """

    def __init__(self, pid: int) -> None:
        try:
            self._fd = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        self._waited_s = 0.0

    def read_s(self) -> float:
        """Seconds, since the process began."""
        if self._fd >= 0:
            try:
                self._waited_s = int(os.pread(self._fd, 100, 0).split()[1]) / SECOND_NS
            except (OSError, IndexError, ValueError):
                self.close()
        return self._waited_s

    def close(self) -> None:
        """The process is of no interest any more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
