"""What auditors are told most, each kind of event with its fields: JSON objects, made here once for all auditors.

Not here: when they are told (trail.py), what is told seldom, which is a map.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class _OfClient(msgspec.Struct, gc=False):
    time_ms: int
    node: str
    kind: str
    event: str
    address: str
    identity: str


class ConnectedEvent(_OfClient, gc=False, omit_defaults=True):
    via: str = ""
    client: str = ""
    origin: str | None = None
    token_id: str | None = None


class RefusedEvent(_OfClient, gc=False, omit_defaults=True):
    what: str
    code: int
    reason: str
    subject: str = ""
    count: int = 1


class SubscribedEvent(_OfClient, gc=False):
    subject: str
    answer: str


class SubjectEvent(_OfClient, gc=False):
    """`unsubscribed`, `published`."""

    subject: str


class TokenEvent(_OfClient, gc=False):
    """`renewed`, `revoked`."""

    token_id: str | None


class DisconnectedEvent(_OfClient, gc=False):
    code: int
    reason: str


AuditLine: TypeAlias = (
    ConnectedEvent | RefusedEvent | SubscribedEvent | SubjectEvent | TokenEvent | DisconnectedEvent | dict[str, object]
)
