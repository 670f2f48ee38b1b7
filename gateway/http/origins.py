"""Whether the web page that opens a connection, if it is one, may.

A page's own node is taken for it only under a name that nobody else can point here: with DNS rebinding a foreign
page gives its own name our address, and then its Origin and Host agree.

Not here: reading the headers (server.py).
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.link.settings import GatewaySettings


class Origins:
    """The pages that a worker's settings let in."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._accepted = frozenset(settings.origins)
        self._own = {"localhost", settings.host.lower(), *map(_name, settings.servers)} - {""}

    def accepts(self, origin: str | None, host: str) -> bool:
        """Whether a client may connect.

        Args:
            origin: Its Origin header; None when it sends none, which only browsers must.
            host: Its Host header, empty when there is none.
        """
        if origin is None or origin in self._accepted or "*" in self._accepted:
            return True
        own = host.lower()
        if not own or origin.lower().partition("://")[2] != own:
            return False
        name = _name("//" + own)
        return name in self._own or _is_address(name)


def _name(url: str) -> str:
    """The host in a URL, without port and brackets; empty when there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
