"""Whose word is taken for where a client is: that of the proxies that the configuration names, said in the one way that
it names. Everybody else's headers are hearsay.

A chain of proxies is followed from its near end, as long as each is trusted; what the first other one is said to be is
the client. Known ways: X-Forwarded-For, Forwarded (RFC 7239), and HAProxy's PROXY protocol, versions 1 and 2, before
the first byte of the client's own.

Not here: sockets and requests (server.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple, TypeAlias

PROXY_PROTOCOL = "proxy-protocol"
HEADERS = ("x-forwarded-for", "forwarded")
PREAMBLE_BYTES_MAX = 4096
_LINE_BYTES_MAX = 107
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"]*)"|([^;"]*))\s*(?:;|$)', re.IGNORECASE)
_CHAIN_MAX = 20

Endpoint: TypeAlias = tuple[str, int]
"""Host and port; port 0: not known."""


class Preamble(NamedTuple):
    """What the PROXY protocol says before a connection begins."""

    client: Endpoint | None
    """None: the proxy speaks for itself, to see how we are."""
    size: int
    """In bytes."""


class Proxies:
    """The proxies that are trusted: addresses or networks, and how they say who the client is."""

    def __init__(self, networks: Sequence[str] = (), way: str = HEADERS[0]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(one, strict=False) for one in networks]
        self._way = way

    def has_preamble(self, peer: str) -> bool:
        """Whether a connection from there begins with the PROXY protocol."""
        return self._way == PROXY_PROTOCOL and self._trusts(peer)

    def client(self, peer: Endpoint, fields: Mapping[str, str]) -> Endpoint:
        """Where a request comes from.

        Args:
            peer: The socket's other end, or who the PROXY protocol says it is.
            fields: The request's headers by name in lower case.
        """
        if self._way == PROXY_PROTOCOL or not self._networks or self._way not in fields:
            return peer
        found = peer
        for said in fields[self._way].split(",")[: -_CHAIN_MAX - 1 : -1]:
            if not self._trusts(found[0]):
                break
            endpoint = _endpoint(said.strip() if self._way == "x-forwarded-for" else _forwarded(said))
            if endpoint is None:
                break
            found = endpoint
        return found

    def _trusts(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in self._networks)


def preamble(data: bytes) -> Preamble | None:
    """The PROXY protocol's words at the beginning of `data`; None if more must come.

    Raises:
        ValueError: If they are none.
    """
    if data[: len(_V2)] == _V2[: len(data)]:
        return _version_2(data) if len(data) >= 16 else None
    if not data.startswith(b"PROXY "[: len(data)]):
        raise ValueError("not the PROXY protocol")
    end = data.find(b"\r\n", 0, _LINE_BYTES_MAX)
    if end < 0:
        if len(data) >= _LINE_BYTES_MAX:
            raise ValueError("a line of the PROXY protocol without an end")
        return None
    words = data[:end].decode("latin-1").split(" ")
    if words[1:2] == ["UNKNOWN"]:
        return Preamble(None, end + 2)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6") or not re.fullmatch(r"[0-9]{1,5}", words[4]):
        raise ValueError("not the PROXY protocol's line")
    address = _address(words[2])
    if address is None or address.version != int(words[1][-1]) or int(words[4]) > 65535:
        raise ValueError("not an address in the PROXY protocol's line")
    return Preamble((str(address), int(words[4])), end + 2)


def _version_2(data: bytes) -> Preamble | None:
    size = 16 + int.from_bytes(data[14:16], "big")
    if data[12] not in (0x20, 0x21) or size > PREAMBLE_BYTES_MAX:
        raise ValueError("a version or a length that the PROXY protocol does not have here")
    if len(data) < size:
        return None
    if data[12] == 0x20:
        return Preamble(None, size)
    family = data[13] >> 4
    width = {1: 4, 2: 16}.get(family)
    if width is None:
        return Preamble(None, size)
    if size < 16 + 2 * width + 4:
        raise ValueError("addresses of the PROXY protocol that are cut off")
    host = ip_address(data[16 : 16 + width])
    port = int.from_bytes(data[16 + 2 * width : 18 + 2 * width], "big")
    return Preamble((str(_unmapped(host)), port), size)


def _forwarded(said: str) -> str:
    found = _FOR.search(said)
    return (found[1] or found[2] or "").strip() if found is not None else ""


def _endpoint(said: str) -> Endpoint | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`."""
    found = re.fullmatch(r"\[([^\]]*)\](?::([0-9]{1,5}))?|([0-9.]+)(?::([0-9]{1,5}))?", said)
    host, port = (found[1] or found[3], found[2] or found[4] or "0") if found is not None else (said, "0")
    address = _address(host)
    return None if address is None or int(port) > 65535 else (str(address), int(port))


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return _unmapped(ip_address(host))
    except ValueError:
        return None


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address as itself, also where a socket for both has it as an IPv6 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped if mapped is not None else address
