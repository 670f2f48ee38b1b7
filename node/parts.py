"""The parts of a node, for those that look at all of them.

Not here: how they work together (node.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.cache.cache import Cache
from node.backfill.backfills import Readings
from node.intake import Intake
from node.interest import Interest
from node.publishing import Publishing
from node.settings.schema import Settings
from node.topics import Topics
from node.workers import Workers

if TYPE_CHECKING:
    from node.cluster.cluster import Cluster
    from node.kafka.bridge import Bridge
    from node.status.observed import Observed


@dataclass(slots=True)
class Parts:
    """What a node is made of."""

    settings: Settings
    workers: Workers
    topics: Topics
    cache: Cache
    interest: Interest
    publishing: Publishing
    intake: Intake
    readings: Readings
    observed: Observed
    bridge: Bridge | None = None
    """None: no Kafka."""
    cluster: Cluster | None = None
    """None: no other nodes and no namespaces."""
