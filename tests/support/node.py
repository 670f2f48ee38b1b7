"""A node as a user starts one: `whimbrel node ...` in a process of its own, with its address, its log and its end.

Not here: what speaks to it (subscriber.py, raw.py).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loadtest.kafka.ports import free_port
from loadtest.kafka.processes import start_process
from tests.support.patience import PATIENCE_S

ADMIN_TOKEN = "for-those-who-run-it"
QUICK = {"kafka.metadata_interval": "200ms", "client.heartbeat": "2s", "client.hello_timeout": "2s", "node.drain": "1s"}
"""Settings that make tests quick."""


class RunningNode:
    """A node on a port of its own, which stays the same over `kill` and `start`. A context manager."""

    def __init__(
        self,
        directory: Path,
        bootstrap: str,
        topics: str,
        *,
        publish: str = "",
        workers: int = 1,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            directory: For its log, and for what it keeps over restarts.
            topics, publish: As the flags take them.
            settings: Keys and values for `--set`, added to `QUICK`.
        """
        self.host = "127.0.0.1"
        self.port = port or free_port()
        self.admin_port = free_port()
        self.log_file = directory / f"node-{self.port}-{id(self):x}.log"
        self._workers = workers
        self._command = [
            str(Path(sys.executable).with_name("whimbrel")),
            "node",
            *("--kafka", bootstrap, "--topics", topics, "--listen", f"127.0.0.1:{self.port}"),
            *("--admin-listen", f"127.0.0.1:{self.admin_port}"),
            *(("--publish", publish) if publish else ()),
            *("--workers", str(workers)),
        ]
        # Two nodes of one name must not have one directory, and none that of who runs the tests.
        own = {"cluster.data_dir": str(directory / f"data-{self.port}-{id(self):x}")}
        for key, value in {**QUICK, **own, **(settings or {})}.items():
            self._command += ["--set", f"{key}={value}"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What a client is given."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def admin(self) -> str:
        """Where its admin listener is."""
        return f"{self.host}:{self.admin_port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the node was not started"
        return self._process

    @property
    def log(self) -> str:
        """What it has written on standard error, all its lives together."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self, ready: bool = True) -> None:
        """Start it; return when `/health/ready` says so, or (`ready` false) when it answers at all."""
        with self.log_file.open("ab") as log:
            self._process = start_process(self._command, stdout=log, stderr=log)
        path = "/health/ready" if ready else "/health/live"
        self.wait(lambda: self.get(path)[0] == 200, f"200 of {path}")

    def run_to_the_end(self, timeout_s: float = PATIENCE_S) -> int:
        """Start it and wait until it ends by itself; the exit code."""
        with self.log_file.open("ab") as log:
            self._process = start_process(self._command, stdout=log, stderr=log)
        return self._process.wait(timeout_s)

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        """SIGTERM, wait; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """kill -9, of the node process alone: its workers must find out."""
        self.process.kill()
        self.process.wait()

    def get(self, path: str, timeout_s: float = PATIENCE_S) -> tuple[int, str]:
        """Status and body of an HTTP request; status 0 if nobody answers. What clients do not see is asked of the
        admin listener.
        """
        is_seen = path.startswith(("/health/", "/sdk/"))
        request = urllib.request.Request(
            f"http://{self.host}:{self.port if is_seen else self.admin_port}{path}",
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def status(self) -> dict[str, Any]:
        """The document at /v1/status."""
        deadline = time.monotonic() + PATIENCE_S
        while (answer := self.get("/v1/status"))[0] != 200:  # a node that is busy does not answer its worker in time
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}:\n{self.log[-3000:]}"
            assert time.monotonic() < deadline, f"/v1/status answers {answer}"
            time.sleep(0.1)
        body = answer[1]
        found: dict[str, Any] = json.loads(body)
        return found

    def partitions(self, topic: str) -> list[dict[str, Any]]:
        """A topic's partitions in the status; none if the node does not know it."""
        found = [one["partitions"] for one in self.status()["kafka"]["topics"] if one["topic"] == topic]
        return found[0] if found else []

    def wait_for_topic(self, topic: str, partitions: int) -> Sequence[str]:
        """Return its logs, by partition, once the node has loaded them all."""

        def loaded() -> bool:
            found = self.partitions(topic)
            return len(found) == partitions and all(one["state"] == "live" for one in found)

        self.wait(loaded, f"topic {topic} with {partitions} partitions")
        return [one["log"] for one in sorted(self.partitions(topic), key=lambda one: one["partition"])]

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        from prometheus_client.parser import text_string_to_metric_families

        code, body = self.get("/metrics")
        assert code == 200, f"/metrics answers {code}"
        found = [
            sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
            if sample.name == name
        ]
        assert found, f"there is no metric {name}"
        return sum(found)

    def wait(self, condition: Any, what: str, timeout_s: float = PATIENCE_S) -> None:
        """Return once the condition holds."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}:\n{self.log[-3000:]}"
            assert time.monotonic() < deadline, f"no {what} within {timeout_s} s; the node's log:\n{self.log[-3000:]}"
            time.sleep(0.03)
        if self._workers > 1:
            time.sleep(0.15)  # another worker may still give an answer that it got before (gateway/http/queries.py)

    def __enter__(self) -> RunningNode:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if kind is None:
            assert "Traceback" not in self.log, self.log[-5000:]


@contextmanager
def nodes_in(directory: Path) -> Iterator[Callable[..., RunningNode]]:
    """A function that starts nodes, which end with it: `start(ready=..., **as of RunningNode, less the directory)`."""
    nodes: list[RunningNode] = []

    def start(*args: Any, ready: bool = True, **options: Any) -> RunningNode:
        node = RunningNode(directory, *args, **options)
        nodes.append(node)
        node.start(ready)
        return node

    yield start
    for one in nodes:
        one.__exit__(None)
