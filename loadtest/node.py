"""The node under test, started as a user starts it.

Not here: what it costs (process.py), what is done to it (scenarios.py).
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from loadtest.process import Failed, tree

READY_TIMEOUT_S = 90


class Node:
    """`whimbrel node` with its workers, on a free port. A context manager that starts, waits until ready, stops."""

    def __init__(
        self, bootstrap: str, topic: str, log: Path, settings: dict[str, str] | None = None, publish: bool = False
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self._log = log
        self._command = [
            str(Path(sys.executable).with_name("whimbrel")),
            *("node", "--kafka", bootstrap, "--topics", topic, "--listen", f"127.0.0.1:{self.port}"),
        ]
        if publish:
            self._command += ["--publish", topic]
        for key, value in {"client.connections": "16000", "node.drain": "0s", **(settings or {})}.items():
            self._command += ["--set", f"{key}={value}"]
        self.ready_s = 0.0
        """From the start until ready."""

    def __enter__(self) -> Self:
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not self._ready():
            if self._process.poll() is not None:
                raise Failed(f"the node ended with {self._process.returncode}: {self._log_end()}")
            if time.monotonic() - began > READY_TIMEOUT_S:
                self.__exit__()
                raise Failed(f"the node was not ready after {READY_TIMEOUT_S} s: {self._log_end()}")
            time.sleep(0.02)
        self.ready_s = time.monotonic() - began
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill_workers(self) -> None:
        """kill -9 to every worker; the node starts them again."""
        for worker in tree(self.pid)[1:]:
            os.kill(worker, signal.SIGKILL)

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _log_end(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] or "(it said nothing)"
