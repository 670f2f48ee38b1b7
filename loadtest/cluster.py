"""Nodes that are one cluster (three by default), and more that join it, each a process started as a user starts it.

Not here: one node (node.py), load (publisher.py, fleet.py, users.py).
"""

from __future__ import annotations

import secrets
import time
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from loadtest.kafka.ports import free_cluster_port
from loadtest.node import Node
from loadtest.process import Failed, cpu_s

VOTERS = ("a", "b", "c")
AGREE_TIMEOUT_S = 30


class Cluster:
    """The nodes. A context manager that starts the voters together, waits until they agree, and stops all."""

    def __init__(
        self,
        log: Path,
        *flags: str,
        settings: Mapping[str, str] | None = None,
        checkout: Path | None = None,
        names: Sequence[str] = VOTERS,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            log: The file that gets what they all say.
            flags: For each node, besides those that make them one cluster.
            settings: Keys and values for `--set`.
            checkout: As for `Node`.
            names: Of the nodes; the first three of three or more are voters, else the first.
        """
        self._directory = TemporaryDirectory()
        self._log = log
        self._flags = flags
        self._settings = settings
        self._checkout = checkout
        key_file = Path(self._directory.name) / "cluster.key"
        key_file.write_text(secrets.token_hex(32) + "\n")
        key_file.chmod(0o600)
        self._addresses = {name: f"127.0.0.1:{free_cluster_port()}" for name in names}
        voters = names[: len(VOTERS)] if len(names) >= len(VOTERS) else names[:1]
        self._shared = ["--voters", ",".join(voters), "--cluster-key-file", str(key_file), "--workers", "1"]
        self._shared += ["--join", ",".join(self._addresses.values())]
        self.nodes: dict[str, Node] = {}
        for name in names:
            self.prepare(name)

    def prepare(self, name: str) -> Node:
        """One more node; it does not run yet."""
        address = self._addresses.setdefault(name, f"127.0.0.1:{free_cluster_port()}")
        flags = ("--name", name, "--cluster-listen", address, *self._shared, *self._flags)
        data = f"{self._directory.name}/{name}"
        settings = {"cluster.data_dir": data, **(self._settings or {})}
        self.nodes[name] = Node(self._log, *flags, settings=settings, checkout=self._checkout)
        return self.nodes[name]

    def __enter__(self) -> Self:
        try:
            for node in self.nodes.values():
                node.begin()
            self.wait_agreed()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes.values():
            node.stop()
        self._directory.cleanup()

    @property
    def ports(self) -> list[int]:
        """Where clients connect, node by node."""
        return [node.port for node in self.nodes.values()]

    @property
    def mesh_ports(self) -> list[int]:
        """TCP ports at which nodes talk to each other: of each node the one that it is given, and the next."""
        ports = [int(address.rpartition(":")[2]) for address in self._addresses.values()]
        return [each for port in ports for each in (port, port + 1)]

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: node.pid for name, node in self.nodes.items()}

    def cpu_s(self) -> float:
        """CPU seconds of all nodes and their workers so far."""
        return sum(cpu_s(pid) for pid in self.pids().values())

    def wait_agreed(self) -> float:
        """Return when all nodes are ready and agree about the cluster; the seconds that it took.

        Raises:
            Failed: They do not within `AGREE_TIMEOUT_S`.
        """
        began = time.monotonic()
        for node in self.nodes.values():
            node.wait_ready()
        each_reads = (self._settings or {}).get("kafka.read") == "direct"
        while found := disagreement({name: node.status() for name, node in self.nodes.items()}, each_reads):
            if time.monotonic() - began > AGREE_TIMEOUT_S:
                raise Failed(f"the nodes were no cluster after {AGREE_TIMEOUT_S} s: {found}")
            time.sleep(0.05)
        return time.monotonic() - began

    def coordinators(self) -> list[str]:
        """The coordinator of each slot."""
        return [slot["coordinator"] for slot in self.nodes["a"].status()["cluster"]["slots"]]

    def coordinator_of(self, subjects: list[str]) -> dict[str, str]:
        """The coordinator of each of these subjects of a namespace, by the CRC-32 of its name."""
        coordinators = self.coordinators()
        return {subject: coordinators[zlib.crc32(subject.encode()) % len(coordinators)] for subject in subjects}

    def busiest(self) -> tuple[str, int, int]:
        """The voter that coordinates most slots of those that feed something; how many it coordinates, and feeds."""
        cluster = self.nodes["a"].status()["cluster"]
        coordinates = Counter(slot["coordinator"] for slot in cluster["slots"])
        feeds = Counter(feed["feeder"] for feed in cluster["feeds"])
        name = max(VOTERS, key=lambda name: (feeds[name] > 0, coordinates[name]))
        return name, coordinates[name], feeds[name]


def disagreement(statuses: Mapping[str, dict[str, Any]], each_reads: bool = False) -> str:
    """Why these nodes are not one cluster of just these nodes in which all is well, from their status documents.

    Args:
        each_reads: Nobody feeds the others with what Kafka has.
    """
    views = []
    for name, status in statuses.items():
        cluster = status.get("cluster")
        if cluster is None:
            return f"{name} does not answer"
        alive = sorted(member["name"] for member in cluster["members"] if member["state"] == "alive")
        if alive != sorted(statuses):
            return f"{name} sees {alive} alive"
        if not all(member["synced"] for member in cluster["members"] if member["name"] in statuses):
            return f"{name} says that not all are synced"
        view = [slot["coordinator"] for slot in cluster["slots"]]
        view += [] if each_reads else [feed["feeder"] for feed in cluster["feeds"]]
        if not all(view):
            return f"{name} knows no coordinator or feeder of {view.count(None)} logs"
        views.append((name, view))
    return next((f"{name} and {views[0][0]} differ" for name, view in views if view != views[0][1]), "")
