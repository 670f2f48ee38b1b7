"""Why a slot takes no publishes now: what really has to happen before it does.

Not here: making it happen (election.py), what a client is told (the node).
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Lack(Enum):
    PROMISES = "promises"
    """This voter does not know what it has promised, until it has heard from these voters."""
    VOTERS = "voters"
    """Fewer than R voters can be reached: these cannot."""
    MEMORY = "memory"
    """R voters can be reached, but fewer than R hold the log in memory: all have to be asked, and these cannot be."""
    DISK = "disk"
    """The disks of these voters take no promises, and fewer than R others can be reached."""
    COORDINATOR = "coordinator"
    """Nothing but time: a coordinator is being elected, or hands over, or is full."""


class Obstacle(msgspec.Struct, frozen=True):
    """What a slot waits for."""

    lack: Lack
    nodes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """For people."""
        names = ", ".join(self.nodes)
        match self.lack:
            case Lack.PROMISES:
                return f"this voter does not know what it promised until it has heard from {names}"
            case Lack.VOTERS:
                return f"no majority of voters: {names} cannot be reached"
            case Lack.MEMORY:
                return f"too few voters hold the slot's log in memory: it goes on once {names} can be reached, too"
            case Lack.DISK:
                return f"no coordinator can be elected: the disk of {names} cannot be written to"
            case Lack.COORDINATOR:
                return "a coordinator is being elected"
