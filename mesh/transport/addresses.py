"""Addresses as texts, `host:port`, and what to say when a node cannot listen at one.

Not here: host names that change (membership/udp.py), sockets (transport.py, membership/udp.py).
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import TypeAlias

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""As sockets have it, of IPv4 or IPv6: host and port come first."""

_WHAT_TO_DO = {
    errno.EADDRINUSE: (
        "the port is in use. A node needs its port by UDP and TCP, and the next one by TCP: choose others with "
        "--cluster-listen HOST:PORT"
    ),
    errno.EADDRNOTAVAIL: (
        "this machine has no such address. Choose one that it has with --cluster-listen HOST:PORT; if others reach it "
        "by an address that is not its own, name that in cluster.advertise"
    ),
}


def split_address(address: str) -> tuple[str, int]:
    """Host and port of host:port or [IPv6]:port.

    Raises:
        ValueError: If it is neither.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{address!r} is not host:port")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    if ":" in host:
        raise ValueError(f"{address!r}: an IPv6 address stands in brackets")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """The address as one text; an IPv4 address that IPv6 wraps is an IPv4 address."""
    if ":" not in host:
        return f"{host}:{port}"
    mapped = ipaddress.IPv6Address(host.partition("%")[0]).ipv4_mapped
    return f"{mapped}:{port}" if mapped else f"[{host}]:{port}"


def numeric_host(host: str) -> str:
    """The address to listen at as libzmq takes it: no host name, IPv6 in brackets; "" stands for every address.

    Raises:
        OSError: If there is no such host; the text says what to do.
    """
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise OSError(
            f"cannot listen at {host!r}: {why}. Choose another host with --cluster-listen HOST:PORT"
        ) from error
    family, *_, address = min(found)  # IPv4 before IPv6
    return f"[{address[0]}]" if family == socket.AF_INET6 else str(address[0])


def cannot_listen(host: str, port: int, number: int | None) -> OSError:
    """The error to raise, with one sentence for its text; `number` is the system's."""
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    why = _WHAT_TO_DO.get(number or 0) or (os.strerror(number) if number else "unknown error")
    return OSError(f"cannot listen at {shown}:{port}: {why}")
