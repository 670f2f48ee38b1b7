"""Who is told what happened: what an auditor derives from.

Not here: which events there are and when they are told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class AuditEvent(NamedTuple):
    """Something that happened."""

    time_ms: int
    """Milliseconds since 1970."""
    kind: str
    """`access`, `message`, `cache` or `stats`."""
    name: str
    """What happened: `connected`, `refused`, ..."""
    fields: Mapping[str, Any]


class Auditor:
    """Derive from this. Its methods are called off the loop, one at a time, and may wait."""

    def __init__(self, **options: Any) -> None:
        """Take the auditor's options from the configuration. Raise to stop the node from starting."""

    def write(self, events: Sequence[AuditEvent]) -> None:
        """Take these events, in order."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing more comes."""
