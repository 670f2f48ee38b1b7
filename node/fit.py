"""How a node fits into what there is of the machine: how many workers, and what does not fit. A core.

Not here: what there is (machine.py), descriptors, which a worker compares with its connections (gateway/worker.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from node.capacity import MEASURED
from node.settings.schema import Settings

MIB = 2**20
LEAST_CORES = 2.0
"""For the node process and one worker; with less, a limit of CPU time stops both, again and again."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The resources of this process, and where each figure comes from."""

    cores: float
    """May be a fraction, where CPU time is limited."""
    quota: str = ""
    """The file that limits CPU time to less than all of the cores; empty: none."""
    memory: int | None = None
    """Bytes; None if it is not known."""
    memory_by: str = ""
    """The file that says so."""


def worker_count(settings: Settings, machine: Machine) -> int:
    """How many workers to start. Parts of a core are left out: whatever uses up a limit of CPU time is stopped for the
    rest of its period, and the node process with it.
    """
    return settings.node.worker_count(int(machine.cores))


def misfits(settings: Settings, machine: Machine) -> list[str]:
    """The settings that are too large for the machine, as sentences."""
    return [*_cpu(settings, machine), *_memory(settings, machine)]


def _cpu(settings: Settings, machine: Machine) -> list[str]:
    workers = worker_count(settings, machine)
    if not machine.quota or max(LEAST_CORES, workers + 1) <= machine.cores:
        return []
    processes = "1 worker" if workers == 1 else f"{workers} workers"
    return [
        f"CPU TIME IS LIMITED TO {machine.cores:.3g} CORES ({machine.quota}), and the node process and {processes} may "
        "use one each: when they have used up what they may, all of them stand still for parts of a second, and other "
        f"nodes may take this one for dead. Allow {max(2, workers + 1)} cores"
        + (", or fewer workers (node.workers)." if workers > 1 else ".")
    ]


def _memory(settings: Settings, machine: Machine) -> list[str]:
    if machine.memory is None:
        return []
    workers = worker_count(settings, machine)
    cache = settings.cache.bytes_max
    clients = workers * settings.client.connections_max
    rest = int(MEASURED.node_bytes + workers * MEASURED.worker_bytes + clients * MEASURED.client_bytes)
    if cache + rest <= machine.memory:
        return []
    room = machine.memory - rest
    what_to_do = f"Lower cache.bytes to {room // MIB} MiB" if room >= MIB else "Lower client.connections"
    return [
        f"MEMORY MAY NOT DO: there are {machine.memory // MIB} MiB ({machine.memory_by}), and this node may need "
        f"{(cache + rest) // MIB} MiB: cache.bytes, which is {cache // MIB} MiB, and {rest // MIB} MiB for its "
        f"processes and {clients} clients. {what_to_do}, or allow more."
    ]
