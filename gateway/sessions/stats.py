"""A worker's counters and gauges, in plain numbers. Sent to the node once a second as `link.Stats`.

Not here: what Prometheus calls them (node/status/metrics.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gateway.link.events import CLOSES
from mesh.histogram import Histogram


class WorkerStats:
    """Names are the keys of `link.Stats.values`. Counters only grow; gauges are marked."""

    __slots__ = (
        "audit_dropped",
        "authorizer_failures",
        "bad_frames",
        "bytes_out",
        "closed",
        "closes",
        "connections",  # gauge
        "connections_max",  # gauge: how many there may be
        "delivery",
        "expired",
        "handshakes",
        "http_requests",
        "idle_closed",
        "limited_bytes",
        "limited_connects",
        "limited_identities",
        "limited_publishes",
        "limited_subscribes",
        "loop_delay_s",  # gauge: how late the last second's latest tick was
        "messages_out",
        "outbox_bytes",  # gauge
        "outboxes",  # gauge: clients that something waits for
        "publishes",
        "refused",
        "resyncs",
        "revoked",
        "slow_consumers",
        "subjects",  # gauge
        "subscriptions",  # gauge
        "tls_failures",
        "tls_handshakes",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)
        self.closes = Counter()
        self.delivery = Histogram()

    connections: int
    connections_max: int
    subscriptions: int
    subjects: int
    handshakes: int
    """Upgrades to WebSocket."""
    refused: int
    """Handshakes with a wrong Origin or over a limit, and what the authorizer refused."""
    http_requests: int
    messages_out: int
    """Live messages, once per recipient. Pages are not counted: they arrive as bytes."""
    bytes_out: int
    publishes: int
    bad_frames: int
    """Frames, WebSocket or ours, and HTTP requests that are not what the standard or the protocol says."""
    slow_consumers: int
    idle_closed: int
    closed: int
    """Connections that ended, for whatever reason."""
    closes: Counter[int]
    """Those of them that the worker ended, by close code."""
    delivery: Histogram
    """Of live messages: from when the node had read them until they were written to the recipient, or to its outbox."""
    resyncs: int
    """Times that the link had lost something."""
    audit_dropped: int
    """Events that auditors will not get, because too many came or the node did not take them."""
    authorizer_failures: int
    revoked: int
    """Clients closed because their token had been revoked."""
    expired: int
    """Clients closed because their token had expired."""
    limited_connects: int
    """Connections refused because of their address, ..."""
    limited_identities: int
    """... and of their identity."""
    limited_publishes: int
    limited_subscribes: int
    """Requests that had to wait."""
    limited_bytes: int
    """Times that nothing more was read for a while."""
    tls_handshakes: int
    tls_failures: int
    """Handshakes of TLS that failed: other protocols, no common version, a certificate that is refused."""
    outboxes: int
    outbox_bytes: int
    loop_delay_s: float

    def observe_delivery(self, now: float, delivered: Iterable[tuple[float, int]]) -> None:
        """Live messages were written: pairs of the time at which the node had them, and their number."""
        for read_at, count in delivered:
            self.delivery.observe(now - read_at, count)

    def values(self) -> dict[str, float]:
        """All of them by name, but the histogram."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("closes", "delivery")}
        return plain | {f"{CLOSES}{code}": count for code, count in self.closes.items()}
