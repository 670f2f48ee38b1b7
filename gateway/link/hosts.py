"""Which hosts are addresses, and which are this machine itself: what goes there needs no encryption."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether this is a loopback address, or `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_address(host: str) -> bool:
    """Whether this is an address and no name, which could be made to mean any address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
