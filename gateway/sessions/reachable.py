"""Which of the cluster's addresses a client can use, judged by how it came to this node.

A node knows its own addresses; behind a proxy, in a container or in a cloud they mean nothing to its clients, and a
client that is sent to `127.0.0.1` or `10.1.2.3` gives its token to whatever listens there. So:

- an address of this machine (loopback) is told to those who came under one, a private address to those who came under
  a private one, a wildcard (`0.0.0.0`) to nobody; the very address under which a client came is told in any case;
- `ws:` is not told to those who came by TLS. As a proxy ends that, it is taken from what the client says: an Origin of
  `https`, or a Host with port 443. A Host without port, from no browser, can be either: then it is TLS unless some node
  has just that address as `ws:`.

Not here: which nodes there are (`link.Servers`); headers of proxies, which anybody can send.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

REMEMBERED_MAX = 1024


class Vantage(NamedTuple):
    """From where a client sees the cluster."""

    host: str = ""
    """The name or address under which it came, in lower case; empty if it did not say."""
    has_port: bool = True
    is_secure: bool = False


@lru_cache(REMEMBERED_MAX)
def vantage(host: str, origin: str | None) -> Vantage:
    """From a request's headers Host (empty if there is none) and Origin (None if there is none)."""
    try:
        parts = urlsplit("//" + host.lower())
        name, port = parts.hostname or "", parts.port
    except ValueError:
        name, port = "", None
    is_https = origin is not None and origin.lower().startswith("https://")
    return Vantage(name, port is not None or origin is not None or not name, is_https or port == 443)


def reachable(servers: Sequence[str], seen_from: Vantage) -> list[str]:
    """Those of the WebSocket addresses that a client there can use, in order."""
    return list(_reachable(tuple(servers), seen_from))


@lru_cache(REMEMBERED_MAX)
def _reachable(servers: tuple[str, ...], seen_from: Vantage) -> tuple[str, ...]:
    is_secure = seen_from.is_secure
    if not seen_from.has_port:
        is_secure = not any(_is_plain(server, seen_from.host) for server in servers)
    return tuple(server for server in servers if _is_reachable(server, seen_from.host, is_secure))


def _is_plain(server: str, host: str) -> bool:
    scheme, name, port = _parts(server)
    return scheme == "ws" and name == host and port in (None, 80)


def _is_reachable(server: str, host: str, is_secure: bool) -> bool:
    scheme, name, _ = _parts(server)
    if is_secure and scheme != "wss":
        return False
    address = _address(name)
    if name == host or address is None:
        return True
    if address.is_unspecified:
        return False
    own = _address(host)
    if address.is_loopback:
        return own is not None and own.is_loopback
    return not address.is_private or (own is not None and own.is_private and not own.is_loopback)


def _parts(server: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(server.lower())
        return parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        return "", "", None


def _address(name: str) -> IPv4Address | IPv6Address | None:
    if name == "localhost" or name.endswith(".localhost"):
        return IPv4Address("127.0.0.1")
    try:
        return ip_address(name)
    except ValueError:
        return None
