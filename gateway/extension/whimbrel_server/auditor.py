"""Who is told what happened: what an auditor derives from.

Not here: which events there are (gateway/sessions/trail.py, node/audit/insides.py), those that are built in
(node/audit/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class AuditEvent(NamedTuple):
    """Something that happened."""

    time_ms: int
    """Milliseconds since 1970, by the node's clock, to 50 ms or so; events of one worker are in order."""
    node: str
    """The node on which it happened."""
    kind: str
    """`access`, `message`, `cache` or `stats`."""
    name: str
    """What happened: `connected`, `refused`, ..."""
    fields: Mapping[str, Any]
    """What there is to know about it. `address` and `identity` of a client, in most."""


class Auditor:
    """Derive from this. One is made in each node process; its methods are called in a thread of its own, one at a
    time, and may wait. What comes while its queue is full is dropped, counted and told.
    """

    def __init__(self, **options: Any) -> None:
        """Take the auditor's options from the configuration. Raise to stop the node from starting."""

    def write(self, events: Sequence[AuditEvent]) -> None:
        """Take these events, in order. If it raises, they count as dropped."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing more comes."""
