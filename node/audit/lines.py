"""Events as JSON objects: the fields of each beside its time, node, kind and name.

Not here: where they go (log.py, kafka.py).
"""

from __future__ import annotations

import msgspec

from whimbrel_server import AuditEvent

_encode = msgspec.json.Encoder().encode


def line(event: AuditEvent) -> bytes:
    """One event, without a line break."""
    time_ms, node, kind, name, fields = event
    return _encode({"time_ms": time_ms, "node": node, "kind": kind, "event": name, **fields})
