"""Events as lines of JSON: the fields of each beside its time, node, kind and name. So workers send them, and so the
auditors that are built in keep them; others are given events.

Not here: where they go (log.py, kafka.py).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from whimbrel_server import AuditEvent, Auditor

_encode = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder(dict[str, Any]).decode_lines


class LinesLostError(Exception):
    """Some lines were not taken, the others were."""

    def __init__(self, count: int, why: str) -> None:
        super().__init__(f"{count} records were not delivered: {why}")
        self.count = count


class LineAuditor(Auditor):
    """One that takes lines as they are, which costs a tenth."""

    def write(self, events: Sequence[AuditEvent]) -> None:
        self.write_lines(lines(events))

    @abstractmethod
    def write_lines(self, data: bytes) -> None:
        """Take these lines, each with a line break at its end. Raises as `write`, or `LinesLostError`."""


def lines(events: Iterable[AuditEvent]) -> bytes:
    """A line for each, with a line break at its end."""
    return _encode(
        [
            {"time_ms": time_ms, "node": node, "kind": kind, "event": name, **fields}
            for time_ms, node, kind, name, fields in events
        ]
    )


def events(data: bytes) -> list[AuditEvent]:
    """The events of lines."""
    return [
        AuditEvent(about.pop("time_ms"), about.pop("node"), about.pop("kind"), about.pop("event"), about)
        for about in _decode(data)
    ]
