"""One start of a node: its core, and what belongs to it and dies with it.

Not here: what is done with it (node.py).
"""

from __future__ import annotations

from typing import Any

from mesh.transport.links import PeerAddress
from node.core import NodeCore
from tests.sim.broker.threads import KafkaThreads
from tests.sim.machines.link import Link
from tests.sim.machines.members import Members
from tests.sim.machines.paths import Paths
from tests.sim.machines.said import SaidByWorkers
from tests.sim.machines.worker import WorkerMachine


class Process:
    """One start of a node."""

    def __init__(self, core: NodeCore, members: Members, boot: str, said: SaidByWorkers) -> None:
        self.core = core
        self.members = members
        self.boot = boot
        self.threads: KafkaThreads | None = None
        self.links: dict[int, Link] = {}
        self.workers: dict[int, WorkerMachine] = {}
        """By index."""
        self.said = said
        """By workers, and not handled yet."""
        self.paths = Paths()
        self.peers: dict[str, PeerAddress] = {}
        self.outgoing: dict[str, list[Any]] = {}
        self.meta = b""
        self.is_leaving = False
        self.is_ending = False
        self.is_working = False
        """A slice of work is scheduled."""
