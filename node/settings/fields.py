"""How a section of the configuration and its keys are written down (schema.py, cluster/cluster.py).

Not here: the keys.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Meta

from node.settings.units import GIB

KIND = "kind"
"""Name in a field's metadata: how its values are read (keys.py). Empty: as its type says."""

_MOST = {"duration": 3650 * 86400.0, "size": 1024 * GIB, "": 1_000_000_000}
"""Where a number has no upper limit of its own, so that no arithmetic on it can overflow."""


def about(description: str, kind: str = "", **limits: Any) -> Meta:
    """What is said of a key, beside its type."""
    if limits:
        limits.setdefault("le", _MOST[kind])
    return Meta(description=description, extra={KIND: kind}, **limits)


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One section of the file."""
