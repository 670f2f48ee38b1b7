"""Where a request comes from, if from a web page: which pages may connect, and which may look and act.

A browser names the page's origin in the header Origin, and lets no page choose it. Two circles are told apart:

- May connect: the origins of `node.origins` (`*`: all), the node's own under a name that nobody else can point here
  (with DNS rebinding a foreign page gives its own name our address, and then its Origin and Host agree), and those of
  the cluster's nodes: a page goes on when the node that served it dies.
- Known: the same without `*`. These may read a node's status and, in a demo, use its controls.

Not here: reading the headers (server.py), what is served to whom (site.py, controls.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from gateway.link.hosts import is_address

_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_PORTS = {"http": 80, "https": 443}


class Origins:
    """The origins that are let in.

    Args:
        named: Values of the header Origin; `*` stands for all.
        host: The node's own name or address.
        servers: WebSocket addresses of the cluster's nodes; `learn` replaces them.
    """

    def __init__(self, named: Iterable[str] = (), host: str = "", servers: Iterable[str] = ()) -> None:
        self._named = frozenset(named)
        self._host = host.lower()
        self._own: set[str] = set()
        self.nodes: list[str] = []
        """Origins of the pages of the cluster's nodes."""
        self._servers: list[str] = []
        self.learn(servers)

    def learn(self, servers: Iterable[str]) -> None:
        """These are the addresses of the cluster's nodes from now on."""
        self._servers = list(servers)
        self.nodes = list(_origins(self._servers))
        self._own = {"localhost", self._host, *map(_name, self._servers)} - {""}

    def may_connect(self, origin: str | None, host: str) -> bool:
        """Whether a client with these headers may open a WebSocket. Who sends no Origin is no page of a browser's.

        Args:
            origin: The header Origin; None when there is none.
            host: The header Host, empty when there is none.
        """
        return origin is None or "*" in self._named or self.knows(origin, host)

    def knows(self, origin: str | None, host: str) -> bool:
        """Whether a request with these headers comes from a known page."""
        if origin is None:
            return False
        return (origin != "*" and origin in self._named) or origin in self.nodes or self._is_own(origin, host.lower())

    def cors(self, origin: str | None, host: str) -> list[tuple[str, str]]:
        """Headers with which a browser hands an answer to a known page, and to no other (Fetch standard, CORS)."""
        allowed = [("Access-Control-Allow-Origin", origin)] if origin is not None and self.knows(origin, host) else []
        return [*allowed, ("Vary", "Origin")]

    def _is_own(self, origin: str, host: str) -> bool:
        if not host or origin.lower().partition("://")[2] != host:
            return False
        name = _name("//" + host)
        return name in self._own or is_address(name)


def _origins(servers: Iterable[str]) -> dict[str, None]:
    """Origins as browsers write them, of the pages at these servers."""
    found: dict[str, None] = {}
    for server in servers:
        try:
            parts = urlsplit(server.lower())
            scheme, port = _SCHEMES[parts.scheme], parts.port
        except (ValueError, KeyError):
            continue
        name = parts.hostname or ""
        name = f"[{name}]" if ":" in name else name
        found[f"{scheme}://{name}" if port in (None, _PORTS[scheme]) else f"{scheme}://{name}:{port}"] = None
    return found


def _name(url: str) -> str:
    """The host in a URL, without port and brackets; empty when there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
