"""Several nodes that are one cluster, each a real process with an address, a directory and a log of its own.

They run on this machine's loopback, or each on a host of the lab (network.py).

Not here: load on them and what must hold (tests/cluster).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sys
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from loadtest.kafka.ports import free_cluster_port, free_port
from loadtest.process import tree
from tests.support.network import Network
from tests.support.node import ADMIN_TOKEN, QUICK, RunningNode
from tests.support.patience import PATIENCE_S

SLOTS = 16
ROOMY = {"cluster.slots": str(SLOTS), "cache.messages_per_subject": "100000"}
"""Settings of all nodes: the cache must not be a reason for gaps."""
CLIENT_PORT, CLUSTER_PORT = 8080, 7400
"""On hosts of the lab, each of which has all ports to itself."""

Status = dict[str, Any]


class ClusterNode(RunningNode):
    """One node. It is started, stopped and killed as any; and its disk can be lost."""

    def __init__(
        self, directory: Path, name: str, host: str, port: int, cluster_address: str, before: Sequence[str] = ()
    ) -> None:
        super().__init__(directory, "", "", port=port)
        self.name = name
        self.host = host
        self.cluster_address = cluster_address
        self.data_dir = directory / f"data-{name}"
        self.log_file = directory / f"node-{name}.log"
        self._before = before
        self._paused: list[int] = []

    def configure(self, flags: Iterable[str]) -> None:
        """What it is started with, besides its own name, addresses and directory."""
        self._command = [
            *self._before,
            str(Path(sys.executable).with_name("whimbrel")),
            *("node", "--name", self.name, "--listen", f"{self.host}:{self.port}"),
            *("--admin-listen", f"{self.host}:{self.admin_port}", "--set", f"admin.token={ADMIN_TOKEN}"),
            *("--cluster-listen", self.cluster_address, "--set", f"cluster.data_dir={self.data_dir}"),
            *flags,
        ]

    @property
    def url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether its process is there, also one that stands still."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_paused(self) -> bool:
        return bool(self._paused)

    def cluster_status(self) -> Status:
        """The document at /v1/status; empty if the node does not answer."""
        code, body = self.get("/v1/status", 2)
        found: Status = json.loads(body) if code == 200 else {}
        return found

    def workers(self) -> list[int]:
        """Process ids of its workers, from the system."""
        return sorted(tree(self.process.pid)[1:])

    def pause(self, workers: bool = True) -> None:
        """SIGSTOP: with its workers, as a virtual machine that stands still, or the node process alone."""
        self._paused = [self.process.pid, *(self.workers() if workers else ())]
        for pid in self._paused:
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        while self._paused:
            os.kill(self._paused.pop(), signal.SIGCONT)

    def kill(self) -> None:
        """kill -9, of the node process alone: its workers must find out."""
        super().kill()
        self._paused.clear()

    def kill_all(self) -> None:
        """kill -9 of everything at once, as when the machine loses its power."""
        workers = self.workers()
        super().kill()
        for pid in workers:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._paused.clear()

    def lose_disk(self) -> None:
        """What it has promised is forgotten. It must not run."""
        assert not self.is_running
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def end(self) -> None:
        """Whatever it does, it is over."""
        if self.is_running:
            self.kill_all()


class Cluster:
    """The nodes. A context manager that starts them together, waits until they agree, and kills them."""

    def __init__(
        self,
        directory: Path,
        names: str = "abc",
        *,
        voters: str = "",
        network: Network | None = None,
        namespaces: str = '[{name = "chat", value = "text"}]',
        bootstrap: str = "",
        topics: str = "",
        publish: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            directory: For logs, data and the cluster's key.
            names: Of the nodes, a letter each.
            voters: Those that count; default: all.
            network: The lab, in which each node has a host of its name; else loopback.
            namespaces, topics, publish: As the flags take them.
            bootstrap: Kafka; none if empty.
            settings: Keys and values for `--set`, for all nodes.
        """
        self.directory = directory
        self.names = tuple(names)
        self.voters = tuple(voters or names)
        self.network = network
        self.slots = SLOTS
        self.nodes: dict[str, ClusterNode] = {}
        for name in self.names:
            if network is None:
                where = ("127.0.0.1", free_port(), f"127.0.0.1:{free_cluster_port()}")
            else:
                host = network.addresses[name]
                where = (host, CLIENT_PORT, f"{host}:{CLUSTER_PORT}")
            self.nodes[name] = ClusterNode(directory, name, *where, network.command(name) if network else ())
        key_file = directory / "cluster.key"
        key_file.write_text(secrets.token_hex(32) + "\n")
        key_file.chmod(0o600)
        flags = [
            *("--voters", ",".join(self.voters), "--cluster-key-file", str(key_file), "--workers", "1"),
            *("--join", ",".join(node.cluster_address for node in self.nodes.values())),
            *(("--namespaces", namespaces) if namespaces else ()),
            *(("--kafka", bootstrap, "--topics", topics) if topics else ()),
            *(("--publish", publish) if publish else ()),
        ]
        for key, value in {**QUICK, **ROOMY, **(settings or {})}.items():
            flags += ["--set", f"{key}={value}"]
        for node in self.nodes.values():
            node.configure(flags)

    def __getitem__(self, name: str) -> ClusterNode:
        return self.nodes[name]

    @property
    def urls(self) -> list[str]:
        """Of all nodes, for clients."""
        return [node.url for node in self.nodes.values()]

    @property
    def running(self) -> list[str]:
        """Names of the nodes that run and do not stand still."""
        return [name for name, node in self.nodes.items() if node.is_running and not node.is_paused]

    def start(self, names: Iterable[str] | None = None, ready: bool = True, timeout_s: float = PATIENCE_S) -> None:
        """Start nodes (default: all) together; return when they answer, and (`ready`) all that run agree."""
        chosen = self.names if names is None else tuple(names)
        with ThreadPoolExecutor(len(self.names)) as pool:
            list(pool.map(lambda name: self.nodes[name].start(ready=False), chosen))
        if ready:
            self.wait_agreed(timeout_s=timeout_s)

    def kill_all(self) -> None:
        """kill -9 of all nodes and their workers, as nearly at once as it goes."""
        for node in self.nodes.values():
            node.process.kill()
        for node in self.nodes.values():
            node.kill_all()

    def stop_all(self) -> None:
        """SIGTERM to all nodes at once; return when they have ended."""
        for node in self.nodes.values():
            node.process.send_signal(signal.SIGTERM)
        codes = {name: node.process.wait(PATIENCE_S) for name, node in self.nodes.items()}
        assert not any(codes.values()), codes

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end()
        if kind is None:
            for node in self.nodes.values():
                assert "Traceback" not in node.log, f"{node.name}: {node.log[-5000:]}"

    def _end(self) -> None:
        for node in self.nodes.values():
            node.end()

    # What the nodes say.

    def statuses(self, names: Iterable[str] | None = None) -> dict[str, Status]:
        """Their documents; empty ones of those that do not answer."""
        chosen = self.running if names is None else list(names)
        with ThreadPoolExecutor(max(1, len(chosen))) as pool:
            return dict(zip(chosen, pool.map(lambda name: self.nodes[name].cluster_status(), chosen), strict=True))

    def wait_agreed(self, names: Iterable[str] | None = None, timeout_s: float = PATIENCE_S) -> float:
        """Return once all nodes that run (or these) agree about everything; how long it took, in seconds."""
        chosen = self.running if names is None else list(names)
        began = time.monotonic()
        while problems := disagreements(self.statuses(chosen), chosen):
            for name in chosen:
                node = self.nodes[name]
                code = node.process.poll()
                assert code is None, f"node {name} ended with {code}:\n{node.log[-3000:]}"
            if time.monotonic() - began > timeout_s:
                logs = "\n".join(f"--- {name}\n{self.nodes[name].log[-1500:]}" for name in chosen)
                raise AssertionError(f"no agreement within {timeout_s} s: {problems[:6]}\n{logs}")
            time.sleep(0.05)
        return time.monotonic() - began

    def slot_of(self, subject: str) -> int:
        """The slot of a subject of a namespace: the CRC-32 of its name, modulo the number of slots."""
        return zlib.crc32(subject.encode()) % self.slots

    def coordinator(self, subject: str, asked: str = "") -> str:
        """Who coordinates a subject, as one node (default: the first that runs) says; empty if nobody does."""
        document = self.nodes[asked or self.running[0]].cluster_status()
        return _coordinators(document).get(self.slot_of(subject), (0, ""))[1]

    def feeder(self, topic: str, partition: int = 0, asked: str = "") -> str:
        """Who feeds a partition, likewise."""
        document = self.nodes[asked or self.running[0]].cluster_status()
        return _feeders(document).get((topic, partition), "")


def disagreements(statuses: Mapping[str, Status], expected: Sequence[str]) -> list[str]:
    """Why these nodes are not yet one cluster of just these nodes, in which all is well; empty if they are."""
    found = [f"{name} does not answer" for name, status in statuses.items() if "cluster" not in status]
    if found:
        return found
    for name, status in statuses.items():
        cluster = status["cluster"]
        alive = sorted(member["name"] for member in cluster["members"] if member["state"] == "alive")
        if alive != sorted(expected):
            found.append(f"{name} sees {alive} alive")
        unsynced = [m["name"] for m in cluster["members"] if m["state"] == "alive" and not m["synced"]]
        if unsynced:
            found.append(f"{name} says that {unsynced} are not synced")
        found += [f"{name}: nobody coordinates {slot}" for slot, (_, who) in _coordinators(status).items() if not who]
        found += [f"{name}: nobody feeds {where}" for where, who in _feeders(status).items() if not who]
        for topic in (status.get("kafka") or {}).get("topics") or ():
            states = [one["state"] for one in topic["partitions"]]
            if any(state != "live" for state in states):
                found.append(f"{name}: topic {topic['topic']} is {states}")
    views: dict[str, dict[str, dict[Any, Any]]] = {
        "who coordinates": {name: {**_coordinators(status)} for name, status in statuses.items()},
        "who feeds": {name: {**_feeders(status)} for name, status in statuses.items()},
    }
    for what, by_name in views.items():
        first = next(iter(by_name))
        for name, view in by_name.items():
            if view != by_name[first]:
                different = [key for key in view | by_name[first] if view.get(key) != by_name[first].get(key)]
                found.append(f"{name} and {first} differ about {what} {different[:3]}")
    return found


def _coordinators(status: Status) -> dict[int, tuple[int, str]]:
    """By slot: epoch and name, empty if there is none."""
    slots = (status.get("cluster") or {}).get("slots") or ()
    return {one["slot"]: (one["epoch"], one["coordinator"] or "") for one in slots}


def _feeders(status: Status) -> dict[tuple[str, int], str]:
    feeds = (status.get("cluster") or {}).get("feeds") or ()
    return {(one["topic"], one["partition"]): one["feeder"] or "" for one in feeds}
