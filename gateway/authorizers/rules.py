"""The authorizer `rules`: everybody may do what the configuration says, and nothing else.

[authorizer]
use = "rules"
subscribe = ["/public/*"]
publish = ["/feedback"]
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.authorizers.permissions import filled
from gateway.link.jwt_options import Rules
from whimbrel_server import Authorizer, Connection, Identity, Refusal

_ANYBODY = Identity()


class StaticRules(Authorizer):
    """The same rules for every client; names of clients are not known."""

    blocks = False

    def __init__(self, **options: Any) -> None:
        self._permissions = filled(msgspec.convert(options, Rules, strict=False), {})

    def connect(self, connection: Connection) -> Identity:
        return _ANYBODY

    def subscribe(self, identity: Identity, subject: str) -> None:
        if not self._permissions.may_subscribe(subject):
            raise Refusal("no rule allows subscribing to it")

    def publish(self, identity: Identity, subject: str) -> None:
        if not self._permissions.may_publish(subject):
            raise Refusal("no rule allows publishing to it")
