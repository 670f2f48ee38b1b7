"""How many machines a load needs: a model of what clients and messages cost. A core.

What it says follows from a few measured costs (`MEASURED`; loadtest/SCALE.md says how they were measured, and how far
the model is off). Every node holds all messages, so that what comes in costs every node the same, however many there
are; clients, and what they get, are shared out.

Not here: words for people (commands/capacity.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf

CLIENTS_PER_WORKER = 15_000
"""`client.connections` as it is by default."""
FRAME_BYTES = 170 + 66
"""Around a value: the frame's own keys, WebSocket, TCP and IP, when each message is a segment of its own."""
MESH_BYTES = 120
"""Around a value between nodes."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one machine's kind. Microseconds are CPU time."""

    node_wakes: float
    """Share of a core of the node process for waking up, as soon as there is a steady trickle of messages."""
    in_us: float
    """And for each message that comes in, from Kafka or from another node."""
    worker_wakes: float
    """Share of a core of a worker for waking up, likewise."""
    out_us: float
    """And for each message to a client, as far as each is a write of its own."""
    publish_us: float
    """Of node and worker, for each publish of a client."""
    connect_us: float
    """Of node and worker, for each client that connects, says hello and subscribes."""
    idle_us: float
    """Per second and client: pings and heartbeats."""
    client_bytes: float
    """Of memory, for each connected and subscribed client."""
    message_bytes: float
    """Of memory, for each cached message besides its value."""
    node_bytes: float
    """Of memory, for a node process that has nothing to do."""
    worker_bytes: float
    """And for a worker."""


MEASURED = Costs(
    node_wakes=0.22,
    in_us=10.5,
    worker_wakes=0.065,
    out_us=17.5,
    publish_us=55,
    connect_us=275,
    idle_us=2.7,
    client_bytes=1_570,
    message_bytes=420,
    node_bytes=84e6,
    worker_bytes=36e6,
)


@dataclass(frozen=True, slots=True)
class Load:
    """The load to plan for. Rates are per second."""

    clients: int
    rate: float
    """Messages that come into the cluster, from Kafka and from clients."""
    received: float
    """Messages to each client."""
    publishes: float = 0
    """Of all clients; `rate` has them, too."""
    value_bytes: int = 512
    cache_s: float = 600


@dataclass(frozen=True, slots=True)
class Machines:
    """What they are, and how full they may be."""

    cores: int = 8
    full: float = 0.6
    """Share of a core that may be used when all is well."""
    spare: int = 1
    """How many nodes may be lost."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is needed."""

    groups: int
    """More than 1: no node can take in all messages. Subjects are shared out over so many clusters."""
    nodes: int
    """Of each group."""
    workers: int
    """Of each node."""
    why: str
    """What decides the number of nodes."""
    node_share: float
    """Of a core: the node process."""
    worker_share: float
    """Of a core: each worker."""
    memory_bytes: float
    """Of each node."""
    to_clients_bps: float
    """Bits per second of each node, to clients."""
    mesh_bps: float
    """Bits per second that each node sends to others; as much comes in."""
    kafka_bps: float
    """Bits per second that each node reads from Kafka."""
    rejoin_s: float
    """How long the clients of a lost node keep the others busy, with all that is left of their workers."""


def plan(load: Load, machines: Machines = Machines(), costs: Costs = MEASURED) -> Plan:
    """The fewest nodes that carry the load, also when `spare` of them are lost.

    Raises:
        ValueError: A number is out of its range; with its name, and what is expected.
    """
    _check(load, machines)
    # Of a worker and of the node process, what is left for messages beside waking up.
    worker_room, node_room = machines.full - costs.worker_wakes, machines.full - costs.node_wakes
    if min(worker_room, node_room) <= 0:
        least = max(costs.worker_wakes, costs.node_wakes)
        raise ValueError(f"full: found {machines.full:g}, but waking up alone takes {least:.0%} of a core")
    groups = max(1, ceil(load.rate * costs.in_us / 1e6 / node_room))
    rate, clients, publishes = load.rate / groups, load.clients / groups, load.publishes / groups
    workers = machines.cores - 1
    busy = (clients * (load.received * costs.out_us + costs.idle_us) + publishes * costs.publish_us) / 1e6
    needs = {
        "CPU of the workers": ceil(busy / worker_room / workers) + machines.spare,
        "connections per worker": ceil(clients / CLIENTS_PER_WORKER / workers) + machines.spare,
        "a majority that survives": 2 * machines.spare + 1,
    }
    why = max(needs, key=lambda name: needs[name])
    nodes = needs[why]
    out = clients * load.received / nodes
    value = load.value_bytes
    left = max(nodes - 1, 1) * workers * (1 - costs.worker_wakes) - busy
    return Plan(
        groups=groups,
        nodes=nodes,
        workers=workers,
        why=why,
        node_share=costs.node_wakes + rate * costs.in_us / 1e6,
        worker_share=costs.worker_wakes + busy / nodes / workers,
        memory_bytes=costs.node_bytes
        + workers * costs.worker_bytes
        + clients / nodes * costs.client_bytes
        + rate * load.cache_s * (value + costs.message_bytes),
        to_clients_bps=8 * out * (value + FRAME_BYTES),
        mesh_bps=8 * rate / nodes * (nodes - 1) * (value + MESH_BYTES),
        kafka_bps=8 * max(rate - publishes, 0) / nodes * value,
        rejoin_s=clients / nodes * costs.connect_us / 1e6 / max(left, 0.01),
    )


def _check(load: Load, machines: Machines) -> None:
    numbers = {
        "clients": load.clients,
        "rate": load.rate,
        "received": load.received,
        "publishes": load.publishes,
        "value-bytes": load.value_bytes,
        "cache-s": load.cache_s,
        "spare": machines.spare,
    }
    for name, number in numbers.items():
        if not 0 <= number < inf:
            raise ValueError(f"{name}: found {number:g}, expected a finite number, 0 or more")
    if load.publishes > load.rate:
        raise ValueError(f"publishes: found {load.publishes:g}, but they are part of the rate, which is {load.rate:g}")
    if machines.cores < 2:
        raise ValueError(
            f"cores: found {machines.cores}, expected 2 or more: the node process has one, workers the others"
        )
    if not 0 < machines.full <= 1:
        raise ValueError(f"full: found {machines.full:g}, expected a share above 0, and at most 1")
