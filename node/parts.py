"""The parts of a node, for those that look at all of them.

Not here: how they work together (node.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.cache import Cache
from node.intake import Intake
from node.interest import Interest
from node.kafka.replay import Replay
from node.publishing import Publishing
from node.readings import Readings
from node.settings.schema import Settings
from node.topics import Topics
from node.workers import Workers


@dataclass(frozen=True, slots=True)
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
    replay: Replay
