"""Finds clients for those who run the node: by identity, address or subject.

Not here: closing them (sessions.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from gateway.link.events import MSGPACK, ConnectionRow, Select
from gateway.sessions.session import GONE, Session

SUBJECTS_SHOWN_MAX = 20


def selected(select: Select, sessions: Iterable[Session]) -> list[Session]:
    """The sessions that match every given criterion."""
    return [one for one in sessions if one.state != GONE and _fits(select, one)]


def row(session: Session, waiting_bytes: int) -> ConnectionRow:
    """What is shown of a client."""
    held = session.subscriptions
    return ConnectionRow(
        session.address,
        session.identity.name,
        "msgpack" if session.encoding == MSGPACK else "json",
        len(held),
        [one.subject for one in islice(held, SUBJECTS_SHOWN_MAX)],
        session.publishes,
        waiting_bytes,
    )


def _fits(select: Select, session: Session) -> bool:
    if select.identity is not None and session.identity.name != select.identity:
        return False
    address = select.address
    if address is not None and address not in (session.address, session.address.rpartition(":")[0]):
        return False
    subject = select.subject
    return subject is None or any(one.subject == subject for one in session.subscriptions)
