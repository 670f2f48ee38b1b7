"""Who may connect, subscribe and publish: the interface that a deployment implements, and the built-in one.

An authorizer is a class, named in the configuration by entry point (group `whimbrel.authorizers`) or dotted path
`module:Class`, and made once per worker process with its options from the configuration. It says no by raising
`Refusal`. One that fails in any other way costs only the client that it was asked about.

Not here: loading and calling it (authority.py), what is asked when (requests.py).
"""

from __future__ import annotations

from typing import Any

from gateway.link import codes


class Refusal(Exception):
    """Say no. The client is told the reason.

    Args:
        code: For `connect` only: codes.TOKEN_EXPIRED or TOKEN_INVALID make the client get a new token first.
    """

    def __init__(self, reason: str, code: int = codes.REFUSED) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class ConnectionInfo:
    """What is known of a client when it connects. `token` and `client` are from its `hello`."""

    __slots__ = ("address", "client", "host", "origin", "path", "query", "token", "user_agent")

    def __init__(
        self,
        address: str,
        path: str = "",
        query: str = "",
        origin: str | None = None,
        user_agent: str | None = None,
        host: str = "",
    ) -> None:
        self.address = address
        """Of the socket's other end, as `host:port`; a proxy's, if there is one."""
        self.path = path
        self.query = query
        self.origin = origin
        self.user_agent = user_agent
        self.host = host
        """The header Host: under which name or address the client came. Empty if it did not say."""
        self.token: str | None = None
        self.client = ""


class Authorizer:
    """Derive from this. Each method returns to say yes and raises `Refusal` to say no."""

    blocks = True
    """Whether a method may wait (for a network, a file): then all are called in threads, several at a time. One that
    says False is asked at once, in the loop that serves all clients of the worker.
    """

    def __init__(self, **options: Any) -> None:
        """Take `gateway.authorizer_options`. Raise to stop the worker from starting."""

    def connect(self, info: ConnectionInfo) -> object:
        """May this client connect? Returns what the other methods get as `identity`."""
        raise NotImplementedError

    def subscribe(self, identity: object, subject: str) -> None:
        """May it subscribe to this subject or pattern?"""
        raise NotImplementedError

    def publish(self, identity: object, subject: str) -> None:
        """May it publish to this subject? The mapping has already allowed the topic."""
        raise NotImplementedError


class AllowAll(Authorizer):
    """Everybody may do everything: for development, and behind something else that decides."""

    blocks = False

    def connect(self, info: ConnectionInfo) -> object:
        return None

    def subscribe(self, identity: object, subject: str) -> None:
        return None

    def publish(self, identity: object, subject: str) -> None:
        return None
