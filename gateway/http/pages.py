"""The web pages of the cluster's own nodes, and what they may ask of a node that has not served them.

A page goes on when the node that served it dies: it then connects to another node and reads its status; and in a demo
it may kill a node or cut it off. A page is known by its Origin header, which a browser lets no page choose:

- The pages of the cluster's nodes, those in `node.origins`, and the node's own are known. `*` lets every page connect,
  but makes none known here.
- Who sends no Origin is no page of a browser's: the header `MARK` is then all that the controls ask for. A browser
  sends it for a foreign page only after asking the node whether it may (Fetch standard, CORS preflight).

Not here: other pages that may open a WebSocket (origins.py), the requests (site.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from msgspec.structs import replace

from gateway.http.origins import Origins
from gateway.link.settings import GatewaySettings

MARK = "X-Whimbrel-Demo"
"""A request header, with the value 1, without which a node cannot be killed or cut off."""
CUT_S_MAX = 120

_SECONDS = re.compile(r"seconds=([1-9][0-9]{0,2})")
_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_PORTS = {"http": 80, "https": 443}


class Pages:
    """The pages that a worker's settings make known, and those of the nodes named since; without settings, none."""

    def __init__(self, settings: GatewaySettings | None = None) -> None:
        self.controls = settings is not None and settings.controls
        """Whether a node can be killed and cut off over HTTP."""
        self.nodes: list[str] = []
        """Origins of the pages of the cluster's nodes."""
        self._settings = settings
        self._known: Origins | None = None
        if settings is not None:
            self.learn(settings.servers)

    def learn(self, servers: Iterable[str]) -> None:
        """These are the addresses of the cluster's nodes from now on."""
        assert self._settings is not None
        self.nodes = list(_origins(servers))
        named = [origin for origin in self._settings.origins if origin != "*"]
        self._known = Origins(replace(self._settings, origins=[*named, *self.nodes]))

    def knows(self, origin: str | None, host: str) -> bool:
        """Whether a request with these headers comes from a known page."""
        return origin is not None and self._known is not None and self._known.accepts(origin, host)

    def shared_with(self, origin: str | None, host: str) -> list[tuple[str, str]]:
        """Headers with which a browser hands an answer to a known page, and to no other."""
        allowed = [("Access-Control-Allow-Origin", origin)] if origin is not None and self.knows(origin, host) else []
        return [*allowed, ("Vary", "Origin")]


def cut_s(query: str) -> int | None:
    """The N of `seconds=N`, for how long to cut a node off; None if that is not what the query says."""
    found = _SECONDS.fullmatch(query)
    return int(found[1]) if found is not None and int(found[1]) <= CUT_S_MAX else None


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
