"""Who may connect, subscribe and publish: what an authorizer derives from.

An authorizer is made once per worker process, with its options from the configuration. It says no by raising `Refusal`.
One that fails in any other way costs only the client that it was asked about, which is refused.

Not here: those that are built in (gateway/authorizers/).
"""

from __future__ import annotations

from typing import Any

from whimbrel_server.connection import Connection, Identity

_REFUSED = 4303


class Refusal(Exception):
    """Say no. The client is told the reason.

    Args:
        code: For `connect` only, a code of the protocol: 4200 (token_expired) and 4201 (token_invalid) make the client
            get a new token first, 4019 (internal) makes it come again; after 4303 (refused) it does not come back.
    """

    def __init__(self, reason: str, code: int = _REFUSED) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Authorizer:
    """Derive from this. A method that returns says yes; one that raises `Refusal` says no."""

    blocks = True
    """Whether a method may wait (for a network, a file): then all are called in threads, several at a time. One that
    says False is asked at once, in the loop that serves all clients of the worker.
    """

    def __init__(self, **options: Any) -> None:
        """Take the keys of `[authorizer]` besides the server's own. Raise to stop the node from starting."""

    def connect(self, connection: Connection) -> Identity:
        """May this client connect? Asked again with its next token when a client renews."""
        raise Refusal("nobody may connect")

    def subscribe(self, identity: Identity, subject: str) -> None:
        """May it have this subject, or all that this pattern (`/topic/*`, `/topic/prefix/*`) matches?

        Asked before the first message of a subscription of any kind: new, resumed, from the latest or an older message.
        Both have the one form that subjects have: `%2A` is an asterisk in a key, and a pattern ends with `/*`.
        """
        raise Refusal("nobody may subscribe")

    def publish(self, identity: Identity, subject: str) -> None:
        """May it publish to this subject? The configuration has already allowed the topic."""
        raise Refusal("nobody may publish")
