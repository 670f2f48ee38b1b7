"""What is known of a client: how it came and what it said, and who the authorizer says it is.

Not here: finding it out (gateway/http/server.py), asking about it (authorizer.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Connection:
    """How a client came, and what it said. `token` and `client` are from its `hello`, or its last `renew`."""

    __slots__ = (
        "address",
        "certificate",
        "client",
        "cookies",
        "headers",
        "host",
        "origin",
        "path",
        "query",
        "token",
        "via",
    )

    def __init__(
        self,
        address: str,
        *,
        via: str = "websocket",
        path: str = "",
        query: str = "",
        host: str = "",
        origin: str | None = None,
        headers: Mapping[str, str] = _NOTHING,
        cookies: Mapping[str, str] = _NOTHING,
        token: str | None = None,
        client: str = "",
        certificate: str | None = None,
    ) -> None:
        self.address = address
        """Of the client, as `host:port`: of the socket's other end or, where that is a trusted proxy, as it says."""
        self.via = via
        """`websocket`; with TLS in the server itself `websocket+tls`."""
        self.path = path
        self.query = query
        self.host = host
        """The header Host: under which name or address the client came. Empty if it did not say."""
        self.origin = origin
        """The page that a browser has open; None from anything else."""
        self.headers = headers
        """Those that the configuration names (`authorizer.headers`), in lower case."""
        self.cookies = cookies
        """Those that the configuration names (`authorizer.cookies`)."""
        self.token = token
        """None if the client sent none."""
        self.client = client
        """What the client's software calls itself."""
        self.certificate = certificate
        """The name in the client's certificate, where one was asked for and checked."""


class Identity:
    """Who a client is. Derive from it to keep more, with `__slots__`: there is one for each connection."""

    __slots__ = ("expires_at", "issued_at", "name", "token_id")

    def __init__(
        self,
        name: str = "",
        *,
        expires_at: float | None = None,
        issued_at: float | None = None,
        token_id: str | None = None,
    ) -> None:
        self.name = name
        """For audit, limits and revocation. Empty: anonymous."""
        self.expires_at = expires_at
        """When the connection has to have a new token, in seconds since 1970; None: never."""
        self.issued_at = issued_at
        """When the token was made, in seconds since 1970, for revocation; None: not known, so before anything."""
        self.token_id = token_id
        """For revocation; None: it has none."""
