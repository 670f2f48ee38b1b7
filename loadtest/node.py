"""The node under test, started as a user starts it.

Not here: several that are one cluster (cluster.py), what it costs (process.py), what is done to it (scenarios.py).
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from loadtest.process import Failed, end, tree

READY_TIMEOUT_S = 90
ADMIN_STEP = 10
"""From the clients' port to that of the admin listener."""


class Node:
    """`whimbrel node` with its workers, on a free port. A context manager that starts, waits until ready, stops."""

    def __init__(
        self, log: Path, *flags: str, settings: Mapping[str, str] | None = None, checkout: Path | None = None
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            log: The file that gets what it says.
            flags: As a user gives them.
            settings: Keys and values for `--set`.
            checkout: Whose `.venv/bin/whimbrel` it is; None: the one installed beside this Python.
        """
        self.port = _free_port()
        self._health_port = self.port + (ADMIN_STEP if "tls.certificate" in (settings or {}) else 0)
        """Where it says in the clear whether it is ready."""
        self._log = log
        binaries = checkout / ".venv" / "bin" if checkout else Path(sys.executable).parent
        self._command = [str(binaries / "whimbrel"), "node", *flags]
        self._directory = checkout
        self._command += ["--listen", f"127.0.0.1:{self.port}"]
        own = {"client.connections": "16000", "node.drain": "0s", "cluster.data_dir": str(log.with_suffix(".data"))}
        for key, value in {**own, **(settings or {})}.items():
            self._command += ["--set", f"{key}={value}"]
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self.ready_s = 0.0
        """From the start until ready."""

    def begin(self) -> None:
        """Start it, and wait for nothing."""
        self._began = time.monotonic()
        with self._log.open("ab") as log:
            # Linux shares out processors over sessions first (sched_autogroup): a service has one of its own, too.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Return when it is ready, again if it was so before.

        Raises:
            Failed: It ended, or it takes too long.
        """
        assert self._process is not None
        waiting_since = time.monotonic()
        while not self._ready():
            if self._process.poll() is not None:
                raise Failed(f"the node ended with {self._process.returncode}: {self._log_end()}")
            if time.monotonic() - waiting_since > READY_TIMEOUT_S:
                raise Failed(f"the node was not ready after {READY_TIMEOUT_S} s: {self._log_end()}")
            time.sleep(0.02)
        self.ready_s = time.monotonic() - self._began

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that does not end it."""
        if self._process is None:
            return
        end(self._process)

    def __enter__(self) -> Self:
        self.begin()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """What a client of the SDK is given."""
        return f"ws://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """kill -9 to the node process; its workers find out by themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_workers(self) -> None:
        """kill -9 to every worker; the node starts them again."""
        for worker in tree(self.pid)[1:]:
            os.kill(worker, signal.SIGKILL)

    def status(self) -> dict[str, Any]:
        """The document at /v1/status; empty if there is no answer."""
        code, body = self._get("/v1/status", self.port + ADMIN_STEP)
        if not code:  # a checkout from before there was an admin listener
            code, body = self._get("/v1/status", self.port)
        found: dict[str, Any] = json.loads(body) if code == 200 else {}
        return found

    def metric(self, name: str) -> float:
        """The sum of this metric's values at /metrics.

        Raises:
            Failed: There is none of that name.
        """
        _, body = self._get("/metrics", self.port + ADMIN_STEP)
        values = [
            float(line.rpartition(" ")[2])
            for line in body.decode().splitlines()
            if line.partition(" ")[0].partition("{")[0] == name
        ]
        if not values:
            raise Failed(f"the node has no metric {name}")
        return sum(values)

    def _ready(self) -> bool:
        return self._get("/health/ready", self._health_port)[0] == 200

    def _get(self, path: str, port: int) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def _log_end(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] or "(it said nothing)"


def _free_port() -> int:
    """One that is free, and that of the admin listener too."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe, socket.socket() as admin:
            port = int(probe.getsockname()[1])
            try:
                admin.bind(("127.0.0.1", port + ADMIN_STEP))
            except (OSError, OverflowError):
                continue
            return port
