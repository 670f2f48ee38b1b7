"""The authorizer `allow_all`: everybody may do everything that the topics allow.

For development, and behind something else that decides.
"""

from __future__ import annotations

from whimbrel_server import Authorizer, Connection, Identity

_ANYBODY = Identity()


class AllowAll(Authorizer):
    """Says yes."""

    blocks = False

    def connect(self, connection: Connection) -> Identity:
        return _ANYBODY

    def subscribe(self, identity: Identity, subject: str) -> None:
        return None

    def publish(self, identity: Identity, subject: str) -> None:
        return None
