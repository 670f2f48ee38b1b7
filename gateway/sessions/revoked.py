"""Which identities are revoked, as the node has said.

An entry means tokens that fit all that it gives, and were made before its time; a token that does not say when it was
made counts as older than anything. Whoever came without a token has none that could be revoked.

Not here: how entries reach all nodes (mesh/revocations.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from mesh.revocations import Revocation
from whimbrel_server import Identity

_FEW = 8
_NEVER = float("-inf")


class Revoked:
    """All entries that hold."""

    def __init__(self, now: float) -> None:
        self.now = now
        """To be kept up to date."""
        self._entries: dict[tuple[str | None, str | None], tuple[float, float]] = {}
        """By token id and name: `issued_before`, and until when it holds, in `now`."""

    def add(self, entries: Iterable[Revocation]) -> None:
        """Take entries; those that hold no longer leave."""
        now = self.now
        self._entries = {key: entry for key, entry in self._entries.items() if entry[1] > now}
        for entry in entries:
            key = entry.token_id, entry.name
            issued_before, until = self._entries.get(key, (_NEVER, now))
            self._entries[key] = max(issued_before, entry.issued_before), max(until, now + entry.left_s)

    def covers(self, identity: Identity) -> bool:
        """Whether this identity's token is revoked."""
        if not self._entries or not _has_token(identity):
            return False
        issued_at = _NEVER if identity.issued_at is None else identity.issued_at
        for key in product({identity.token_id, None}, {identity.name or None, None}):
            issued_before, until = self._entries.get(key, (_NEVER, _NEVER))
            if until > self.now and issued_at < issued_before:
                return True
        return False

    def is_meant(self, entries: list[Revocation], identity: Identity) -> bool:
        """Whether this identity's token is among those of entries that were just added: quicker if they are few."""
        if len(entries) > _FEW:
            return self.covers(identity)
        return any(
            entry.name in (None, identity.name or None)
            and entry.token_id in (None, identity.token_id)
            and (identity.issued_at is None or identity.issued_at < entry.issued_before)
            and _has_token(identity)
            for entry in entries
        )


def _has_token(identity: Identity) -> bool:
    """A token need not say whose it is, nor have an id: then it has at least times."""
    return bool(identity.name) or (identity.token_id, identity.issued_at, identity.expires_at) != (None, None, None)
